"""Expressions that combine the named filters A–E of a trace or session task: `A AND (B OR NOT C)`.

An id is true for a trace or session if any of its spans matches the filter with that id; so `NOT A` means that no
span does. NOT binds tightest, then AND, then OR; keywords may be in any letter case. `print_expression` writes a text
that parses to the same tree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from evaltasks.api.problems import Unprocessable
from evaltasks.api.tasks import QueryId
from evaltasks.engine.filters.boolean import BooleanParser
from evaltasks.engine.filters.syntax import Junction
from evaltasks.engine.filters.tokens import Token

CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Named:
    """True if a span matches the filter with this id."""

    id: QueryId


@dataclass(frozen=True, slots=True)
class Negated:
    """True if `part` is not."""

    part: Expression


Operand: TypeAlias = Named | Negated
Expression: TypeAlias = Operand | Junction[Operand]


def parse_expression(text: str, ids: Collection[QueryId], *, field: str = "query_filters.expression") -> Expression:
    """Parse an expression.

    Args:
        text: The expression.
        ids: The ids of the filters that the expression may name.
        field: The name of the expression in error messages.

    Raises:
        Unprocessable: If the text is not an expression over `ids` or is over a limit. The message starts with `field`.
    """
    if len(text) > CHARACTERS_MAX:
        raise Unprocessable(f"{field} is {len(text):,} characters long; the maximum is {CHARACTERS_MAX:,}.")
    return _ExpressionParser(text, ids, field).parse()


def print_expression(tree: Expression) -> str:
    """Write an expression with its keywords in upper case and brackets only where the tree needs them."""
    return tree.print(_print_operand) if isinstance(tree, Junction) else _print_operand(tree)


def _print_operand(operand: Operand) -> str:
    if isinstance(operand, Named):
        return operand.id.value
    part = print_expression(operand.part)
    return f"NOT ({part})" if isinstance(operand.part, Junction) else f"NOT {part}"


def condition(tree: Expression, of_ids: Mapping[QueryId, str]) -> str:
    """Return the expression as SQL, from the SQL condition of each id."""
    match tree:
        case Named(id=id_):
            return of_ids[id_]
        case Negated(part=part):
            return f"NOT ({condition(part, of_ids)})"
        case Junction(word=word, parts=parts):
            return "(" + f" {word} ".join(condition(part, of_ids) for part in parts) + ")"


class _ExpressionParser(BooleanParser[Operand]):
    language = "expression"
    unknown_character = "this character is not part of an expression such as A AND (B OR C)."
    depth_max = 31

    def __init__(self, text: str, ids: Collection[QueryId], field: str) -> None:
        super().__init__(text, field)
        self._ids = ids

    def _leaf(self) -> Operand:
        not_at = self._token.at
        if self._takes("keyword", "NOT"):
            self._enter(not_at)
            negated = Negated(self._operand())
            self._depth -= 1
            return negated
        id_ = _query_id(self._token)
        if id_ is None:
            raise self._expected("the id of a filter (A–E), NOT or an opening bracket")
        if id_ not in self._ids:
            known = ", ".join(sorted(self._ids))
            raise self._problem(self._token.at, f"there is no filter {id_}; the task has the filters {known}.")
        self._next += 1
        return Named(id_)

    def _description(self, token: Token) -> str:
        if id_ := _query_id(token):
            return id_
        is_part = token.kind == "end" or token.text in {"AND", "OR", "NOT", "(", ")"}
        return super()._description(token) if is_part else "another word"


def _query_id(token: Token) -> QueryId | None:
    name = token.text.upper()
    return QueryId(name) if token.kind == "name" and not token.quoted and name in set(QueryId) else None
