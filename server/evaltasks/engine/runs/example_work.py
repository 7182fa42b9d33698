"""What a run_experiment task does with one example, whatever its kind."""

from __future__ import annotations

from typing import Protocol

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.problems import NotBuilt, NotFound, Problem, Unprocessable
from evaltasks.api.run_configurations import LlmGeneration, TemplateEvaluation
from evaltasks.engine.evaluators.outcome import Outcome
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs.mapping import Columns
from evaltasks.engine.store.ai_integrations import find_integration
from evaltasks.engine.store.scopings import is_usable_in
from evaltasks.engine.store.store import Transaction


class ExampleWork(Protocol):
    """`asks` is the id of the integration that has to answer, None when no one outside has to."""

    asks: str | None

    async def process(self, columns: Columns) -> Outcome:
        """The example's output is what was Evaluated: its label, or its explanation where there is none.

        An outcome has provenance when somebody was asked for it, and only then.

        Raises RetryLater when the other side asks to wait, PermanentFailure when no example can be done.
        """
        ...

    def columns_of(self, outcome: Outcome) -> dict[str, object]:
        """What is on the experiment run beside output, error and provenance."""
        ...


def model_of(tx: Transaction, configuration: LlmGeneration | TemplateEvaluation) -> tuple[AiIntegration, str]:
    """The AI integration a configuration names, and its model or the integration's first. Raises PermanentFailure."""
    integration = find_integration(tx, configuration.ai_integration_id)
    if integration is None:
        raise PermanentFailure("The AI integration that the run configuration names does not exist any more.")
    model_name = configuration.model_name or next(iter(integration.model_names or ()), None)
    if model_name is None:
        raise PermanentFailure("The run configuration names no model, and the AI integration has none to fall back on.")
    return integration, model_name


def model_problem(
    tx: Transaction, configuration: LlmGeneration | TemplateEvaluation, space_id: str | None
) -> Problem | None:
    """Why `model_of` would fail for a configuration in a request, or None."""
    integration = find_integration(tx, configuration.ai_integration_id)
    if integration is None or (space_id is not None and not is_usable_in(integration, space_id)):
        return NotFound(
            "run_configuration.ai_integration_id: there is no AI integration with this id, or it is not for this space"
        )
    if not configuration.model_name and not integration.model_names:
        return Unprocessable(
            "run_configuration.model_name is needed: the AI integration names no model to fall back on"
        )
    return None


def as_broken(missing: NotBuilt) -> PermanentFailure:
    """What is not built fails the task run, in the words that a request for it would have got."""
    return PermanentFailure(missing.detail)
