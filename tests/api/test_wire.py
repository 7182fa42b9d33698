"""Wire models: strict requests, tolerant responses, UPPER_SNAKE enum values."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from evaltasks.api.problems import NotFound, Problem, RateLimited, ServerError, problem_from
from evaltasks.api.task_runs import TaskRun, TaskRunStatus, TriggerTaskRun
from evaltasks.api.tasks import CreateTask, Task, TaskType
from evaltasks.api.wire import ExtraFieldsModel, ListQuery, NamedListQuery, Pagination


def test_enum_accepts_any_letter_case_and_sends_upper_case() -> None:
    task = CreateTask.model_validate({"name": "n", "type": "template_Evaluation"})
    assert task.type is TaskType.TEMPLATE_EVALUATION
    assert '"TEMPLATE_EVALUATION"' in task.model_dump_json()


def test_request_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="samplingrate"):
        CreateTask.model_validate({"name": "n", "type": "code_evaluation", "samplingrate": 1})


def test_response_of_a_newer_service_is_parsed() -> None:
    run = TaskRun.model_validate(
        {"id": "r", "task_id": "t", "status": "HIBERNATING", "created_at": "2026-01-01T00:00:00", "mood": "good"}
    )
    assert run.status == "HIBERNATING"
    assert not run.finished


def test_time_without_an_offset_is_utc() -> None:
    run = TaskRun.model_validate(
        {"id": "r", "task_id": "t", "status": "completed", "created_at": "2026-01-01T00:00:00"}
    )
    assert run.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.status is TaskRunStatus.COMPLETED
    assert '"2026-01-01T00:00:00.000Z"' in run.model_dump_json()


def test_attachment_accepts_null_fields() -> None:
    example = [{"evaluator_id": "ev_abc123", "query_filter": None, "column_mappings": None}]
    task = CreateTask.model_validate({"name": "n", "type": "code_evaluation", "evaluators": example})
    assert task.evaluators is not None and task.evaluators[0].evaluator_id == "ev_abc123"


def test_response_keeps_a_run_configuration_with_unknown_fields() -> None:
    raw = """{"id": "t", "name": "n", "type": "RUN_EXPERIMENT", "created_at": "2026-01-01T00:00:00Z",
              "updated_at": "2026-01-01T00:00:00Z",
              "run_configuration": {"experiment_type": "LLM_GENERATION", "ai_integration_id": "a", "new_field": 1,
                                    "input_variable_format": "MUSTACHE", "messages": [{"role": "USER"}]}}"""
    assert Task.model_validate_json(raw, extra="ignore").run_configuration is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 501, 503])
def test_problem_keeps_its_class_over_the_wire(status: int) -> None:
    sent = problem_from(status, {"detail": "why", "entitlement": "x"})
    back = problem_from(sent.status, sent.document())
    assert type(back) is type(sent)
    assert (back.status, back.detail, back.extra["entitlement"]) == (status, "why", "x")


def test_problem_from_uses_the_status_without_a_readable_body() -> None:
    assert isinstance(problem_from(404, "<html>"), NotFound)
    assert isinstance(problem_from(502, None), ServerError)
    assert problem_from(418, None).status == 418
    limited = problem_from(429, {}, retry_after_seconds=7)
    assert isinstance(limited, RateLimited) and limited.retry_after_seconds == 7
    assert isinstance(limited, Problem)


def test_task_run_without_counts_has_done_nothing() -> None:
    run = TaskRun.model_validate({"id": "r", "task_id": "t", "status": "pending", "created_at": "2026-01-01T00:00:00"})
    assert (run.num_successes, run.num_errors, run.num_skipped, run.num_done) == (0, 0, 0, 0)
    assert (run.num_selected, run.chained_task_run_ids) == (None, None)


@pytest.mark.parametrize("field", ["max_spans", "max_examples"])
@pytest.mark.parametrize(("count", "allowed"), [(0, False), (1, True), (2147483647, True), (2147483648, False)])
def test_trigger_limits_rows_to_a_positive_32_bit_integer(field: str, count: int, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(ValidationError, match=field):
        assert TriggerTaskRun.model_validate({field: count}).model_dump()[field] == count


@pytest.mark.parametrize("field", ["space_name", "name"])
@pytest.mark.parametrize("characters", [255, 256])
def test_list_query_accepts_names_of_255_characters(field: str, characters: int) -> None:
    with nullcontext() if characters == 255 else pytest.raises(ValidationError, match=field):
        NamedListQuery.model_validate({field: "n" * characters})


@pytest.mark.parametrize("limit", [0, 1, 100, 101])
def test_list_query_limit_is_1_to_100(limit: int) -> None:
    with nullcontext() if 1 <= limit <= 100 else pytest.raises(ValidationError, match="limit"):
        ListQuery.model_validate({"limit": limit})


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (ListQuery(limit=1), "limit"), (Pagination(), "has_more"),
        (ExtraFieldsModel.model_validate({"user": 1}), "user"),
    ],
    ids=["request", "response", "extra fields"],
)  # fmt: skip
def test_wire_model_cannot_be_changed(model: BaseModel, field: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, field, 2)
