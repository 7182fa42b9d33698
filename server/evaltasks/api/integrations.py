"""Integrations of `/v2/integrations`, distinguished by `type`. Supported is AGENT: agents that experiments call.

On an evaltasks engine, secrets are environment variables that the integration names. The fields `api_key_env`,
`headers_env` and `output_path` exist only in evaltasks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from evaltasks.api.ai_integrations import EnvironmentName
from evaltasks.api.wire import (
    CaseInsensitive,
    JsonObject,
    Name,
    NamedListQuery,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    WireEnum,
    upper_case,
)


class IntegrationType(WireEnum):
    LLM = "LLM"
    AGENT = "AGENT"
    EVALUATOR = "EVALUATOR"


Endpoint = Annotated[str, Field(pattern=r"^https?://", max_length=2048)]
Description = Annotated[str, Field(max_length=1000)]


class _WrittenAgentConfig(RequestModel):
    headers: dict[str, str] | None = Field(default=None, repr=False)
    # The key is sent as `authorization: Bearer …`. Each variable holds the complete value of its header.
    api_key_env: EnvironmentName | None = None
    headers_env: dict[str, EnvironmentName] | None = None
    # A dotted path into the agent's JSON reply.
    output_path: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    request_presets: list[JsonObject] | None = None


class CreateAgentConfig(_WrittenAgentConfig):
    """The address of an agent. `input_schema` is the JSON Schema of its request body; it is optional."""

    endpoint: Endpoint
    input_schema: JsonObject | None = None


class UpdateAgentConfig(_WrittenAgentConfig):
    """Update the configuration of an agent. Present fields replace old values; null clears optional ones."""

    endpoint: Endpoint | None = None
    input_schema: JsonObject | None = None

    @model_serializer(mode="wrap")
    def _serialize_set_fields(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Nulls are sent, because they clear a field; in a request that creates, they are omitted.
        written: dict[str, Any] = write(self)
        return {name: written.get(name) for name in sorted(self.model_fields_set)}


class _WrittenAgent(RequestModel):
    type: Literal["AGENT"]
    description: Description | None = None
    scopings: list[JsonObject] | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _validate_is_agent(cls, value: object) -> object:
        value = upper_case(value)
        if value == IntegrationType.LLM:
            raise ValueError("integrations of type LLM are created and updated at /v2/ai-integrations")
        if value == IntegrationType.EVALUATOR:
            raise ValueError("evaltasks does not call remote evaluators; only type AGENT is supported here")
        return value


class CreateIntegration(_WrittenAgent):
    name: Name
    config: CreateAgentConfig


class UpdateIntegration(_WrittenAgent):
    name: Name | None = None
    config: UpdateAgentConfig | None = None

    @model_validator(mode="after")
    def _validate_not_empty(self) -> UpdateIntegration:
        if self.model_fields_set <= {"type"}:
            raise ValueError("no fields to update")
        return self


class AgentConfig(ResponseModel):
    """The configuration of an agent. `headers` is never in an answer; `has_headers` says whether any are sent."""

    endpoint: str | None = None
    has_headers: bool = False
    headers: dict[str, str] | None = Field(default=None, repr=False)
    api_key_env: str | None = None
    headers_env: dict[str, str] | None = None
    input_schema: JsonObject = Field(default_factory=dict)
    output_path: str | None = None
    request_presets: list[JsonObject] = Field(default_factory=list)


class Integration(ResponseModel):
    """An integration. On AX there are also other types, whose `config` has other fields."""

    id: str
    type: OpenEnum[IntegrationType]
    name: str
    description: str | None = None
    scopings: list[JsonObject] = Field(default_factory=list)
    config: AgentConfig = AgentConfig()
    created_at: Timestamp
    updated_at: Timestamp
    created_by_user_id: str | None = None


class IntegrationPage(Page):
    integrations: list[Integration]


class ListIntegrations(NamedListQuery):
    type: CaseInsensitive[IntegrationType] | None = None
