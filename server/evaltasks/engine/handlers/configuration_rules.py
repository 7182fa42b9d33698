"""What a run configuration must hold to be able to run, and what it may refer to."""

from __future__ import annotations

from evaltasks.api.ai_integrations import AiIntegration, Provider
from evaltasks.api.evaluators import EvaluatorType
from evaltasks.api.run_configurations import (
    AgentCall,
    InputVariableFormat,
    LlmGeneration,
    RunConfiguration,
    TemplateEvaluation,
)
from evaltasks.engine.evaluators.heuristic import HeuristicEvaluator
from evaltasks.engine.evaluators.input_template import normalized, template_problems
from evaltasks.engine.evaluators.prompt import mustache_problems
from evaltasks.engine.evaluators.template_rules import choice_problems, double_brace_problems
from evaltasks.engine.handlers.ai_integrations import sees
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs.example_judging import judge_config
from evaltasks.engine.store.agent_integrations import find_agent
from evaltasks.engine.store.ai_integrations import find_integration
from evaltasks.engine.store.evaluators import find_evaluator, find_version
from evaltasks.engine.store.store import Transaction

_WHERE = "run_configuration"


def validate_configuration(
    tx: Transaction, configuration: RunConfiguration, space_id: str | None, problems: ProblemList
) -> None:
    """Adds everything that is wrong; without a space (which is wrong by itself) the scope is not judged."""
    match configuration:
        case LlmGeneration():
            _integration(tx, configuration, space_id, problems)
            if configuration.input_variable_format is InputVariableFormat.MUSTACHE:
                for index, message in enumerate(configuration.messages):
                    for problem in mustache_problems(message.content or ""):
                        problems.unprocessable(f"{_WHERE}.messages[{index}]: {problem}")
        case TemplateEvaluation():
            _validate_template(tx, configuration, space_id, problems)
        case AgentCall():
            _validate_agent_call(tx, configuration, space_id, problems)


def as_stored(configuration: RunConfiguration | None) -> RunConfiguration | None:
    """As it is kept and read back: placeholders of an input_template without their optional `dataset.`."""
    if not isinstance(configuration, AgentCall):
        return configuration
    return configuration.model_copy(update={"input_template": normalized(configuration.input_template)})


def _integration(
    tx: Transaction, configuration: LlmGeneration | TemplateEvaluation, space_id: str | None, problems: ProblemList
) -> AiIntegration | None:
    integration = find_integration(tx, configuration.ai_integration_id)
    if integration is None or (space_id is not None and not sees(integration, space_id)):
        problems.not_found(
            f"{_WHERE}.ai_integration_id: there is no AI integration with this id, or it is not for this space"
        )
        return None
    if not configuration.model_name and not integration.model_names:
        problems.unprocessable(f"{_WHERE}.model_name is needed: the AI integration names no model to fall back on")
        return None
    return integration


def _validate_template(
    tx: Transaction, configuration: TemplateEvaluation, space_id: str | None, problems: ProblemList
) -> None:
    integration = _integration(tx, configuration, space_id, problems)
    said = [
        *double_brace_problems(configuration.template),
        *mustache_problems(configuration.template),
        *choice_problems(configuration.classification_choices),
    ]
    for problem in said:
        problems.unprocessable(f"{_WHERE}: {problem}")
    if configuration.evaluator_version_id is not None:
        version = find_version(tx, configuration.evaluator_version_id)
        evaluator = find_evaluator(tx, version.evaluator_id) if version is not None else None
        if evaluator is None or (space_id is not None and evaluator.space_id != space_id):
            problems.not_found(
                f"{_WHERE}.evaluator_version_id: there is no evaluator version with this id in this space"
            )
        elif evaluator.type != EvaluatorType.TEMPLATE:
            problems.unprocessable(f"{_WHERE}.evaluator_version_id is not a version of a template evaluator")
    if integration is not None and integration.provider is Provider.HEURISTIC and not said:
        model_name = configuration.model_name or (integration.model_names or [""])[0]
        try:
            HeuristicEvaluator(judge_config(configuration, model_name), InputVariableFormat.MUSTACHE)
        except PermanentFailure as broken:
            problems.unprocessable(f"{_WHERE}: {broken.reason}")


def _validate_agent_call(
    tx: Transaction, configuration: AgentCall, space_id: str | None, problems: ProblemList
) -> None:
    agent = find_agent(tx, configuration.integration_id)
    if agent is not None and (space_id is None or sees(agent, space_id)):
        for problem in template_problems(configuration.input_template, agent.config.input_schema):
            problems.unprocessable(f"{_WHERE}.{problem}")
    elif find_integration(tx, configuration.integration_id) is not None:
        problems.unprocessable(f"{_WHERE}.integration_id is an AI integration; agent_call needs one of type AGENT")
    else:
        problems.not_found(
            f"{_WHERE}.integration_id: there is no agent integration with this id, or it is not for this space"
        )
