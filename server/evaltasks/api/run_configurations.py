"""What a run_experiment task does with each example: one of three kinds, distinguished by `experiment_type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from evaltasks.api.models import InvocationParameters
from evaltasks.api.wire import Folded, FromNewer, JsonObject, NonBlank, WireEnum, Written, fold_case


class ExperimentType(WireEnum):
    LLM_GENERATION = "LLM_GENERATION"
    TEMPLATE_EVALUATION = "TEMPLATE_EVALUATION"
    AGENT_CALL = "AGENT_CALL"


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


class Message(Written):
    role: Folded[MessageRole]
    content: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[JsonObject] | None = None

    @field_validator("tool_calls", mode="after")
    @classmethod
    def _upper_type(cls, calls: list[JsonObject] | None) -> list[JsonObject] | None:
        """Their type is an enumeration of AX, although providers write it in lower case."""
        if calls is None:
            return None
        return [{**call, "type": fold_case(call["type"])} if "type" in call else call for call in calls]


class LlmGeneration(Written):
    """Send the messages, filled from each example, to a model; its answer is the example's output."""

    experiment_type: Literal["LLM_GENERATION"] = "LLM_GENERATION"
    ai_integration_id: NonBlank
    model_name: str | None = None
    messages: list[Message] = Field(min_length=1)
    input_variable_format: Folded[InputVariableFormat]
    invocation_parameters: InvocationParameters | None = None
    provider_parameters: JsonObject | None = None
    tool_config: JsonObject | None = None
    prompt_version_id: str | None = None

    _fold = field_validator("experiment_type", mode="before")(fold_case)


class TemplateEvaluation(Written):
    """Judge each example with a template; placeholders are `{{double braces}}`."""

    experiment_type: Literal["TEMPLATE_EVALUATION"] = "TEMPLATE_EVALUATION"
    ai_integration_id: NonBlank
    model_name: str | None = None
    template: NonBlank
    provide_explanation: bool = False
    classification_choices: dict[str, float] | None = None
    column_mapping: dict[str, str] | None = None
    evaluator_version_id: str | None = None
    invocation_parameters: InvocationParameters | None = None
    provider_parameters: JsonObject | None = None

    _fold = field_validator("experiment_type", mode="before")(fold_case)


class AgentCall(Written):
    """Call an agent over HTTP with a JSON object built from each example."""

    experiment_type: Literal["AGENT_CALL"] = "AGENT_CALL"
    integration_id: NonBlank
    input_template: JsonObject

    _fold = field_validator("experiment_type", mode="before")(fold_case)


def experiment_type_of(value: object) -> str | None:
    """The discriminator of a run configuration given as an object or as a model, in upper case."""
    tag = value.get("experiment_type") if isinstance(value, dict) else getattr(value, "experiment_type", None)
    return tag.upper() if isinstance(tag, str) else None


RunConfiguration = Annotated[
    Annotated[LlmGeneration, Tag("LLM_GENERATION")]
    | Annotated[TemplateEvaluation, Tag("TEMPLATE_EVALUATION")]
    | Annotated[AgentCall, Tag("AGENT_CALL")],
    Discriminator(
        experiment_type_of,
        custom_error_type="experiment_type",
        custom_error_message="experiment_type must be LLM_GENERATION, TEMPLATE_EVALUATION or AGENT_CALL",
    ),
]


class OtherConfiguration(FromNewer):
    """What a newer service does with each example."""

    experiment_type: str | None = None


ReadConfiguration = Annotated[RunConfiguration | OtherConfiguration, Field(union_mode="left_to_right")]
