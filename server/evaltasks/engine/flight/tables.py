"""Rows of JSON values as Arrow tables.

A column has the kind all its values have: truth, whole numbers, numbers, times or texts. Where kinds differ, and for
objects and lists, it holds texts: a text as it is, anything else as its JSON. The published clients take these apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from evaltasks.api.wire import JsonObject

# Calling it reads the pages of rows once more, from the first.
Pages: TypeAlias = Callable[[], Iterable[Sequence[JsonObject]]]

TEXTS = pa.list_(pa.string())
TIME = pa.timestamp("us", tz="UTC")
_INTEGER_END = 2**63


def table_from(pages: Pages, fixed: Mapping[str, pa.DataType]) -> pa.Table:
    """All rows in one table, read twice (kinds first, then values), so that only a page of rows is held at a time.

    `fixed` columns come first and are there whatever the rows hold; the others follow in the order they are met.
    """
    kinds: dict[str, pa.DataType | None] = dict(fixed)
    for page in pages():
        for row in page:
            for name, value in row.items():
                if name not in fixed and value is not None:
                    kinds[name] = _joined(kinds.get(name), _kind_of(value))
    schema = pa.schema(list(kinds.items()))
    batches = [
        pa.record_batch([_array(page, field.name, field.type) for field in schema], schema=schema) for page in pages()
    ]
    return pa.Table.from_batches(batches, schema=schema)


def _kind_of(value: object) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        return pa.int64() if -_INTEGER_END <= value < _INTEGER_END else pa.string()
    return pa.float64() if isinstance(value, float) else pa.string()


def _joined(one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    if one is None or one == other:
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


def _array(page: Sequence[JsonObject], name: str, kind: pa.DataType) -> pa.Array:
    values = [row.get(name) for row in page]
    if kind == pa.string():
        values = [_text(value) for value in values]
    elif kind == pa.float64():
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, type=kind)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
