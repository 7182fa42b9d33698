"""Reads and writes the YAML subset of these files.

Supported are mappings, lists, texts, numbers, true, false and null, as in YAML 1.2: `yes`, `on` and `2026-01-01` are
texts, and so is every key. Anchors, aliases, tags, a second document, duplicate keys and excessive depth or size are
errors. PyYAML's loaders are not used: the value is built from the parser's events, so that no tag can create an object
and no alias can expand.
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
# Reading time grows with the number of values: this many take about a second.
VALUES_MAX = 20_000
ISSUES_MAX = 20

Path: TypeAlias = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,4000})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Line breaks and marks that a YAML reader changes or strips unless they are escaped.
_ESCAPED = re.compile(r"[\r\x85\u2028\u2029\ufeff]")


@dataclass(frozen=True, slots=True)
class YamlIssue:
    """One error in a YAML text; `line` counts from 1."""

    line: int
    problem: str
    remedy: str


class InvalidYaml(Exception):
    """The text is not YAML of the supported subset. `issues` holds all errors that were found."""

    def __init__(self, issues: list[YamlIssue]) -> None:
        super().__init__("; ".join(f"line {issue.line}: {issue.problem}" for issue in issues))
        self.issues = issues


@dataclass
class Loaded:
    """A parsed value, and the line on which each part of it starts."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  every value is written out
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _ESCAPED.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    elif _scalar(text) is not text:
        # PyYAML quotes what YAML 1.1 would not read as text; this adds what `_scalar` would read as a number.
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def dump(document: dict[str, Any]) -> str:
    """Return a document as YAML: keys in their order, multi-line texts as blocks, no wrapped lines.

    The same document always gives the same text.
    """
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf))


def load(text: str) -> Loaded:
    """Parse the only document of a YAML text.

    Raises:
        InvalidYaml: The text is too large, is not YAML, or uses a feature that is not supported.
    """
    if len(text.encode("utf-8", "replace")) > BYTES_MAX:
        raise InvalidYaml([YamlIssue(1, f"the file is larger than {BYTES_MAX // 1024} KiB", "split or shorten it")])
    builder = _Builder(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidYaml(
            [*builder.issues, YamlIssue(mark.line + 1 if mark else 1, what, "correct the YAML")]
        ) from None
    except yaml.YAMLError:
        raise InvalidYaml(
            [YamlIssue(1, "contains characters that YAML does not allow", "write them as escapes")]
        ) from None
    if builder.issues:
        raise InvalidYaml(builder.issues)
    return Loaded(value, builder.lines)


def _scalar(text: str) -> Any:
    """Return the value of an unquoted scalar; the same object if it is a text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


class _Builder:
    """Builds the value from the parser's events. Unsupported features are recorded in `issues` and skipped."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self.issues: list[YamlIssue] = []
        self.lines: dict[Path, int] = {}

    def document(self) -> Any:
        next(self._events)  # stream start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)  # document end
        further = next(self._events)
        if not isinstance(further, yaml.StreamEndEvent):
            self._refuse(further, "a second document starts here", "keep one document per file")
        return value

    def _value(self, event: yaml.Event, path: Path) -> Any:
        self.lines[path] = _line(event)
        if len(path) > DEPTH_MAX:
            self._give_up(event, f"is nested deeper than {DEPTH_MAX} levels", "flatten it")
        if len(self.lines) > VALUES_MAX:
            self._give_up(event, f"the file has more than {VALUES_MAX} values", "split or shorten it")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(event, "anchors and aliases (& and *) are not supported", "write the value out")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, "tags (!) are not supported", "remove the tag; put text that starts with ! in quotes")
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
                self._refuse(event, "anchors and tags are not supported", "write only the key")
            if key in found:
                first = self.lines[*path, key]
                self._refuse(event, f"the key '{key[:60]}' is duplicated (first on line {first})", "keep one of them")
            value = self._value(next(self._events), (*path, key))
            self.lines[*path, key] = _line(event)
            found[key] = value
        return found

    def _refuse(self, event: yaml.Event, problem: str, remedy: str) -> None:
        self.issues.append(YamlIssue(_line(event), problem, remedy))
        if len(self.issues) >= ISSUES_MAX:
            raise InvalidYaml(self.issues)

    def _give_up(self, event: yaml.Event, problem: str, remedy: str) -> NoReturn:
        raise InvalidYaml([*self.issues, YamlIssue(_line(event), problem, remedy)])


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
