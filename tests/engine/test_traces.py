"""Traces over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.support.engines import EngineInTest, ManualClock, engine

SOON = datetime(2026, 3, 2, tzinfo=UTC)


def _span(trace: str, id_: str, second: int, parent: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "trace_id": trace, "span_id": id_, "parent_id": parent, "start_time": f"2026-03-01T00:00:{second:02}Z",
        "end_time": f"2026-03-01T00:00:{second + 1:02}Z", **fields,
    }  # fmt: skip


async def _seed(it: EngineInTest, spans: list[dict[str, Any]]) -> str:
    project = await it.seed_project()
    for start in range(0, len(spans), 1000):
        await it.ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": spans[start : start + 1000]})
    return project


async def test_list_traces_returns_root_and_spans_newest_first() -> None:
    spans = [
        _span("a", "a1", 1), _span("a", "a2", 2, "a1"), _span("b", "b1", 5), _span("b", "b2", 7, "b1"),
        _span("c", "c1", 3), _span("c", "c2", 4), _span("orphan", "o1", 9, "elsewhere"),
    ]  # fmt: skip
    async with engine(clock=ManualClock(SOON)) as it:
        project = await _seed(it, spans)
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(10):
            page = await it.ask("POST", "/v2/traces", {"project_id": project}, limit=1, cursor=cursor)
            found += page["traces"]
            cursor = page["pagination"].get("next_cursor")
            if cursor is None:
                break
    assert [(trace["trace_id"], trace["root_span_id"]) for trace in found] == [
        ("b", "b1"), ("c", "c2"), ("c", "c1"), ("a", "a1"),
    ]  # fmt: skip
    assert [span["context"]["span_id"] for span in found[0]["spans"]] == ["b1", "b2"]
    assert (found[0]["start_time"], found[0]["end_time"]) == ("2026-03-01T00:00:05.000Z", "2026-03-01T00:00:08.000Z")
    assert not any(trace["spans_truncated"] for trace in found)


async def test_list_traces_filter_is_passed_by_any_span_in_the_window() -> None:
    spans = [
        _span("a", "a1", 1), _span("a", "a2", 30, "a1", name="tool", attributes={"input.value": "x"}),
        _span("b", "b1", 5, name="tool-free"),
    ]  # fmt: skip
    async with engine(clock=ManualClock(SOON)) as it:
        body = {"project_id": await _seed(it, spans), "filter": "name = 'tool' OR attributes.input.value = 'x'"}
        found = await it.ask("POST", "/v2/traces", body)
        cut = await it.ask("POST", "/v2/traces", {**body, "end_time": "2026-03-01T00:00:10Z"})
        everything = await it.ask(
            "POST", "/v2/traces", {"project_id": body["project_id"], "end_time": "2026-03-01T00:00:10Z"}
        )
        for wrong, status in (({"filter": " "}, 400), ({"filter": "nme = 1"}, 422), ({"project_id": "x"}, 404)):
            assert (await it.ask("POST", "/v2/traces", {**body, **wrong}, status=status))["status"] == status
        await it.ask("POST", "/v2/traces", body, status=400, limit=51)
        await it.ask("POST", "/v2/traces", body, status=400, cursor="bm9uc2Vuc2U=")
    assert [[span["context"]["span_id"] for span in trace["spans"]] for trace in found["traces"]] == [["a1", "a2"]]
    assert cut["traces"] == []
    assert [len(trace["spans"]) for trace in everything["traces"]] == [1, 1]


async def test_list_traces_truncates_long_traces_and_reports_it() -> None:
    spans = [_span("a", "root", 0)] + [_span("a", f"s{i:04}", 1 + i // 100, "root") for i in range(1000)]
    async with engine(clock=ManualClock(SOON)) as it:
        (trace,) = (await it.ask("POST", "/v2/traces", {"project_id": await _seed(it, spans)}))["traces"]
    assert (trace["spans_truncated"], len(trace["spans"])) == (True, 1000)
    assert trace["spans"][0]["context"]["span_id"] == "root"
