"""How the named filters A–E of a trace or session task are combined: `A AND (B OR NOT C)`.

An id is true of a trace or session when any of its spans matches the filter of that id; so `NOT A` says that none
does. NOT binds closest, then AND, then OR; any letter case. `print_expression` writes a text whose parsing gives the
same tree again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evaltasks.api.problems import Unprocessable
from evaltasks.api.tasks import QueryId
from evaltasks.engine.filters.parser import problem

CHARACTERS_MAX = 1_000
DEPTH_MAX = 32
_TOKEN = re.compile(r"\s*(?:(?P<word>[^\W\d_]+)|(?P<mark>[()])|(?P<end>$)|(?P<wrong>.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Named:
    """The filter of that id matches a span."""

    id: QueryId


@dataclass(frozen=True, slots=True)
class Negated:
    part: Expression


@dataclass(frozen=True, slots=True)
class Joined:
    """Two or more expressions joined by the same word."""

    word: Literal["AND", "OR"]
    parts: tuple[Expression, ...]


Expression: TypeAlias = Named | Negated | Joined


def parse_expression(text: str, ids: Collection[QueryId], *, field: str = "query_filters.expression") -> Expression:
    """The tree of an expression over these ids. Raises Unprocessable; the message begins with `field`."""
    if len(text) > CHARACTERS_MAX:
        raise Unprocessable(f"{field} is {len(text):,} characters long; at most {CHARACTERS_MAX:,} are taken.")
    return _Parser(text, ids, field).parse()


def print_expression(tree: Expression) -> str:
    """The expression as text: words in capitals, brackets only where the tree needs them."""
    match tree:
        case Named(id=id_):
            return id_.value
        case Negated(part=part):
            return f"NOT {_bracketed(part)}" if isinstance(part, Joined) else f"NOT {print_expression(part)}"
        case Joined(word=word, parts=parts):
            return f" {word} ".join(
                _bracketed(part) if isinstance(part, Joined) and word in (part.word, "AND") else print_expression(part)
                for part in parts
            )


def _bracketed(tree: Expression) -> str:
    return f"({print_expression(tree)})"


def condition(tree: Expression, of_ids: Mapping[QueryId, str]) -> str:
    """The expression over SQL conditions, one for each id."""
    match tree:
        case Named(id=id_):
            return of_ids[id_]
        case Negated(part=part):
            return f"NOT ({condition(part, of_ids)})"
        case Joined(word=word, parts=parts):
            return "(" + f" {word} ".join(condition(part, of_ids) for part in parts) + ")"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str  # words in capitals; empty at the end
    at: int  # counted from 1


class _Parser:
    def __init__(self, text: str, ids: Collection[QueryId], field: str) -> None:
        self._field = field
        self._ids = ids
        self._tokens = self._read(text)
        self._next = 0
        self._depth = 0

    def _read(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        for found in _TOKEN.finditer(text):
            at = found.start(found.lastgroup or 0) + 1
            if found["wrong"]:
                raise problem(self._field, at, "this character is not part of an expression such as A AND (B OR C).")
            tokens.append(_Token((found["word"] or found["mark"] or "").upper(), at))
            if not tokens[-1].text:
                break
        return tokens

    def parse(self) -> Expression:
        tree = self._joined("OR")
        if self._token.text:
            raise self._expected("AND, OR or the end of the expression")
        return tree

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _takes(self, text: str) -> bool:
        found = self._token.text == text
        self._next += found
        return found

    def _joined(self, word: Literal["AND", "OR"]) -> Expression:
        parts = [self._joined("AND") if word == "OR" else self._operand()]
        while self._takes(word):
            parts.append(self._joined("AND") if word == "OR" else self._operand())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _operand(self) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise problem(self._field, self._token.at, f"brackets and NOT are nested deeper than {DEPTH_MAX}.")
        if self._takes("NOT"):
            tree: Expression = Negated(self._operand())
        elif self._takes("("):
            tree = self._joined("OR")
            if not self._takes(")"):
                raise self._expected("AND, OR or a closing bracket")
        else:
            tree = self._named()
        self._depth -= 1
        return tree

    def _named(self) -> Expression:
        text = self._token.text
        if text not in set(QueryId):
            raise self._expected("the id of a filter (A–E), NOT or an opening bracket")
        if text not in self._ids:
            given = ", ".join(sorted(self._ids))
            raise problem(self._field, self._token.at, f"there is no filter {text}; the filters given are {given}.")
        self._next += 1
        return Named(QueryId(text))

    def _expected(self, what: str) -> Unprocessable:
        token = self._token
        known = token.text in {*QueryId, "AND", "OR", "NOT", "(", ")"}
        found = (token.text if known else "another word") if token.text else "the end of the expression"
        return problem(self._field, token.at, f"expected {what}, found {found}.")
