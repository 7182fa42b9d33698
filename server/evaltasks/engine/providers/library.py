"""Providers that are called through `pydantic-ai`: Anthropic, Gemini, Vertex AI, AWS Bedrock.

The extra `evaltasks[providers]` installs the libraries. They take seconds to load, so they are imported at the first
call, in a thread. Only `pydantic_ai.direct.model_request` is used: one request, one answer. The engine does the
retries, the rate limiting and the deadlines.

A structured answer is requested in the same fallback order as by `OpenAiCompatible`: a forced tool call, a JSON schema
where the model supports it, plain text. What a model refuses is remembered.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import anyio
from anyio import to_thread

from evaltasks.engine.providers.access import Access, access_for
from evaltasks.engine.providers.answer_modes import JSON_SCHEMA, TEXT, TOOL_CALL
from evaltasks.engine.providers.library_settings import LibraryParameters, library_settings
from evaltasks.engine.providers.outgoing import Outgoing
from evaltasks.engine.providers.provider import (
    CallRejected,
    ChatReply,
    ChatRequest,
    Now,
    PermanentFailure,
    RetryLater,
)
from evaltasks.engine.providers.provider_errors import RequestFeature, refused_feature
from evaltasks.engine.providers.record import ProviderRecord, ProviderSetup

EXTRA = "evaltasks[providers]"
_ATTEMPTS_MAX = 3
# Such a call holds one of the forty threads that the store uses as well.
_THREAD_CALLS_MAX = 24
_UNLIMITED_CALLS = 10_000

MakeModel = Callable[[Access, Outgoing, float, ChatRequest], Any]


@dataclass(frozen=True, slots=True)
class LibraryAdapter:
    """Makes providers that are called through `pydantic-ai`.

    Attributes:
        make_model: Makes the library's model from the access, our transport, the timeout in seconds and the first
            request for that model. Runs in a thread, because it loads the provider's own library.
        parameters: The invocation parameters that the provider takes.
        calls_hold_threads: The provider's library blocks a thread for the length of a call.
    """

    make_model: MakeModel
    parameters: LibraryParameters
    calls_hold_threads: bool = False

    def __call__(self, record: ProviderRecord, setup: ProviderSetup) -> LibraryProvider:
        access = access_for(record, setup)
        outgoing = Outgoing(
            setup.connections,
            access.headers,
            key_header=record.key_header,
            keeps_credentials=access.uses_ambient_credentials,
        )
        return LibraryProvider(
            self,
            access,
            outgoing,
            now=setup.now,
            max_tokens=setup.max_tokens,
            timeout_seconds=setup.timeout_seconds,
        )


class LibraryProvider:
    """A provider that is called through the library. None of its errors contains a key."""

    def __init__(
        self,
        adapter: LibraryAdapter,
        access: Access,
        outgoing: Outgoing,
        *,
        now: Now,
        max_tokens: int,
        timeout_seconds: float,
    ) -> None:
        self._adapter = adapter
        self._access = access
        self._outgoing = outgoing
        self._now = now
        self._max_tokens = max_tokens
        self._timeout_seconds = timeout_seconds
        self._call_slots = anyio.Semaphore(_THREAD_CALLS_MAX if adapter.calls_hold_threads else _UNLIMITED_CALLS)
        self._loading = anyio.Lock()
        self._calls: Any = None
        self._models: dict[tuple[str, str | None], Any] = {}
        self._without: dict[str, set[str]] = {}  # by model

    async def complete(self, request: ChatRequest) -> ChatReply:
        settings = library_settings(self._access.provider, self._adapter.parameters, request, self._max_tokens)
        model = await self._model(request)
        unsupported = self._without.setdefault(request.model_name, set())
        async with self._call_slots:
            started = time.perf_counter()
            for _ in range(_ATTEMPTS_MAX):
                mode = _answer_mode(request, unsupported, self._calls.has_json_schema(model))
                reply = await self._ask(model, request, settings, mode)
                if reply is not None:
                    return replace(reply, latency_ms=round((time.perf_counter() - started) * 1000, 1))
                unsupported.add(mode)
        raise CallRejected("the provider refused a tool call, a JSON schema and plain text")

    async def _ask(self, model: Any, request: ChatRequest, settings: dict[str, Any], mode: str) -> ChatReply | None:
        """Return the reply; None when the provider refuses this answer mode."""
        with anyio.move_on_after(self._timeout_seconds):
            try:
                reply: ChatReply = await self._calls.ask(model, request, settings, mode)
            except (RetryLater, CallRejected, PermanentFailure):
                raise
            except Exception as error:
                if mode != TEXT and _refuses(self._calls.error_reply(error), mode):
                    return None
                raise self._calls.error_for(error, request.model_name, self._now()) from None
            return reply
        raise RetryLater(f"the provider did not answer within {self._timeout_seconds:g} s")

    async def _model(self, request: ChatRequest) -> Any:
        key = (request.model_name, self._access.region_for(request))
        if key not in self._models:
            async with self._loading:
                if key not in self._models:
                    self._models[key] = await to_thread.run_sync(self._open, request)
        return self._models[key]

    def _open(self, request: ChatRequest) -> Any:
        try:
            self._calls = _load_library_call()
            return self._adapter.make_model(self._access, self._outgoing, self._timeout_seconds, request)
        except ImportError:
            raise PermanentFailure(
                f"{self._access.provider} needs libraries that are not installed where the engine runs: "
                f"pip install '{EXTRA}', then restart the engine"
            ) from None
        except (PermanentFailure, CallRejected, RetryLater):
            raise
        except Exception as error:
            # For example a profile, a region or a credentials file that a cloud's library cannot read.
            raise self._calls.error_for(error, request.model_name, self._now()) from None


def _load_library_call() -> ModuleType:
    # By name and not at the top: it imports the heavy libraries of the extra.
    return importlib.import_module("evaltasks.engine.providers.library_call")


def _answer_mode(request: ChatRequest, unsupported: set[str], has_json_schema: bool) -> str:
    if request.answer_schema is None:
        return TEXT
    modes = [TOOL_CALL, JSON_SCHEMA] if request.prefer_tool_call else [JSON_SCHEMA, TOOL_CALL]
    if not has_json_schema:
        modes.remove(JSON_SCHEMA)
    return next((mode for mode in modes if mode not in unsupported), TEXT)


def _refuses(reply: Any, mode: str) -> bool:
    if reply is None:
        return False
    feature = refused_feature(reply)
    return feature is (RequestFeature.TOOLS if mode == TOOL_CALL else RequestFeature.RESPONSE_FORMAT)
