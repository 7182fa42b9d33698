"""AI integrations: the address and credentials of an LLM provider. Keys are write-only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, computed_field, field_serializer, model_validator

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


class Provider(WireEnum):
    OPEN_AI = "OPEN_AI"
    AZURE_OPEN_AI = "AZURE_OPEN_AI"
    AWS_BEDROCK = "AWS_BEDROCK"
    VERTEX_AI = "VERTEX_AI"
    ANTHROPIC = "ANTHROPIC"
    CUSTOM = "CUSTOM"
    NVIDIA_NIM = "NVIDIA_NIM"
    GEMINI = "GEMINI"
    LITELLM = "LITELLM"
    FIREWORKS = "FIREWORKS"
    TOGETHER_AI = "TOGETHER_AI"
    # Only in evaltasks: the local judge, which needs no key and is not a language model.
    HEURISTIC = "HEURISTIC"


class AuthType(WireEnum):
    DEFAULT = "DEFAULT"
    PROXY_WITH_HEADERS = "PROXY_WITH_HEADERS"
    BEARER_TOKEN = "BEARER_TOKEN"  # noqa: S105  the name of a kind of authentication, not a secret
    OAUTH2_CLIENT_CREDENTIALS = "OAUTH2_CLIENT_CREDENTIALS"


EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class AwsMetadata(RequestModel):
    """Metadata of AWS_BEDROCK: the role that AX assumes to call it."""

    kind: Annotated[Literal["AWS"], BeforeValidator(upper_case)]
    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", max_length=2048)
    external_id: str | None = Field(default=None, min_length=2, max_length=1224)


class GcpMetadata(RequestModel):
    """Metadata of VERTEX_AI: the location of its models."""

    kind: Annotated[Literal["GCP"], BeforeValidator(upper_case)]
    # Both become parts of a URL.
    project_id: str = Field(pattern=r"^[a-z0-9][a-z0-9.:-]*$", max_length=128)
    location: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    project_access_label: str = Field(max_length=255)


ProviderMetadata: TypeAlias = AwsMetadata | GcpMetadata


class _Integration(RequestModel):
    api_key: str | None = Field(default=None, repr=False)
    # Only in evaltasks: the engine stores the name of the environment variable and reads the key for each call.
    api_key_env: EnvironmentName | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://", max_length=2048)
    model_names: list[str] | None = None
    headers: dict[str, str] | None = Field(default=None, repr=False)
    enable_default_models: bool | None = None
    function_calling_enabled: bool | None = None
    auth_type: CaseInsensitive[AuthType] | None = None
    provider_metadata: ProviderMetadata | None = None
    scopings: list[JsonObject] | None = None


class CreateAiIntegration(_Integration):
    name: Name
    provider: CaseInsensitive[Provider]


class UpdateAiIntegration(_Integration):
    name: Name | None = None

    @model_validator(mode="after")
    def _validate_not_empty(self) -> UpdateAiIntegration:
        if not self.model_fields_set:
            raise ValueError("no fields to update")
        return self


class AiIntegration(ResponseModel):
    """An AI integration. Its key is never in an answer.

    The heuristic judge is HEURISTIC in Python and CUSTOM with `is_heuristic` on the wire; the provider of a plug-in is
    CUSTOM with `provider_plugin` on the wire. Published clients of AX reject an answer with an unknown provider.
    """

    id: str
    name: str
    provider: OpenEnum[Provider]
    # The name of the provider if a plug-in of the engine adds it. Only in evaltasks.
    provider_plugin: str | None = None
    has_api_key: bool = False
    api_key_env: str | None = None
    base_url: str | None = None
    model_names: list[str] | None = None
    headers: dict[str, str] | None = Field(default=None, repr=False)
    enable_default_models: bool = False
    function_calling_enabled: bool = True
    auth_type: OpenEnum[AuthType] = AuthType.DEFAULT
    provider_metadata: JsonObject | None = None
    scopings: list[JsonObject] = Field(default_factory=list)
    created_at: Timestamp
    updated_at: Timestamp
    created_by_user_id: str | None = None

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def is_heuristic(self) -> bool:
        """Whether this is the judge inside the engine, which is not a language model. Only in evaltasks."""
        return self.provider is Provider.HEURISTIC

    @field_serializer("provider", when_used="json")
    def _to_wire(self, provider: str) -> str:
        return Provider.CUSTOM if self.is_heuristic or provider == self.provider_plugin else provider

    @model_validator(mode="before")
    @classmethod
    def _from_wire(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("is_heuristic") is True:
            return {**given, "provider": Provider.HEURISTIC}
        if isinstance(given, dict) and given.get("provider") == Provider.CUSTOM and given.get("provider_plugin"):
            return {**given, "provider": given["provider_plugin"]}
        return given


class AiIntegrationPage(Page):
    ai_integrations: list[AiIntegration]


class ListAiIntegrations(NamedListQuery):
    pass
