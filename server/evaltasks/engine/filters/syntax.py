"""The syntax tree of query filters, and its printer.

A filter is comparisons joined by AND and OR. Every node is frozen and compared by its meaning: the column it was read
at (`at`, counted from 1) is for error messages only. `print_filter` writes a text that parses to the same tree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

Value: TypeAlias = str | int | float | bool
Sign: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]

KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "CONTAINS", "LIKE", "IS", "NULL", "TRUE", "FALSE"})
# A name that needs no quotes: parts of word characters and hyphens with dots between them. There is no arithmetic
# in the language, so a hyphen can only belong to a name.
BARE_NAME = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its full name, without quotes."""

    path: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    column: Column
    sign: Sign
    value: Value
    value_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """The column's value is one of `values`, which is never empty."""

    column: Column
    values: tuple[Value, ...]
    value_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Contains:
    column: Column
    text: str
    value_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Like:
    """`%` in the pattern matches any text, `_` one character; there is no escape character."""

    column: Column
    pattern: str
    value_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column has no value (with `negated`: it has one). `= null` is the same."""

    column: Column
    negated: bool = False


Comparison: TypeAlias = Compare | In | Contains | Like | IsNull


LeafT = TypeVar("LeafT")


@dataclass(frozen=True, slots=True)
class Junction(Generic[LeafT]):
    """Two or more trees joined by the same keyword."""

    word: Literal["AND", "OR"]
    parts: tuple[LeafT | Junction[LeafT], ...]

    def print(self, print_leaf: Callable[[LeafT], str]) -> str:
        """Write the tree with brackets only where it needs them; `print_leaf` writes what is joined."""
        return f" {self.word} ".join(
            print_leaf(part) if not isinstance(part, Junction)
            else f"({part.print(print_leaf)})" if self.word in (part.word, "AND")
            else part.print(print_leaf)
            for part in self.parts
        )  # fmt: skip


Filter: TypeAlias = Comparison | Junction[Comparison]


def print_filter(tree: Filter) -> str:
    """Write a filter with its keywords in upper case and brackets only where the tree needs them."""
    return tree.print(_print_comparison) if isinstance(tree, Junction) else _print_comparison(tree)


def _print_comparison(tree: Comparison) -> str:
    name = print_name(tree.column.path)
    match tree:
        case Compare(sign=sign, value=value):
            return f"{name} {sign} {print_value(value)}"
        case In(values=values):
            return f"{name} IN ({', '.join(print_value(value) for value in values)})"
        case Contains(text=text):
            return f"{name} CONTAINS {print_value(text)}"
        case Like(pattern=pattern):
            return f"{name} LIKE {print_value(pattern)}"
        case IsNull(negated=negated):
            return f"{name} IS {'NOT ' if negated else ''}NULL"


def print_name(path: str) -> str:
    """Write a column name, in double quotes if it needs them."""
    if BARE_NAME.fullmatch(path) and path.upper() not in KEYWORDS:
        return path
    return '"' + path.replace('"', '""') + '"'


def print_value(value: Value) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    assert math.isfinite(value)
    return repr(value)
