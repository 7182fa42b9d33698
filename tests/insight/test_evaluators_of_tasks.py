"""Rules for the evaluators of a task, and merging a change into a task's evaluators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.tasks import EvaluatorAttachment, Task, TaskEvaluator, TaskType
from evaltasks.insight.evaluator_rules import Attached, fit_issues, fit_notes
from evaltasks.insight.task_difference import Difference, differences, merge_changes

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def template(evaluator: str = "t", text: str = "Is {output} yes or no?", granularity: str = "SPAN") -> EvaluatorVersion:
    config = {
        "name": "correct", "template": text, "include_explanations": True, "data_granularity": granularity,
        "classification_choices": {"yes": 1, "no": 0}, "llm_config": {"ai_integration_id": "a", "model_name": "m"},
    }  # fmt: skip
    return EvaluatorVersion.model_validate(
        {"id": "v", "evaluator_id": evaluator, "type": "TEMPLATE", "created_at": NOW, "template_config": config}
    )


def code(evaluator: str = "c", **config: Any) -> EvaluatorVersion:
    config = {
        "type": "MANAGED", "managed_evaluator": "JSON_PARSEABLE", "name": "ok", "variables": ["output"], **config
    }  # fmt: skip
    return EvaluatorVersion.model_validate(
        {"id": "v", "evaluator_id": evaluator, "type": "CODE", "created_at": NOW, "code_config": config}
    )


def attached(index: int, version: EvaluatorVersion, **fields: Any) -> Attached:
    attachment = EvaluatorAttachment(evaluator_id=fields.pop("evaluator_id", version.evaluator_id), **fields)
    return Attached(f"evaluators[{index}]", attachment, version)


def places(task_type: TaskType, *all_attached: Attached) -> list[str]:
    return [issue.argument for issue in fit_issues(task_type, all_attached)]


def test_fit_issues_accepts_evaluators_that_fit_the_task() -> None:
    mapped = attached(0, template(), column_mappings={"output": "attributes.output.value"})
    assert places(TaskType.TEMPLATE_EVALUATION, mapped, attached(1, template("u"))) == []
    assert places(TaskType.CODE_EVALUATION, attached(0, code())) == []


def test_fit_issues_rejects_an_evaluator_kind_that_does_not_fit_the_task_type() -> None:
    assert places(TaskType.TEMPLATE_EVALUATION, attached(0, code())) == ["evaluators[0].evaluator_id"]
    assert places(TaskType.CODE_EVALUATION, attached(0, template())) == ["evaluators[0].evaluator_id"]


def test_fit_issues_rejects_a_mapping_of_an_unknown_variable() -> None:
    wrong = {"output": "x", "ouput": "y"}
    assert places(TaskType.TEMPLATE_EVALUATION, attached(0, template(), column_mappings=wrong)) == [
        "evaluators[0].column_mappings.ouput"
    ]
    assert places(TaskType.CODE_EVALUATION, attached(0, code(), column_mappings=wrong)) == [
        "evaluators[0].column_mappings.ouput"
    ]


def test_fit_issues_rejects_a_pinned_version_of_another_evaluator() -> None:
    other = attached(0, template("someone else"), evaluator_id="t", evaluator_version_id="v")
    assert places(TaskType.TEMPLATE_EVALUATION, other) == ["evaluators[0].evaluator_version_id"]


def test_fit_issues_rejects_evaluators_of_different_granularity() -> None:
    both = (attached(0, template()), attached(1, template("u", granularity="TRACE")))
    assert places(TaskType.TEMPLATE_EVALUATION, *both) == ["evaluators[1].evaluator_id"]


def test_fit_issues_rejects_a_second_custom_code_evaluator() -> None:
    versions = [
        EvaluatorVersion.model_validate(
            {
                "id": "v",
                "evaluator_id": id_,
                "type": "CODE",
                "created_at": NOW,
                "code_config": {"type": "CUSTOM", "name": "ok", "variables": ["output"], "code": "x = 1"},
            }
        )
        for id_ in ("c", "d")
    ]
    both = [attached(index, version) for index, version in enumerate(versions)]
    assert places(TaskType.CODE_EVALUATION, *both) == ["evaluators[1].evaluator_id"]
    among_others = [attached(n, one) for n, one in enumerate([code("a"), versions[0], code("b"), versions[1]])]
    assert places(TaskType.CODE_EVALUATION, *among_others) == ["evaluators[3].evaluator_id"]


def test_fit_notes_report_labels_that_the_prompt_does_not_mention() -> None:
    assert fit_notes([attached(0, template())]) == []
    [note] = fit_notes([attached(0, template(text="Judge {output}: answer yes."))])
    assert "1 of its 2 labels" in note


def test_fit_notes_are_only_about_evaluators_with_labels_and_a_prompt() -> None:
    config = template().template_config
    assert config is not None
    without_labels = template().model_copy(
        update={"template_config": config.model_copy(update={"classification_choices": None})}
    )
    silent = template(text="Judge {output}.")
    notes = fit_notes([attached(0, code()), attached(1, without_labels), attached(2, silent)])
    assert [note.partition(":")[0] for note in notes] == ["evaluators[2]"]


@pytest.mark.parametrize("task_type", [TaskType.RUN_EXPERIMENT, "TYPE_OF_A_NEWER_SERVICE"])
def test_fit_issues_accept_any_evaluator_for_a_type_without_a_rule(task_type: TaskType | str) -> None:
    assert fit_issues(task_type, [attached(0, code()), attached(1, template())]) == []


# --- changes ------------------------------------------------------------------------------------------------------
A = TaskEvaluator(evaluator_id="a", evaluator_name="Alpha", column_mappings={"x": "y"}, query_filter="p = 1")
B = TaskEvaluator(evaluator_id="b", evaluator_name="Beta", evaluator_version_id="v1")


def test_merged_changes_only_the_fields_of_the_change() -> None:
    after, issues = merge_changes(
        [A, B],
        add=[EvaluatorAttachment(evaluator_id="c")],
        change=[EvaluatorAttachment.model_validate({"evaluator_id": "a", "query_filter": None})],
        remove={"b": 0},
    )
    assert issues == []
    assert [(one.evaluator_id, one.column_mappings, one.query_filter) for one in after] == [
        ("a", {"x": "y"}, None),
        ("c", None, None),
    ]


def test_merged_reports_every_impossible_change() -> None:
    _, issues = merge_changes(
        [A],
        add=[EvaluatorAttachment(evaluator_id="a")],
        change=[EvaluatorAttachment(evaluator_id="z")],
        remove={"y": 0},
    )
    assert {issue.argument for issue in issues} == {
        "evaluators.remove[0]", "evaluators.change[0].evaluator_id", "evaluators.add[0].evaluator_id",
    }  # fmt: skip


def test_merged_does_not_remove_the_last_evaluator() -> None:
    assert merge_changes([A], add=[], change=[], remove={"a": 0})[1][0].argument == "evaluators"


def test_differences_name_fields_and_evaluators() -> None:
    before = Task.model_validate(
        {"id": "t", "name": "n", "type": "CODE_EVALUATION", "created_at": NOW, "updated_at": NOW,
         "sampling_rate": 1, "evaluators": [A, B]}
    )  # fmt: skip
    after = before.model_copy(
        update={"sampling_rate": 0.5, "evaluators": [A.model_copy(update={"query_filter": None})]}
    )
    assert differences(before, after) == [
        Difference("sampling_rate", 1, 0.5),
        Difference("evaluators.Alpha.query_filter", "p = 1", None),
        Difference("evaluators.Beta", "attached", None),
    ]


def test_merged_names_the_attached_evaluators_by_name_or_id() -> None:
    unnamed = TaskEvaluator(evaluator_id="u")
    for current, remedy in (([A, unnamed], "attached evaluators: Alpha, u"), ([], "attached evaluators: none")):
        (issue,) = merge_changes(current, add=[], change=[], remove={"y": 0})[1]
        assert issue.remedy == remedy


def test_differences_list_every_evaluator_with_its_old_and_new_values() -> None:
    unnamed = TaskEvaluator(evaluator_id="u")
    before = Task.model_validate(
        {"id": "t", "name": "n", "type": "CODE_EVALUATION", "created_at": NOW, "updated_at": NOW,
         "evaluators": [unnamed, A, B]}
    )  # fmt: skip
    changed = A.model_copy(update={"query_filter": "p = 2", "column_mappings": None})
    after = before.model_copy(update={"evaluators": [TaskEvaluator(evaluator_id="c"), B, changed]})
    assert differences(before, after) == [
        Difference("evaluators.u", "attached", None),
        Difference("evaluators.Alpha.query_filter", "p = 1", "p = 2"),
        Difference("evaluators.Alpha.column_mappings", {"x": "y"}, None),
        Difference("evaluators.c", None, "attached"),
    ]
