"""Tasks: evaluations of a project or dataset, and experiments over a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, Field, model_validator
from pydantic.fields import FieldInfo

from evaltasks.api.evaluator_kinds import EvaluatorType
from evaltasks.api.run_configurations import ReadConfiguration, RunConfiguration
from evaltasks.api.wire import (
    CaseInsensitive,
    ListQuery,
    Name,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    WireEnum,
)


class TaskType(WireEnum):
    TEMPLATE_EVALUATION = "TEMPLATE_EVALUATION"
    CODE_EVALUATION = "CODE_EVALUATION"
    RUN_EXPERIMENT = "RUN_EXPERIMENT"

    @property
    def evaluates(self) -> bool:
        """True for the two evaluation types."""
        return self is not TaskType.RUN_EXPERIMENT

    @property
    def evaluator_type(self) -> EvaluatorType:
        """The type of the evaluators that tasks of this type take; only the two evaluation types take any."""
        return EvaluatorType.TEMPLATE if self is TaskType.TEMPLATE_EVALUATION else EvaluatorType.CODE


class AppliesTo(Enum):
    """The tasks that a setting applies to. The value is what error messages call them."""

    EVERY_TASK = "tasks"
    EVALUATION_TASKS = "evaluation tasks"
    PROJECT_TASKS = "project tasks"
    EXPERIMENT_TASKS = "run_experiment tasks"


@dataclass(frozen=True, slots=True)
class Setting:
    """Facts about one setting of a task, written in the annotation of its field.

    Args:
        applies_to: The tasks that may have the setting; requests that set it on other tasks are refused.
        reason: Why other tasks do not have it, for the error message.
        null_clears: Whether `null` (or an empty text) in an update clears the setting. Otherwise null is "unchanged".
        stored_as_json: Whether the column holds JSON text instead of the value itself.
    """

    applies_to: AppliesTo
    reason: str = ""
    null_clears: bool = True
    stored_as_json: bool = False


class QueryId(WireEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


class NamedFilter(RequestModel):
    id: CaseInsensitive[QueryId]
    filter: NonBlank


class QueryFilters(RequestModel):
    """Filters of traces and sessions: up to five named filters and the expression that combines them (`A AND B`)."""

    filters: list[NamedFilter] = Field(min_length=1, max_length=5)
    expression: str | None = None

    @model_validator(mode="after")
    def _validate_expression(self) -> QueryFilters:
        ids = [named.id for named in self.filters]
        if len(set(ids)) != len(ids):
            raise ValueError("query_filters: an id is used twice; use each of A to E at most once")
        if len(ids) > 1 and not (self.expression or "").strip():
            raise ValueError("query_filters: two or more filters need an expression such as 'A AND B'")
        return self

    def completed(self) -> QueryFilters:
        """Return the filters with the expression that a single filter may leave out, as a service answers them."""
        expression = (self.expression or "").strip() or self.filters[0].id.value
        return self.model_copy(update={"expression": expression})


class QueryMapping(RequestModel):
    variable_name: NonBlank
    query_ids: list[CaseInsensitive[QueryId]] = Field(default_factory=list)
    attribute_path: NonBlank


class EvaluatorAttachment(RequestModel):
    """One evaluator of a task. `evaluator_version_id` pins a version; without it the latest is used.

    `query_filter` is AND-ed with that of the task. `column_mappings` maps template variables to columns of single rows;
    `query_mappings` maps them to attributes of traces and sessions. The engine checks that only one of them is set.
    """

    evaluator_id: NonBlank
    evaluator_version_id: str | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = Field(default=None, min_length=1, max_length=50)

    @property
    def trace_shaped(self) -> bool:
        """Whether variables are mapped by queries over spans, as for traces and sessions."""
        return self.query_mappings is not None


SamplingRate = Annotated[float, Field(ge=0, le=1)]


# The two structured settings. Every place has a form of its own for them (the file of a task, the argument of a tool),
# so that each model declares them.
_QUERY_FILTERS = Setting(AppliesTo.EVALUATION_TASKS, stored_as_json=True)
_RUN_CONFIGURATION = Setting(AppliesTo.EXPERIMENT_TASKS, null_clears=False, stored_as_json=True)


class TaskSettings(BaseModel):
    """The settings of a task that are the same everywhere: in requests, replies, files and the answers of tools.

    A setting added here is stored, updated, checked against the type of the task, exported and shown; CONTRIBUTING.md
    ("A field of a task") lists the other files it needs.
    """

    sampling_rate: Annotated[
        SamplingRate | None,
        Setting(AppliesTo.PROJECT_TASKS, reason="a dataset task evaluates every experiment run"),
    ] = None
    is_continuous: Annotated[
        bool | None,
        Setting(AppliesTo.PROJECT_TASKS, reason="a dataset gets no new spans", null_clears=False),
    ] = None
    query_filter: Annotated[str | None, Setting(AppliesTo.EVALUATION_TASKS)] = None


# Fields of a base that is further right come first: a name and a type are what a reader looks for.
class _NewTask(RequestModel):
    name: Name
    type: CaseInsensitive[TaskType]
    evaluators: list[EvaluatorAttachment] | None = None
    project_id: str | None = None
    dataset_id: str | None = None
    experiment_ids: list[NonBlank] | None = None


class CreateTask(TaskSettings, _NewTask):
    """The body of all three ways to create a task; the engine checks which field belongs to which type."""

    query_filters: Annotated[QueryFilters | None, _QUERY_FILTERS] = None
    run_configuration: Annotated[RunConfiguration | None, _RUN_CONFIGURATION] = None


class UpdateTask(TaskSettings, RequestModel):
    """A change of a task. A field that is absent stays unchanged; lists and configurations are replaced as a whole.

    Null (or an empty text) clears a setting, except for is_continuous and run_configuration, which it leaves unchanged.
    """

    name: Name | None = None
    query_filters: Annotated[QueryFilters | None, _QUERY_FILTERS] = None
    evaluators: list[EvaluatorAttachment] | None = None
    run_configuration: Annotated[RunConfiguration | None, _RUN_CONFIGURATION] = None


def _setting(name: str, field: FieldInfo) -> Setting:
    for fact in field.metadata:
        if isinstance(fact, Setting):
            return fact
    raise TypeError(f"the annotation of '{name}' has no Setting: write Annotated[..., Setting(...)]")


TASK_SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        name: _setting(name, CreateTask.model_fields[name])
        for name in (*TaskSettings.model_fields, "query_filters", "run_configuration")
    }
)


def settings_for(*targets: AppliesTo) -> tuple[str, ...]:
    """Return the names of the settings that apply to one of these groups of tasks."""
    return tuple(name for name, setting in TASK_SETTINGS.items() if setting.applies_to in targets)


class TaskEvaluator(ResponseModel):
    evaluator_id: str
    evaluator_name: str | None = None
    evaluator_version_id: str | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = None


class _TaskIdentity(ResponseModel):
    id: str
    name: str
    type: OpenEnum[TaskType]
    project_id: str | None = None
    dataset_id: str | None = None


class Task(TaskSettings, _TaskIdentity):
    """A task.

    Only in evaltasks: `projected_rows_per_day` is the number of rows that the task would evaluate per day if it were
    continuous, estimated from the spans of the last 24 hours, its filters and its sampling rate. It is set when a
    single project task is read.
    """

    # Replies are read tolerantly: a service may answer what it would refuse in a request.
    sampling_rate: float | None = None
    is_continuous: bool = False
    query_filters: QueryFilters | None = None
    evaluators: list[TaskEvaluator] = Field(default_factory=list)
    experiment_ids: list[str] = Field(default_factory=list)
    run_configuration: ReadConfiguration | None = None
    last_run_at: Timestamp | None = None
    projected_rows_per_day: int | None = None
    created_at: Timestamp
    updated_at: Timestamp
    created_by_user_id: str | None = None

    @property
    def evaluates(self) -> bool:
        """True for the two evaluation types, and for a type that this client does not know."""
        return self.type != TaskType.RUN_EXPERIMENT


class TaskPage(Page):
    tasks: list[Task]


class ListTasks(ListQuery):
    space_id: str | None = None
    space_name: str | None = Field(default=None, max_length=255)
    name: str | None = Field(default=None, max_length=255)
    project_id: str | None = None
    dataset_id: str | None = None
    type: CaseInsensitive[TaskType] | None = None
