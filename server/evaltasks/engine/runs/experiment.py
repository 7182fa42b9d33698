"""A task run that makes an experiment: each example's messages go to a model, its answer is the example's output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.problems import NotBuilt
from evaltasks.api.run_configurations import LlmGeneration, RunConfiguration
from evaltasks.api.task_runs import TriggerTaskRun
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome
from evaltasks.engine.evaluators.prompt import render_messages, variables_of_messages
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.providers.catalog import Judges
from evaltasks.engine.providers.prices import cost_with
from evaltasks.engine.providers.provider import Broken, ChatReply, ChatRequest, Provider, RefusedCall
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.job import Line
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.runs.mapping import example_columns, values_for
from evaltasks.engine.store.ai_integrations import find_integration
from evaltasks.engine.store.datasets import find_version
from evaltasks.engine.store.experiments import (
    NewExperimentRun,
    find_experiment,
    find_experiment_by_name,
    insert_experiment,
    insert_experiment_runs,
)
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.task_runs import add_task_run

_RUN_CONFIGURATION: TypeAdapter[RunConfiguration] = TypeAdapter(RunConfiguration)
_NO_LIMIT = -1


def select_examples(tx: Transaction, services: Services, claim: Claim, now_us: int) -> None:
    """Make the experiment, so that its id shows at once, and write one ledger line for each example.

    Raises Broken when the dataset version or the name is not to be had any more.
    """
    task, options = claim.task, claim.options
    row = tx.one("tasks.by_id", {"id": task.id})
    assert row is not None and task.dataset_id is not None and options.experiment_name is not None
    version = find_version(tx, task.dataset_id, options.dataset_version_id)
    if version is None:
        raise Broken("The dataset version this task run was triggered for is gone.")
    space_id, name = row["space_id"], options.experiment_name
    if find_experiment_by_name(tx, space_id=space_id, dataset_id=task.dataset_id, name=name) is not None:
        raise Broken("Another experiment of this dataset took the experiment's name before this task run started.")
    experiment_id = services.new_id("Experiment")
    insert_experiment(
        tx,
        experiment_id=experiment_id,
        space_id=space_id,
        name=name,
        now_us=now_us,
        dataset_id=task.dataset_id,
        dataset_version_id=version.id,
    )
    only = ALL_ROWS
    if options.query_filter:
        only = compile_filter(options.query_filter, Target.EXAMPLE, field="query_filter")
    chosen = {
        **only.values,
        "seq": claim.seq,
        "version_id": version.id,
        "example_ids": json.dumps(options.example_ids) if options.example_ids else None,
        "rows_max": options.max_examples or _NO_LIMIT,
    }
    lines = tx.run("ledger.select_examples", chosen, filter=only.sql)
    configuration = task.run_configuration
    assert configuration is not None
    plan = json.dumps({"run_configuration": configuration.model_dump(mode="json", exclude_none=True)})
    selected = {"num_selected": lines, "num_skipped": 0, "experiment_id": experiment_id, "plan": plan}
    tx.run("task_runs.selected", {"seq": claim.seq, **selected})
    if lines == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)


class ExperimentJob:
    def __init__(self, services: Services, judges: Judges, claim: Claim) -> None:
        configuration = _RUN_CONFIGURATION.validate_python(json.loads(claim.plan or "{}")["run_configuration"])
        # Other kinds are refused when the task is made.
        assert isinstance(configuration, LlmGeneration) and claim.experiment_id is not None
        self._services = services
        self._judges = judges
        self._claim = claim
        self._experiment_id = claim.experiment_id
        self._configuration = configuration
        self._variables = variables_of_messages(configuration)
        self._caller: tuple[Provider, ChatRequest, str] | None = None

    def lines(self, tx: Transaction, after_position: int, limit: int) -> Sequence[Line]:
        rows = tx.all("ledger.waiting_examples", {"seq": self._claim.seq, "after": after_position, "limit": limit})
        return [
            Line(
                position=row["position"],
                row_seq=row["row_seq"],
                row_id=row["row_id"],
                evaluator_id=None,
                evaluator_version_id=None,
                evaluation_name=None,
                columns=example_columns(row) if row["found"] is not None else None,
            )
            for row in rows
        ]

    async def do(self, line: Line) -> Outcome:
        """The model's answer comes as an explanation: text that is no verdict."""
        if line.columns is None:
            return Failed("the example was deleted before its turn")
        values = values_for(self._variables, {}, line.columns)
        if isinstance(values, Failed):
            return values
        provider, request, provider_name = self._caller or await self._make_caller()
        messages = render_messages(self._configuration, values)
        asked = ChatRequest(
            model_name=request.model_name,
            messages=messages,
            parameters=request.parameters,
            tools=request.tools,
            tool_choice=request.tool_choice,
            provider_parameters=request.provider_parameters,
        )
        provenance: dict[str, Any] = {"provider": provider_name, "model": request.model_name}
        try:
            reply = await provider.complete(asked)
        except RefusedCall as refusal:
            return Failed(refusal.reason, refusal.detail, provenance)
        return Evaluated(explanation=_text(reply), provenance={**provenance, **_measured(reply)})

    async def _make_caller(self) -> tuple[Provider, ChatRequest, str]:
        configuration = self._configuration

        def read(tx: Transaction) -> AiIntegration | None:
            return find_integration(tx, configuration.ai_integration_id)

        integration = await self._services.store.read_point(read)
        if integration is None:
            raise Broken("The AI integration that the run configuration names does not exist any more.")
        model_name = configuration.model_name or next(iter(integration.model_names or ()), None)
        if model_name is None:
            raise Broken("The run configuration names no model, and the AI integration has none to fall back on.")
        try:
            provider = self._judges.provider(integration)
        except NotBuilt as missing:
            raise Broken(missing.detail) from missing
        tools = configuration.tool_config or {}
        request = ChatRequest(
            model_name=model_name,
            messages=(),
            parameters=configuration.invocation_parameters.given() if configuration.invocation_parameters else {},
            tools=tools.get("tools"),
            tool_choice=tools.get("tool_choice"),
            provider_parameters=configuration.provider_parameters or {},
        )
        self._caller = (provider, request, str(integration.provider))
        return self._caller

    def keep(self, tx: Transaction, line: Line, outcome: Outcome, now_us: int) -> None:
        """One experiment run for each example, with the output or the error. Raises Broken without an experiment."""
        if find_experiment(tx, self._experiment_id) is None:
            raise Broken("The experiment was deleted while its experiment runs were being made.")
        is_answer = isinstance(outcome, Evaluated)
        columns = {name: value for name, value in outcome.provenance.items() if value is not None}
        columns |= {f"metadata.{key}": value for key, value in (self._claim.options.tracing_metadata or {}).items()}
        made = NewExperimentRun(
            id=self._services.new_row_id(),
            output=outcome.explanation if isinstance(outcome, Evaluated) else None,
            example_id=line.row_id,
            error=None if is_answer else getattr(outcome, "reason", None),
            columns=json.dumps(columns, ensure_ascii=False),
        )
        insert_experiment_runs(tx, self._experiment_id, [made], now_us)

    def complete(self, tx: Transaction, now_us: int) -> None:
        """Trigger the chained evaluation tasks on the new experiment; those deleted meanwhile are left out."""
        if find_experiment(tx, self._experiment_id) is None:
            return
        for task_id in dict.fromkeys(self._claim.options.evaluation_task_ids or ()):
            if tx.one("tasks.by_id", {"id": task_id}) is not None:
                add_task_run(
                    tx,
                    run_id=self._services.new_id("TaskRun"),
                    task_id=task_id,
                    options=TriggerTaskRun(experiment_ids=[self._experiment_id]),
                    now_us=now_us,
                )


def _text(reply: ChatReply) -> str:
    """What the model wrote, or its tool calls as JSON when it wrote nothing."""
    if reply.text or not reply.tool_calls:
        return reply.text
    return json.dumps(list(reply.tool_calls), ensure_ascii=False)


def _measured(reply: ChatReply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "latency_ms": reply.latency_ms,
        "cost_usd": cost_with(0.0, reply),
    }
