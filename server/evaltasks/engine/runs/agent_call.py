"""`agent_call`: call the user's agent with a request made from each example; its answer is the example's output.

The output is the value at the integration's `output_path` in the reply; without a path the member `output` of the
reply, or else the whole reply. Token counts are read from a `usage` object if the agent sends one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evaltasks.api.integrations import Integration
from evaltasks.api.problems import NotFound, Problem, Unprocessable
from evaltasks.api.run_configurations import AgentCall
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.input_template import CannotCast, columns_of, fill, template_problems
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome
from evaltasks.engine.evaluators.prompt import text_of
from evaltasks.engine.providers.agent import HttpAgent
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import CallRejected, PermanentFailure
from evaltasks.engine.runs.mapping import Columns, values_for
from evaltasks.engine.store.agent_integrations import find_agent
from evaltasks.engine.store.ai_integrations import find_integration
from evaltasks.engine.store.functions import lookup
from evaltasks.engine.store.scopings import is_usable_in
from evaltasks.engine.store.store import Transaction

_INDEX = re.compile(r"\[(\d+)\]")
_DETAIL_CHARS_MAX = 500
# The names that agents use for the two counts, ours first.
_TOKENS = {
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
}


class AgentCallWork:
    def __init__(self, configuration: AgentCall, integration: Integration, agent: HttpAgent) -> None:
        self._template = configuration.input_template
        self._columns = columns_of(configuration.input_template)
        self.rate_limit_key: str | None = integration.id
        self._integration = integration
        self._agent = agent

    @classmethod
    async def open(cls, services: Services, providers: Providers, configuration: AgentCall) -> AgentCallWork:
        """Find the agent.

        Raises:
            PermanentFailure: The agent integration no longer exists.
        """
        integration = await services.store.read_by_key(lambda tx: find_agent(tx, configuration.integration_id))
        if integration is None:
            raise PermanentFailure("The agent integration of the run configuration no longer exists.")
        return cls(configuration, integration, providers.agent(integration))

    async def process(self, columns: Columns) -> Outcome:
        config = self._integration.config
        provenance: dict[str, Any] = {"agent": self._integration.name, "integration_id": self._integration.id}
        try:
            body = fill(self._template, config.input_schema, {name: _value(name, columns) for name in self._columns})
        except CannotCast as error:
            return Failed(error.reason, error.detail)
        try:
            reply = await self._agent.call(body)
        except CallRejected as refusal:
            return Failed(refusal.reason, refusal.detail, provenance)
        provenance |= {"latency_ms": reply.latency_ms, **_tokens(reply.document)}
        output, missing = _output(reply.document, config.output_path)
        if output is None:
            return Failed(missing, text_of(reply.document)[:_DETAIL_CHARS_MAX], provenance)
        return Evaluated(explanation=text_of(output), provenance=provenance)

    def extra_columns(self, outcome: Outcome) -> dict[str, object]:  # noqa: ARG002  no columns besides the output
        return {}


def agent_call_problems(tx: Transaction, configuration: AgentCall, space_id: str | None) -> Iterator[Problem]:
    """Yield every problem of a configuration in a request."""
    agent = find_agent(tx, configuration.integration_id)
    if agent is not None and (space_id is None or is_usable_in(agent, space_id)):
        for text in template_problems(configuration.input_template, agent.config.input_schema):
            yield Unprocessable(f"run_configuration.{text}")
    elif find_integration(tx, configuration.integration_id) is not None:
        yield Unprocessable("run_configuration.integration_id is an AI integration; agent_call needs one of type AGENT")
    else:
        yield NotFound(
            "run_configuration.integration_id: there is no agent integration with this id, or it is not for this space"
        )


def _value(name: str, columns: Columns) -> object:
    values = values_for([name], {}, columns)
    return None if isinstance(values, Failed) else values[name]


def _output(document: Any, path: str | None) -> tuple[object, str]:
    """Return the output in the agent's reply, or None and why there is none."""
    if path is not None:
        return lookup(document, _INDEX.sub(r".\1", path)), f"the agent's reply has nothing at output_path '{path[:80]}'"
    if isinstance(document, dict) and "output" in document:
        document = document["output"]
    return document, "the agent's reply is empty"


def _tokens(document: Any) -> dict[str, int]:
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return {}
    counts = {ours: next((usage[name] for name in names if name in usage), None) for ours, names in _TOKENS.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int) and not isinstance(count, bool)}
