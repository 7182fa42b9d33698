"""From text to tree: a hand-written recursive descent, so that every error can name its place.

    filter     = all_of { OR all_of }
    all_of     = part { AND part }
    part       = "(" filter ")" | comparison
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
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from evaltasks.api.problems import BadRequest, Unprocessable
from evaltasks.engine.filters.syntax import (
    KEYWORDS,
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

CHARACTERS_MAX = 4_000
DEPTH_MAX = 32
NODES_MAX = 200
_SHOWN_MAX = 20
_INTEGER_MAX = 2**63 - 1

Kind: TypeAlias = Literal["name", "keyword", "text", "number", "sign", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str  # keywords in capitals; texts and names without their quotes
    at: int  # counted from 1


_SPACE: Final = re.compile(r"\s+")
_TEXT: Final = re.compile(r"'((?:[^']|'')*)'")
_NAME_START: Final = re.compile(r'"|[^\W\d]')
_NAME_PART: Final = re.compile(r'[\w-]+|"((?:[^"]|"")+)"')
_NUMBER: Final = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])", re.ASCII)
_SIGN: Final = re.compile(r"<=|>=|!=|=|<|>")
_SIGNS: Final[dict[str, Sign]] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_HINTS: Final = (
    ("==", "write = for equality"),
    ("<>", "write != for inequality"),
    ("&&", "write AND"),
    ("||", "write OR"),
    ("!", "write != for inequality"),
    ("--", "a filter has no comments"),
    ("/*", "a filter has no comments"),
    (";", "a filter is one condition, not a statement"),
)


def parse_filter(text: str, *, field: str = "filter") -> Filter:
    """The tree of a filter.

    Raises BadRequest for a blank text, and Unprocessable for one that cannot be read or is over a limit; the
    message begins with `field`, names the place and says what was expected there.
    """
    if not text.strip():
        raise BadRequest(f"{field} is blank; leave it out to take every row.")
    if len(text) > CHARACTERS_MAX:
        raise Unprocessable(f"{field} is {len(text):,} characters long; at most {CHARACTERS_MAX:,} are taken.")
    return _Parser(text, field).parse()


def problem(field: str, at: int, message: str) -> Unprocessable:
    """The problem for something wrong at one place of a filter."""
    return Unprocessable(f"{field}, column {at}: {message}")


class _Parser:
    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._tokens = self._tokenize()
        self._next = 0
        self._depth = 0
        self._nodes = 0

    def parse(self) -> Filter:
        tree = self._junction("OR")
        if self._token.kind != "end":
            raise self._expected("AND, OR or the end of the filter")
        return tree

    # --- tokens ---------------------------------------------------------------------------------------------------

    def _tokenize(self) -> list[Token]:
        tokens: list[Token] = []
        place = 0
        while True:
            if space := _SPACE.match(self._text, place):
                place = space.end()
            if place == len(self._text):
                return [*tokens, Token("end", "", place + 1)]
            token, place = self._read_token(place)
            tokens.append(token)

    def _read_token(self, place: int) -> tuple[Token, int]:
        text, at = self._text, place + 1
        for wrong, remedy in _HINTS:
            if text.startswith(wrong, place) and not text.startswith("!=", place):
                raise self._problem(at, f"'{wrong}' is not part of the language; {remedy}.")
        if number := _NUMBER.match(text, place):
            return Token("number", number[0], at), number.end()
        if text[place] == "'":
            found = _TEXT.match(text, place)
            if found is None:
                raise self._problem(at, "this text has no closing single quote.")
            self._check_characters(found[1], at)
            return Token("text", found[1].replace("''", "'"), at), found.end()
        if sign := _SIGN.match(text, place):
            return Token("sign", sign[0], at), sign.end()
        if text[place] in "(),":
            return Token("mark", text[place], at), place + 1
        if _NAME_START.match(text, place):
            return self._read_name(place)
        if text[place].isdigit():
            raise self._problem(at, "expected a number; a name that begins with a digit is in double quotes.")
        raise self._problem(
            at, "this character is not part of the language (texts are in 'single quotes', names with other "
            'characters than letters, digits, _, - and . in "double quotes").'
        )  # fmt: skip

    def _read_name(self, place: int) -> tuple[Token, int]:
        at = place + 1
        parts: list[str] = []
        quoted = False
        while True:
            part = _NAME_PART.match(self._text, place)
            if part is None:
                unclosed = self._text.startswith('"', place)
                wrong = "this name is empty or has no closing double quote."
                raise self._problem(place + 1, wrong if unclosed else "expected a name after the dot.")
            quoted = quoted or part[1] is not None
            parts.append(part[0] if part[1] is None else part[1].replace('""', '"'))
            place = part.end()
            if not self._text.startswith(".", place):
                break
            place += 1
        name = ".".join(parts)
        self._check_characters(name, at)
        if not quoted and name.upper() in KEYWORDS:
            return Token("keyword", name.upper(), at), place
        return Token("name", name, at), place

    def _check_characters(self, text: str, at: int) -> None:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self._problem(at, "a null character or half a surrogate pair cannot be part of any value.")

    # --- the grammar ----------------------------------------------------------------------------------------------

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += 1
        return token

    def _takes(self, kind: Kind, text: str) -> bool:
        """True, and on to the next token, when this one is there."""
        found = self._token.kind == kind and self._token.text == text
        self._next += found
        return found

    def _junction(self, word: Literal["AND", "OR"]) -> Filter:
        parts = [self._operand(word)]
        while self._takes("keyword", word):
            parts.append(self._operand(word))
        if len(parts) == 1:
            return parts[0]
        self._count()
        return Junction(word, tuple(parts))

    def _operand(self, word: Literal["AND", "OR"]) -> Filter:
        if word == "OR":
            return self._junction("AND")
        bracket_at = self._token.at
        if not self._takes("mark", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._problem(bracket_at, f"brackets are nested deeper than {DEPTH_MAX}.")
        tree = self._junction("OR")
        if not self._takes("mark", ")"):
            raise self._expected("AND, OR or a closing bracket")
        self._depth -= 1
        return tree

    def _comparison(self) -> Comparison:
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
                raise self._problem(at, f"nothing is {sign} null; only = null and != null have a meaning.")
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

    # --- refusing -------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._problem(self._token.at, f"the filter has more than {NODES_MAX} parts; use IN for long lists.")

    def _expected(self, what: str) -> Unprocessable:
        token = self._token
        if token.kind == "keyword" and token.text == "NOT":
            return self._problem(token.at, f"expected {what}; NOT is only known in IS NOT NULL.")
        found = {
            "end": "the end of the filter",
            "text": "a text",
            "name": f"the name {token.text}" if len(token.text) <= _SHOWN_MAX else "a name",
            "number": "a number",
        }.get(token.kind, token.text)
        return self._problem(token.at, f"expected {what}, found {found}.")

    def _problem(self, at: int, message: str) -> Unprocessable:
        return problem(self._field, at, message)
