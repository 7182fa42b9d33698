"""Reads and writes a folder of files: `tasks/`, `evaluators/`, `ai_integrations/` and `agent_integrations/`.

A file holds one resource. Its `name` property identifies it; the file name is only for people. Other files are ignored.
"""

from __future__ import annotations

import hashlib
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
    integrations_named,
    strings_in,
    to_document,
)
from evaltasks.promote.yaml_text import BYTES_MAX, InvalidYaml, dump, load
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
# How pydantic names the branches of a union in the location of an error.
_BRANCHES = frozenset({"LLM_GENERATION", "TEMPLATE_EVALUATION", "AGENT_CALL", "MANAGED", "CUSTOM"})
HIDDEN = "[not shown: it looks like a key]"
FILES_MAX = 5000
FOLDER_BYTES_MAX = 32 * 2**20
SLUG_CHARACTERS_MAX = 80
_HEADER = b"evaltasks:"
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FileError:
    """A validation error in a file. `file` is the path below the folder; `line` is None if there is no such line."""

    file: str
    line: int | None
    issue: ValidationIssue

    def __str__(self) -> str:
        where = f"{self.file}{f':{self.line}' if self.line else ''}"
        # The message may quote the file: a field or a name.
        return f"{where}: {HIDDEN}" if looks_like_key(str(self.issue)) else f"{where}: {self.issue}"


class BadFiles(Exception):
    """The files of a folder have errors. `issues` holds all of them."""

    def __init__(self, issues: Sequence[FileError]) -> None:
        self.issues = sorted(issues, key=lambda error: (error.file, error.line or 0))
        count = "1 problem" if len(self.issues) == 1 else f"{len(self.issues)} problems"
        super().__init__("\n".join([f"{count}; nothing was changed:", *(f"  - {issue}" for issue in self.issues)]))


@dataclass(frozen=True)
class ParsedFile(Generic[FileT]):
    """A validated file: its content, its path below the folder, and the line of each part."""

    content: FileT
    file: str
    lines: Mapping[Place, int]

    def issue(self, argument: str, problem: str, remedy: str) -> FileError:
        return FileError(self.file, self.line_of(argument), ValidationIssue(argument, problem, remedy))

    def line_of(self, argument: str) -> int | None:
        return line_of(self.lines, argument)


def line_of(lines: Mapping[Place, int], argument: str) -> int | None:
    """Return the line of `evaluators[0].version`, or of the nearest enclosing part that exists."""
    place: Place = tuple(int(index) if index else word for word, index in _STEP.findall(argument))
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


@dataclass
class Bundle:
    """The files of a folder, by the name of their resource."""

    tasks: dict[str, ParsedFile[TaskFile]] = field(default_factory=dict)
    evaluators: dict[str, ParsedFile[EvaluatorFile]] = field(default_factory=dict)
    ai_integrations: dict[str, ParsedFile[AiIntegrationFile]] = field(default_factory=dict)
    agent_integrations: dict[str, ParsedFile[AgentIntegrationFile]] = field(default_factory=dict)

    @classmethod
    def from_files(cls, files: Iterable[AnyFile]) -> Bundle:
        """Return a bundle of files that are not in a folder; each has the path that it would be written to."""
        bundle = cls()
        every = list(files)
        for file, path in zip(every, _paths_for(every, {}), strict=True):
            getattr(bundle, KIND_FOLDERS[file.kind])[file.name] = ParsedFile(file, path, {})
        return bundle

    def select(self, tasks: Sequence[str]) -> Bundle:
        """Return a bundle of only these tasks and the evaluators and integrations they use. Without names: everything.

        Raises:
            BadFiles: There is no file for one of the tasks.
        """
        if not tasks:
            return self
        if missing := [name for name in tasks if name not in self.tasks]:
            there = ", ".join(sorted(self.tasks)) or "none"
            raise BadFiles([_issue("tasks", f"hold no task '{name}'", f"there are: {there}") for name in missing])
        chosen = Bundle(tasks={name: self.tasks[name] for name in dict.fromkeys(tasks)})
        for parsed in chosen.tasks.values():
            for name in parsed.content.evaluator_names():
                if name in self.evaluators:
                    chosen.evaluators[name] = self.evaluators[name]
        files: list[AnyFile] = [parsed.content for parsed in chosen.tasks.values()]
        files += [parsed.content for parsed in chosen.evaluators.values()]
        for file in files:
            for resource, name in integrations_named(file):
                if resource == AI and name in self.ai_integrations:
                    chosen.ai_integrations[name] = self.ai_integrations[name]
                if resource == AGENT and name in self.agent_integrations:
                    chosen.agent_integrations[name] = self.agent_integrations[name]
        return chosen


def read_folder(directory: Path) -> Bundle:
    """Read and validate all files of a folder.

    Raises:
        BadFiles: At least one file has an error, or the folder is empty or too large. All errors are reported.
        OSError: The folder or a file cannot be read.
    """
    bundle, issues = Bundle(), list[FileError]()
    paths = _yaml_files(directory)
    if len(paths) > FILES_MAX:
        raise BadFiles([_issue(str(directory), f"holds more than {FILES_MAX} files", "apply a smaller folder")])
    if sum((directory / path).stat().st_size for path in paths) > FOLDER_BYTES_MAX:
        problem = f"holds more than {FOLDER_BYTES_MAX // 2**20} MiB"
        raise BadFiles([_issue(str(directory), problem, "apply a smaller folder")])
    if not paths:
        folders = ", ".join(f"{name}/" for name in FOLDERS)
        raise BadFiles(
            [_issue(str(directory), f"has no YAML files in {folders}", "pass a folder that 'evaltasks export' wrote")]
        )
    for relative in paths:
        try:
            parsed = _read(directory, relative)
        except BadFiles as bad:
            issues += bad.issues
            continue
        files_by_name: dict[str, Any] = getattr(bundle, relative.partition("/")[0])
        first = files_by_name.setdefault(parsed.content.name, parsed)
        if first is not parsed:
            issues.append(parsed.issue("name", f"{first.file} already has this name", "rename one of them"))
    if issues:
        raise BadFiles(issues)
    return bundle


def _yaml_files(directory: Path) -> list[str]:
    return sorted(
        f"{folder}/{path.name}"
        for folder in FOLDERS
        for path in (directory / folder).glob("*")
        if path.suffix in ENDINGS and path.is_file()
    )


def _read(directory: Path, relative: str) -> ParsedFile[Any]:
    model = FOLDERS[relative.partition("/")[0]]
    with (directory / relative).open("rb") as file:
        content = file.read(BYTES_MAX + 1)
    try:
        loaded = load(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadFiles([_issue(relative, "is not UTF-8 text", "save it as UTF-8")]) from None
    except InvalidYaml as bad:
        raise BadFiles(
            [
                FileError(relative, issue.line, ValidationIssue("the YAML", issue.problem, issue.remedy))
                for issue in bad.issues
            ]
        ) from None
    value, kind = loaded.value, model.model_fields["kind"].default
    if not isinstance(value, dict) or "evaltasks" not in value or value.get("kind") != kind:
        remedy = f"start it with 'evaltasks: {SCHEMA_VERSION}' and 'kind: {kind}', or move it out of this folder"
        article = "an" if kind[0] in "aeiou" else "a"
        problem = f"is not {article} {kind.replace('_', ' ')} file"
        raise BadFiles([FileError(relative, 1, ValidationIssue("the file", problem, remedy))])
    if value["evaltasks"] != SCHEMA_VERSION:
        remedy = f"this evaltasks reads version {SCHEMA_VERSION}; use the evaltasks that wrote the file"
        raise BadFiles(
            [FileError(relative, 1, ValidationIssue("evaltasks", "is another version of the file format", remedy))]
        )
    issues = [
        ValidationIssue(path, "contains what looks like a key or password", "name an environment variable instead")
        for path, text in (strings_in(value) if kind.endswith("integration") else ())
        if looks_like_key(text) or url_holds_secret(text)
    ]
    try:
        parsed = ParsedFile(model.model_validate(value), relative, loaded.lines)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        issues += [_to_issue(detail, value) for detail in found]
    if issues:
        raise BadFiles(
            [FileError(relative, line_of(loaded.lines, issue.argument), issue) for issue in dict.fromkeys(issues)]
        )
    return parsed


def _to_issue(detail: Mapping[str, Any], value: Any) -> ValidationIssue:
    """Convert a pydantic error to an issue at its path in the file, without the names of union branches."""
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
            issue.argument, "must not be in a file", "name environment variables, or set it on the service"
        )
    if detail["type"] in {"extra_forbidden", "none_required"} and name.endswith(("_id", "_ids")):
        return ValidationIssue(
            issue.argument,
            "is an id, which is valid on one service only",
            "remove it; files refer to resources by name",
        )
    return issue


def _issue(file: str, problem: str, remedy: str) -> FileError:
    return FileError(
        file, None, ValidationIssue("the file" if file.endswith(ENDINGS) else "the folder", problem, remedy)
    )


# --- writing ------------------------------------------------------------------------------------------------------
@dataclass
class WriteResult:
    """The result of writing a folder, as paths below it. `stale` lists files of resources that were not exported."""

    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def write_folder(directory: Path, files: Sequence[AnyFile], *, prune: bool = False) -> WriteResult:
    """Write each file to the path that its resource already has, or to one derived from its name.

    A file whose content is unchanged is not written.

    Args:
        directory: The folder; it is created if needed.
        files: The files to write.
        prune: Whether stale files are removed.

    Raises:
        BadFiles: Another file is in the way, or a file would be too large. Nothing is written then.
        OSError: A file cannot be written.
    """
    present = {relative: _kind_and_name(directory / relative) for relative in _yaml_files(directory)}
    taken = {(kind, name): relative for relative, (kind, name) in present.items() if kind in KIND_FOLDERS}
    paths = _paths_for(files, taken)
    foreign = [path for path in paths if path in present and not present[path][0]]
    if foreign:
        raise BadFiles(
            [_issue(path, "is in the way and is not a file of evaltasks", "move or rename it") for path in foreign]
        )
    contents = {path: dump(to_document(file)).encode("utf-8") for file, path in zip(files, paths, strict=True)}
    if large := [path for path, content in contents.items() if len(content) > BYTES_MAX]:
        problem = f"would be larger than {BYTES_MAX // 1024} KiB"
        raise BadFiles([_issue(path, problem, "shorten its texts, or pin fewer versions") for path in large])
    written = WriteResult()
    for relative, content in contents.items():
        target = directory / relative
        if target.is_file() and target.read_bytes() == content:
            written.unchanged.append(relative)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # The rename is atomic: a reader never sees a part of a file.
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(content)
        part.replace(target)
        written.changed.append(relative)
    kept = set(paths)
    for relative, (kind, _) in present.items():
        if kind and relative not in kept:
            (written.removed if prune else written.stale).append(relative)
            if prune:
                (directory / relative).unlink()
    return written


def _kind_and_name(path: Path) -> tuple[str, str]:
    """Return (kind, name) of a file of evaltasks, or empty texts for another file. A damaged file is `unreadable`."""
    content = path.read_bytes()[: BYTES_MAX + 1]
    if not content.startswith(_HEADER):
        return "", ""
    try:
        value = load(content.decode("utf-8")).value
        return str(value["kind"]), str(value["name"])
    except (InvalidYaml, UnicodeDecodeError, KeyError, TypeError):
        return "unreadable", str(path)


def _paths_for(files: Sequence[AnyFile], taken: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the path of each file: the present one, or its name in ASCII letters, made unique by a hash if needed."""
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
