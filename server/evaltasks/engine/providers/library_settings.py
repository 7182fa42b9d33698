"""Which invocation and provider parameters each provider of the library takes, and what they are called there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaltasks.api.ai_integrations import Provider as ProviderName
from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.provider import ChatRequest, PermanentFailure

_EVERYWHERE = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
    "service_tier": "service_tier",
    "reasoning_effort": "thinking",
    "thinking_level": "thinking",
}
_GOOGLE = {
    **_EVERYWHERE,
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}
_NAMES: dict[str, Mapping[str, str]] = {
    ProviderName.ANTHROPIC: _EVERYWHERE,
    ProviderName.AWS_BEDROCK: _EVERYWHERE,
    ProviderName.GEMINI: _GOOGLE,
    ProviderName.VERTEX_AI: _GOOGLE,
}
_WORDS = frozenset({"service_tier", "thinking"})
_LIMITS = ("max_completion_tokens", "max_tokens")
# Read elsewhere: they shape the answer, not the model.
SHAPES = frozenset({"tool_config", "response_format"})


def settings_of(provider: str, request: ChatRequest, max_tokens: int) -> JsonObject:
    """The library's settings for a request. Raises PermanentFailure for a parameter this provider does not take."""
    names = _NAMES[provider]
    settings: JsonObject = {}
    given = {name: value for name, value in request.parameters.items() if value is not None}
    limit = next((given[name] for name in _LIMITS if given.get(name)), max_tokens)
    for name, value in given.items():
        if name in SHAPES or name in _LIMITS:
            continue
        if name == "thinking_budget" and provider != ProviderName.AWS_BEDROCK:
            settings |= _thinking_budget(provider, value)
        elif name in names:
            known = names[name]
            settings[known] = value.lower() if known in _WORDS and isinstance(value, str) else value
        else:
            raise PermanentFailure(
                f"{provider} takes no parameter '{name[:80]}' here; remove it from invocation_parameters. "
                f"It takes: {', '.join(sorted({*names, *_LIMITS, *SHAPES}))}"
            )
    return {**settings, "max_tokens": limit, **_of_the_provider(provider, request.provider_parameters)}


def _thinking_budget(provider: str, tokens: Any) -> JsonObject:
    if provider == ProviderName.ANTHROPIC:
        return {"anthropic_thinking": {"type": "enabled", "budget_tokens": tokens}}
    return {"google_thinking_config": {"thinking_budget": tokens}}


def _of_the_provider(provider: str, parameters: Mapping[str, Any]) -> JsonObject:
    if provider != ProviderName.ANTHROPIC:
        return {}
    settings: JsonObject = {}
    headers = parameters.get("anthropic_headers")
    betas = headers.get("anthropic_beta") if isinstance(headers, dict) else None
    if isinstance(betas, list) and betas:
        settings["anthropic_betas"] = [str(beta) for beta in betas]
    version = parameters.get("anthropic_version")
    if isinstance(version, str) and version:
        settings["extra_headers"] = {"anthropic-version": version}
    return settings
