"""What a tool is: static data and one handler. Nothing is registered by importing; `catalog.py` lists them all.

A call goes through `ToolSpec.call`: unknown and missing arguments, every argument on its own (harmless repairs said
aloud), then the rules of the task type over what was readable. All faults of all three come out together.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from evaltasks.insight.faults import Fault, Faults
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

# The arguments that could be read, by name, and those that were given at all.
Given = Mapping[str, Any]
Check = Callable[[Given], tuple[str, list[Fault]]]


@dataclass(frozen=True)
class ToolSpec(Generic[InputT, OutputT]):
    """One tool. `check` judges the readable arguments by task type: (what was judged, its faults)."""

    name: str
    title: str
    description: str
    effect: Effect
    group: Group
    input: type[InputT]
    output: type[OutputT]
    handler: Callable[[InputT, ToolContext], Awaitable[OutputT]]
    example: dict[str, Any] = field(default_factory=dict)
    check: Check | None = None
    idempotent: bool = False

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> OutputT:
        """Validate and handle one call. Raises Faults, and whatever the handler raises."""
        parsed = self.parse(arguments, context)
        answer = await self.handler(parsed, context)
        if context.notes:
            answer = answer.model_copy(update={"notes": [*context.notes, *(answer.notes or [])]})
        return answer

    def parse(self, arguments: Mapping[str, Any], context: ToolContext) -> InputT:
        fields = self.input.model_fields
        faults = [_unknown(name, fields) for name in arguments if name not in fields]
        given: dict[str, Any] = {}
        for name, info in fields.items():
            # JSON null for an optional argument means "not given", as in the seeds' evaluator example.
            if name not in arguments or (arguments[name] is None and not info.is_required()):
                if info.is_required():
                    faults.append(Fault(name, "is required and was not given", f"give {_short(info)}"))
                continue
            try:
                given[name] = _adapter(self.input, name).validate_python(
                    arguments[name], context={"note": context.note, "argument": name}
                )
            except ValidationError as error:
                faults += [_unreadable(name, detail) for detail in error.errors(include_url=False)]
        subject = self.name
        if self.check is not None:
            subject_detail, rule_faults = self.check(given)
            subject = f"{self.name} ({subject_detail})" if subject_detail else self.name
            known = {fault.argument for fault in faults}
            faults += [fault for fault in rule_faults if fault.argument not in known]
        if faults:
            raise Faults(subject, faults)
        return self.input.model_construct(_fields_set=set(given), **{**_defaults(self.input), **given})


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


def _unknown(name: str, fields: Mapping[str, FieldInfo]) -> Fault:
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]}?" if near else f"the arguments are: {', '.join(fields)}"
    return Fault(name[:60], "is not an argument of this tool", remedy)


def _short(info: FieldInfo) -> str:
    return (info.description or "it").split(". ")[0].rstrip(".")


def _unreadable(name: str, detail: Mapping[str, Any]) -> Fault:
    """pydantic's word on one value, with its path and without the value."""
    path = name
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    problem, _, remedy = message.partition("; ")
    return Fault(path, problem[:1].lower() + problem[1:], remedy or "correct it")
