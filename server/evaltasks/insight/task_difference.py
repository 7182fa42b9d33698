"""Merges changes into the evaluators of a task, and compares a task before and after an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.api.tasks import TASK_SETTINGS, EvaluatorAttachment, Task, TaskEvaluator
from evaltasks.insight.validation import ValidationIssue

_COMPARED_FIELDS = ("name", *TASK_SETTINGS)
_ATTACHMENT_FIELDS = tuple(name for name in EvaluatorAttachment.model_fields if name != "evaluator_id")


@dataclass(frozen=True, slots=True)
class Difference:
    """A changed field, or a changed evaluator (`evaluators.<name>`). None means "not set" or "not attached"."""

    field: str
    before: Any
    after: Any


def to_attachment(evaluator: TaskEvaluator) -> EvaluatorAttachment:
    """Return an attached evaluator in the form of a request."""
    fields = {field: getattr(evaluator, field) for field in _ATTACHMENT_FIELDS}
    return EvaluatorAttachment.model_construct(
        evaluator_id=evaluator.evaluator_id, **{field: value for field, value in fields.items() if value}
    )


def merge_changes(
    current: Sequence[TaskEvaluator],
    *,
    add: Sequence[EvaluatorAttachment],
    change: Sequence[EvaluatorAttachment],
    remove: Mapping[str, int],
) -> tuple[list[EvaluatorAttachment], list[ValidationIssue]]:
    """Apply changes to the evaluators of a task.

    Args:
        current: The attached evaluators.
        add: Evaluators to attach.
        change: Evaluators whose set fields replace those of attached ones; null clears a field.
        remove: The ids of evaluators to remove, with their index in the argument.

    Returns:
        The complete list after the change, and the issues found. All ids must be resolved.
    """
    issues: list[ValidationIssue] = []
    after = {evaluator.evaluator_id: to_attachment(evaluator) for evaluator in current}
    attached = ", ".join(evaluator.evaluator_name or evaluator.evaluator_id for evaluator in current)
    for id_, index in remove.items():
        if after.pop(id_, None) is None:
            issues.append(_not_attached(f"evaluators.remove[{index}]", attached))
    for index, wanted in enumerate(change):
        present = after.get(wanted.evaluator_id)
        if present is None:
            issues.append(_not_attached(f"evaluators.change[{index}].evaluator_id", attached))
            continue
        fields = {**_set_fields(present), **_set_fields(wanted)}
        after[wanted.evaluator_id] = EvaluatorAttachment.model_construct(
            **{field: value for field, value in fields.items() if value}
        )
    for index, new in enumerate(add):
        if new.evaluator_id in after:
            issues.append(
                ValidationIssue(
                    f"evaluators.add[{index}].evaluator_id", "is already attached", "use change to update it"
                )
            )
        after[new.evaluator_id] = new
    if not after and not issues:
        issues.append(
            ValidationIssue("evaluators", "no evaluator would remain; a task needs at least one", "keep or add one")
        )
    return list(after.values()), issues


def _set_fields(attachment: EvaluatorAttachment) -> dict[str, Any]:
    return {field: getattr(attachment, field) for field in attachment.model_fields_set}


def _not_attached(argument: str, attached: str) -> ValidationIssue:
    return ValidationIssue(argument, "is not attached to this task", f"attached evaluators: {attached or 'none'}")


def differences(before: Task, after: Task) -> list[Difference]:
    """Return the differences between a task before and after an update."""
    found = [
        Difference(field, old, new)
        for field in _COMPARED_FIELDS
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
            for field in _ATTACHMENT_FIELDS
            if (getattr(was, field) or None) != (getattr(now, field) or None)
        ]
    return found
