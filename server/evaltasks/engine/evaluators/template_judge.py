"""The judge of a template: a language model, or the heuristic that needs none."""

from __future__ import annotations

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.engine.evaluators.heuristic import HeuristicEvaluator
from evaltasks.engine.evaluators.outcome import Evaluator
from evaltasks.engine.evaluators.template import TemplateEvaluator
from evaltasks.engine.evaluators.template_rules import template_problems
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.sandbox import Sandbox


def make_template_evaluator(
    config: TemplateConfig,
    providers: Providers,
    integration: AiIntegration | None,
    format: InputVariableFormat = InputVariableFormat.F_STRING,
) -> Evaluator:
    """Return an evaluator for a template.

    Args:
        config: The template, of an evaluator version or of a run configuration.
        providers: The clients of the providers.
        integration: The AI integration that the template names; None if it was deleted.
        format: How the template marks its variables; MUSTACHE in a run configuration.

    Raises:
        PermanentFailure: The template cannot be judged, because of its settings or a missing key.
        NotBuilt: This engine does not have the provider.
    """
    if integration is None:
        raise PermanentFailure("the AI integration that the evaluator names does not exist any more")
    if integration.is_heuristic:
        return HeuristicEvaluator(config, format)
    return TemplateEvaluator(
        config,
        providers.provider(integration),
        str(integration.provider),
        calls_tools=integration.function_calling_enabled,
        format=format,
    )


async def problems_of_template(config: TemplateConfig, _sandbox: Sandbox) -> list[str]:
    """Return a sentence for everything that prevents a template from being judged; empty if it is valid."""
    return template_problems(config)


def judge_problems(
    config: TemplateConfig, integration: AiIntegration, format: InputVariableFormat = InputVariableFormat.F_STRING
) -> list[str]:
    """Return what the integration's judge cannot judge. Only the heuristic is limited to certain templates."""
    if not integration.is_heuristic:
        return []
    try:
        HeuristicEvaluator(config, format)
    except PermanentFailure as failure:
        return [failure.reason]
    return []
