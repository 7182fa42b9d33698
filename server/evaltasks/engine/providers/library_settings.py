"""The parameters that each provider of the library takes, and their names in the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure


@dataclass(frozen=True, slots=True)
class LibraryParameters:
    """The invocation and provider parameters that a provider of the library takes.

    Attributes:
        names: The library's name of each invocation parameter.
        thinking_budget: Makes settings from a thinking budget in tokens; None when the provider takes none.
        from_provider_parameters: Makes settings from an evaluator's `provider_parameters`; None when none are used.
    """

    names: Mapping[str, str]
    thinking_budget: Callable[[Any], JsonObject] | None = None
    from_provider_parameters: Callable[[Mapping[str, Any]], JsonObject] | None = None


_COMMON = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
    "service_tier": "service_tier",
    "reasoning_effort": "thinking",
    "thinking_level": "thinking",
}
_GOOGLE = {
    **_COMMON,
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}
_LOWER_CASE = frozenset({"service_tier", "thinking"})
_LIMITS = ("max_completion_tokens", "max_tokens")
# `library_call` reads these: they shape the answer and are not settings of the model.
_ANSWER_SHAPES = frozenset({"tool_config", "response_format"})


def library_settings(provider: str, parameters: LibraryParameters, request: ChatRequest, max_tokens: int) -> JsonObject:
    """Return the library's settings for a request.

    Args:
        provider: The provider's name, for messages.
        parameters: What the provider takes.
        request: The request whose invocation and provider parameters are passed on.
        max_tokens: The length of the answer where the request sets none.

    Raises:
        PermanentFailure: The provider does not take one of the parameters.
    """
    settings: JsonObject = {}
    requested = {name: value for name, value in request.parameters.items() if value is not None}
    limit = next((requested[name] for name in _LIMITS if requested.get(name)), max_tokens)
    for name, value in requested.items():
        if name in _ANSWER_SHAPES or name in _LIMITS:
            continue
        if name == "thinking_budget" and parameters.thinking_budget is not None:
            settings |= parameters.thinking_budget(value)
        elif name in parameters.names:
            setting = parameters.names[name]
            settings[setting] = value.lower() if setting in _LOWER_CASE and isinstance(value, str) else value
        else:
            raise PermanentFailure(
                f"{provider} takes no parameter '{name[:80]}' here; remove it from invocation_parameters. "
                f"It takes: {', '.join(sorted({*parameters.names, *_LIMITS, *_ANSWER_SHAPES}))}"
            )
    settings["max_tokens"] = limit
    if parameters.from_provider_parameters is not None:
        settings |= parameters.from_provider_parameters(request.provider_parameters)
    return settings


def _anthropic_thinking_budget(tokens: Any) -> JsonObject:
    return {"anthropic_thinking": {"type": "enabled", "budget_tokens": tokens}}


def _google_thinking_budget(tokens: Any) -> JsonObject:
    return {"google_thinking_config": {"thinking_budget": tokens}}


def _anthropic_settings(parameters: Mapping[str, Any]) -> JsonObject:
    settings: JsonObject = {}
    headers = parameters.get("anthropic_headers")
    betas = headers.get("anthropic_beta") if isinstance(headers, dict) else None
    if isinstance(betas, list) and betas:
        settings["anthropic_betas"] = [str(beta) for beta in betas]
    version = parameters.get("anthropic_version")
    if isinstance(version, str) and version:
        settings["extra_headers"] = {"anthropic-version": version}
    return settings


COMMON_PARAMETERS = LibraryParameters(_COMMON)
ANTHROPIC_PARAMETERS = LibraryParameters(_COMMON, _anthropic_thinking_budget, _anthropic_settings)
GOOGLE_PARAMETERS = LibraryParameters(_GOOGLE, _google_thinking_budget)
