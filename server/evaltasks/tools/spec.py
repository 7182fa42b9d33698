"""What a tool is: static data and one handler. Nothing is registered by importing; `catalog.py` lists them all.

A call goes through `ToolSpec.call`: unknown and missing arguments, every argument on its own (harmless repairs said
aloud), then the rules of the task type over what was readable. All problems of all three come out together; where the
type is known only after the task was read, `validate_with_context` reads it and adds its problems to the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from evaltasks.api.problems import Problem
from evaltasks.client.errors import ClientError
from evaltasks.insight.unreadable import issue_of
from evaltasks.insight.validation import ReadArguments, ValidationErrors, ValidationIssue, merge_issues
from evaltasks.tools.context import ToolContext


class Effect(Enum):
    """What a tool does to the world; the protocol's four safety hints follow from it."""

    READS = "reads"
    CREATES = "creates"
    CHANGES = "changes"
    DESTROYS = "destroys"


class Group(Enum):
    """Tool groups that a start-up option can choose."""

    TASKS = "tasks"
    CATALOG = "catalog"
    AUTHORING = "authoring"
    INSIGHT = "insight"


class Input(BaseModel):
    """Base of every tool's arguments: flat, every field described, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Output(BaseModel):
    """Base of every answer: an object; nulls are dropped when it is sent.

    `notes` says aloud what was repaired or assumed. `text()` is the short rendering for people.
    """

    model_config = ConfigDict(frozen=True)

    notes: list[str] | None = None

    def text(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} needs a text()")


InputT = TypeVar("InputT", bound=Input)
OutputT = TypeVar("OutputT", bound=Output)

# The arguments that could be read, by name; `was_given` knows of the unreadable ones as well.
Provided = Mapping[str, Any]
Validate = Callable[[Provided], tuple[str, list[ValidationIssue]]]
ValidateWithContext = Callable[[Provided, ToolContext], Awaitable[tuple[str, list[ValidationIssue]]]]


@dataclass(frozen=True)
class _Reading:
    given: ReadArguments
    issues: list[ValidationIssue]
    subject: str


@dataclass(frozen=True)
class ToolSpec(Generic[InputT, OutputT]):
    """One tool. `validate` judges the readable arguments by task type: (what was judged, its problems).

    `validate_with_context` does so for tools that must read something first (the type of a task that exists). It is
    asked only when there are problems already, so that they come out together; in a faultless call the handler judges
    by itself.
    """

    name: str
    title: str
    description: str
    effect: Effect
    group: Group
    input: type[InputT]
    output: type[OutputT]
    handler: Callable[[InputT, ToolContext], Awaitable[OutputT]]
    example: dict[str, Any] = field(default_factory=dict)
    validate: Validate | None = None
    validate_with_context: ValidateWithContext | None = None
    idempotent: bool = False

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> OutputT:
        """Validate and handle one call. Raises ValidationErrors, and whatever the handler raises."""
        reading = self._read(arguments, context)
        if reading.issues:
            raise await self._with_type_issues(reading, context)
        answer = await self.handler(self._input(reading.given), context)
        if context.notes:
            answer = answer.model_copy(update={"notes": [*context.notes, *(answer.notes or [])]})
        return answer

    def parse(self, arguments: Mapping[str, Any], context: ToolContext) -> InputT:
        """The arguments as the handler gets them. Raises ValidationErrors; asks no one."""
        reading = self._read(arguments, context)
        if reading.issues:
            raise ValidationErrors(reading.subject, reading.issues)
        return self._input(reading.given)

    def _read(self, arguments: Mapping[str, Any], context: ToolContext) -> _Reading:
        fields = self.input.model_fields
        issues = [_unknown(name, fields) for name in arguments if name not in fields]
        given = ReadArguments()
        for name, info in fields.items():
            # JSON null for an optional argument means "not given", as in the seeds' evaluator example.
            if name not in arguments or (arguments[name] is None and not info.is_required()):
                if info.is_required():
                    issues.append(ValidationIssue(name, "is required", f"give {_short(info)}"))
                continue
            try:
                given[name] = _adapter(self.input, name).validate_python(
                    arguments[name],
                    context={"note": context.note, "argument": name, "settings": context.settings},
                )
            except ValidationError as error:
                issues += [issue_of(name, detail) for detail in error.errors(include_url=False)]
                given.unreadable |= {name}
        subject = self.name
        if self.validate is not None:
            subject_detail, rule_issues = self.validate(given)
            subject = self.subject(subject_detail)
            issues = merge_issues(issues, rule_issues)
        return _Reading(given, issues, subject)

    async def _with_type_issues(self, reading: _Reading, context: ToolContext) -> ValidationErrors:
        """The problems of the reading and, where something can be read that tells the type, those of the type."""
        if self.validate_with_context is None:
            return ValidationErrors(reading.subject, reading.issues)
        try:
            subject_detail, issues = await self.validate_with_context(reading.given, context)
        except (Problem, ClientError):
            # What could not be read is not what was asked about; the problems found so far are.
            return ValidationErrors(reading.subject, reading.issues)
        subject = self.subject(subject_detail) if subject_detail else reading.subject
        return ValidationErrors(subject, merge_issues(reading.issues, issues))

    def subject(self, detail: str) -> str:
        """What problems are about: `create_task (template_evaluation on a project)`."""
        return f"{self.name} ({detail})" if detail else self.name

    def _input(self, given: dict[str, Any]) -> InputT:
        made = self.input.model_construct(_fields_set=set(given), **{**_defaults(self.input), **given})
        return cast(InputT, made)


def _defaults(model: type[Input]) -> dict[str, Any]:
    return {name: info.get_default(call_default_factory=True) for name, info in model.model_fields.items()}


_ADAPTERS: dict[tuple[type[Input], str], TypeAdapter[Any]] = {}


def _adapter(model: type[Input], name: str) -> TypeAdapter[Any]:
    """Each argument is validated on its own, so that one bad argument hides no other."""
    key = (model, name)
    if key not in _ADAPTERS:
        info = model.model_fields[name]
        annotated: Any = info.annotation
        for extra in info.metadata:
            annotated = Annotated[annotated, extra]
        _ADAPTERS[key] = TypeAdapter(annotated, config=ConfigDict(arbitrary_types_allowed=True))
    return _ADAPTERS[key]


def _unknown(name: str, fields: Mapping[str, FieldInfo]) -> ValidationIssue:
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]}?" if near else f"the arguments are: {', '.join(fields)}"
    return ValidationIssue(name[:60], "is not an argument of this tool", remedy)


def _short(info: FieldInfo) -> str:
    return (info.description or "it").split(". ")[0].rstrip(".")
