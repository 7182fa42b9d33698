"""Whether evaluators fit the task they are attached to: what only both resources together can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaltasks.api.evaluator_kinds import EvaluatorKind, EvaluatorType
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import EvaluatorAttachment, TaskType
from evaltasks.insight.validation import ValidationIssue

_NEEDED = {
    TaskType.TEMPLATE_EVALUATION: (EvaluatorType.TEMPLATE, TaskType.CODE_EVALUATION),
    TaskType.CODE_EVALUATION: (EvaluatorType.CODE, TaskType.TEMPLATE_EVALUATION),
}
_NAME_CHARACTERS_MAX = 60


@dataclass(frozen=True)
class Attached:
    """An attachment with the evaluator version that it stands for; `path` is its place in the arguments."""

    path: str
    attachment: EvaluatorAttachment
    version: EvaluatorVersion


def fit_issues(task_type: TaskType | str, attached: Sequence[Attached]) -> list[ValidationIssue]:
    """What the service would refuse, or what could only be a mistake."""
    return [
        *(issue for one in attached for issue in (*_kind(task_type, one), *_version(one), *_mappings(one))),
        *_one_granularity(attached),
        *_one_per_task(attached),
    ]


def fit_notes(attached: Sequence[Attached]) -> list[str]:
    """What is allowed and yet likely to end badly."""
    notes: list[str] = []
    for one in attached:
        choices, prompt = one.version.classification_choices, one.version.prompt
        if not choices or prompt is None:
            continue
        missing = [label for label in choices if label.lower() not in prompt.lower()]
        if missing:
            notes.append(
                f"{one.path}: the judge's prompt never mentions {len(missing)} of its "
                f"{len(choices)} labels; answers that match no label are errors."
            )
    return notes


def _kind(task_type: TaskType | str, one: Attached) -> Iterator[ValidationIssue]:
    kind = one.version.type
    if not isinstance(task_type, TaskType) or task_type not in _NEEDED:
        return
    needed, other = _NEEDED[task_type]
    if kind in {EvaluatorType.TEMPLATE, EvaluatorType.CODE} and kind is not needed:
        yield ValidationIssue(
            f"{one.path}.evaluator_id",
            f"is a {str(kind).lower()} evaluator, and {task_type.lower()} takes {needed.lower()} evaluators",
            f"use a {needed.lower()} evaluator, or a {other.lower()} task",
        )


def _version(one: Attached) -> Iterator[ValidationIssue]:
    if one.attachment.evaluator_version_id and one.version.evaluator_id != one.attachment.evaluator_id:
        yield ValidationIssue(
            f"{one.path}.evaluator_version_id",
            "is a version of another evaluator",
            "pin one of this evaluator's versions, or leave it out for the latest",
        )


def _mappings(one: Attached) -> Iterator[ValidationIssue]:
    if one.attachment.evaluator_version_id and one.version.evaluator_id != one.attachment.evaluator_id:
        return
    declared, prompt = one.version.declared_variables, one.version.prompt
    mapped = {name: f"column_mappings.{name[:_NAME_CHARACTERS_MAX]}" for name in one.attachment.column_mappings or {}}
    for index, mapping in enumerate(one.attachment.query_mappings or []):
        mapped[mapping.variable_name] = f"query_mappings[{index}].variable_name"
    for name, place in mapped.items():
        if declared is not None and name not in declared:
            yield ValidationIssue(
                f"{one.path}.{place}", "is not a variable of this evaluator", f"it has: {', '.join(declared)}"
            )
        # Generous on purpose: whatever kind of braces a template uses, a variable's name is in its text.
        elif prompt is not None and name not in prompt:
            yield ValidationIssue(
                f"{one.path}.{place}",
                "is not a variable of this evaluator's template",
                "map a name that is in braces in the template",
            )


def _one_granularity(attached: Sequence[Attached]) -> Iterator[ValidationIssue]:
    for one in attached[1:]:
        first = attached[0].version.granularity
        if one.version.granularity != first:
            yield ValidationIssue(
                f"{one.path}.evaluator_id",
                f"judges one {one.version.granularity.lower()} at a time, {attached[0].path} one {first.lower()}",
                "keep evaluators of one granularity in a task, and make a second task for the others",
            )


def _one_per_task(attached: Sequence[Attached]) -> Iterator[ValidationIssue]:
    seen: set[EvaluatorKind] = set()
    for one in attached:
        kind = one.version.kind
        if kind is None or not kind.one_per_task:
            continue
        if kind in seen:
            yield ValidationIssue(
                f"{one.path}.evaluator_id",
                f"is a second {kind.tag.lower()} code evaluator, and a task takes one",
                "make a second task for it",
            )
        seen.add(kind)
