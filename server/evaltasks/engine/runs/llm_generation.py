"""`llm_generation`: send the messages, filled from each example, to a model; its answer is the example's output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from evaltasks.api.problems import NotBuilt, Problem, Unprocessable
from evaltasks.api.run_configurations import InputVariableFormat, LlmGeneration
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome
from evaltasks.engine.evaluators.prompt import mustache_problems, render_messages, variables_of_messages
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.prices import cost_with
from evaltasks.engine.providers.provider import CallRejected, ChatReply, ChatRequest, Provider
from evaltasks.engine.runs.example_work import as_permanent_failure, model_of, model_problem
from evaltasks.engine.runs.mapping import Columns, values_for
from evaltasks.engine.store.store import Transaction


class LlmGenerationWork:
    def __init__(
        self, configuration: LlmGeneration, provider: Provider, provider_name: str, request: ChatRequest
    ) -> None:
        self.rate_limit_key: str | None = configuration.ai_integration_id
        self._configuration = configuration
        self._variables = variables_of_messages(configuration)
        self._provider = provider
        self._provider_name = provider_name
        self._request = request

    @classmethod
    async def open(cls, services: Services, providers: Providers, configuration: LlmGeneration) -> LlmGenerationWork:
        """Prepare the request.

        Raises:
            PermanentFailure: The model cannot be called.
        """
        integration, model_name = await services.store.read_by_key(lambda tx: model_of(tx, configuration))
        try:
            provider = providers.provider(integration)
        except NotBuilt as missing:
            raise as_permanent_failure(missing) from missing
        tools = configuration.tool_config or {}
        request = ChatRequest(
            model_name=model_name,
            messages=(),
            parameters=configuration.invocation_parameters.given() if configuration.invocation_parameters else {},
            tools=tools.get("tools"),
            tool_choice=tools.get("tool_choice"),
            provider_parameters=configuration.provider_parameters or {},
        )
        return cls(configuration, provider, str(integration.provider), request)

    async def process(self, columns: Columns) -> Outcome:
        """Send one request. The answer is the explanation of the outcome, because it is not a label."""
        values = values_for(self._variables, {}, columns)
        if isinstance(values, Failed):
            return values
        request = replace(self._request, messages=render_messages(self._configuration, values))
        provenance: dict[str, Any] = {"provider": self._provider_name, "model": request.model_name}
        if self._configuration.prompt_version_id:
            provenance["prompt_version_id"] = self._configuration.prompt_version_id
        try:
            reply = await self._provider.complete(request)
        except CallRejected as refusal:
            return Failed(refusal.reason, refusal.detail, provenance)
        return Evaluated(explanation=_output_text(reply), provenance={**provenance, **_usage(reply)})

    def extra_columns(self, outcome: Outcome) -> dict[str, object]:  # noqa: ARG002  no columns besides the output
        return {}


def generation_problems(tx: Transaction, configuration: LlmGeneration, space_id: str | None) -> Iterator[Problem]:
    """Yield every problem of a configuration in a request."""
    if (problem := model_problem(tx, configuration, space_id)) is not None:
        yield problem
    if configuration.input_variable_format is InputVariableFormat.MUSTACHE:
        for index, message in enumerate(configuration.messages):
            for text in mustache_problems(message.content or ""):
                yield Unprocessable(f"run_configuration.messages[{index}]: {text}")


def _output_text(reply: ChatReply) -> str:
    """Return the text of the model, or its tool calls as JSON if there is no text."""
    if reply.text or not reply.tool_calls:
        return reply.text
    return json.dumps(list(reply.tool_calls), ensure_ascii=False)


def _usage(reply: ChatReply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "latency_ms": reply.latency_ms,
        "cost_usd": cost_with(0.0, reply),
    }
