"""A folder of files: `tasks/`, `evaluators/`, `ai_integrations/`, `agent_integrations/`, one resource a file.

The name inside a file is what counts; its path is for people. Files that are not these are left alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from evaltasks.insight.key_shapes import looks_like_key, url_holds_secret
from evaltasks.insight.unreadable import issue_of
from evaltasks.insight.validation import ValidationIssue
from evaltasks.promote.documents import (
    AGENT,
    AI,
    SCHEMA_VERSION,
    AgentIntegrationFile,
    AiIntegrationFile,
    AnyFile,
    EvaluatorFile,
    TaskFile,
    document_of,
    integrations_named,
    texts_in,
)
from evaltasks.promote.yaml_text import BYTES_MAX, Unloadable, dump, load
from evaltasks.promote.yaml_text import Path as Place

FileT = TypeVar("FileT", bound=TaskFile | EvaluatorFile | AiIntegrationFile | AgentIntegrationFile)

FOLDERS: dict[str, type[AnyFile]] = {
    "tasks": TaskFile,
    "evaluators": EvaluatorFile,
    "ai_integrations": AiIntegrationFile,
    "agent_integrations": AgentIntegrationFile,
}
KIND_FOLDERS = {model.model_fields["kind"].default: folder for folder, model in FOLDERS.items()}
ENDINGS = (".yaml", ".yml")
# What a union's branches are called in pydantic's places.
_BRANCHES = frozenset({"LLM_GENERATION", "TEMPLATE_EVALUATION", "AGENT_CALL", "MANAGED", "CUSTOM"})
HIDDEN = "[not shown: it looks like a key]"
FILES_MAX = 5000
FOLDER_BYTES_MAX = 32 * 2**20
SLUG_CHARACTERS_MAX = 80
_HEADER = b"evaltasks:"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FileError:
    """What is wrong, and where: a path below the folder, and a line of it when there is one."""

    file: str
    line: int | None
    issue: ValidationIssue

    def __str__(self) -> str:
        where = f"{self.file}{f':{self.line}' if self.line else ''}"
        # A problem may name what was given: a field, a name.
        return f"{where}: {HIDDEN}" if looks_like_key(str(self.issue)) else f"{where}: {self.issue}"


class BadFiles(Exception):
    """The folder cannot be applied as it is; `issues` are all of them."""

    def __init__(self, issues: Sequence[FileError]) -> None:
        self.issues = sorted(issues, key=lambda one: (one.file, one.line or 0))
        count = "1 problem" if len(self.issues) == 1 else f"{len(self.issues)} problems"
        super().__init__("\n".join([f"{count}; nothing was changed:", *(f"  - {issue}" for issue in self.issues)]))


@dataclass(frozen=True)
class Filed(Generic[FileT]):
    """What a file holds, where it stands, and the line of each part."""

    content: FileT
    file: str
    lines: Mapping[Place, int]

    def issue(self, argument: str, problem: str, remedy: str) -> FileError:
        return FileError(self.file, self.line_of(argument), ValidationIssue(argument, problem, remedy))

    def line_of(self, argument: str) -> int | None:
        return line_of(self.lines, argument)


def line_of(lines: Mapping[Place, int], argument: str) -> int | None:
    """The line of `evaluators[0].version`, or of the nearest part around it that is there."""
    place: Place = tuple(int(index) if index else word for word, index in _STEP.findall(argument))
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


@dataclass
class Bundle:
    """What a folder holds, by name."""

    tasks: dict[str, Filed[TaskFile]] = field(default_factory=dict)
    evaluators: dict[str, Filed[EvaluatorFile]] = field(default_factory=dict)
    ai_integrations: dict[str, Filed[AiIntegrationFile]] = field(default_factory=dict)
    agent_integrations: dict[str, Filed[AgentIntegrationFile]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Iterable[AnyFile]) -> Bundle:
        """Without a folder: each file is at the path it would be written to."""
        bundle = cls()
        every = list(files)
        for file, path in zip(every, _paths(every, {}), strict=True):
            getattr(bundle, KIND_FOLDERS[file.kind])[file.name] = Filed(file, path, {})
        return bundle

    def only(self, tasks: Sequence[str]) -> Bundle:
        """With these tasks and what they need; everything without any. Raises BadFiles for a task that is not here."""
        if not tasks:
            return self
        if missing := [name for name in tasks if name not in self.tasks]:
            there = ", ".join(sorted(self.tasks)) or "none"
            raise BadFiles([_issue("tasks", f"hold no task '{name}'", f"there are: {there}") for name in missing])
        chosen = Bundle(tasks={name: self.tasks[name] for name in dict.fromkeys(tasks)})
        for filed in chosen.tasks.values():
            for name in filed.content.evaluator_names():
                if name in self.evaluators:
                    chosen.evaluators[name] = self.evaluators[name]
        files: list[AnyFile] = [filed.content for filed in chosen.tasks.values()]
        files += [filed.content for filed in chosen.evaluators.values()]
        for file in files:
            for resource, name in integrations_named(file):
                if resource == AI and name in self.ai_integrations:
                    chosen.ai_integrations[name] = self.ai_integrations[name]
                if resource == AGENT and name in self.agent_integrations:
                    chosen.agent_integrations[name] = self.agent_integrations[name]
        return chosen


def read_folder(directory: Path) -> Bundle:
    """Raises BadFiles with every problem of every file."""
    bundle, issues = Bundle(), list[FileError]()
    paths = _files_in(directory)
    if len(paths) > FILES_MAX:
        raise BadFiles([_issue(str(directory), f"holds more than {FILES_MAX} files", "apply a smaller folder")])
    if sum((directory / path).stat().st_size for path in paths) > FOLDER_BYTES_MAX:
        what = f"holds more than {FOLDER_BYTES_MAX // 2**20} MiB"
        raise BadFiles([_issue(str(directory), what, "apply a smaller folder")])
    if not paths:
        folders = ", ".join(f"{name}/" for name in FOLDERS)
        raise BadFiles([_issue(str(directory), f"has no YAML files in {folders}", "give a folder that export made")])
    for relative in paths:
        try:
            filed = _read(directory, relative)
        except BadFiles as bad:
            issues += bad.issues
            continue
        files_by_name: dict[str, Any] = getattr(bundle, relative.partition("/")[0])
        first = files_by_name.setdefault(filed.content.name, filed)
        if first is not filed:
            issues.append(filed.issue("name", f"{first.file} has this name already", "name one of them differently"))
    if issues:
        raise BadFiles(issues)
    return bundle


def _files_in(directory: Path) -> list[str]:
    return sorted(
        f"{folder}/{path.name}"
        for folder in FOLDERS
        for path in (directory / folder).glob("*")
        if path.suffix in ENDINGS and path.is_file()
    )


def _read(directory: Path, relative: str) -> Filed[Any]:
    model = FOLDERS[relative.partition("/")[0]]
    with (directory / relative).open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    try:
        loaded = load(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadFiles([_issue(relative, "is not UTF-8 text", "save it as UTF-8")]) from None
    except Unloadable as bad:
        raise BadFiles(
            [FileError(relative, one.line, ValidationIssue("the YAML", one.problem, one.remedy)) for one in bad.issues]
        ) from None
    value, kind = loaded.value, model.model_fields["kind"].default
    if not isinstance(value, dict) or "evaltasks" not in value or value.get("kind") != kind:
        remedy = f"it begins with 'evaltasks: {SCHEMA_VERSION}' and 'kind: {kind}'; move or remove other files"
        article = "an" if kind[0] in "aeiou" else "a"
        problem = f"is not {article} {kind.replace('_', ' ')} file"
        raise BadFiles([FileError(relative, 1, ValidationIssue("the file", problem, remedy))])
    if value["evaltasks"] != SCHEMA_VERSION:
        remedy = f"this program writes and reads {SCHEMA_VERSION}; use the one that wrote it"
        raise BadFiles(
            [FileError(relative, 1, ValidationIssue("evaltasks", "is another version of these files", remedy))]
        )
    issues = [
        ValidationIssue(path, "holds what looks like a key or password", "name an environment variable instead")
        for path, text in (texts_in(value) if kind.endswith("integration") else ())
        if looks_like_key(text) or url_holds_secret(text)
    ]
    try:
        filed = Filed(model.model_validate(value), relative, loaded.lines)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        issues += [_in_words(detail, value) for detail in found]
    if issues:
        raise BadFiles([FileError(relative, line_of(loaded.lines, one.argument), one) for one in dict.fromkeys(issues)])
    return filed


def _in_words(detail: Mapping[str, Any], value: Any) -> ValidationIssue:
    """One of pydantic's problems, with its place as it is in the file (a union's branch is not part of it)."""
    place: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(value, dict) and part not in value and part in _BRANCHES:
            continue
        place.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    name = str(place[-1]) if place else ""
    issue = issue_of("", {**detail, "loc": place})
    if detail["type"] in {"extra_forbidden", "none_required"} and name.endswith(("api_key", "headers")):
        return ValidationIssue(
            issue.argument, "never is in a file", "name environment variables, or set it on the service"
        )
    if detail["type"] in {"extra_forbidden", "none_required"} and name.endswith(("_id", "_ids")):
        return ValidationIssue(issue.argument, "is an id of one service", "remove it; files name things by their names")
    return issue


def _issue(file: str, problem: str, remedy: str) -> FileError:
    return FileError(
        file, None, ValidationIssue("the file" if file.endswith(ENDINGS) else "the folder", problem, remedy)
    )


# --- writing ------------------------------------------------------------------------------------------------------
@dataclass
class Written:
    """Paths below the folder. `stale`: files of these kinds that hold nothing of what was exported."""

    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def write_folder(directory: Path, files: Sequence[AnyFile], *, prune: bool = False) -> Written:
    """Write each file where a file of its name stands already, or under its name. A file that is the same is left.

    `prune` removes the stale ones. Raises BadFiles, before anything is written, where a stranger's file is in the way.
    """
    present = {relative: _header(directory / relative) for relative in _files_in(directory)}
    taken = {(kind, name): relative for relative, (kind, name) in present.items() if kind in KIND_FOLDERS}
    paths = _paths(files, taken)
    strangers = [path for path in paths if path in present and not present[path][0]]
    if strangers:
        raise BadFiles([_issue(path, "is in the way and is not a file of evaltasks", "move it") for path in strangers])
    contents = {path: dump(document_of(file)).encode("utf-8") for file, path in zip(files, paths, strict=True)}
    if large := [path for path, content in contents.items() if len(content) > BYTES_MAX]:
        what = f"would be larger than {BYTES_MAX // 1024} KiB"
        raise BadFiles([_issue(path, what, "shorten its texts, or pin fewer versions") for path in large])
    written = Written()
    for relative, content in contents.items():
        target = directory / relative
        if target.is_file() and target.read_bytes() == content:
            written.unchanged.append(relative)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a reader never sees half a file.
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(content)
        part.replace(target)
        written.changed.append(relative)
    kept = set(paths)
    for relative, (kind, _) in present.items():
        if kind and relative not in kept:
            (written.removed if prune else written.stale).append(relative)
            if prune:
                os.unlink(directory / relative)  # noqa: PTH108  one word for one act
    return written


def _header(path: Path) -> tuple[str, str]:
    """(kind, name) of a file of ours; empty for a stranger's. One that can be read in part is still ours."""
    content = path.read_bytes()[: BYTES_MAX + 1]
    if not content.startswith(_HEADER):
        return "", ""
    try:
        value = load(content.decode("utf-8")).value
        return str(value["kind"]), str(value["name"])
    except (Unloadable, UnicodeDecodeError, KeyError, TypeError):
        return "unreadable", str(path)


def _paths(files: Sequence[AnyFile], taken: Mapping[tuple[str, str], str]) -> list[str]:
    """Where each file stands: where it stood, else its name in plain letters, distinguished by a hash if need be."""
    found: dict[int, str] = {}
    used = set(taken.values())
    fresh: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        if (file.kind, file.name) in taken:
            found[index] = taken[file.kind, file.name]
        else:
            fresh.setdefault(f"{KIND_FOLDERS[file.kind]}/{_slug(file.name)}", []).append(index)
    for path, indexes in fresh.items():
        alone = len(indexes) == 1 and f"{path}.yaml" not in used
        for index in indexes:
            mark = hashlib.sha256(files[index].name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            found[index] = f"{path}.yaml" if alone else f"{path}-{mark}.yaml"
    return [found[index] for index in range(len(files))]


def _slug(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    return plain[:SLUG_CHARACTERS_MAX] or "unnamed"
