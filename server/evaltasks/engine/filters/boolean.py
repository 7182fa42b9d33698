"""The part of the grammar that query filters and expressions share: operands joined by AND and OR, and brackets.

    any_of  = all_of { OR all_of }
    all_of  = operand { AND operand }
    operand = "(" any_of ")" | leaf

Each language adds its own `leaf`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Literal, TypeVar

from evaltasks.api.problems import Unprocessable
from evaltasks.engine.filters.syntax import Junction
from evaltasks.engine.filters.tokens import Kind, Token, problem, tokenize

LeafT = TypeVar("LeafT")


class BooleanParser(ABC, Generic[LeafT]):
    """Recursive descent over tokens, so that every error can name its column. AND binds tighter than OR.

    Attributes:
        language: What the text is, in error messages.
        unknown_character: The message about a character that starts no token.
        depth_max: How deep operands may be nested, so that no text exhausts the stack.
    """

    language: ClassVar[str]
    unknown_character: ClassVar[str]
    depth_max: ClassVar[int]

    def __init__(self, text: str, field: str) -> None:
        self._field = field
        self._tokens = tokenize(text, field, unknown_character=self.unknown_character)
        self._next = 0
        self._depth = 0

    def parse(self) -> LeafT | Junction[LeafT]:
        """Return the tree of the whole text.

        Raises:
            Unprocessable: If the text does not follow the grammar or is over a limit.
        """
        tree = self._junction("OR")
        if self._token.kind != "end":
            raise self._expected(f"AND, OR or the end of the {self.language}")
        return tree

    @abstractmethod
    def _leaf(self) -> LeafT:
        """Parse an operand that is not in brackets."""

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._token
        self._next += 1
        return token

    def _takes(self, kind: Kind, text: str) -> bool:
        """Return True and go to the next token, if the current one is this."""
        matches = self._token.kind == kind and self._token.text == text
        self._next += matches
        return matches

    def _junction(self, word: Literal["AND", "OR"]) -> LeafT | Junction[LeafT]:
        parts = [self._part(word)]
        while self._takes("keyword", word):
            parts.append(self._part(word))
        return parts[0] if len(parts) == 1 else self._join(word, parts)

    def _part(self, word: Literal["AND", "OR"]) -> LeafT | Junction[LeafT]:
        return self._junction("AND") if word == "OR" else self._operand()

    def _join(self, word: Literal["AND", "OR"], parts: list[LeafT | Junction[LeafT]]) -> Junction[LeafT]:
        return Junction(word, tuple(parts))

    def _operand(self) -> LeafT | Junction[LeafT]:
        bracket_at = self._token.at
        if not self._takes("mark", "("):
            return self._leaf()
        self._enter(bracket_at)
        tree = self._junction("OR")
        if not self._takes("mark", ")"):
            raise self._expected("AND, OR or a closing bracket")
        self._depth -= 1
        return tree

    def _enter(self, at: int) -> None:
        """Count one level of nesting, which started at column `at`."""
        self._depth += 1
        if self._depth > self.depth_max:
            raise self._problem(at, f"the {self.language} is nested deeper than {self.depth_max} levels.")

    def _expected(self, what: str) -> Unprocessable:
        return self._problem(self._token.at, f"expected {what}, found {self._description(self._token)}.")

    def _description(self, token: Token) -> str:
        return token.text if token.kind != "end" else f"the end of the {self.language}"

    def _problem(self, at: int, message: str) -> Unprocessable:
        return problem(self._field, at, message)
