"""The work of a run_experiment task on one example: the interface of all kinds, and what several kinds share."""

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
    """The work of one task run.

    Attributes:
        rate_limit_key: The id of the integration that is called; None if no provider is called.
    """

    rate_limit_key: str | None

    async def process(self, columns: Columns) -> Outcome:
        """Process one example.

        Returns:
            The outcome. The example's output is the label, or the explanation if there is no label. An outcome has
            provenance if and only if a provider or an agent was called.

        Raises:
            RetryLater: The other side asks to wait.
            PermanentFailure: No example can be processed.
        """
        ...

    def extra_columns(self, outcome: Outcome) -> dict[str, object]:
        """Return the columns of the experiment run besides output, error and provenance."""
        ...


def model_of(tx: Transaction, configuration: LlmGeneration | TemplateEvaluation) -> tuple[AiIntegration, str]:
    """Return the AI integration of a configuration, and its model or the first model of the integration.

    Raises:
        PermanentFailure: The integration does not exist, or there is no model.
    """
    integration = find_integration(tx, configuration.ai_integration_id)
    if integration is None:
        raise PermanentFailure("The AI integration of the run configuration no longer exists.")
    model_name = configuration.model_name or next(iter(integration.model_names or ()), None)
    if model_name is None:
        raise PermanentFailure("The run configuration names no model, and the AI integration has no default model.")
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
        return Unprocessable("run_configuration.model_name is required: the AI integration has no default model")
    return None


def as_permanent_failure(missing: NotBuilt) -> PermanentFailure:
    """Convert to a failure of the task run, with the message that a request would have got."""
    return PermanentFailure(missing.detail)
