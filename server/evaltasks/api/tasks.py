"""Tasks: what to evaluate with what, or what to run over a dataset."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from evaltasks.api.run_configurations import ReadConfiguration, RunConfiguration
from evaltasks.api.wire import (
    Folded,
    Lenient,
    ListQuery,
    Moment,
    Name,
    NonBlank,
    Page,
    Read,
    WireEnum,
    Written,
)


class TaskType(WireEnum):
    TEMPLATE_EVALUATION = "TEMPLATE_EVALUATION"
    CODE_EVALUATION = "CODE_EVALUATION"
    RUN_EXPERIMENT = "RUN_EXPERIMENT"

    @property
    def evaluates(self) -> bool:
        """True for the two evaluation types."""
        return self is not TaskType.RUN_EXPERIMENT


class QueryId(WireEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


class NamedFilter(Written):
    id: Folded[QueryId]
    filter: NonBlank


class QueryFilters(Written):
    """The trace and session shape of a filter: up to five named ones and how they are combined (`A AND B`)."""

    filters: list[NamedFilter] = Field(min_length=1, max_length=5)
    expression: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> QueryFilters:
        ids = [named.id for named in self.filters]
        if len(set(ids)) != len(ids):
            raise ValueError("query_filters: each id A–E may be used once")
        if len(ids) > 1 and not (self.expression or "").strip():
            raise ValueError("query_filters: an expression such as 'A AND B' is required from two filters on")
        return self


class QueryMapping(Written):
    variable_name: NonBlank
    query_ids: list[Folded[QueryId]] = Field(default_factory=list)
    attribute_path: NonBlank


class EvaluatorAttachment(Written):
    """One evaluator of a task. `evaluator_version_id` pins a version; without it the latest is used.

    `query_filter` is AND-ed with the task's. `column_mappings` maps template variable → column (span shape);
    `query_mappings` does so for the trace and session shape; the two exclude each other, which the engine judges.
    """

    evaluator_id: NonBlank
    evaluator_version_id: str | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = Field(default=None, min_length=1, max_length=50)

    @property
    def trace_shaped(self) -> bool:
        return self.query_mappings is not None


SamplingRate = Annotated[float, Field(ge=0, le=1)]


class CreateTask(Written):
    """The body of all three ways to create a task; which field belongs to which type is judged by the engine."""

    name: Name
    type: Folded[TaskType]
    evaluators: list[EvaluatorAttachment] | None = None
    project_id: str | None = None
    dataset_id: str | None = None
    experiment_ids: list[NonBlank] | None = None
    sampling_rate: SamplingRate | None = None
    is_continuous: bool | None = None
    query_filter: str | None = None
    query_filters: QueryFilters | None = None
    run_configuration: RunConfiguration | None = None


class UpdateTask(Written):
    """Absent is unchanged. `query_filter: null` (or "") clears the filter; lists and configurations are replaced."""

    name: Name | None = None
    sampling_rate: SamplingRate | None = None
    is_continuous: bool | None = None
    query_filter: str | None = None
    query_filters: QueryFilters | None = None
    evaluators: list[EvaluatorAttachment] | None = None
    run_configuration: RunConfiguration | None = None


class TaskEvaluator(Read):
    evaluator_id: str
    evaluator_name: str | None = None
    evaluator_version_id: str | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = None


class Task(Read):
    """Evaltasks' own addition: `projected_rows_per_day`, when a single project task is read, is how many rows it would
    evaluate in a day as a continuous task, going by the spans of the last 24 hours, its filters and its sampling rate.
    """

    id: str
    name: str
    type: Lenient[TaskType]
    project_id: str | None = None
    dataset_id: str | None = None
    is_continuous: bool = False
    sampling_rate: float | None = None
    query_filter: str | None = None
    query_filters: QueryFilters | None = None
    evaluators: list[TaskEvaluator] = Field(default_factory=list)
    experiment_ids: list[str] = Field(default_factory=list)
    run_configuration: ReadConfiguration | None = None
    last_run_at: Moment | None = None
    projected_rows_per_day: int | None = None
    created_at: Moment
    updated_at: Moment
    created_by_user_id: str | None = None

    @property
    def evaluates(self) -> bool:
        """True for the two evaluation types; a type this client has never heard of counts as evaluating."""
        return self.type != TaskType.RUN_EXPERIMENT


class TaskPage(Page):
    tasks: list[Task]


class ListTasks(ListQuery):
    space_id: str | None = None
    space_name: str | None = Field(default=None, max_length=255)
    name: str | None = Field(default=None, max_length=255)
    project_id: str | None = None
    dataset_id: str | None = None
    type: Folded[TaskType] | None = None
