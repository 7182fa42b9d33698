"""The job of a run_experiment task: make an experiment with one experiment run for each example."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import TypeAdapter

from evaltasks.api.run_configurations import Resource, RunConfiguration
from evaltasks.api.task_runs import TriggerTaskRun
from evaltasks.engine.call import Services
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.runs.claims import Claim, end
from evaltasks.engine.runs.example_kinds import EXAMPLE_KINDS
from evaltasks.engine.runs.example_work import ExampleWork
from evaltasks.engine.runs.job import LedgerRow
from evaltasks.engine.runs.lifecycle import Step
from evaltasks.engine.runs.mapping import example_columns
from evaltasks.engine.store import ledger
from evaltasks.engine.store.datasets import find_version
from evaltasks.engine.store.experiments import (
    NewExperimentRun,
    find_experiment,
    find_experiment_by_name,
    insert_experiment,
    insert_experiment_runs,
)
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.task_runs import add_task_run, set_chained_task_runs, set_selected
from evaltasks.engine.store.tasks import task_row

_RUN_CONFIGURATION: TypeAdapter[RunConfiguration] = TypeAdapter(RunConfiguration)


def select_examples(tx: Transaction, services: Services, claim: Claim, now_us: int) -> None:
    """Create the experiment, so that its id is known at once, and write one ledger row for each example.

    Raises:
        PermanentFailure: The dataset version is gone, or the name of the experiment is taken.
    """
    task, options = claim.task, claim.options
    row = task_row(tx, task.id)
    assert row is not None and task.dataset_id is not None and options.experiment_name is not None
    version = find_version(tx, task.dataset_id, options.dataset_version_id)
    if version is None:
        raise PermanentFailure("The dataset version of this task run no longer exists.")
    space_id, name = row["space_id"], options.experiment_name
    if find_experiment_by_name(tx, space_id=space_id, dataset_id=task.dataset_id, name=name) is not None:
        raise PermanentFailure(
            "The name of the experiment was taken by another experiment of the dataset before this task run started."
        )
    configuration = task.run_configuration
    assert configuration is not None
    experiment_id = services.new_id("Experiment")
    insert_experiment(
        tx,
        experiment_id=experiment_id,
        space_id=space_id,
        name=name,
        now_us=now_us,
        dataset_id=task.dataset_id,
        dataset_version_id=version.id,
        integration_id=configuration.id_of(Resource.AGENT_INTEGRATION),
    )
    compiled = ALL_ROWS
    if options.query_filter:
        compiled = compile_filter(options.query_filter, Target.EXAMPLE, field="query_filter")
    num_rows = ledger.insert_examples(
        tx,
        claim.seq,
        version.id,
        example_ids=options.example_ids,
        example_filter=compiled,
        limit=options.max_examples,
    )
    plan = json.dumps({"run_configuration": configuration.model_dump(mode="json", exclude_none=True)})
    set_selected(tx, claim.seq, num_selected=num_rows, num_skipped=0, plan=plan, experiment_id=experiment_id)
    if num_rows == 0:
        end(tx, claim, Step.COMPLETE, None, now_us)


class ExperimentJob:
    def __init__(self, services: Services, providers: Providers, claim: Claim) -> None:
        assert claim.experiment_id is not None
        self._services = services
        self._providers = providers
        self._claim = claim
        self._experiment_id = claim.experiment_id
        self._configuration = _RUN_CONFIGURATION.validate_python(json.loads(claim.plan or "{}")["run_configuration"])
        self._work: ExampleWork | None = None

    def pending_rows(self, tx: Transaction, after_position: int, limit: int) -> Sequence[LedgerRow]:
        rows = ledger.pending_rows(tx, "example", self._claim.seq, after_position=after_position, limit=limit)
        return [
            LedgerRow(
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

    async def rate_limit_key(self, ledger_row: LedgerRow) -> str | None:  # noqa: ARG002  the same for all examples
        return (await self._opened_work()).rate_limit_key

    async def process(self, ledger_row: LedgerRow) -> Outcome:
        if ledger_row.columns is None:
            return Failed("the example was deleted before it was processed")
        return await (await self._opened_work()).process(ledger_row.columns)

    async def _opened_work(self) -> ExampleWork:
        """Return the work, which is opened for the first row; several workers may open it at the same time."""
        if self._work is None:
            self._work = await self._open()
        return self._work

    async def _open(self) -> ExampleWork:
        kind = EXAMPLE_KINDS[self._configuration.experiment_type]
        return await kind.open(self._services, self._providers, self._configuration)

    def persist(self, tx: Transaction, ledger_row: LedgerRow, outcome: Outcome, now_us: int) -> None:
        """Store one experiment run for the example, with the output or the error.

        Raises:
            PermanentFailure: The experiment was deleted.
        """
        if find_experiment(tx, self._experiment_id) is None:
            raise PermanentFailure("The experiment was deleted while its experiment runs were being made.")
        columns = {name: value for name, value in outcome.provenance.items() if value is not None}
        if self._work is not None:
            columns |= self._work.extra_columns(outcome)
        if isinstance(outcome, Failed) and outcome.detail:
            columns["error_detail"] = outcome.detail
        columns |= {f"metadata.{key}": value for key, value in (self._claim.options.tracing_metadata or {}).items()}
        experiment_run = NewExperimentRun(
            id=self._services.new_row_id(),
            output=_output(outcome),
            example_id=ledger_row.row_id,
            error=None if isinstance(outcome, Evaluated) else outcome.reason,
            columns=json.dumps(columns, ensure_ascii=False),
        )
        insert_experiment_runs(tx, self._experiment_id, [experiment_run], now_us)

    def complete(self, tx: Transaction, now_us: int) -> None:
        """Trigger the chained evaluation tasks on the new experiment; deleted tasks are skipped."""
        if find_experiment(tx, self._experiment_id) is None:
            return
        chained = []
        for task_id in dict.fromkeys(self._claim.options.evaluation_task_ids or ()):
            if task_row(tx, task_id) is not None:
                run_id = self._services.new_id("TaskRun")
                options = TriggerTaskRun(experiment_ids=[self._experiment_id])
                add_task_run(tx, run_id=run_id, task_id=task_id, options=options, now_us=now_us)
                chained.append(run_id)
        if chained:
            set_chained_task_runs(tx, self._claim.seq, chained)

    async def close(self) -> None:
        """Does nothing: there are no resources to release."""


def _output(outcome: Outcome) -> str | None:
    if not isinstance(outcome, Evaluated):
        return None
    return outcome.label if outcome.label is not None else outcome.explanation
