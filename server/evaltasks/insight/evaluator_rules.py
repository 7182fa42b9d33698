"""Validate evaluators against the task that they are attached to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaltasks.api.evaluator_kinds import EvaluatorKind, EvaluatorType
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import EvaluatorAttachment, TaskType
from evaltasks.insight.validation import ValidationIssue

_OTHER_TYPES = {
    TaskType.TEMPLATE_EVALUATION: TaskType.CODE_EVALUATION,
    TaskType.CODE_EVALUATION: TaskType.TEMPLATE_EVALUATION,
}
_NAME_CHARACTERS_MAX = 60


@dataclass(frozen=True)
class Attached:
    """An attachment with the evaluator version that it uses.

    Attributes:
        path: The place of the attachment in the arguments, such as `evaluators[0]`.
        attachment: The attachment as the request has it.
        version: The pinned version, or the latest.
    """

    path: str
    attachment: EvaluatorAttachment
    version: EvaluatorVersion

    @property
    def has_foreign_version(self) -> bool:
        """Whether the pinned version belongs to another evaluator."""
        return bool(self.attachment.evaluator_version_id) and self.version.evaluator_id != self.attachment.evaluator_id


def fit_issues(task_type: TaskType | str, attached: Sequence[Attached]) -> list[ValidationIssue]:
    """Return what the service would refuse, and what can only be a mistake.

    Args:
        task_type: The type of the task; a type that is not known here is not validated.
        attached: The task's evaluators.
    """
    return [
        *(
            issue
            for evaluator in attached
            for issue in (*_type_issues(task_type, evaluator), *_version_issues(evaluator), *_mapping_issues(evaluator))
        ),
        *_granularity_issues(attached),
        *_one_per_task_issues(attached),
    ]


def fit_notes(attached: Sequence[Attached]) -> list[str]:
    """Return notes about what is allowed but probably a mistake."""
    notes: list[str] = []
    for evaluator in attached:
        choices, prompt = evaluator.version.classification_choices, evaluator.version.prompt
        if not choices or prompt is None:
            continue
        missing = [label for label in choices if label.lower() not in prompt.lower()]
        if missing:
            notes.append(
                f"{evaluator.path}: the judge's prompt never mentions {len(missing)} of its "
                f"{len(choices)} labels; answers that match no label are errors."
            )
    return notes


def _type_issues(task_type: TaskType | str, evaluator: Attached) -> Iterator[ValidationIssue]:
    kind = evaluator.version.type
    if not isinstance(task_type, TaskType) or task_type not in _OTHER_TYPES:
        return
    needed, other = task_type.evaluator_type, _OTHER_TYPES[task_type]
    if kind in {EvaluatorType.TEMPLATE, EvaluatorType.CODE} and kind is not needed:
        yield ValidationIssue(
            f"{evaluator.path}.evaluator_id",
            f"is a {str(kind).lower()} evaluator, and {task_type.lower()} takes {needed.lower()} evaluators",
            f"use a {needed.lower()} evaluator, or a {other.lower()} task",
        )


def _version_issues(evaluator: Attached) -> Iterator[ValidationIssue]:
    if evaluator.has_foreign_version:
        yield ValidationIssue(
            f"{evaluator.path}.evaluator_version_id",
            "is a version of another evaluator",
            "pin a version of this evaluator, or leave it out for the latest",
        )


def _mapping_issues(evaluator: Attached) -> Iterator[ValidationIssue]:
    if evaluator.has_foreign_version:
        return
    declared, prompt = evaluator.version.declared_variables, evaluator.version.prompt
    mapped = {
        name: f"column_mappings.{name[:_NAME_CHARACTERS_MAX]}" for name in evaluator.attachment.column_mappings or {}
    }
    for index, mapping in enumerate(evaluator.attachment.query_mappings or []):
        mapped[mapping.variable_name] = f"query_mappings[{index}].variable_name"
    for name, place in mapped.items():
        if declared is not None and name not in declared:
            yield ValidationIssue(
                f"{evaluator.path}.{place}", "is not a variable of this evaluator", f"it has: {', '.join(declared)}"
            )
        # Lenient on purpose: with any kind of braces, the name of a variable is in the text of the template.
        elif prompt is not None and name not in prompt:
            yield ValidationIssue(
                f"{evaluator.path}.{place}",
                "is not a variable of this evaluator's template",
                "map a name that the template has in braces",
            )


def _granularity_issues(attached: Sequence[Attached]) -> Iterator[ValidationIssue]:
    for evaluator in attached[1:]:
        first, other = attached[0].version.granularity, evaluator.version.granularity
        if other != first:
            yield ValidationIssue(
                f"{evaluator.path}.evaluator_id",
                f"evaluates {other.lower()}s, but {attached[0].path} evaluates {first.lower()}s",
                "keep evaluators of one granularity in a task, and create a second task for the others",
            )


def _one_per_task_issues(attached: Sequence[Attached]) -> Iterator[ValidationIssue]:
    seen: set[EvaluatorKind] = set()
    for evaluator in attached:
        kind = evaluator.version.kind
        if kind is None or not kind.one_per_task:
            continue
        if kind in seen:
            yield ValidationIssue(
                f"{evaluator.path}.evaluator_id",
                f"is a second {kind.tag.lower()} code evaluator, and a task takes one",
                "create a second task for it",
            )
        seen.add(kind)
