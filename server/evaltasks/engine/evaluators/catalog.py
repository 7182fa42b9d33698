"""Which evaluator judges by which version: a table by kind."""

from __future__ import annotations

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluators import CustomCodeConfig, EvaluatorVersion, ManagedCodeConfig, TemplateConfig
from evaltasks.api.problems import NotBuilt
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.engine.evaluators.custom import CustomCodeEvaluator
from evaltasks.engine.evaluators.heuristic import HeuristicEvaluator
from evaltasks.engine.evaluators.managed import ManagedCodeEvaluator
from evaltasks.engine.evaluators.outcome import Evaluator
from evaltasks.engine.evaluators.template import TemplateEvaluator
from evaltasks.engine.providers.catalog import Judges
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.sandbox import Sandbox


async def make_evaluator(
    version: EvaluatorVersion, judges: Judges, integration: AiIntegration | None, sandbox: Sandbox
) -> Evaluator:
    """An evaluator ready to judge rows. `integration` is the one a template version names, None for code.

    A CustomCodeEvaluator is to be closed when its rows are done.

    Raises PermanentFailure when this version can judge no row (its settings, a missing key), NotBuilt for a kind or a
    provider this engine does not have.
    """
    if version.template_config is not None:
        return make_template_evaluator(version.template_config, judges, integration)
    if isinstance(version.code_config, CustomCodeConfig):
        return CustomCodeEvaluator(version.code_config, sandbox)
    if isinstance(version.code_config, ManagedCodeConfig):
        try:
            return ManagedCodeEvaluator(version.code_config)
        except ValueError as error:
            raise PermanentFailure(str(error)) from None
    raise NotBuilt("The embedded engine does not call remote evaluators; use a template or a managed code evaluator.")


def make_template_evaluator(
    config: TemplateConfig,
    judges: Judges,
    integration: AiIntegration | None,
    format: InputVariableFormat = InputVariableFormat.F_STRING,
) -> Evaluator:
    """The same for a template alone, such as the MUSTACHE one of a run configuration. Raises as `make_evaluator`."""
    if integration is None:
        raise PermanentFailure("the AI integration that the evaluator names does not exist any more")
    if integration.is_heuristic:
        return HeuristicEvaluator(config, format)
    return TemplateEvaluator(
        config,
        judges.provider(integration),
        str(integration.provider),
        calls_tools=integration.function_calling_enabled,
        format=format,
    )
