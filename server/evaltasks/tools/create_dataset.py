"""`create_dataset`: create a dataset from rows or a file."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evaltasks.api.datasets import SYSTEM_COLUMNS, AppendExamples, CreateDataset, ListExamples
from evaltasks.api.problems import Problem
from evaltasks.api.wire import JsonObject
from evaltasks.client.errors import ClientError
from evaltasks.insight.span_rows import RowError
from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import NameText, Text
from evaltasks.tools.rows import Rows, batches, json_row, open_source, source_issues, validate_rows
from evaltasks.tools.spec import Effect, Group, Input, Output, Provided, ToolSpec

IDS_SHOWN_MAX = 20
COLUMNS_SHOWN_MAX = 40


class CreateDatasetInput(Input):
    name: NameText = Field(description="Name of the new dataset, unique in its space, such as 'faq-questions'.")
    rows: Rows | None = Field(
        None,
        description='The examples, 1-1000 objects of your own columns, such as {"question": "…", "expected": "…"}. '
        "id, created_at and updated_at are set by the system.",
    )
    file: Text | None = Field(
        None,
        description="Instead of rows: path of a .jsonl, .csv or .parquet file below a directory the server may read.",
    )
    space: Text | None = Field(None, description="Name or id of the space. Default: the default space.")


class CreateDatasetOutput(Output):
    dataset_id: str
    name: str
    space_id: str
    dataset_version_id: str | None = None
    num_examples: int
    columns: list[str]
    first_example_ids: list[str] = Field(description="Ids of the first examples, in the order of the rows.")
    next_step: str

    def text(self) -> str:
        return f"Dataset {self.name} ({self.dataset_id}): {self.num_examples} examples. {self.next_step}"


def _validate(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    return "", source_issues(arguments)


def _example(row: JsonObject, number: int) -> JsonObject:
    if not row:
        raise RowError(number, "is empty")
    if taken := sorted(SYSTEM_COLUMNS & row.keys()):
        raise RowError(number, f"has {', '.join(taken)}, which the system sets; rename that column")
    return json_row(row, number)


async def _create(call: CreateDatasetInput, context: ToolContext) -> CreateDatasetOutput:
    client = context.client
    source = open_source(call.rows, call.file, context)
    columns: dict[str, None] = {}

    def example(row: JsonObject, number: int) -> JsonObject:
        columns.update(dict.fromkeys(row))
        return _example(row, number)

    total = await validate_rows(SPEC.name, "file" if call.file else "rows", source, example)
    space = await client.resolve.space(call.space or context.settings.default_space)
    dataset_id = version_id = None
    done = 0
    async for batch in batches(source, _example):
        try:
            if dataset_id is None:
                dataset = await client.datasets.create(CreateDataset(name=call.name, space_id=space.id, examples=batch))
                dataset_id = dataset.id
                version_id = dataset.versions[0].id if dataset.versions else None
            else:
                appended = await client.datasets.append_examples(dataset_id, AppendExamples(examples=batch))
                version_id = appended.dataset_version_id
        except (Problem, ClientError):
            if dataset_id is None:
                raise
            raise Refused(
                f"The dataset '{call.name}' ({dataset_id}) was created with at least the first {done} of {total} "
                "examples; then a batch failed. Delete it in the web app, or create another dataset with a new name."
            ) from None
        done += len(batch)
        await context.progress.report(done, total, f"{done} of {total} examples sent")
    assert dataset_id is not None, "validate_rows() rejects a source without rows"
    page = await client.datasets.list_examples(dataset_id, ListExamples(limit=IDS_SHOWN_MAX))
    if len(columns) > COLUMNS_SHOWN_MAX:
        context.note(f"The first {COLUMNS_SHOWN_MAX} of {len(columns)} columns are listed.")
    if call.file and call.file.lower().endswith(".csv"):
        context.note("The values of a CSV file are texts; empty cells were omitted.")
    return CreateDatasetOutput(
        dataset_id=dataset_id,
        name=call.name,
        space_id=space.id,
        dataset_version_id=version_id,
        num_examples=total,
        columns=list(columns)[:COLUMNS_SHOWN_MAX],
        first_example_ids=[example.id for example in page.examples],
        next_step=(
            f"Run a model over it with create_run_experiment_task(dataset={dataset_id!r}, …), or store existing "
            f"outputs with create_experiment(dataset={dataset_id!r}, …)."
        ),
    )


EXAMPLE: dict[str, Any] = {
    "name": "faq-questions",
    "rows": [{"question": "Where is my order?", "expected": "Ask for the order number."}],
}

SPEC = ToolSpec(
    name="create_dataset",
    title="Create a dataset",
    description=(
        "Create a dataset of examples for experiments, from rows (up to 1000) or from a local JSONL, CSV or "
        "Parquet file of any length. Use it when experiments need examples. All rows are validated first; if "
        "one is invalid, nothing is created and the invalid rows are listed. For traces of an application use "
        "import_spans."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=CreateDatasetInput,
    output=CreateDatasetOutput,
    handler=_create,
    validate=_validate,
    example=EXAMPLE,
)
