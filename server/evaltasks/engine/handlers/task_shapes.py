"""Validates the two shapes of an evaluation task, and that its evaluators have the same granularity.

The span shape has `query_filter` and `column_mappings`, the trace and session shape `query_filters` and
`query_mappings`. An attachment without either has the shape of its evaluator. An evaluator of traces or sessions can be
attached in the span shape if the whole task has it: its filters are then passed by any span of the row, and a column is
read from every span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.problems import Problem
from evaltasks.api.tasks import EvaluatorAttachment, QueryFilters, TaskEvaluator
from evaltasks.engine.filters.compile import Target, compile_filter
from evaltasks.engine.filters.expression import parse_expression
from evaltasks.engine.handlers.problem_list import ProblemList

_SPAN = DataGranularity.SPAN
_MIXED = (
    "the span shape (query_filter, column_mappings) and the trace and session shape "
    "(query_filters, query_mappings) cannot be mixed in one task"
)


@dataclass(frozen=True, slots=True)
class TaskShape:
    """The shape of an evaluation task after the request.

    Attributes:
        is_on_project: True for a project task, False for a dataset task.
        query_filter: The filter of the span shape.
        query_filters: The filters of the trace and session shape.
        attachments: The evaluators.
        granularities: The granularity of each attachment; None if it has no version.
    """

    is_on_project: bool
    query_filter: str | None
    query_filters: QueryFilters | None
    attachments: Sequence[EvaluatorAttachment | TaskEvaluator]
    granularities: Sequence[DataGranularity | None]


def validate_shape(task: TaskShape, problems: ProblemList) -> None:
    """Add the problems of the shape and the granularity of a task."""
    if not task.is_on_project:
        _validate_dataset_task(task, problems)
        return
    if _is_mixed(task):
        problems.bad_request(_MIXED)
    if task.query_filters is not None:
        _validate_filters(task.query_filters, problems)
    ids = {named.id for named in task.query_filters.filters} if task.query_filters is not None else set()
    for index, attachment in enumerate(task.attachments):
        for place, mapping in enumerate(attachment.query_mappings or ()):
            unknown = ", ".join(sorted(set(mapping.query_ids) - ids))
            if unknown:
                problems.unprocessable(
                    f"evaluators[{index}].query_mappings[{place}].query_ids names {unknown}, "
                    "which query_filters does not have"
                )
        if attachment.query_mappings is not None and task.granularities[index] is DataGranularity.SPAN:
            problems.unprocessable(
                f"evaluators[{index}] evaluates single spans, and query_mappings are for traces and sessions: "
                "use column_mappings, or an evaluator with data_granularity TRACE or SESSION"
            )
    if len(set(task.granularities) - {None}) > 1:
        problems.unprocessable(
            "evaluators: all evaluators of a task must have the same data_granularity (span, trace or session)"
        )


def _validate_dataset_task(task: TaskShape, problems: ProblemList) -> None:
    if task.query_filters is not None:
        problems.bad_request("query_filters applies to project tasks; experiment runs do not belong to a trace")
    for index, attachment in enumerate(task.attachments):
        if attachment.query_mappings is not None:
            problems.bad_request(
                f"evaluators[{index}].query_mappings applies to project tasks; "
                "experiment runs do not belong to a trace: use column_mappings"
            )
        granularity = task.granularities[index]
        if granularity not in {None, DataGranularity.SPAN}:
            problems.unprocessable(
                f"evaluators[{index}] evaluates whole {str(granularity).lower()}s, and a dataset task evaluates single "
                "experiment runs: use an evaluator with data_granularity SPAN"
            )


def _is_mixed(task: TaskShape) -> bool:
    in_spans, in_groups = bool(task.query_filter), task.query_filters is not None
    for attachment, granularity in zip(task.attachments, task.granularities, strict=True):
        is_mapped = attachment.query_mappings is not None
        in_groups = in_groups or is_mapped
        if attachment.column_mappings or attachment.query_filter or (not is_mapped and granularity is _SPAN):
            in_spans = True
    return in_spans and in_groups


def _validate_filters(query_filters: QueryFilters, problems: ProblemList) -> None:
    for index, named in enumerate(query_filters.filters):
        try:
            compile_filter(named.filter, Target.SPAN, field=f"query_filters.filters[{index}].filter")
        except Problem as problem:
            problems.add(problem)
    if (query_filters.expression or "").strip():
        try:
            parse_expression(query_filters.expression or "", {named.id for named in query_filters.filters})
        except Problem as problem:
            problems.add(problem)
