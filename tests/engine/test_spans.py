"""Ingesting, listing and deleting spans over REST."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from evaltasks.api.spans import IncomingSpan
from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import SPANS_START, WINDOW, EngineInTest, ManualClock, engine

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
ALL = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-12-31T00:00:00Z"}
ABSENT = "U3BhY2U6MTphYmNk"


async def _ingest(it: EngineInTest, project: str, *spans: dict[str, Any], status: int = 201) -> Any:
    filled = [{"start_time": "2026-03-01T00:00:00Z", **span} for span in spans]
    return await it.ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": filled}, status=status)


async def _list(it: EngineInTest, project: str, **body: Any) -> list[dict[str, Any]]:
    page = await it.ask("POST", "/v2/spans", {"project_id": project, **ALL, **body})
    spans: list[dict[str, Any]] = page["spans"]
    return spans


async def test_ingested_span_is_listed_completely_with_flat_attributes() -> None:
    async with engine() as it:
        project = await it.seed_project()
        answer = await _ingest(
            it,
            project,
            {
                "name": "call",
                "trace_id": "t1",
                "span_id": "s1",
                "parent_id": "s0",
                "kind": "llm",
                "start_time": "2026-03-01T00:00:00.250Z",
                "end_time": "2026-03-01T01:00:01.500+01:00",
                "status_code": "Error",
                "status_message": "boom",
                "attributes": {
                    "attributes.input.value": "hi",
                    "llm": {
                        "model_name": "m",
                        "output_messages": [{"message": {"role": "assistant", "content": "yo"}}],
                    },
                    "tags": ["a", "b"],
                    "metadata": '{"tier": "gold", "deep": {"x": 1}}',
                    "session": {"id": 7},
                },
                "events": [{"name": "exception", "attributes": {"exception": {"type": "TimeoutError"}}}],
            },
        )
        (span,) = await _list(it, project)
    assert answer == {"num_added": 1, "num_replaced": 0}
    assert span == {
        "name": "call",
        "context": {"trace_id": "t1", "span_id": "s1"},
        "kind": "LLM",
        "parent_id": "s0",
        "start_time": "2026-03-01T00:00:00.250Z",
        "end_time": "2026-03-01T00:00:01.500Z",
        "latency_ms": 1250.0,
        "status_code": "ERROR",
        "status_message": "boom",
        "attributes": {
            "input.value": "hi",
            "llm.model_name": "m",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "yo",
            "tags": ["a", "b"],
            "metadata.tier": "gold",
            "metadata.deep.x": 1,
            "session.id": "7",
            "openinference.span.kind": "LLM",
        },
        "events": [
            {
                "name": "exception",
                "timestamp": "2026-03-01T00:00:00.250Z",
                "attributes": {"exception.type": "TimeoutError"},
            }
        ],
        "evaluations": [],
        "annotations": [],
        "trace_annotations": [],
    }


async def test_ingest_creates_missing_ids_and_normalizes_unknown_kinds_and_statuses() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await _ingest(
            it,
            project,
            {"kind": "SPAN_KIND_INTERNAL", "status_code": "weird"},
            {"kind": "INTERNAL", "attributes": {"openinference.span.kind": "tool"}, "status_code": "STATUS_CODE_OK"},
        )
        spans = await _list(it, project)
    assert {(len(span["context"]["trace_id"]), len(span["context"]["span_id"])) for span in spans} == {(32, 16)}
    assert sorted((span["kind"], span["status_code"], span["latency_ms"]) for span in spans) == [
        ("TOOL", "OK", 0.0),
        ("UNKNOWN", "UNSET", 0.0),
    ]


async def test_ingest_replaces_a_span_that_is_sent_again_and_keeps_its_evaluations() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1)
        evaluator = await it.seed_code_evaluator(evaluation_name="is_answer")
        task = await it.seed_task([evaluator], project_id=project)
        await it.finish(task, **WINDOW)
        again = await _ingest(
            it, project, {"trace_id": "trace-00000", "span_id": "span-00000", "attributes": {"output.value": "new"}}
        )
        (span,) = await _list(it, project)
        matched = await _list(it, project, filter="eval.is_answer.score >= 0 OR eval.is_answer.label IS NOT NULL")
    assert again == {"num_added": 0, "num_replaced": 1}
    assert span["attributes"]["output.value"] == "new"
    (evaluation,) = span["evaluations"]
    assert evaluation["name"] == "is_answer"
    assert set(evaluation["metadata"]) >= {"task_id", "task_run_id"}
    assert matched == [span]


async def test_ingest_names_all_invalid_spans_and_stores_nothing() -> None:
    async with engine() as it:
        project = await it.seed_project()
        problem = await _ingest(
            it,
            project,
            {"end_time": "2026-02-01T00:00:00Z"},
            {},
            {"events": [{"name": "x", "timestamp": "soon"}]},
            status=422,
        )
        assert await _list(it, project) == []
        await _ingest(it, ABSENT, {}, status=404)
    assert "spans[0]: end_time is before start_time" in problem["detail"]
    assert "spans[2]: an event is not valid: timestamp" in problem["detail"]
    assert "spans[1]" not in problem["detail"]


async def test_list_spans_window_is_seven_days_by_default_and_includes_both_ends() -> None:
    async with engine(clock=ManualClock(NOW)) as it:
        project = await it.seed_project()
        times = ["2026-03-25T11:59:59Z", "2026-03-25T12:00:00Z", "2026-04-01T12:00:00Z", "2026-04-01T12:00:01Z"]
        await _ingest(it, project, *({"span_id": time, "start_time": time} for time in times))

        async def found(**body: str) -> list[str]:
            page = await it.ask("POST", "/v2/spans", {"project_id": project, **body})
            return [span["context"]["span_id"] for span in page["spans"]]

        assert await found() == [times[2], times[1]]
        assert await found(start_time=times[0], end_time=times[1]) == [times[1], times[0]]
        assert await found(end_time=times[3]) == [times[3], times[2]]
        assert await found(start_time=times[0]) == [times[2], times[1], times[0]]
        await it.ask("POST", "/v2/spans", {"project_id": project, "start_time": times[3]}, status=422)


async def test_list_spans_pages_are_complete_while_the_default_window_moves() -> None:
    clock = ManualClock(NOW)
    async with engine(clock=clock) as it:
        project = await it.seed_project()
        keys = [
            (f"2026-03-{day}T00:00:00Z", f"t{t} of {day}", f"s{s}") for day in (30, 26) for t in (1, 2) for s in (1, 2)
        ]
        spans = [{"start_time": time, "trace_id": trace, "span_id": span} for time, trace, span in reversed(keys)]
        await _ingest(it, project, *spans)
        seen: list[tuple[str, str]] = []
        cursor: str | None = None
        for _ in range(10):
            page = await it.ask("POST", "/v2/spans", {"project_id": project}, limit=3, cursor=cursor)
            seen += [(span["context"]["trace_id"], span["context"]["span_id"]) for span in page["spans"]]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
            await clock.turn(3 * 24 * 3600)  # the older day leaves "the last seven days"
    assert seen == [(trace, span) for _, trace, span in keys]


async def test_list_spans_cursor_is_valid_only_for_the_same_query() -> None:
    async with engine() as it:
        project, other = await it.seed_project(), await it.seed_project()
        await it.seed_spans(project, 3)
        body = {"project_id": project, **ALL}
        cursor = (await it.ask("POST", "/v2/spans", body, limit=1))["pagination"]["next_cursor"]
        for change in (
            {"project_id": other},
            {"filter": "parent_id IS NULL"},
            {"included_columns": ["attributes"]},
            {"end_time": "2026-12-30T00:00:00Z"},
        ):
            await it.ask("POST", "/v2/spans", {**body, **change}, limit=1, cursor=cursor, status=400)
        assert len((await it.ask("POST", "/v2/spans", body, limit=2, cursor=cursor))["spans"]) == 2


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"included_columns": ["attributes.llm"]}, {"llm.model_name", "llm.token_count.total"}),
        ({"included_columns": ["input.value", "no.such"]}, {"input.value"}),
        ({"excluded_columns": ["attributes.llm", "input"]}, {"openinference.span.kind", "llmx"}),
        ({"excluded_columns": ["attributes"]}, set()),
    ],
)
async def test_list_spans_columns_select_attributes_by_complete_path_segments(
    columns: dict[str, list[str]], shown: set[str]
) -> None:
    async with engine() as it:
        project = await it.seed_project()
        attributes = {"llm.model_name": "m", "llm.token_count.total": 3, "llmx": 1, "input.value": "hi"}
        await _ingest(it, project, {"name": "n", "attributes": attributes})
        (span,) = await _list(it, project, **columns)
    assert set(span["attributes"]) == shown
    assert span["name"] == "n"


async def test_list_spans_truncates_strings_at_any_depth() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await _ingest(it, project, {"attributes": {"a": "éèêëàâ", "b": ["short", "much longer"], "c": "12345"}})
        (span,) = await _list(it, project, truncate_string_length=5, included_columns=["a", "b", "c"])
    assert span["attributes"] == {"a": "éèêë…", "b": ["short", "much…"], "c": "12345"}


async def test_list_spans_refuses_invalid_queries() -> None:
    async with engine() as it:
        project = await it.seed_project()
        both = {"included_columns": ["a"], "excluded_columns": ["b"]}
        await it.ask("POST", "/v2/spans", {"project_id": project, **both}, status=422)
        await it.ask("POST", "/v2/spans", {"project_id": project, "filter": "  "}, status=400)
        await it.ask("POST", "/v2/spans", {"project_id": ABSENT}, status=404)
        await it.ask("POST", "/v2/spans", {"project_id": project}, limit=501, status=400)
        problem = await it.ask("POST", "/v2/spans", {"project_id": project, "filter": "latency > 5"}, status=422)
    assert "column 1: spans have no column 'latency'. Nearest: latency_ms" in problem["detail"]


async def test_ingest_stores_nan_and_infinity_as_null() -> None:
    async with engine() as it:
        project = await it.seed_project()
        body = (
            '{"spans": [{"start_time": "2026-03-01T00:00:00Z", '
            '"attributes": {"bad": NaN, "list": [1, Infinity], "big": 123456789012345678901234567890}}]}'
        )
        reply = await it.http.post(f"/evaltasks/v1/projects/{project}/spans", content=body)
        assert reply.status_code == 201, reply.text
        (span,) = await _list(it, project, filter="attributes.big > 1e29 AND attributes.bad IS NULL")
    assert span["attributes"]["list"] == [1, None]


async def test_ingest_wakes_the_executor() -> None:
    async with engine(limits=ExecutorLimits(poll_seconds=3600)) as it:
        project = await it.seed_project()
        woken = anyio.Event()

        async def wait() -> None:
            await it.engine.services.wake_signal.wait(at_most_seconds=3600)
            woken.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not woken.is_set()
            await it.seed_spans(project, 1)
            with anyio.fail_after(5):
                await woken.wait()


async def test_delete_spans_deletes_by_id_in_a_window_with_an_exclusive_end() -> None:
    async with engine(clock=ManualClock(SPANS_START + timedelta(days=1))) as it:
        project = await it.seed_project()
        ids = await it.seed_spans(project, 4)
        start = SPANS_START + timedelta(seconds=1)
        window = {"start_time": start.isoformat(), "end_time": (start + timedelta(seconds=1)).isoformat()}
        body = {"project_id": project, "span_ids": [*ids[:3], "unknown", ids[1]]}
        within = await it.ask("DELETE", "/v2/spans", {**body, **window}, status=200)
        rest = await it.ask("DELETE", "/v2/spans", body, status=200)
        left = await _list(it, project)
        for wrong, status in (({"span_ids": []}, 400), ({"project_id": "x"}, 404), ({"force": True}, 400)):
            assert (await it.ask("DELETE", "/v2/spans", {**body, **wrong}, status=status))["status"] == status
    assert within == {
        "completed": True, "deleted_span_ids": [ids[1]], "not_deleted_span_ids": [ids[0], ids[2], "unknown"],
    }  # fmt: skip
    assert rest["deleted_span_ids"] == [ids[0], ids[2]]
    assert [span["context"]["span_id"] for span in left] == [ids[3]]


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [("1970-01-01T00:00:00Z", False), ("1970-12-31T23:59:59.999Z", False), ("1971-01-01T00:00:00Z", True)],
)
def test_incoming_span_takes_a_time_in_1970_for_a_mistake_of_unit(moment: str, allowed: bool) -> None:
    span = {"start_time": moment, "end_time": "1971-01-02T00:00:00Z", "attributes": {}}
    with nullcontext() if allowed else pytest.raises(ValidationError, match=r"start_time\n.*unit mistake"):
        IncomingSpan.model_validate(span)
