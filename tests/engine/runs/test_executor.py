"""The executor: concurrency, retries, cancelling, and the end status of a task run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from evaltasks.engine.runs import evaluation
from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine
from tests.support.judges import Answer, JudgeServer, judge_server


async def judged_task(it: EngineInTest, judge: JudgeServer, spans: int, **fields: object) -> str:
    project = await it.seed_project()
    await it.seed_spans(project, spans)
    return await it.seed_task(
        [await it.seed_template_evaluator(judge.base_url)], "TEMPLATE_EVALUATION", project_id=project, **fields
    )


async def evaluations(it: EngineInTest, task_id: str) -> dict[str, list[dict[str, Any]]]:
    project = (await it.ask("GET", f"/v2/tasks/{task_id}"))["project_id"]
    body = {
        "project_id": project,
        "start_time": WINDOW["data_start_time"],
        "end_time": WINDOW["data_end_time"],
    }
    page = await it.ask("POST", "/v2/spans?limit=500", body)
    return {span["context"]["span_id"]: span["evaluations"] for span in page["spans"]}


@pytest.mark.promise("record.spans", "record.provenance")
async def test_judge_result_is_stored_on_the_span_with_provenance() -> None:
    async with engine() as it, judge_server() as judge:
        task = await judged_task(it, judge, 1)
        done = await it.finish(task, **WINDOW)
        (row,) = await it.rows(done["id"])
        (evaluation,) = (await evaluations(it, task))["span-00000"]
        assert evaluation["name"] == "correct"
        for field in ("label", "score", "explanation"):
            assert evaluation[field] == row[field] is not None
        assert evaluation["metadata"]["task_run_id"] == done["id"]
        assert evaluation["metadata"]["task_id"] == task
        assert evaluation["metadata"]["evaluator_version_id"] == row["evaluator_version_id"]
        assert evaluation["metadata"]["judge"] == "llm" and row["provenance"]["judge"] == "llm"
        assert judge.requests[0].prompt == "Is answer 0 an answer to question 0?"


async def test_executor_uses_all_call_slots_and_no_more() -> None:
    limits = ExecutorLimits(in_flight_max=7, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(latency_seconds=0.01) as judge:
        task = await judged_task(it, judge, 60)
        assert (await it.finish(task, **WINDOW))["num_successes"] == 60
        assert judge.num_in_flight_max == 7


async def test_task_runs_share_the_call_slots() -> None:
    limits = ExecutorLimits(in_flight_max=4, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(latency_seconds=0.005) as judge:
        task = await judged_task(it, judge, 200)
        other = await judged_task(it, judge, 10)
        long = await it.trigger(task, **WINDOW)
        with anyio.fail_after(10):
            await judge.wait_for_requests(4)
        await it.finish(other, **WINDOW)
        assert (await it.task_run(long["id"]))["status"] == "RUNNING"
        assert (await it.ended(long["id"]))["num_successes"] == 200


@pytest.mark.promise("finish.cancelled")
async def test_cancelled_task_run_keeps_its_evaluations_and_makes_no_more() -> None:
    async with engine() as it, judge_server() as judge:
        task = await judged_task(it, judge, 100)
        judge.hold()
        task_run = await it.trigger(task, **WINDOW)
        with anyio.fail_after(10):
            await judge.wait_for_requests(QUICK.in_flight_max)
        cancelled = await it.ask("POST", f"/v2/task-runs/{task_run['id']}/cancel")
        assert cancelled["status"] == "CANCELLED"
        await it.idle()
        judge.release()
        asked = len(judge.requests)
        other = await judged_task(it, judge, 1)
        await it.finish(other, **WINDOW)
        assert len(judge.requests) == asked + 1
        after = await it.task_run(task_run["id"])
        successes = await it.rows(task_run["id"], outcome="success")
        assert (after["status"], after["num_successes"]) == ("CANCELLED", len(successes))


async def test_deleting_a_task_stops_its_task_run() -> None:
    async with engine() as it, judge_server() as judge:
        task = await judged_task(it, judge, 100)
        judge.hold()
        await it.trigger(task, **WINDOW)
        with anyio.fail_after(10):
            await judge.wait_for_requests(QUICK.in_flight_max)
        await it.ask("DELETE", f"/v2/tasks/{task}", status=204)
        await it.idle()
        assert len(judge.requests) == QUICK.in_flight_max


@pytest.mark.promise("finish.credentials", "finish.reason")
async def test_wrong_key_ends_the_task_run_early_with_the_reason() -> None:
    async with engine() as it, judge_server(key="right") as judge:
        task = await judged_task(it, judge, 300)
        done = await it.finish(task, **WINDOW)
        assert done["status"] == "FAILED" and done["failure_reason"]
        assert done["num_successes"] + done["num_errors"] == 0
        assert len(judge.requests) <= QUICK.in_flight_max


async def test_evaluations_made_before_the_judge_failed_are_kept() -> None:
    def script(request: object) -> Answer | None:
        return Answer.error(401, code="invalid_api_key") if judge.num_answered >= 30 else None

    limits = ExecutorLimits(in_flight_max=1, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(script=script) as judge:
        task = await judged_task(it, judge, 50)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_successes"], done["num_selected"]) == ("FAILED", 30, 50)
        made = await evaluations(it, task)
        assert sum(bool(found) for found in made.values()) == 30


@pytest.mark.promise("finish.all_errors", "finish.reason")
async def test_task_run_fails_with_the_most_frequent_reason_if_every_row_is_an_error() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 4)
        evaluator = await it.seed_code_evaluator(variables=["tone"])
        body = {
            "name": "t",
            "type": "CODE_EVALUATION",
            "project_id": project,
            "evaluators": [{"evaluator_id": evaluator, "column_mappings": {"tone": "attributes.voice.tone"}}],
        }
        task = (await it.ask("POST", "/v2/tasks", body))["id"]
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_errors"], done["num_successes"]) == ("FAILED", 4, 0)
        assert "'tone'" in done["failure_reason"] and "attributes.voice.tone" in done["failure_reason"]


@pytest.mark.parametrize(("others", "share"), [(0, ""), (1, " (the reason of 3 of 4)")])
async def test_failure_reason_says_how_many_rows_it_is_the_reason_of(others: int, share: str) -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, others, attributes={"tone": "a" * 5_000_001})
        await it.seed_spans(project, 3, first=others)
        task = await it.seed_task([await it.seed_code_evaluator(variables=["tone"])], project_id=project)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_errors"]) == ("FAILED", 3 + others)
        assert done["failure_reason"].startswith(f"Every row was an error{share}: variable 'tone' has no value")


@pytest.mark.parametrize(("spans", "words"), [(1, "1 row was"), (2, "2 rows were")])
async def test_stopped_task_run_says_how_many_rows_were_not_processed(spans: int, words: str) -> None:
    async with engine() as it, judge_server(key="right") as judge:
        done = await it.finish(await judged_task(it, judge, spans), **WINDOW)
        assert (done["status"], done["num_errors"]) == ("FAILED", 0)
        assert done["failure_reason"].endswith(
            f". {words} not processed; once that is fixed, trigger the task again: "
            "rows that already have its evaluation are skipped."
        )


@pytest.mark.promise("finish.completed")
async def test_task_run_with_some_errors_completes() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 2)
        await it.seed_spans(project, 2, first=2, attributes={"tone": "kind"})
        task = await it.seed_task([await it.seed_code_evaluator(variables=["tone"])], project_id=project)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_errors"], done["num_successes"]) == ("COMPLETED", 2, 2)


async def test_refused_rows_back_off_and_are_judged_in_the_end() -> None:
    refused: set[str] = set()

    def script(request: Any) -> Answer | None:
        if request.first_prompt in refused or not request.first_prompt.endswith("5?"):
            return None
        refused.add(request.first_prompt)
        return Answer.rate_limited("0")

    async with engine() as it, judge_server(script=script) as judge:
        task = await judged_task(it, judge, 40)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 40, 0)
        assert {prompt for prompt, times in judge.num_by_prompt.items() if times == 2} == refused
        assert len(refused) == 4


async def test_more_rows_than_may_back_off_are_all_judged() -> None:
    refused: set[str] = set()

    def script(request: Any) -> Answer | None:
        if request.first_prompt in refused:
            return None
        refused.add(request.first_prompt)
        return Answer.rate_limited("0")

    limits = ExecutorLimits(in_flight_max=3, backing_off_rows_max=2, retry_seconds=0.001, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(script=script) as judge:
        task = await judged_task(it, judge, 8)
        assert (await it.finish(task, **WINDOW))["num_successes"] == 8


async def test_row_fails_after_its_retries_with_a_reason() -> None:
    def script(request: Any) -> Answer | None:
        return Answer.rate_limited(None) if request.first_prompt.endswith(" 7?") else None

    limits = ExecutorLimits(retry_seconds=0.01, row_retry_seconds_max=2.4, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(script=script) as judge:
        task = await judged_task(it, judge, 12)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 11, 1)
        (row,) = await it.rows(done["id"], outcome="error")
        assert row["row_id"] == "span-00007" and "of retries" in row["reason"]
        assert judge.num_by_prompt["Is answer 7 an answer to question 7?"] > 2


async def test_provider_that_accepts_nothing_ends_the_task_run_and_keeps_rows_pending() -> None:
    down = True

    def script(request: Any) -> Answer | None:
        return Answer.rate_limited(None) if down else None

    limits = ExecutorLimits(retry_seconds=0.01, row_retry_seconds_max=0.1, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(script=script) as judge:
        task = await judged_task(it, judge, 60)
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("FAILED", 0, 0)
        assert "asks to wait" in done["failure_reason"] and "accepted no call" in done["failure_reason"]
        assert "60 rows were not processed" in done["failure_reason"] and "trigger" in done["failure_reason"]
        assert len(judge.requests) < 60
        down = False
        assert (await it.finish(task, **WINDOW))["num_successes"] == 60


async def test_row_is_not_retried_when_its_provider_accepts_no_call_of_any_row() -> None:
    limits = ExecutorLimits(row_retry_seconds_max=0.02, poll_seconds=0.02)
    async with engine(limits=limits) as it, judge_server(script=lambda _: Answer.rate_limited("0")) as judge:
        done = await it.finish(await judged_task(it, judge, 1), **WINDOW)
        assert (done["status"], done["num_errors"]) == ("FAILED", 0)
        assert "the provider accepted no call for 0 s. 1 row was not processed" in done["failure_reason"]


async def test_judge_that_refuses_every_row_for_the_same_reason_stops_the_task_run() -> None:
    def refusal(_: object) -> Answer:
        return Answer.error(400, "no temperature here", param="temperature")

    async with engine() as it, judge_server(script=refusal) as judge:
        task = await judged_task(it, judge, 300)
        done = await it.finish(task, **WINDOW)
        assert done["status"] == "FAILED" and done["num_successes"] == 0
        assert 50 <= done["num_errors"] <= len(judge.requests) <= 50 + QUICK.in_flight_max
        assert "first 50 answers" in done["failure_reason"] and "refused" in done["failure_reason"]
        assert f"{300 - done['num_errors']} rows were not processed" in done["failure_reason"]


async def test_judge_with_only_unreadable_answers_stops_the_task_run() -> None:
    async with engine() as it, judge_server(script=lambda _: Answer.text("Bananas.")) as judge:
        task = await judged_task(it, judge, 300)
        done = await it.finish(task, **WINDOW)
        assert done["status"] == "FAILED" and 50 <= done["num_errors"] <= 50 + QUICK.in_flight_max
        assert "Bananas" not in done["failure_reason"]


async def test_rows_with_different_results_are_all_judged_however_many_are_refused() -> None:
    def script(request: Any) -> Answer | None:
        asks_one = request.first_prompt.endswith(" 290?")
        return None if asks_one else Answer.error(400, "no", param="temperature")

    # Newest first: the row that is judged is the tenth.
    async with engine() as it, judge_server(script=script) as judge:
        done = await it.finish(await judged_task(it, judge, 300), **WINDOW)
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 1, 299)


async def test_internal_error_fails_the_task_run_with_a_reference_and_the_executor_continues(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(self: object, line: object) -> None:
        raise ZeroDivisionError("secret")

    async with engine() as it, judge_server() as judge:
        task = await judged_task(it, judge, 5)
        with monkeypatch.context() as patch:
            patch.setattr(evaluation.EvaluationJob, "process", crash)
            done = await it.finish(task, **WINDOW)
        assert done["status"] == "FAILED" and "secret" not in done["failure_reason"]
        reference = done["failure_reason"].split()[-1].rstrip(".")
        assert any(reference in record.getMessage() for record in caplog.records)
        assert (await it.finish(task, **WINDOW))["num_successes"] == 5


async def test_closing_the_engine_releases_the_task_run_and_the_next_engine_resumes_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with judge_server() as judge:
        async with engine(path, clock=ManualClock()) as it:
            task = await judged_task(it, judge, 60)
            judge.hold()
            task_run = await it.trigger(task, **WINDOW)
            with anyio.fail_after(10):
                await judge.wait_for_requests(QUICK.in_flight_max)
        judge.release()
        async with engine(path, clock=ManualClock()) as it:
            done = await it.ended(task_run["id"])
            assert (done["status"], done["num_successes"], done["num_selected"]) == ("COMPLETED", 60, 60)
