"""The table of providers: one record per provider, and the records that installed packages add.

A package adds a `ProviderRecord` under the entry-point group `evaltasks.providers`. An entry point is code that the
operator installed, and it runs inside the engine with all of the engine's rights (docs/providers.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from evaltasks.api.ai_integrations import Provider as ProviderName
from evaltasks.api.plugins import add_plugins
from evaltasks.api.wire import WireEnum
from evaltasks.engine.providers.clouds import AWS, GOOGLE_CLOUD
from evaltasks.engine.providers.library import LibraryAdapter
from evaltasks.engine.providers.library_models import anthropic_model, bedrock_model, gemini_model, vertex_model
from evaltasks.engine.providers.library_settings import (
    ANTHROPIC_PARAMETERS,
    COMMON_PARAMETERS,
    GOOGLE_PARAMETERS,
)
from evaltasks.engine.providers.openai_adapters import azure_openai, openai_compatible
from evaltasks.engine.providers.provider import PermanentFailure, Provider
from evaltasks.engine.providers.record import ProviderRecord, ProviderSetup

PLUGIN_GROUP = "evaltasks.providers"


def _writes_no_text(record: ProviderRecord, setup: ProviderSetup) -> Provider:  # noqa: ARG001  an adapter
    raise PermanentFailure(
        "the heuristic judge is not a language model and writes no text; "
        "name an AI integration of a language model here"
    )


# Messages list the providers in this order.
_BUILT_IN = (
    ProviderRecord(
        ProviderName.OPEN_AI, openai_compatible, base_url="https://api.openai.com/v1", price_list_name="openai"
    ),
    # An Azure address is always the user's own, and the price is still Azure's.
    ProviderRecord(
        ProviderName.AZURE_OPEN_AI,
        azure_openai,
        requires_base_url=True,
        key_header="api-key",
        price_list_name="azure",
        is_priced_by_name=True,
    ),
    ProviderRecord(ProviderName.CUSTOM, openai_compatible, requires_base_url=True, needs_key=False),
    ProviderRecord(
        ProviderName.NVIDIA_NIM,
        openai_compatible,
        base_url="https://integrate.api.nvidia.com/v1",
        requires_base_url=True,
    ),
    ProviderRecord(ProviderName.LITELLM, openai_compatible, requires_base_url=True, needs_key=False),
    ProviderRecord(
        ProviderName.FIREWORKS,
        openai_compatible,
        base_url="https://api.fireworks.ai/inference/v1",
        price_list_name="fireworks",
    ),
    ProviderRecord(
        ProviderName.TOGETHER_AI, openai_compatible, base_url="https://api.together.xyz/v1", price_list_name="together"
    ),
    ProviderRecord(
        ProviderName.ANTHROPIC,
        LibraryAdapter(anthropic_model, ANTHROPIC_PARAMETERS),
        base_url="https://api.anthropic.com",
        key_header="x-api-key",
        price_list_name="anthropic",
    ),
    ProviderRecord(
        ProviderName.GEMINI,
        LibraryAdapter(gemini_model, GOOGLE_PARAMETERS),
        base_url="https://generativelanguage.googleapis.com",
        key_header="x-goog-api-key",
        price_list_name="google",
    ),
    ProviderRecord(
        ProviderName.VERTEX_AI,
        LibraryAdapter(vertex_model, GOOGLE_PARAMETERS),
        needs_key=False,
        key_header="x-goog-api-key",
        cloud=GOOGLE_CLOUD,
        price_list_name="google",
    ),
    ProviderRecord(
        ProviderName.AWS_BEDROCK,
        LibraryAdapter(bedrock_model, COMMON_PARAMETERS, calls_hold_threads=True),
        needs_key=False,
        cloud=AWS,
        price_list_name="aws",
    ),
    ProviderRecord(ProviderName.HEURISTIC, _writes_no_text, needs_key=False, is_local=True),
)
PROVIDERS: Mapping[str, ProviderRecord] = {str(record.name): record for record in _BUILT_IN}


@cache
def providers_with_plugins() -> Mapping[str, ProviderRecord]:
    """Return every record by name, the built-in ones first. Entry points are read and loaded once per process.

    A plug-in that fails to load or has the name of another provider is logged by name and left out.
    """
    return add_plugins(PROVIDERS, PLUGIN_GROUP, ProviderRecord, keys=lambda record: (record.name,))


def find_provider(name: str) -> ProviderRecord | None:
    """Return the record of a provider, built in or added by a plug-in; None for an unknown name."""
    # Plug-ins are loaded only for a name that is not built in.
    return PROVIDERS.get(name) or providers_with_plugins().get(name)


def is_plugin_word(enum: type[WireEnum], word: str) -> bool:
    """Return True for the name of a provider that a plug-in adds, which no enumeration of the wire lists."""
    return enum is ProviderName and find_provider(word) is not None
