"""The definition of a tool: static data and one handler. `catalog.py` lists all tools; importing registers nothing.

`ToolSpec.call` validates in three steps: unknown and missing arguments, every argument on its own (harmless slips are
repaired and noted), then the rules of the task type on the arguments that could be read. The problems of all three are
reported together. If the task type is known only after the task was read, `validate_with_context` reads the task and
adds its problems.
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
    """What a tool does to the service. The four safety hints of MCP are derived from it."""

    READS = "reads"
    CREATES = "creates"
    CHANGES = "changes"
    DESTROYS = "destroys"


class Group(Enum):
    """Tool groups, which a start-up option selects."""

    TASKS = "tasks"
    CATALOG = "catalog"
    AUTHORING = "authoring"
    INSIGHT = "insight"


class Input(BaseModel):
    """Base class of a tool's arguments: flat, every field described, unknown arguments refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Output(BaseModel):
    """Base class of a tool's structured result. Nulls are omitted when it is sent.

    Attributes:
        notes: What was repaired or assumed, one sentence each.
    """

    model_config = ConfigDict(frozen=True)

    notes: list[str] | None = None

    def text(self) -> str:
        """Return the short text of the result, for people."""
        raise NotImplementedError(f"{type(self).__name__} needs a text()")


InputT = TypeVar("InputT", bound=Input)
OutputT = TypeVar("OutputT", bound=Output)

# The arguments that could be read, by name. `is_provided` also counts the unreadable ones.
Provided = Mapping[str, Any]
Validate = Callable[[Provided], tuple[str, list[ValidationIssue]]]
ValidateWithContext = Callable[[Provided, ToolContext], Awaitable[tuple[str, list[ValidationIssue]]]]


@dataclass(frozen=True)
class _Reading:
    arguments: ReadArguments
    issues: list[ValidationIssue]
    subject: str


@dataclass(frozen=True)
class ToolSpec(Generic[InputT, OutputT]):
    """One tool.

    Attributes:
        name: The MCP tool name.
        title: The display name.
        description: What agents read: an imperative sentence, then when to use the tool and what it returns.
        effect: What the tool does to the service.
        group: The group that a start-up option selects.
        input: The model of the arguments.
        output: The model of the structured result.
        handler: Runs a call whose arguments are valid.
        example: Valid arguments, for documents and tests.
        validate: Checks arguments against each other. It gets the readable ones and returns a detail for the subject
            of the error (such as the task type) and the problems.
        validate_with_context: Like `validate`, for tools that must read something first, such as the type of an
            existing task. It is called only if there are problems already, so that all are reported together; in a
            call without problems the handler checks the same rules.
        idempotent: Whether repeating a call has no further effect.
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
        """Validate the arguments and run the handler.

        Raises:
            ValidationErrors: Arguments are missing, unknown or not valid. All problems are reported together.
            Exception: Whatever the handler raises.
        """
        reading = self._read(arguments, context)
        if reading.issues:
            raise await self._with_type_issues(reading, context)
        answer = await self.handler(self._input(reading.arguments), context)
        if context.notes:
            answer = answer.model_copy(update={"notes": [*context.notes, *(answer.notes or [])]})
        return answer

    def parse(self, arguments: Mapping[str, Any], context: ToolContext) -> InputT:
        """Return the validated arguments, without a request to the service.

        Raises:
            ValidationErrors: Arguments are missing, unknown or not valid.
        """
        reading = self._read(arguments, context)
        if reading.issues:
            raise ValidationErrors(reading.subject, reading.issues)
        return self._input(reading.arguments)

    def _read(self, arguments: Mapping[str, Any], context: ToolContext) -> _Reading:
        fields = self.input.model_fields
        issues = [_unknown(name, fields) for name in arguments if name not in fields]
        readable = ReadArguments()
        for name, info in fields.items():
            # JSON null for an optional argument means that it is missing.
            if name not in arguments or (arguments[name] is None and not info.is_required()):
                if info.is_required():
                    issues.append(ValidationIssue(name, "is required", f"set it: {_short(info)}"))
                continue
            try:
                readable[name] = _adapter(self.input, name).validate_python(
                    arguments[name],
                    context={"note": context.note, "argument": name, "settings": context.settings},
                )
            except ValidationError as error:
                issues += [issue_of(name, detail) for detail in error.errors(include_url=False)]
                readable.unreadable |= {name}
        subject = self.name
        if self.validate is not None:
            subject_detail, rule_issues = self.validate(readable)
            subject = self.subject(subject_detail)
            issues = merge_issues(issues, rule_issues)
        return _Reading(readable, issues, subject)

    async def _with_type_issues(self, reading: _Reading, context: ToolContext) -> ValidationErrors:
        """Add the problems of the task type, if the task can be read."""
        if self.validate_with_context is None:
            return ValidationErrors(reading.subject, reading.issues)
        try:
            subject_detail, issues = await self.validate_with_context(reading.arguments, context)
        except (Problem, ClientError):
            # The caller asked about the arguments, not about the task that could not be read.
            return ValidationErrors(reading.subject, reading.issues)
        subject = self.subject(subject_detail) if subject_detail else reading.subject
        return ValidationErrors(subject, merge_issues(reading.issues, issues))

    def subject(self, detail: str) -> str:
        """Return the subject of validation errors, such as `create_task (template_evaluation on a project)`."""
        return f"{self.name} ({detail})" if detail else self.name

    def _input(self, arguments: dict[str, Any]) -> InputT:
        made = self.input.model_construct(_fields_set=set(arguments), **{**_defaults(self.input), **arguments})
        return cast(InputT, made)


def _defaults(model: type[Input]) -> dict[str, Any]:
    return {name: info.get_default(call_default_factory=True) for name, info in model.model_fields.items()}


_ADAPTERS: dict[tuple[type[Input], str], TypeAdapter[Any]] = {}


def _adapter(model: type[Input], name: str) -> TypeAdapter[Any]:
    """Return the validator of one argument. Arguments are validated separately, so that no problem hides another."""
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
