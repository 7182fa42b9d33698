"""What an evaluation task run was decided to do when its rows were selected; written down with them.

Whoever goes on with the task run later does as decided, whatever became of the task meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import QueryId, QueryMapping, Task, TaskEvaluator
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.store.store import Transaction
from evaltasks.engine.store.tasks import version_for

ROW_KINDS: Mapping[DataGranularity, Literal["span", "trace", "session"]] = {
    DataGranularity.SPAN: "span",
    DataGranularity.TRACE: "trace",
    DataGranularity.SESSION: "session",
}


class EvaluationPlan(BaseModel):
    """Mappings are by evaluator version id; `filters` are the task's named ones, which `query_mappings` refer to."""

    model_config = ConfigDict(frozen=True)

    column_mappings: Mapping[str, Mapping[str, str]] = {}
    granularity: DataGranularity = DataGranularity.SPAN
    filters: Mapping[QueryId, str] = {}
    query_mappings: Mapping[str, Sequence[QueryMapping]] = {}

    @property
    def reads_spans_of_groups(self) -> bool:
        """True when a row is a trace or a session."""
        return self.granularity is not DataGranularity.SPAN

    @property
    def paths(self) -> set[str]:
        """Every path that a mapping names."""
        columns = {path for mapping in self.column_mappings.values() for path in mapping.values()}
        return columns | {one.attribute_path for mappings in self.query_mappings.values() for one in mappings}


def _versions(tx: Transaction, evaluators: Sequence[TaskEvaluator]) -> list[EvaluatorVersion]:
    found = []
    for line in evaluators:
        version = version_for(tx, line.evaluator_id, line.evaluator_version_id)
        if version is None or version.evaluation_name is None:
            raise PermanentFailure(f"The evaluator '{line.evaluator_name}' has no version that can be used.")
        found.append(version)
    return found


def make_plan(tx: Transaction, task: Task) -> tuple[EvaluationPlan, list[EvaluatorVersion]]:
    """The plan, and the versions the task's evaluators stand for now, in their order.

    Raises PermanentFailure when an evaluator has no version, or newer versions do not fit the task any more.
    """
    versions = _versions(tx, task.evaluators)
    scopes = {version.granularity for version in versions}
    if len(scopes) > 1:
        raise PermanentFailure(
            "The evaluators of this task do not work on one scope any more, because one of them has a newer version: "
            "pin a version with the old data_granularity, or make a task for each scope."
        )
    granularity = scopes.pop()
    filters = task.query_filters.filters if task.query_filters is not None else []
    is_shaped_for_groups = bool(filters) or any(one.query_mappings is not None for one in task.evaluators)
    fits = granularity is DataGranularity.SPAN or task.project_id is not None
    if not fits or (granularity is DataGranularity.SPAN and is_shaped_for_groups):
        raise PermanentFailure(
            f"The newest version of this task's evaluators works on a whole {granularity.lower()}, which this task "
            "was not made for: pin a version with the old data_granularity, or make another task."
        )
    given = zip(task.evaluators, versions, strict=True)
    if granularity is DataGranularity.SPAN:
        return EvaluationPlan(
            column_mappings={version.id: one.column_mappings or {} for one, version in given}
        ), versions
    plan = EvaluationPlan(
        granularity=granularity,
        filters={named.id: named.filter for named in filters},
        query_mappings={version.id: _query_mappings(one) for one, version in given},
    )
    return plan, versions


def _query_mappings(attached: TaskEvaluator) -> list[QueryMapping]:
    """Columns mapped in the span shape are read from every span of the row."""
    if attached.query_mappings is not None:
        return attached.query_mappings
    columns = attached.column_mappings or {}
    return [QueryMapping(variable_name=variable, attribute_path=path) for variable, path in columns.items() if path]
