"""The table of the evaluator kinds that the embedded engine runs: one row a kind."""

from __future__ import annotations

from collections.abc import Mapping

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluator_kinds import CUSTOM, MANAGED, TEMPLATE, ConfigFacts, EvaluatorKind, ManagedCodeConfig
from evaltasks.api.problems import NotBuilt
from evaltasks.engine.evaluators.custom import CustomCodeEvaluator, problems_of_custom
from evaltasks.engine.evaluators.managed import ManagedCodeEvaluator, problems_of_managed
from evaltasks.engine.evaluators.outcome import Evaluator
from evaltasks.engine.evaluators.runner import Resources, RunnableKind, Runner
from evaltasks.engine.evaluators.template_judge import judge_problems, make_template_evaluator, problems_of_template
from evaltasks.engine.evaluators.template_rules import repairs_of_template
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.sandbox import Sandbox


async def _problems_of_managed(config: ManagedCodeConfig, _sandbox: Sandbox) -> list[str]:
    return problems_of_managed(config)


RUNNERS: Mapping[str, Runner] = {
    TEMPLATE.tag: Runner(
        problems=problems_of_template,
        make=lambda config, resources: make_template_evaluator(config, resources.providers, resources.integration),
        judge_problems=judge_problems,
        repairs=repairs_of_template,
    ),
    MANAGED.tag: Runner(
        problems=_problems_of_managed,
        make=lambda config, _resources: ManagedCodeEvaluator(config),
    ),
    CUSTOM.tag: Runner(
        problems=problems_of_custom,
        make=lambda config, resources: CustomCodeEvaluator(config, resources.sandbox),
    ),
}


def runner_for(version: ConfigFacts) -> Runner:
    """Return the engine's part of a version's kind.

    Raises:
        NotBuilt: This engine does not run evaluators of this kind.
    """
    if version.config is None:
        raise NotBuilt("The embedded engine does not run REMOTE evaluators; use a TEMPLATE or CODE evaluator.")
    runner = None if version.kind is None else _runner(version.kind)
    if runner is None:
        tag = getattr(version.config, "type", None)
        raise NotBuilt(
            f"The embedded engine does not run evaluators of type '{tag}'; install the package that provides this type."
        )
    return runner


def _runner(kind: EvaluatorKind) -> Runner | None:
    return kind.runner if isinstance(kind, RunnableKind) else RUNNERS.get(kind.tag)


async def make_evaluator(
    version: ConfigFacts, providers: Providers, integration: AiIntegration | None, sandbox: Sandbox
) -> Evaluator:
    """Return an evaluator for the rows of one task run. The caller closes it.

    Args:
        version: The evaluator version.
        providers: The clients of the providers of language models.
        integration: The AI integration that a template names; None for code, or if it was deleted.
        sandbox: Runs the code of custom evaluators.

    Raises:
        PermanentFailure: This version cannot evaluate any row, because of its settings or a missing key.
        NotBuilt: This engine has no such kind of evaluator, or no such provider.
    """
    runner = runner_for(version)
    try:
        return runner.make(version.config, Resources(providers, integration, sandbox))
    except ValueError as error:
        raise PermanentFailure(str(error)) from None
