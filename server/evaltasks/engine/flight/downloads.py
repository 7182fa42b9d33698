"""Downloads over Flight: all rows of a dataset, an experiment, or a project's spans, as one table.

Every function runs in one read transaction, so a table shows one state of the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from evaltasks.api.datasets import Dataset
from evaltasks.api.problems import BadRequest, NotFound
from evaltasks.api.wire import JsonObject
from evaltasks.engine.clock import from_us, to_us
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.flight.commands import ExportSpans, GetDataset, GetExperiment
from evaltasks.engine.flight.tables import STRINGS, TIME, table_from
from evaltasks.engine.ingest.ingestor import project_by_name_or_id, space_by_name_or_id
from evaltasks.engine.store import bulk, datasets, experiments
from evaltasks.engine.store.bulk import SpanSelection
from evaltasks.engine.store.functions import lookup
from evaltasks.engine.store.spans import SpanFeedback, feedback_for
from evaltasks.engine.store.store import Row, Transaction

_EXAMPLE = {"id": pa.string(), "created_at": pa.int64(), "updated_at": pa.int64()}
_EXPERIMENT_RUN = {"id": pa.string(), "example_id": pa.string(), "output": pa.string(), "error": pa.string()}
_SPAN: Mapping[str, pa.DataType] = {
    "time": TIME,
    "context.trace_id": pa.string(),
    "context.span_id": pa.string(),
    "parent_id": pa.string(),
    "name": pa.string(),
    "start_time": TIME,
    "end_time": TIME,
    "latency_ms": pa.float64(),
    "status_code": pa.string(),
    "status_message": pa.string(),
}
# Attributes that clients expect as lists of JSON texts, and below those they expect as JSON texts.
_OBJECT_LISTS = (
    "llm.input_messages",
    "llm.output_messages",
    "llm.tools",
    "retrieval.documents",
    "embedding.embeddings",
    "reranker.input_documents",
    "reranker.output_documents",
)
_OBJECTS = ("metadata", "llm.prompt_template.variables")
_LIST_TYPES = {f"attributes.{name}": STRINGS for name in _OBJECT_LISTS} | {"events": STRINGS}


def dataset_by_name_or_id(tx: Transaction, space: str, dataset: str) -> Dataset:
    """Return the dataset with this id, or with this name in the space (its name or id).

    Raises:
        NotFound: There is no such dataset or space.
    """
    found_dataset = datasets.find_dataset(tx, dataset)
    if found_dataset is not None:
        return found_dataset
    named = datasets.find_dataset_by_name(tx, space_by_name_or_id(tx, space).id, dataset)
    found_dataset = None if named is None else datasets.find_dataset(tx, named.id)
    if found_dataset is None:
        raise NotFound("There is no dataset with this id or name.")
    return found_dataset


def dataset_table(tx: Transaction, command: GetDataset) -> pa.Table:
    """Return the examples of a version, by default the latest one. Raises NotFound."""
    dataset = dataset_by_name_or_id(tx, command.space_id, command.dataset_id)
    version = datasets.find_version(tx, dataset.id, command.dataset_version or None)
    if version is None:
        raise NotFound("The dataset has no version with this id.")

    def pages() -> Iterator[Sequence[JsonObject]]:
        for rows in bulk.example_pages(tx, version.id):
            examples = datasets.examples_from_rows(tx, rows)
            yield [
                {
                    **example.model_dump(mode="json", exclude_none=True),
                    "created_at": row["created_us"] // 1000,
                    "updated_at": row["updated_us"] // 1000,
                }
                for row, example in zip(rows, examples, strict=True)
            ]

    return table_from(pages, _EXAMPLE)


def experiment_table(tx: Transaction, command: GetExperiment) -> pa.Table:
    """Return the experiment runs of an experiment. Raises NotFound."""
    experiment = experiments.find_experiment(tx, command.experiment_id)
    if experiment is None:
        raise NotFound("There is no experiment with this id.")

    def pages() -> Iterator[Sequence[JsonObject]]:
        for rows in bulk.experiment_run_pages(tx, experiment.id):
            yield [run.model_dump(mode="json") for run in experiments.experiment_runs_from_rows(tx, rows)]

    return table_from(pages, _EXPERIMENT_RUN)


def span_selection(tx: Transaction, command: ExportSpans) -> SpanSelection:
    """Return which spans to export.

    Raises:
        NotFound: There is no such space or project.
        BadRequest: The environment is not TRACING, or the filter is not valid.
        Unprocessable: The filter is not valid.
    """
    if command.environment != "TRACING":
        raise BadRequest("The embedded engine stores spans only: environment must be TRACING.")
    project = project_by_name_or_id(tx, space_by_name_or_id(tx, command.space_id).id, command.model_id)
    filter_ = (
        compile_filter(command.filter_expression, Target.SPAN, field="where")
        if command.filter_expression.strip()
        else ALL_ROWS
    )
    window_us = (to_us(command.start_time), to_us(command.end_time))
    return SpanSelection(project.id, window_us, filter_, command.sample_rate)


def span_table(tx: Transaction, command: ExportSpans) -> pa.Table:
    """Return the spans of an export, with the columns that the client asked for. Raises what `span_selection` does."""
    selection = span_selection(tx, command)
    projected = command.projected_columns

    def shows(column: str) -> bool:
        is_projected = any(column == name or column.startswith(f"{name}.") for name in projected)
        return not projected or column == "time" or is_projected

    def pages() -> Iterator[Sequence[JsonObject]]:
        for rows in bulk.span_pages(tx, selection):
            feedback = feedback_for(tx, [row["seq"] for row in rows])
            yield [
                {name: value for name, value in _span_row(row, feedback[row["seq"]]).items() if shows(name)}
                for row in rows
            ]

    fixed = {name: kind for name, kind in {**_SPAN, **_LIST_TYPES}.items() if shows(name)}
    table = table_from(pages, fixed)
    # A list column without values is left out, as are all other attributes without values.
    empty = [name for name in _LIST_TYPES if name in table.column_names and table[name].null_count == len(table)]
    return table.drop_columns(empty) if empty else table


def _span_row(row: Row, feedback: SpanFeedback) -> JsonObject:
    columns: JsonObject = {
        "time": from_us(row["start_us"]),
        "context.trace_id": row["trace_id"],
        "context.span_id": row["span_id"],
        "parent_id": row["parent_id"],
        "name": row["name"],
        "start_time": from_us(row["start_us"]),
        "end_time": from_us(row["end_us"]),
        "latency_ms": row["latency_ms"],
        "status_code": row["status_code"],
        "status_message": row["status_message"],
    }
    if events := json.loads(row["events"]):
        columns["events"] = [_json_text(event) for event in events]
    columns.update(
        {f"attributes.{name}": value for name, value in _assembled_attributes(json.loads(row["attributes"])).items()}
    )
    for evaluation in feedback.evaluations:
        for field in ("label", "score", "explanation"):
            columns[f"eval.{evaluation.name}.{field}"] = getattr(evaluation, field)
    for annotation in feedback.annotations:
        for field in ("label", "score", "text"):
            columns[f"annotation.{annotation.name}.{field}"] = getattr(annotation, field)
    return columns


def _assembled_attributes(flat: JsonObject) -> JsonObject:
    """Return flat attributes in which known lists and objects are assembled from their parts."""
    whole: JsonObject = {}
    for name in (*_OBJECT_LISTS, *_OBJECTS):
        parts = {key: value for key, value in flat.items() if key == name or key.startswith(f"{name}.")}
        if not parts:
            continue
        flat = {key: value for key, value in flat.items() if key not in parts}
        value = lookup(parts, name)
        if name in _OBJECTS:
            whole[name] = value if isinstance(value, str) else _json_text(value)
        else:
            members = value if isinstance(value, list) else [value]
            whole[name] = [
                member if isinstance(member, str) else _json_text(_with_dotted_keys(member)) for member in members
            ]
    return {**flat, **whole}


def _with_dotted_keys(value: Any, prefix: str = "") -> Any:
    """Return `{"message": {"role": …}}` as `{"message.role": …}` at every depth, as OpenInference writes list
    members."""
    if isinstance(value, list):
        return [_with_dotted_keys(member) for member in value]
    if not isinstance(value, dict):
        return value
    flat: JsonObject = {}
    for name, member in value.items():
        if isinstance(member, dict) and member:
            flat.update(_with_dotted_keys(member, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = _with_dotted_keys(member)
    return flat


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
