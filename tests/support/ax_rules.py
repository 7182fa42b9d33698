"""Rules of a strict service: what each member must be, and messages about violations.

    TASK = record({"name*": text(255), "query_filter?": text()})      # `*` required, `?` may be null

Members that are not named are refused. The rules are independent of our own models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Plain:
    """A value of one of these types, optionally within bounds, matching a pattern, or one of some values."""

    types: tuple[type, ...]
    called: str
    least: float | None = None
    most: float | None = None
    pattern: str = ""
    words: tuple[str, ...] = ()

    def issues(self, value: object, where: str) -> Iterator[str]:
        # True is an int in Python, but not a number in JSON.
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            yield f"{where} must be {self.called}, not {value!r}"
            return
        size = len(value) if isinstance(value, str) else value
        if isinstance(size, int | float) and not (self.least is None or size >= self.least):
            yield f"{where} is less than {self.least:g}: {value!r}"
        if isinstance(size, int | float) and not (self.most is None or size <= self.most):
            yield f"{where} is more than {self.most:g}: {value!r}"
        if self.pattern and not re.fullmatch(self.pattern, str(value)):
            yield f"{where} is not like {self.pattern}: {value!r}"
        if self.words and value not in self.words:
            yield f"{where} is none of {', '.join(self.words)}: {value!r}"


@dataclass(frozen=True)
class Listed:
    item: Rule
    least: int
    most: int

    def issues(self, value: object, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where} must be a list, not {value!r}"
            return
        if not self.least <= len(value) <= self.most:
            yield f"{where} must have {self.least} to {self.most} entries, not {len(value)}"
        for number, item in enumerate(value):
            yield from self.item.issues(item, f"{where}[{number}]")


@dataclass(frozen=True)
class Mapped:
    """An object with arbitrary keys."""

    item: Rule

    def issues(self, value: object, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} must be an object, not {value!r}"
            return
        for name, item in value.items():
            yield from self.item.issues(item, f"{where}.{name}")


@dataclass(frozen=True)
class Anything:
    def issues(self, value: object, where: str) -> Iterator[str]:
        yield from ()


@dataclass(frozen=True)
class Record:
    """An object with these members; with `open_` it may have other members, such as columns."""

    members: Mapping[str, Rule]
    required: frozenset[str]
    nullable: frozenset[str]
    open_: bool = False
    refused: frozenset[str] = frozenset()
    # An update needs at least this many members.
    least: int = 0

    def issues(self, value: object, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} must be an object, not {value!r}"
            return
        if len(value) < self.least:
            yield f"{where} changes nothing"
        for name in sorted(self.required - value.keys()):
            yield f"{where}.{name} is missing"
        for name, item in value.items():
            if name in self.refused or (name not in self.members and not self.open_):
                yield f"{where}.{name} is not known"
            elif item is None and name in self.members:
                if name not in self.nullable:
                    yield f"{where}.{name} must not be null"
            elif name in self.members:
                yield from self.members[name].issues(item, f"{where}.{name}")


@dataclass(frozen=True)
class Tagged:
    """One of several records, distinguished by the value of `tag`; without a tag, the first without a problem."""

    tag: str
    choices: Mapping[str, Rule] = field(default_factory=dict)

    def issues(self, value: object, where: str) -> Iterator[str]:
        if not self.tag:
            reported = [list(choice.issues(value, where)) for choice in self.choices.values()]
            yield from min(reported, key=len)
            return
        word = value.get(self.tag) if isinstance(value, dict) else None
        if word not in self.choices:
            yield f"{where}.{self.tag} is none of {', '.join(self.choices)}: {word!r}"
        else:
            yield from self.choices[word].issues(value, where)


Rule: TypeAlias = Plain | Listed | Mapped | Anything | Record | Tagged


def text(most: int | None = None, least: int = 0, pattern: str = "") -> Plain:
    return Plain((str,), "a text", least or None, most, pattern)


def number(least: float | None = None, most: float | None = None) -> Plain:
    return Plain((int, float), "a number", least, most)


def count(most: int | None = None, least: int = 1) -> Plain:
    return Plain((int,), "a whole number", least, most)


def word(*words: str) -> Plain:
    return Plain((str,), "a word", words=words)


def listed(item: Rule, least: int = 0, most: int = 100_000) -> Listed:
    return Listed(item, least, most)


def record(members: Mapping[str, Rule], *, open_: bool = False, refused: str = "", least: int = 0) -> Record:
    """`name*` is required, `name?` may be null."""
    plain = {name.rstrip("*?"): rule for name, rule in members.items()}
    required = frozenset(name.rstrip("*?") for name in members if "*" in name)
    nullable = frozenset(name.rstrip("*?") for name in members if "?" in name)
    return Record(plain, required, nullable, open_, frozenset(refused.split()), least)


FLAG = Plain((bool,), "true or false")
MOMENT = Plain((str,), "a time", pattern=_MOMENT.pattern)
OBJECT = Mapped(Anything())
