"""Map the variables of an evaluator to the values of a row.

A mapping names a column or a dotted path into one. Spans: `attributes.<path>`, `name`, `span_kind`, `status_code`,
`latency_ms`, `context.span_id` and so on. Experiment runs: plain columns (`output`, the user's own), then the columns
of their example. A variable without a mapping has the value of the column of its name; for spans also of
`attributes.<name>`, and for `input` and `output` of the OpenInference attributes for these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evaltasks.api.wire import rfc3339
from evaltasks.engine.clock import from_us
from evaltasks.engine.evaluators.outcome import Failed
from evaltasks.engine.store.functions import lookup
from evaltasks.engine.store.store import Row

# Documents in the order of look-up: a later one is read only if the earlier ones have no value.
Columns = tuple[Mapping[str, Any], ...]

_INDEX = re.compile(r"\[(\d+)\]")


def span_columns(row: Row, evaluations: Mapping[str, Any] | None = None) -> Columns:
    """Return the columns of a span under the names of filters and mappings; attributes are parsed once."""
    attributes = json.loads(row["attributes"])
    own = {
        "name": row["name"],
        "span_kind": row["kind"],
        "status_code": row["status_code"],
        "status_message": row["status_message"],
        "latency_ms": row["latency_ms"],
        "parent_id": row["parent_id"],
        "context.trace_id": row["trace_id"],
        "context.span_id": row["span_id"],
        "start_time": rfc3339(from_us(row["start_us"])),
        "end_time": rfc3339(from_us(row["end_us"])),
        "attributes": attributes,
        "events": row["events"],
        **(evaluations or {}),
    }
    # Attributes may be named without their prefix, as they are on the wire; the kind is an attribute too.
    return own, attributes, {"attributes.openinference.span.kind": row["kind"]}


def experiment_run_columns(row: Row, evaluations: Mapping[str, Any] | None = None) -> Columns:
    own = {
        **json.loads(row["columns"]),
        "id": row["id"],
        "example_id": row["example_id"],
        "output": row["output"],
        "error": row["error"],
        **(evaluations or {}),
    }
    example = json.loads(row["example_columns"]) if row["example_columns"] is not None else {}
    return own, example


def example_columns(row: Row) -> Columns:
    return ({**json.loads(row["columns"]), "id": row["id"]},)


_DEFAULT_PATHS = {"input": "attributes.input.value", "output": "attributes.output.value"}


def values_for(
    variables: Sequence[str], mappings: Mapping[str, str | None], columns: Columns
) -> dict[str, object] | Failed:
    """Return the value of every variable, or the failure that names the first variable without one, and its path."""
    values: dict[str, object] = {}
    for variable in variables:
        path = mappings.get(variable)
        value = value_at(path, columns) if path else unmapped_value(variable, columns)
        if value is None:
            return Failed(_no_value_reason(variable, path))
        values[variable] = value
    return values


def unmapped_value(variable: str, columns: Columns) -> object:
    """Return the value of a variable without a mapping; None if the row has none."""
    value = next((own for document in columns if (own := document.get(variable)) is not None), None)
    if value is None and variable in _DEFAULT_PATHS:
        # Before the general look-up, which would collect all of `input.*` into one object.
        value = value_at(_DEFAULT_PATHS[variable], columns)
    return value_at(variable, columns) if value is None else value


def value_at(path: str, columns: Columns) -> object:
    """Return the value at the path in the first document that has one; an empty text is a value, null is not."""
    for document in columns:
        value = document.get(path)
        if value is None:
            value = lookup(document, _INDEX.sub(r".\1", path))
        if value is not None:
            return value
    return None


def _no_value_reason(variable: str, path: str | None) -> str:
    if path:
        return f"variable '{variable}' has no value: the row has nothing at '{path}', which it is mapped to"
    return f"variable '{variable}' has no value: it is not mapped, and the row has no column of that name"
