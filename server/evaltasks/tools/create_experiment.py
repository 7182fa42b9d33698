"""`create_experiment`: store existing outputs for the examples of a dataset."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from pydantic import Field

from evaltasks.api.datasets import Example
from evaltasks.api.experiments import SYSTEM_RUN_COLUMNS, AppendExperimentRuns, CreateExperiment
from evaltasks.api.problems import Problem
from evaltasks.api.wire import JsonObject
from evaltasks.client.errors import ClientError
from evaltasks.insight.span_rows import RowError
from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import ExperimentNameText, Text
from evaltasks.tools.rows import Rows, batches, json_row, open_source, source_issues, validate_rows
from evaltasks.tools.spec import Effect, Group, Input, Output, Provided, ToolSpec

_EVALUATION = re.compile(r"^(eval\.|evaluations?$)")

Convert = Callable[[JsonObject, int], JsonObject]


class CreateExperimentInput(Input):
    name: ExperimentNameText = Field(
        description="Name of the new experiment, unique in its dataset, such as 'prompt-v2'."
    )
    dataset: Text = Field(description="Name or id of the dataset whose examples the outputs belong to.")
    rows: Rows | None = Field(
        None,
        description='The outputs, 1-1000 objects, such as {"example_id": "<id of an example>", "output": "…"}; further '
        "columns are kept and can be mapped.",
    )
    file: Text | None = Field(
        None,
        description="Instead of rows: path of a .jsonl, .csv or .parquet file below a directory the server may read.",
    )
    match_column: Text | None = Field(
        None,
        description="Instead of example_id in each row: a column of both rows and examples with a unique value per "
        "example, such as 'question'.",
    )
    space: Text | None = Field(None, description="Name or id of the dataset's space. Default: the default space.")


class CreateExperimentOutput(Output):
    experiment_id: str
    name: str
    dataset_id: str
    num_experiment_runs: int
    examples_covered: str = Field(description="Number of examples of the dataset that have an output: n of N.")
    next_step: str

    def text(self) -> str:
        return (
            f"Experiment {self.name} ({self.experiment_id}): {self.num_experiment_runs} outputs, "
            f"{self.examples_covered} examples. {self.next_step}"
        )


def _validate(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    return "", source_issues(arguments)


class _RowConverter:
    """Converts rows to experiment runs of the dataset's examples."""

    def __init__(self, examples: list[Example], match_column: str | None) -> None:
        self.ids = {example.id for example in examples}
        self.match_column = match_column
        self.by_value: dict[str, str] = {}
        if match_column is not None:
            self.by_value = _by_value(examples, match_column)
        self.used: Counter[str] = Counter()
        self.outputs_as_json = 0

    def convert(self, row: JsonObject, number: int) -> JsonObject:
        if inline := sorted(name for name in row if _EVALUATION.match(name)):
            raise RowError(
                number,
                f"has evaluations ({inline[0][:60]}), which would be stored but never count as scores; remove them "
                "and evaluate the experiment with a task",
            )
        if taken := sorted(SYSTEM_RUN_COLUMNS & row.keys()):
            raise RowError(number, f"has {', '.join(taken)}, which the system sets; rename that column")
        run = {**row, "example_id": self._example_id(row, number), "output": self._output(row, number)}
        return json_row(run, number)

    def _example_id(self, row: JsonObject, number: int) -> str:
        if self.match_column is not None and "example_id" not in row:
            if self.match_column not in row:
                raise RowError(number, "has no value in the match_column")
            example_id = self.by_value.get(_value_key(row[self.match_column]))
            if example_id is None:
                raise RowError(number, "has a value in the match_column that no example of the dataset has")
            return example_id
        id_ = row.get("example_id")
        if not isinstance(id_, str) or not id_:
            raise RowError(number, "has no example_id; add it, or pass match_column")
        if id_ not in self.ids:
            raise RowError(number, "has an example_id that is not the id of an example of this dataset")
        return id_

    def _output(self, row: JsonObject, number: int) -> str:
        output = row.get("output")
        if isinstance(output, str):
            return output
        if output is None:
            raise RowError(number, "has no output; add the text (an empty text if the output was empty)")
        self.outputs_as_json += 1
        return json.dumps(output, ensure_ascii=False)


def _by_value(examples: list[Example], column: str) -> dict[str, str]:
    """Return the example ids by the value of a column.

    Raises:
        Refused: No example has the column, or two have the same value.
    """
    ids: dict[str, str] = {}
    for example in examples:
        if column in example.columns:
            key = _value_key(example.columns[column])
            if key in ids:
                raise Refused(
                    "match_column does not identify the examples: two of them have the same value. Use another column, "
                    "or example_id."
                )
            ids[key] = example.id
    if not ids:
        names = sorted({name for example in examples[:100] for name in example.columns})
        raise Refused(f"No example has the column named in match_column. The columns are: {', '.join(names[:20])}.")
    return ids


def _value_key(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


async def _create(call: CreateExperimentInput, context: ToolContext) -> CreateExperimentOutput:
    client = context.client
    source = open_source(call.rows, call.file, context)
    space = call.space or context.settings.default_space
    dataset = await client.resolve.dataset(call.dataset, space)
    examples = [example async for example in client.datasets.all_examples(dataset.id)]
    converter = _RowConverter(examples, call.match_column)

    def counted(row: JsonObject, number: int) -> JsonObject:
        run = converter.convert(row, number)
        converter.used[run["example_id"]] += 1
        return run

    total = await validate_rows(SPEC.name, "file" if call.file else "rows", source, counted)
    if converter.outputs_as_json:
        context.note(f"{converter.outputs_as_json} outputs were not text and were stored as JSON text.")
    if repeated := sum(1 for count in converter.used.values() if count > 1):
        context.note(f"{repeated} examples have more than one output; each is evaluated.")
    experiment_id: str | None = None
    done = 0
    async for batch in batches(source, converter.convert):
        try:
            if experiment_id is None:
                body = CreateExperiment(name=call.name, dataset_id=dataset.id, experiment_runs=batch)
                experiment_id = (await client.experiments.create(body)).id
            else:
                await client.experiments.append_experiment_runs(
                    experiment_id, AppendExperimentRuns(experiment_runs=batch)
                )
        except (Problem, ClientError):
            if experiment_id is None:
                raise
            raise Refused(
                f"The experiment '{call.name}' ({experiment_id}) was created with at least the first {done} of {total} "
                "outputs; then a batch failed. Create another experiment with a new name."
            ) from None
        done += len(batch)
        await context.progress.report(done, total, f"{done} of {total} outputs sent")
    assert experiment_id is not None, "validate_rows() rejects a source without rows"
    return CreateExperimentOutput(
        experiment_id=experiment_id,
        name=call.name,
        dataset_id=dataset.id,
        num_experiment_runs=total,
        examples_covered=f"{len(converter.used)} of {len(examples)}",
        next_step=(
            f"Evaluate it: create_evaluation_task(dataset={dataset.id!r}, experiment_ids=[{experiment_id!r}], …), "
            "then trigger_task_run."
        ),
    )


EXAMPLE: dict[str, Any] = {
    "name": "prompt-v2",
    "dataset": "faq-questions",
    "rows": [{"example_id": "8f14e45f-ceea-467f-a9d7-6a3f6e2b1c55", "output": "May I have the order number?"}],
}

SPEC = ToolSpec(
    name="create_experiment",
    title="Create an experiment from outputs",
    description=(
        "Store existing outputs for the examples of a dataset (from your own code or another system) as an "
        "experiment, from rows (up to 1000) or a local JSONL, CSV or Parquet file. Use it when the outputs "
        "exist already; to generate them with a model, use create_run_experiment_task. Rows identify their "
        "example by example_id, or by a match_column. All rows are validated against the dataset first; if one "
        "is invalid, nothing is stored and the invalid rows are listed."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=CreateExperimentInput,
    output=CreateExperimentOutput,
    handler=_create,
    validate=_validate,
    example=EXAMPLE,
)
