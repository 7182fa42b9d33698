"""Configuration of calls to a model, shared by template evaluators and run configurations."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator

from evaltasks.api.wire import ExtraFieldsModel, JsonObject, NonBlank, RequestModel, upper_case


class InvocationParameters(ExtraFieldsModel):
    """Parameters that are passed to the provider unchanged, including unknown ones."""

    temperature: float | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: list[str] | None = None
    response_format: JsonObject | None = None
    tool_config: JsonObject | None = None

    @field_validator("response_format", mode="after")
    @classmethod
    def _upper_type(cls, given: JsonObject | None) -> JsonObject | None:
        """Convert the type to upper case: it is an enumeration of AX, although providers write it in lower case."""
        return {**given, "type": upper_case(given["type"])} if given and "type" in given else given

    def given(self) -> dict[str, Any]:
        """Return the parameters that are set, as JSON values for the request to a provider."""
        return self.model_dump(mode="json", exclude_none=True)


class LlmConfig(RequestModel):
    ai_integration_id: NonBlank
    model_name: NonBlank
    invocation_parameters: InvocationParameters = InvocationParameters()
    provider_parameters: JsonObject = Field(default_factory=dict)


class HeuristicModel(StrEnum):
    """The models of the local judge, which needs no key and is not a language model. Each judges one criterion."""

    FAITHFULNESS = "heuristic-faithfulness"
    RELEVANCE = "heuristic-relevance"
    CORRECTNESS = "heuristic-correctness"
    REFUSAL = "heuristic-refusal"
