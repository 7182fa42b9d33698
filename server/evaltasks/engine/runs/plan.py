"""The plan of an evaluation task run: what was decided when its rows were selected, stored with the task run.

A process that resumes the task run follows the plan, whatever has changed in the task since.
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
    """Mappings by evaluator version id; `filters` are the named filters of the task, which `query_mappings` refer
    to."""

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
        """All paths in the mappings."""
        columns = {path for mapping in self.column_mappings.values() for path in mapping.values()}
        return columns | {mapping.attribute_path for mappings in self.query_mappings.values() for mapping in mappings}


def _versions(tx: Transaction, evaluators: Sequence[TaskEvaluator]) -> list[EvaluatorVersion]:
    versions = []
    for attached in evaluators:
        version = version_for(tx, attached.evaluator_id, attached.evaluator_version_id)
        if version is None or version.evaluation_name is None:
            raise PermanentFailure(f"The evaluator '{attached.evaluator_name}' has no version that can be used.")
        versions.append(version)
    return versions


def make_plan(tx: Transaction, task: Task) -> tuple[EvaluationPlan, list[EvaluatorVersion]]:
    """Return the plan, and the current versions of the task's evaluators, in their order.

    Raises:
        PermanentFailure: An evaluator has no version, or newer versions no longer fit the task.
    """
    versions = _versions(tx, task.evaluators)
    scopes = {version.granularity for version in versions}
    if len(scopes) > 1:
        raise PermanentFailure(
            "The evaluators of this task no longer have the same data_granularity, because one of them has a newer "
            "version: pin a version with the old data_granularity, or create a task for each granularity."
        )
    granularity = scopes.pop()
    filters = task.query_filters.filters if task.query_filters is not None else []
    is_shaped_for_groups = bool(filters) or any(attached.query_mappings is not None for attached in task.evaluators)
    fits = granularity is DataGranularity.SPAN or task.project_id is not None
    if not fits or (granularity is DataGranularity.SPAN and is_shaped_for_groups):
        raise PermanentFailure(
            f"The newest version of this task's evaluators evaluates a whole {granularity.lower()}, which this task "
            "was not created for: pin a version with the old data_granularity, or create another task."
        )
    attached_versions = zip(task.evaluators, versions, strict=True)
    if granularity is DataGranularity.SPAN:
        return EvaluationPlan(
            column_mappings={version.id: attached.column_mappings or {} for attached, version in attached_versions}
        ), versions
    plan = EvaluationPlan(
        granularity=granularity,
        filters={named.id: named.filter for named in filters},
        query_mappings={version.id: _query_mappings(attached) for attached, version in attached_versions},
    )
    return plan, versions


def _query_mappings(attached: TaskEvaluator) -> list[QueryMapping]:
    """Return the mappings; columns that are mapped in the span shape are read from every span of the row."""
    if attached.query_mappings is not None:
        return attached.query_mappings
    columns = attached.column_mappings or {}
    return [QueryMapping(variable_name=variable, attribute_path=path) for variable, path in columns.items() if path]
