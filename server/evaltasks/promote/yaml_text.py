"""YAML as these files use it: written in one stable way, read without anything that could surprise.

Read are mappings, lists, texts, numbers, true, false and null, as in YAML 1.2: `yes`, `on` and `2026-01-01` are texts,
and so is every key. Refused are anchors, aliases, tags, further documents, a key given twice, and whatever is deeper or
longer than such a file ever is. The parser's own loaders are not used: the value is built from its events, so no tag
can make an object, and no alias can grow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml

BYTES_MAX = 512 * 1024
DEPTH_MAX = 40
# Reading takes time by the value: this many are read in about a second.
VALUES_MAX = 20_000
ISSUES_MAX = 20

Path: TypeAlias = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,4000})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Line ends and marks that a reader of YAML changes or strips unless they are written as escapes.
_ESCAPED = re.compile(r"[\r\x85\u2028\u2029\ufeff]")


@dataclass(frozen=True, slots=True)
class Misread:
    """One thing that is wrong with a text; `line` counts from 1."""

    line: int
    problem: str
    remedy: str


class Unloadable(Exception):
    """The text is not a file of this kind; `issues` are all that could be told."""

    def __init__(self, issues: list[Misread]) -> None:
        super().__init__("; ".join(f"line {issue.line}: {issue.problem}" for issue in issues))
        self.issues = issues


@dataclass
class Loaded:
    """A value, and the line on which each part of it begins."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  whatever it is: each stands written out
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _ESCAPED.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    elif _scalar(text) is not text:
        # Another reader's YAML 1.1 is quoted for by the library; this is what ours would take for a number.
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def dump(document: dict[str, Any]) -> str:
    """The same text for the same document, always: keys in their order, long texts as blocks, no line wrapped."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf))


def load(text: str) -> Loaded:
    """The one document of `text`. Raises Unloadable."""
    if len(text.encode("utf-8", "replace")) > BYTES_MAX:
        raise Unloadable([Misread(1, f"the file is larger than {BYTES_MAX // 1024} KiB", "split or shorten it")])
    builder = _Builder(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise Unloadable([*builder.issues, Misread(mark.line + 1 if mark else 1, what, "correct the YAML")]) from None
    except yaml.YAMLError:
        raise Unloadable([Misread(1, "holds characters that YAML does not allow", "write them as escapes")]) from None
    if builder.issues:
        raise Unloadable(builder.issues)
    return Loaded(value, builder.lines)


def _scalar(text: str) -> Any:
    """What an unquoted text stands for; the very text when it is one."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


class _Builder:
    """Builds the value from the parser's events; what is refused is noted in `issues` and passed over."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self.issues: list[Misread] = []
        self.lines: dict[Path, int] = {}

    def document(self) -> Any:
        next(self._events)  # the stream begins
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)  # the document ends
        further = next(self._events)
        if not isinstance(further, yaml.StreamEndEvent):
            self._refuse(further, "a second document begins", "keep one document in a file")
        return value

    def _value(self, event: yaml.Event, path: Path) -> Any:
        self.lines[path] = _line(event)
        if len(path) > DEPTH_MAX:
            self._give_up(event, f"is nested deeper than {DEPTH_MAX} levels", "flatten it")
        if len(self.lines) > VALUES_MAX:
            self._give_up(event, f"the file holds more than {VALUES_MAX} values", "split or shorten it")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(event, "anchors and aliases (& and *) are not read", "write the value out")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, "tags (!) are not read", "remove the tag; put text that begins with ! in quotes")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.style is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return None

    def _list(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = event.value if isinstance(event, yaml.ScalarEvent) else ""
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key is not plain text", "write keys as single words or in quotes")
                self._value(event, (*path, ""))
            elif event.anchor is not None or event.tag is not None:
                self._refuse(event, "anchors and tags are not read", "write the key alone")
            if key in found:
                first = self.lines[*path, key]
                self._refuse(event, f"'{key[:60]}' is here twice (first on line {first})", "keep one of them")
            value = self._value(next(self._events), (*path, key))
            self.lines[*path, key] = _line(event)
            found[key] = value
        return found

    def _refuse(self, event: yaml.Event, problem: str, remedy: str) -> None:
        self.issues.append(Misread(_line(event), problem, remedy))
        if len(self.issues) >= ISSUES_MAX:
            raise Unloadable(self.issues)

    def _give_up(self, event: yaml.Event, problem: str, remedy: str) -> NoReturn:
        raise Unloadable([*self.issues, Misread(_line(event), problem, remedy)])


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
