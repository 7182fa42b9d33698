"""What changes about a task: merging a change into its evaluators, and the difference between before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.tasks import TASK_SETTINGS, EvaluatorAttachment, Task, TaskEvaluator
from evaltasks.insight.validation import ValidationIssue

_COMPARED = ("name", *TASK_SETTINGS)
_OF_ATTACHMENT = ("evaluator_version_id", "query_filter", "column_mappings", "query_mappings")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, or one evaluator under `evaluators.<name>`; None is "not set" or "not attached"."""

    field: str
    before: Any
    after: Any


def attachment_of(evaluator: TaskEvaluator) -> EvaluatorAttachment:
    """An evaluator as it is attached, in the form in which it is sent."""
    fields = {field: getattr(evaluator, field) for field in _OF_ATTACHMENT}
    return EvaluatorAttachment.model_construct(
        evaluator_id=evaluator.evaluator_id, **{field: value for field, value in fields.items() if value}
    )


def merged(
    current: Sequence[TaskEvaluator],
    *,
    add: Sequence[EvaluatorAttachment],
    change: Sequence[EvaluatorAttachment],
    remove: Mapping[str, int],
) -> tuple[list[EvaluatorAttachment], list[ValidationIssue]]:
    """The whole list after the change; ids must be resolved. `remove` maps an id to its place in the argument.

    A change replaces the fields that were set in it, and a null clears one.
    """
    issues: list[ValidationIssue] = []
    after = {evaluator.evaluator_id: attachment_of(evaluator) for evaluator in current}
    attached = ", ".join(evaluator.evaluator_name or evaluator.evaluator_id for evaluator in current)
    for id_, index in remove.items():
        if after.pop(id_, None) is None:
            issues.append(_not_attached(f"evaluators.remove[{index}]", attached))
    for index, wanted in enumerate(change):
        present = after.get(wanted.evaluator_id)
        if present is None:
            issues.append(_not_attached(f"evaluators.change[{index}].evaluator_id", attached))
            continue
        fields = {**_given(present), **_given(wanted)}
        after[wanted.evaluator_id] = EvaluatorAttachment.model_construct(
            **{field: value for field, value in fields.items() if value}
        )
    for index, new in enumerate(add):
        if new.evaluator_id in after:
            issues.append(
                ValidationIssue(
                    f"evaluators.add[{index}].evaluator_id", "is attached already", "use change to change it"
                )
            )
        after[new.evaluator_id] = new
    if not after and not issues:
        issues.append(
            ValidationIssue("evaluators", "nothing would be left; a task needs at least one", "keep one or add one")
        )
    return list(after.values()), issues


def _given(attachment: EvaluatorAttachment) -> dict[str, Any]:
    return {field: getattr(attachment, field) for field in attachment.model_fields_set}


def _not_attached(argument: str, attached: str) -> ValidationIssue:
    return ValidationIssue(argument, "is not attached to this task", f"attached are: {attached or 'none'}")


def differences(before: Task, after: Task) -> list[Difference]:
    """What the service's answers before and after a change differ in."""
    found = [
        Difference(field, old, new)
        for field in _COMPARED
        if (old := getattr(before, field)) != (new := getattr(after, field))
    ]
    return found + _evaluator_differences(before.evaluators, after.evaluators)


def _evaluator_differences(before: Sequence[TaskEvaluator], after: Sequence[TaskEvaluator]) -> list[Difference]:
    old = {evaluator.evaluator_id: evaluator for evaluator in before}
    new = {evaluator.evaluator_id: evaluator for evaluator in after}
    found: list[Difference] = []
    for id_ in dict.fromkeys([*old, *new]):
        was, now = old.get(id_), new.get(id_)
        name = (now or was or before[0]).evaluator_name or id_
        if was is None or now is None:
            place = f"evaluators.{name}"
            found.append(
                Difference(place, "attached" if was is not None else None, "attached" if now is not None else None)
            )
            continue
        found += [
            Difference(f"evaluators.{name}.{field}", getattr(was, field) or None, getattr(now, field) or None)
            for field in _OF_ATTACHMENT
            if (getattr(was, field) or None) != (getattr(now, field) or None)
        ]
    return found
