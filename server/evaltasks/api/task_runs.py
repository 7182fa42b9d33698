"""Task runs: asynchronous jobs of a task, from pending to completed, failed or cancelled."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evaltasks.api.experiments import ExperimentName
from evaltasks.api.wire import (
    CaseInsensitive,
    JsonObject,
    ListQuery,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    RowQuery,
    Timestamp,
    WireEnum,
)


class TaskRunStatus(WireEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


# An unknown status is not terminal: a waiting client keeps waiting.
TERMINAL_STATUSES = frozenset({TaskRunStatus.COMPLETED, TaskRunStatus.FAILED, TaskRunStatus.CANCELLED})


# The largest count that every store supports.
RowCount = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TriggerTaskRun(RequestModel):
    """Trigger a task run. The engine checks which field belongs to which task type."""

    data_start_time: Timestamp | None = None
    data_end_time: Timestamp | None = None
    max_spans: RowCount | None = None
    override_evaluations: bool | None = None
    experiment_ids: list[NonBlank] | None = None
    experiment_name: ExperimentName | None = None
    dataset_version_id: str | None = None
    example_ids: list[NonBlank] | None = None
    max_examples: RowCount | None = None
    query_filter: str | None = None
    tracing_metadata: dict[str, str] | None = None
    evaluation_task_ids: list[NonBlank] | None = None


class TaskRun(ResponseModel):
    """A task run. It counts evaluations (one row under one evaluator), or examples for run_experiment.

    Only in evaltasks: `num_selected` is the total once it is known. `chained_task_run_ids` are the task runs of
    evaluation tasks that the completed experiment triggered; they are set when this task run is completed.
    """

    id: str
    task_id: str
    status: OpenEnum[TaskRunStatus]
    run_started_at: Timestamp | None = None
    run_finished_at: Timestamp | None = None
    data_start_time: Timestamp | None = None
    data_end_time: Timestamp | None = None
    num_successes: int = 0
    num_errors: int = 0
    num_skipped: int = 0
    num_selected: int | None = None
    experiment_id: str | None = None
    failure_reason: str | None = None
    chained_task_run_ids: list[str] | None = None
    created_at: Timestamp
    created_by_user_id: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL_STATUSES

    @property
    def num_done(self) -> int:
        """The number of rows with an outcome."""
        return self.num_successes + self.num_errors + self.num_skipped


class TaskRunPage(Page):
    task_runs: list[TaskRun]


class ListTaskRuns(ListQuery):
    status: CaseInsensitive[TaskRunStatus] | None = None


class RowOutcome(WireEnum):
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


class TaskRunRow(ResponseModel):
    """The outcome of one row under one evaluator (an operation of evaltasks only).

    `row_kind` is span, trace, session, experiment_run or example; `row_id` is its id. `reason` is why a row failed or
    was skipped, in fixed sentences by which rows can be grouped. `explanation` and `detail` are untrusted text of a
    judge or provider. `provenance` holds the evaluator version, kind of judge, model, tokens and latency.
    """

    row_kind: str
    row_id: str
    trace_id: str | None = None
    evaluator_id: str | None = None
    evaluator_version_id: str | None = None
    evaluation_name: str | None = None
    outcome: OpenEnum[RowOutcome]
    label: str | None = None
    score: float | None = None
    explanation: str | None = None
    reason: str | None = None
    detail: str | None = None
    provenance: JsonObject | None = None
    recorded_at: Timestamp | None = None


class TaskRunRowPage(Page):
    task_run_rows: list[TaskRunRow]


class ListTaskRunRows(RowQuery):
    outcome: CaseInsensitive[RowOutcome] | None = None
    evaluator_id: str | None = None
