"""Converts rows of JSON values to Arrow tables.

The type of a column is the type of all its values: boolean, integer, float, timestamp or string. If the types differ,
and for objects and lists, it is string: strings are kept, other values are written as JSON, which the published clients
parse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from evaltasks.api.wire import JsonObject

# Each call reads the pages of rows again, from the first one.
Pages: TypeAlias = Callable[[], Iterable[Sequence[JsonObject]]]

STRINGS = pa.list_(pa.string())
TIME = pa.timestamp("us", tz="UTC")
_INTEGER_END = 2**63


def table_from(pages: Pages, fixed: Mapping[str, pa.DataType]) -> pa.Table:
    """Return all rows as one table.

    The rows are read twice, first for the types and then for the values, so that only one page is in memory at a time.

    Args:
        pages: Reads the rows.
        fixed: Columns that come first, with their types, even if no row has them. Other columns follow in the order of
            their first value.
    """
    types: dict[str, pa.DataType | None] = dict(fixed)
    for page in pages():
        for row in page:
            for name, value in row.items():
                if name not in fixed and value is not None:
                    types[name] = _common_type(types.get(name), _type_of(value))
    schema = pa.schema(list(types.items()))
    batches = [
        pa.record_batch([_array(page, field.name, field.type) for field in schema], schema=schema) for page in pages()
    ]
    return pa.Table.from_batches(batches, schema=schema)


def _type_of(value: object) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -_INTEGER_END <= value < _INTEGER_END else pa.string()
    return pa.float64() if isinstance(value, float) else pa.string()


def _common_type(first: pa.DataType | None, second: pa.DataType) -> pa.DataType:
    if first is None or first == second:
        return second
    return pa.float64() if {first, second} == {pa.int64(), pa.float64()} else pa.string()


def _array(page: Sequence[JsonObject], name: str, type_: pa.DataType) -> pa.Array:
    values = [row.get(name) for row in page]
    if type_ == pa.string():
        values = [_as_string(value) for value in values]
    elif type_ == pa.float64():
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, type=type_)


def _as_string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
