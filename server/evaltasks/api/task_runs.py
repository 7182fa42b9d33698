"""Task runs: one asynchronous job of a task, from pending to one of three ends."""

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


# A status no one has heard of is not an end: a waiting client goes on waiting.
TERMINAL_STATUSES = frozenset({TaskRunStatus.COMPLETED, TaskRunStatus.FAILED, TaskRunStatus.CANCELLED})


# What any store can count to.
RowCount = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TriggerTaskRun(RequestModel):
    """The body of a trigger; which field belongs to which task type is judged by the engine."""

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
    """Counts are of evaluations (one row times one evaluator), or of examples for run_experiment.

    Evaltasks' own additions: `num_selected` is how many the run will do in all, once that is known;
    `chained_task_run_ids` are the task runs of evaluation tasks that the completion of an experiment triggered, there
    from the moment on at which this task run is completed.
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
        return self.status in TERMINAL_STATUSES

    @property
    def num_done(self) -> int:
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
    """What became of one row under one evaluator (evaltasks' own operation).

    `row_kind` is span, trace, session, experiment_run or example; `row_id` its id. `reason` says why a row is an error
    or was skipped, in our words, so that rows can be grouped by it. `explanation` and `detail` are a judge's or
    provider's words: untrusted. `provenance` tells evaluator version, kind of judge, model, tokens and latency.
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
