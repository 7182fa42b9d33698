"""Run configurations: what a run_experiment task does with each example of its dataset.

Each kind is one model, named by its `experiment_type`. `KINDS` is the table of all of them. The other folders treat
every kind alike: they read the table and what a model says about itself (which fields refer to other resources, whether
the output is a label). CONTRIBUTING.md shows how to add a kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias, Union

from pydantic import Discriminator, Field, Tag, field_validator

from evaltasks.api.models import InvocationParameters
from evaltasks.api.wire import (
    CaseInsensitive,
    JsonObject,
    NonBlank,
    RequestModel,
    UnknownVariant,
    WireEnum,
    listed,
    upper_case,
    upper_case_tag,
)


class MessageRole(WireEnum):
    USER = "USER"
    ASSISTANT = "ASSISTANT"
    SYSTEM = "SYSTEM"
    TOOL = "TOOL"


class InputVariableFormat(WireEnum):
    """`F_STRING` is `{name}`, `MUSTACHE` is `{{name}}`; `NONE` is a deprecated alias of F_STRING."""

    F_STRING = "F_STRING"
    MUSTACHE = "MUSTACHE"
    NONE = "NONE"


class Message(RequestModel):
    role: CaseInsensitive[MessageRole]
    content: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[JsonObject] | None = None

    @field_validator("tool_calls", mode="after")
    @classmethod
    def _upper_type(cls, calls: list[JsonObject] | None) -> list[JsonObject] | None:
        """Convert the type of tool calls, an enumeration of AX that providers write in lower case."""
        if calls is None:
            return None
        return [{**call, "type": upper_case(call["type"])} if "type" in call else call for call in calls]


class Resource(Enum):
    """A kind of resource that a run configuration may refer to, by its name in messages."""

    AI_INTEGRATION = "AI integration"
    AGENT_INTEGRATION = "agent integration"
    EVALUATOR_VERSION = "evaluator version"
    PROMPT_VERSION = "prompt version"


@dataclass(frozen=True)
class RefersTo:
    """Marks a field that holds the id of a resource.

    `source_of` names the field whose value was copied from that resource. Such a reference only records an origin: it
    changes nothing about the run, and is left out of exported files.
    """

    resource: Resource
    source_of: str | None = None


@dataclass(frozen=True)
class Reference:
    """One reference of a run configuration: the field, what it refers to, and its value (None if it is not set)."""

    field: str
    resource: Resource
    value: Any
    source_of: str | None


class RunConfigurationBase(RequestModel):
    """Base class of all kinds. A kind adds its fields, and marks those that hold ids with `RefersTo`."""

    experiment_type: str
    # What it does, for the description of a tool.
    summary: ClassVar[str]
    # True if the output of an example is the label of a judge.
    output_is_label: ClassVar[bool] = False

    _fold = field_validator("experiment_type", mode="before", check_fields=False)(upper_case)

    @classmethod
    def tag(cls) -> str:
        """Return the `experiment_type` of this kind, in upper case."""
        return str(cls.model_fields["experiment_type"].default)

    @classmethod
    def reference_fields(cls) -> dict[str, RefersTo]:
        """Return the fields that hold ids of other resources."""
        marked = ((name, mark) for name, field in cls.model_fields.items() for mark in field.metadata)
        return {name: mark for name, mark in marked if isinstance(mark, RefersTo)}

    def references(self) -> Iterator[Reference]:
        """Yield every reference of this configuration, set or not; a file's model has those of its kind."""
        for name, mark in KINDS[self.experiment_type].reference_fields().items():
            yield Reference(name, mark.resource, getattr(self, name), mark.source_of)

    def id_of(self, resource: Resource) -> str | None:
        """Return the id of the resource that this configuration refers to, or None."""
        return next((found.value for found in self.references() if found.resource is resource), None)

    def normalized(self) -> Self:
        """Return the form in which the configuration is stored: equal for equivalent spellings."""
        return self


class LlmGeneration(RunConfigurationBase):
    """Send the messages, filled from each example, to a model; its answer is the example's output."""

    summary: ClassVar[str] = "messages to a model through an AI integration"

    experiment_type: Literal["LLM_GENERATION"] = "LLM_GENERATION"
    ai_integration_id: Annotated[NonBlank, RefersTo(Resource.AI_INTEGRATION)]
    model_name: str | None = None
    messages: list[Message] = Field(min_length=1)
    input_variable_format: CaseInsensitive[InputVariableFormat]
    invocation_parameters: InvocationParameters | None = None
    provider_parameters: JsonObject | None = None
    tool_config: JsonObject | None = None
    prompt_version_id: Annotated[str | None, RefersTo(Resource.PROMPT_VERSION, source_of="messages")] = None


class TemplateEvaluation(RunConfigurationBase):
    """Judge each example with a template; placeholders are `{{double braces}}`."""

    summary: ClassVar[str] = "a judge template"
    output_is_label: ClassVar[bool] = True

    experiment_type: Literal["TEMPLATE_EVALUATION"] = "TEMPLATE_EVALUATION"
    ai_integration_id: Annotated[NonBlank, RefersTo(Resource.AI_INTEGRATION)]
    model_name: str | None = None
    template: NonBlank
    provide_explanation: bool = False
    classification_choices: dict[str, float] | None = None
    column_mapping: dict[str, str] | None = None
    evaluator_version_id: Annotated[str | None, RefersTo(Resource.EVALUATOR_VERSION)] = None
    invocation_parameters: InvocationParameters | None = None
    provider_parameters: JsonObject | None = None


# `{{dataset.question}}`, `{{{dataset.question}}}` and `{{& dataset.question}}`.
_DATASET_PREFIX = re.compile(r"(\{\{\{?&?\s*)dataset\.(?=[^\W\d])")


def without_dataset_prefix(node: Any) -> Any:
    """Return a JSON value with `{{dataset.column}}` in its texts replaced by `{{column}}`."""
    if isinstance(node, str):
        return _DATASET_PREFIX.sub(r"\1", node)
    if isinstance(node, dict):
        return {key: without_dataset_prefix(part) for key, part in node.items()}
    return [without_dataset_prefix(part) for part in node] if isinstance(node, list) else node


class AgentCall(RunConfigurationBase):
    """Call an agent over HTTP with a JSON object built from each example."""

    summary: ClassVar[str] = "a request to an agent"

    experiment_type: Literal["AGENT_CALL"] = "AGENT_CALL"
    integration_id: Annotated[NonBlank, RefersTo(Resource.AGENT_INTEGRATION)]
    input_template: JsonObject

    def normalized(self) -> Self:
        """Write `{{dataset.column}}` in the template as `{{column}}`, which means the same."""
        return self.model_copy(update={"input_template": without_dataset_prefix(self.input_template)})


def experiment_type_of(value: object) -> str | None:
    """Return the discriminator of a run configuration (an object or a model), in upper case."""
    return upper_case_tag(value, "experiment_type")


def any_of(kinds: tuple[type[RunConfigurationBase], ...], error: str) -> Any:
    """Return the type of a field that holds one of the kinds, selected by `experiment_type`.

    Args:
        kinds: The models.
        error: The message for any other `experiment_type`.
    """
    members = tuple(Annotated[kind, Tag(kind.tag())] for kind in kinds)
    return Annotated[
        Union[members],  # noqa: UP007  the members are known at run time only
        Discriminator(experiment_type_of, custom_error_type="experiment_type", custom_error_message=error),
    ]


KINDS: dict[str, type[RunConfigurationBase]] = {
    kind.tag(): kind for kind in (LlmGeneration, TemplateEvaluation, AgentCall)
}

if TYPE_CHECKING:
    RunConfiguration: TypeAlias = RunConfigurationBase
else:
    RunConfiguration = any_of(tuple(KINDS.values()), f"experiment_type must be {listed(list(KINDS))}")


class OtherConfiguration(UnknownVariant):
    """A kind that only a newer service has; its fields are kept, and their meaning is unknown."""

    output_is_label: ClassVar[bool] = False

    experiment_type: str | None = None

    def references(self) -> Iterator[Reference]:
        """Yield nothing: the references of an unknown kind are unknown."""
        yield from ()

    def id_of(self, resource: Resource) -> str | None:  # noqa: ARG002  nothing is known of its references
        """Return None: the references of an unknown kind are unknown."""
        return None


ReadConfiguration = Annotated[RunConfiguration | OtherConfiguration, Field(union_mode="left_to_right")]


def references_of(configuration: RunConfiguration | OtherConfiguration | None) -> list[Reference]:
    """Return the references of a task's configuration; empty for a task without one."""
    return list(configuration.references()) if configuration is not None else []
