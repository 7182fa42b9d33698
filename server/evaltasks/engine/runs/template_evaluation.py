"""`template_evaluation`: a judge evaluates each example itself; its label is the example's output.

Score and explanation are columns of the experiment run. If the configuration names the evaluator version that it was
copied from, the same values are also columns `eval.<name>.label`, `.score` and `.explanation`, so that they can be
filtered and compared with the evaluations of that evaluator's tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from evaltasks.api.evaluator_kinds import EvaluatorType, TemplateConfig
from evaltasks.api.models import InvocationParameters, LlmConfig
from evaltasks.api.problems import NotBuilt, NotFound, Problem, Unprocessable
from evaltasks.api.run_configurations import InputVariableFormat, TemplateEvaluation
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Failed, Outcome
from evaltasks.engine.evaluators.prompt import mustache_problems
from evaltasks.engine.evaluators.template_judge import judge_problems, make_template_evaluator
from evaltasks.engine.evaluators.template_rules import choice_problems, double_brace_problems
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.runs.example_work import as_permanent_failure, model_of, model_problem
from evaltasks.engine.runs.mapping import Columns, values_for
from evaltasks.engine.store.evaluators import find_evaluator, find_version
from evaltasks.engine.store.store import Transaction

_UNNAMED = "template_evaluation"


def judge_config(
    configuration: TemplateEvaluation, model_name: str, evaluation_name: str | None = None
) -> TemplateConfig:
    """Return the configuration in the form of an evaluator's; its placeholders stay in double braces."""
    return TemplateConfig(
        name=evaluation_name or _UNNAMED,
        template=configuration.template,
        include_explanations=configuration.provide_explanation,
        classification_choices=configuration.classification_choices or None,
        llm_config=LlmConfig(
            ai_integration_id=configuration.ai_integration_id,
            model_name=model_name,
            invocation_parameters=configuration.invocation_parameters or InvocationParameters(),
            provider_parameters=configuration.provider_parameters or {},
        ),
    )


class TemplateEvaluationWork:
    def __init__(
        self,
        evaluator: Evaluator,
        mapping: Mapping[str, str],
        origin: Mapping[str, str | None],
        rate_limit_key: str | None,
    ) -> None:
        self.rate_limit_key = rate_limit_key
        self._evaluator = evaluator
        self._mapping = mapping
        self._origin = {name: value for name, value in origin.items() if value}

    @classmethod
    async def open(
        cls, services: Services, providers: Providers, configuration: TemplateEvaluation
    ) -> TemplateEvaluationWork:
        """Create the judge.

        Raises:
            PermanentFailure: The judge cannot be called.
        """
        version_id = configuration.evaluator_version_id
        integration, model_name = await services.store.read_by_key(lambda tx: model_of(tx, configuration))
        # The template was copied from this version even if it was deleted since; only the evaluation name is lost then.
        version = await services.store.read_by_key(lambda tx: find_version(tx, version_id)) if version_id else None
        name = version.evaluation_name if version is not None else None
        config = judge_config(configuration, model_name, name)
        try:
            evaluator = make_template_evaluator(config, providers, integration, InputVariableFormat.MUSTACHE)
        except NotBuilt as missing:
            raise as_permanent_failure(missing) from missing
        origin = {"evaluator_version_id": version_id, "evaluation_name": name}
        rate_limit_key = None if integration.is_heuristic else integration.id
        return cls(evaluator, configuration.column_mapping or {}, origin, rate_limit_key)

    async def process(self, columns: Columns) -> Outcome:
        values = values_for(self._evaluator.variables, self._mapping, columns)
        if isinstance(values, Failed):
            return values
        outcome = await self._evaluator.evaluate(values)
        return replace(outcome, provenance={**outcome.provenance, **self._origin})

    def extra_columns(self, outcome: Outcome) -> dict[str, object]:
        if not isinstance(outcome, Evaluated) or (outcome.label is None and outcome.score is None):
            return {}
        result = {"score": outcome.score, "explanation": outcome.explanation}
        name = self._origin.get("evaluation_name")
        if name is None:
            return dict(result)
        return {
            **result,
            **{f"eval.{name}.{field}": value for field, value in {"label": outcome.label, **result}.items()},
        }


def template_evaluation_problems(
    tx: Transaction, configuration: TemplateEvaluation, space_id: str | None
) -> Iterator[Problem]:
    """Yield every problem of a configuration in a request."""
    no_model = model_problem(tx, configuration, space_id)
    if no_model is not None:
        yield no_model
    template_problems = [
        *double_brace_problems(configuration.template),
        *mustache_problems(configuration.template),
        *choice_problems(configuration.classification_choices),
    ]
    for text in template_problems:
        yield Unprocessable(f"run_configuration: {text}")
    if configuration.evaluator_version_id is not None:
        version = find_version(tx, configuration.evaluator_version_id)
        evaluator = find_evaluator(tx, version.evaluator_id) if version is not None else None
        if evaluator is None or (space_id is not None and evaluator.space_id != space_id):
            yield NotFound(
                "run_configuration.evaluator_version_id: there is no evaluator version with this id in this space"
            )
        elif evaluator.type != EvaluatorType.TEMPLATE:
            yield Unprocessable("run_configuration.evaluator_version_id is not a version of a template evaluator")
    if no_model is None and not template_problems:
        integration, model_name = model_of(tx, configuration)
        config = judge_config(configuration, model_name)
        for text in judge_problems(config, integration, InputVariableFormat.MUSTACHE):
            yield Unprocessable(f"run_configuration: {text}")
