"""The tokens of query filters and of expressions over named filters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from evaltasks.api.problems import Unprocessable
from evaltasks.engine.filters.syntax import KEYWORDS

Kind: TypeAlias = Literal["name", "keyword", "text", "number", "sign", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a filter.

    Attributes:
        kind: What the token is. Brackets and commas are marks.
        text: Keywords in upper case; texts and names without their quotes.
        at: The column of its first character, counted from 1.
        quoted: Whether a name is written in double quotes, at least in part.
    """

    kind: Kind
    text: str
    at: int
    quoted: bool = False


_SPACE: Final = re.compile(r"\s+")
_TEXT: Final = re.compile(r"'((?:[^']|'')*)'")
_NAME_START: Final = re.compile(r'"|[^\W\d]')
_NAME_PART: Final = re.compile(r'[\w-]+|"((?:[^"]|"")+)"')
_NUMBER: Final = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])", re.ASCII)
_SIGN: Final = re.compile(r"<=|>=|!=|=|<|>")
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


def problem(field: str, at: int, message: str) -> Unprocessable:
    """Return the problem for an error at column `at` of the filter in `field`."""
    return Unprocessable(f"{field}, column {at}: {message}")


def tokenize(text: str, field: str, *, unknown_character: str) -> list[Token]:
    """Split a filter into its tokens; the last one is of the kind "end".

    Args:
        text: The filter.
        field: The name of the filter in error messages.
        unknown_character: The message about a character that starts no token.

    Raises:
        Unprocessable: If a part of the text is not a token. The message starts with `field` and the column.
    """
    return _Tokenizer(text, field, unknown_character).tokenize()


class _Tokenizer:
    def __init__(self, text: str, field: str, unknown_character: str) -> None:
        self._text = text
        self._field = field
        self._unknown_character = unknown_character

    def tokenize(self) -> list[Token]:
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
            literal = _TEXT.match(text, place)
            if literal is None:
                raise self._problem(at, "this text has no closing single quote.")
            self._check_characters(literal[1], at)
            return Token("text", literal[1].replace("''", "'"), at), literal.end()
        if sign := _SIGN.match(text, place):
            return Token("sign", sign[0], at), sign.end()
        if text[place] in "(),":
            return Token("mark", text[place], at), place + 1
        if _NAME_START.match(text, place):
            return self._read_name(place)
        if text[place].isdigit():
            raise self._problem(at, "expected a number; a name that starts with a digit must be in double quotes.")
        raise self._problem(at, self._unknown_character)

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
        return Token("name", name, at, quoted), place

    def _check_characters(self, text: str, at: int) -> None:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self._problem(at, "a null character or half a surrogate pair cannot be part of any value.")

    def _problem(self, at: int, message: str) -> Unprocessable:
        return problem(self._field, at, message)
