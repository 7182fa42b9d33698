"""Integrations of `/v2/integrations`, distinguished by `type`; here the agents that run_experiment tasks call.

Secrets go the way of keys: on an evaltasks engine an integration names environment variables. `api_key_env`,
`headers_env` and `output_path` are ours alone.
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
    # The key goes out as `authorization: Bearer …`, each header's whole value comes from its variable.
    api_key_env: EnvironmentName | None = None
    headers_env: dict[str, EnvironmentName] | None = None
    # A dotted path into the agent's JSON reply.
    output_path: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    request_presets: list[JsonObject] | None = None


class CreateAgentConfig(_WrittenAgentConfig):
    """`input_schema` is the JSON Schema of the request's body; without one, values are sent with their own types."""

    endpoint: Endpoint
    input_schema: JsonObject | None = None


class UpdateAgentConfig(_WrittenAgentConfig):
    """Given fields replace what stands; null clears those that may be absent."""

    endpoint: Endpoint | None = None
    input_schema: JsonObject | None = None

    @model_serializer(mode="wrap")
    def _what_was_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A part of a change is a change as well: its nulls go out, where in a creation they would be left out.
        written: dict[str, Any] = write(self)
        return {name: written.get(name) for name in sorted(self.model_fields_set)}


class _WrittenAgent(RequestModel):
    type: Literal["AGENT"]
    description: Description | None = None
    scopings: list[JsonObject] | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _agents_only(cls, value: object) -> object:
        value = upper_case(value)
        if value == IntegrationType.LLM:
            raise ValueError("integrations of type LLM are made and changed at /v2/ai-integrations")
        if value == IntegrationType.EVALUATOR:
            raise ValueError("remote evaluators are not called by evaltasks; only type AGENT is taken here")
        return value


class CreateIntegration(_WrittenAgent):
    name: Name
    config: CreateAgentConfig


class UpdateIntegration(_WrittenAgent):
    name: Name | None = None
    config: UpdateAgentConfig | None = None

    @model_validator(mode="after")
    def _something(self) -> UpdateIntegration:
        if self.model_fields_set <= {"type"}:
            raise ValueError("no fields to update")
        return self


class AgentConfig(ResponseModel):
    """`headers` is never in an answer; `has_headers` says whether any are sent, from wherever they come."""

    endpoint: str | None = None
    has_headers: bool = False
    headers: dict[str, str] | None = Field(default=None, repr=False)
    api_key_env: str | None = None
    headers_env: dict[str, str] | None = None
    input_schema: JsonObject = Field(default_factory=dict)
    output_path: str | None = None
    request_presets: list[JsonObject] = Field(default_factory=list)


class Integration(ResponseModel):
    """On AX a list may also hold integrations of other types, whose `config` has other fields."""

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
