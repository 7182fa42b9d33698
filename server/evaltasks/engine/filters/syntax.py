"""The tree of a query filter, and how it is written down again.

A filter is comparisons joined by AND and OR. Every node is frozen and compares by what it means: the position it
was read at (`at`, counted from 1) serves error messages only. `print_filter` writes a text whose parsing gives the
same tree again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

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
    """The column's value is one of these; never empty."""

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
    """`%` in the pattern stands for any text, `_` for one character; there is no escape."""

    column: Column
    pattern: str
    value_at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column has no value (`negated`: it has one). `= null` is the same."""

    column: Column
    negated: bool = False


Comparison: TypeAlias = Compare | In | Contains | Like | IsNull


@dataclass(frozen=True, slots=True)
class Junction:
    """Two or more filters joined by the same word."""

    word: Literal["AND", "OR"]
    parts: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Junction


def print_filter(tree: Filter) -> str:
    """The filter as text: keywords in capitals, brackets only where the tree needs them."""
    if isinstance(tree, Junction):
        return f" {tree.word} ".join(_print_part(part, tree.word) for part in tree.parts)
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


def _print_part(part: Filter, word: str) -> str:
    bracketed = isinstance(part, Junction) and word in (part.word, "AND")
    return f"({print_filter(part)})" if bracketed else print_filter(part)


def print_name(path: str) -> str:
    """A column name, in double quotes where it needs them."""
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
