"""Spaces: tenants. Names of projects, datasets, evaluators and tasks are unique within a space."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.wire import JsonObject, ListQuery, Name, NonBlank, Page, RequestModel, ResponseModel, Timestamp


class DefaultLlmIntegration(RequestModel):
    """The AI integration and model that are preselected for the users of a space."""

    integration_id: NonBlank
    model_name: NonBlank


class Space(ResponseModel):
    id: str
    name: str
    description: str = ""
    is_private: bool = False
    created_at: Timestamp
    organization_id: str | None = None
    default_llm_integration: DefaultLlmIntegration | None = None
    ml_models_enabled: bool | None = None
    gradient_start_color: str | None = None
    gradient_end_color: str | None = None
    default_agent_runtime: JsonObject | None = None


class SpacePage(Page):
    spaces: list[Space]


class ListSpaces(ListQuery):
    org_id: str | None = None
    name: str | None = Field(default=None, max_length=255)


class CreateSpace(RequestModel):
    name: Name
    organization_id: str | None = None
    description: str = Field(default="", max_length=1000)
    is_private: bool = False


class UpdateSpace(RequestModel):
    """Update a space. Null clears description, default_llm_integration and default_agent_runtime."""

    name: Name | None = None
    description: str | None = Field(default=None, min_length=1, max_length=1000)
    is_private: bool | None = None
    default_llm_integration: DefaultLlmIntegration | None = None
    ml_models_enabled: bool | None = None
    gradient_start_color: str | None = Field(default=None, max_length=64)
    gradient_end_color: str | None = Field(default=None, max_length=64)
    default_agent_runtime: JsonObject | None = None
