"""Parser of query filters.

    filter     = comparisons joined by AND and OR, and brackets (see `boolean`)
    comparison = column ( "=" | "!=" ) ( value | NULL )
               | column ( "<" | "<=" | ">" | ">=" ) value
               | column IN "(" value { "," value } ")"
               | column ( CONTAINS | LIKE ) text
               | column IS [ NOT ] NULL
    column     = name part { "." name part }, each part bare or in "double quotes" ("" inside stands for one)
    value      = text | number | TRUE | FALSE
    text       = 'in single quotes' ('' inside stands for one)

Keywords may be in any letter case. AND binds tighter than OR.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from evaltasks.api.problems import BadRequest, Unprocessable
from evaltasks.engine.filters.boolean import BooleanParser
from evaltasks.engine.filters.syntax import (
    Column,
    Compare,
    Comparison,
    Contains,
    Filter,
    In,
    IsNull,
    Junction,
    Like,
    Sign,
    Value,
)
from evaltasks.engine.filters.tokens import Token

CHARACTERS_MAX = 4_000
DEPTH_MAX = 32
NODES_MAX = 200
_SHOWN_MAX = 20
_INTEGER_MAX = 2**63 - 1

_SIGNS: Final[dict[str, Sign]] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse_filter(text: str, *, field: str = "filter") -> Filter:
    """Parse a query filter.

    Args:
        text: The filter.
        field: The name of the filter in error messages.

    Raises:
        BadRequest: If the text is blank.
        Unprocessable: If the text is not a filter or is over a limit. The message starts with `field` and the column,
            and says what was expected there.
    """
    if not text.strip():
        raise BadRequest(f"{field} is blank; omit it to select every row.")
    if len(text) > CHARACTERS_MAX:
        raise Unprocessable(f"{field} is {len(text):,} characters long; the maximum is {CHARACTERS_MAX:,}.")
    return _FilterParser(text, field).parse()


class _FilterParser(BooleanParser[Comparison]):
    language = "filter"
    unknown_character = (
        "this character is not part of the language (texts are in 'single quotes', names with characters other than "
        'letters, digits, _, - and . are in "double quotes").'
    )
    depth_max = DEPTH_MAX

    def __init__(self, text: str, field: str) -> None:
        super().__init__(text, field)
        self._nodes = 0

    def _join(self, word: Literal["AND", "OR"], parts: list[Filter]) -> Junction[Comparison]:
        self._count()
        return super()._join(word, parts)

    def _leaf(self) -> Comparison:
        self._count()
        if self._token.kind != "name":
            raise self._expected("a column name or an opening bracket")
        name = self._take()
        column = Column(name.text, name.at)
        sign = self._token
        if sign.kind == "sign":
            self._next += 1
            return self._after_sign(column, _SIGNS[sign.text])
        if self._takes("keyword", "IS"):
            negated = self._takes("keyword", "NOT")
            if not self._takes("keyword", "NULL"):
                raise self._expected("NULL" if negated else "NULL or NOT NULL")
            return IsNull(column, negated)
        if self._takes("keyword", "IN"):
            at = self._token.at
            return In(column, self._list(), at)
        if self._takes("keyword", "CONTAINS"):
            at = self._token.at
            return Contains(column, self._literal_text("CONTAINS"), at)
        if self._takes("keyword", "LIKE"):
            at = self._token.at
            return Like(column, self._literal_text("LIKE"), at)
        raise self._expected("=, !=, <, <=, >, >=, IN, CONTAINS, LIKE, IS NULL or IS NOT NULL")

    def _after_sign(self, column: Column, sign: Sign) -> Comparison:
        at = self._token.at
        if self._token.kind == "keyword" and self._token.text == "NULL":
            if sign not in ("=", "!="):
                raise self._problem(at, f"nothing is {sign} null; use = null or != null.")
            self._next += 1
            return IsNull(column, negated=sign == "!=")
        return Compare(column, sign, self._value(), at)

    def _list(self) -> tuple[Value, ...]:
        if not self._takes("mark", "("):
            raise self._expected("an opening bracket after IN")
        values = [self._value()]
        while self._takes("mark", ","):
            values.append(self._value())
        if not self._takes("mark", ")"):
            raise self._expected("a comma or a closing bracket")
        return tuple(values)

    def _literal_text(self, word: str) -> str:
        if self._token.kind != "text":
            raise self._expected(f"a text in single quotes after {word}")
        return self._take().text

    def _value(self) -> Value:
        token = self._token
        if token.kind == "text":
            self._next += 1
            return token.text
        if token.kind == "number":
            self._next += 1
            return self._number(token)
        if token.kind == "keyword" and token.text in ("TRUE", "FALSE"):
            self._next += 1
            return token.text == "TRUE"
        if token.kind == "name":
            raise self._expected("a text in single quotes or a number (a name cannot be here)")
        raise self._expected("a text in single quotes or a number")

    def _number(self, token: Token) -> int | float:
        # A whole number that SQLite cannot hold as one is compared as the nearest float.
        if token.text.lstrip("-").isdigit() and abs(whole := int(token.text)) <= _INTEGER_MAX:
            return whole
        number = float(token.text)
        if not math.isfinite(number):
            raise self._problem(token.at, "this number is too large.")
        return number

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._problem(self._token.at, f"the filter has more than {NODES_MAX} parts; use IN for long lists.")

    def _expected(self, what: str) -> Unprocessable:
        if self._token.kind == "keyword" and self._token.text == "NOT":
            return self._problem(self._token.at, f"expected {what}; NOT is allowed in IS NOT NULL only.")
        return super()._expected(what)

    def _description(self, token: Token) -> str:
        match token.kind:
            case "text" | "number":
                return f"a {token.kind}"
            case "name":
                return f"the name {token.text}" if len(token.text) <= _SHOWN_MAX else "a name"
            case _:
                return super()._description(token)
