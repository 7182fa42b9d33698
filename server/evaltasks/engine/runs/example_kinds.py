"""The table of run configurations: for each kind its rules, and the work that it does with one example."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from evaltasks.api.problems import Problem
from evaltasks.api.run_configurations import AgentCall, LlmGeneration, RunConfigurationBase, TemplateEvaluation
from evaltasks.engine.call import Services
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.runs.agent_call import AgentCallWork, agent_call_problems
from evaltasks.engine.runs.example_work import ExampleWork
from evaltasks.engine.runs.llm_generation import LlmGenerationWork, generation_problems
from evaltasks.engine.runs.template_evaluation import TemplateEvaluationWork, template_evaluation_problems
from evaltasks.engine.store.store import Transaction


@dataclass(frozen=True)
class ExampleKind:
    """How one kind of run configuration is validated and executed.

    Attributes:
        open: Prepares the work of a task run. Raises PermanentFailure if no example can be processed.
        problems: Yields every problem of a configuration in a request. It gets the id of the task's space, or None if
            the space is unknown.
    """

    open: Callable[[Services, Providers, Any], Awaitable[ExampleWork]]
    problems: Callable[[Transaction, Any, str | None], Iterable[Problem]]


_ROWS: dict[type[RunConfigurationBase], ExampleKind] = {
    LlmGeneration: ExampleKind(LlmGenerationWork.open, generation_problems),
    TemplateEvaluation: ExampleKind(TemplateEvaluationWork.open, template_evaluation_problems),
    AgentCall: ExampleKind(AgentCallWork.open, agent_call_problems),
}
EXAMPLE_KINDS: dict[str, ExampleKind] = {kind.tag(): row for kind, row in _ROWS.items()}
