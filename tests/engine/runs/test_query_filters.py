"""`query_filters` and `query_mappings`: validation of such a task, and the rows and spans that it selects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.groups import mapped, put, seed_group_task, span
from tests.support.judges import judge_server

LLM = {"id": "A", "filter": "span_kind = 'LLM'"}
TOOL = {"id": "B", "filter": "span_kind = 'TOOL'"}
SLOW = {"id": "C", "filter": "attributes.slow = true"}
TWO = {"filters": [LLM, TOOL], "expression": "A AND B"}


async def body_of(it: EngineInTest, granularity: str | None = "TRACE", **fields: object) -> dict[str, Any]:
    return {
        "name": "t",
        "type": "CODE_EVALUATION",
        "project_id": await it.seed_project(),
        "evaluators": [{"evaluator_id": await it.seed_code_evaluator(granularity=granularity)}],
        **fields,
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"filters": [LLM]}, "A"),
        ({"filters": [TOOL], "expression": None}, "B"),
        ({"filters": [LLM], "expression": "not a"}, "not a"),
        ({**TWO, "expression": " A OR (NOT B) "}, "A OR (NOT B)"),
    ],
)
async def test_task_answer_has_filters_mappings_and_the_default_expression(given: dict[str, Any], shown: str) -> None:
    async with engine() as it:
        body = await body_of(it, query_filters=given)
        ids = [one["id"] for one in given["filters"]]
        evaluator = body["evaluators"][0]["evaluator_id"]
        body["evaluators"] = [mapped(evaluator, ("output", "attributes.output.value", ids), ("output", "name"))]
        made = await it.ask("POST", "/v2/tasks", body, status=201)
        assert made["query_filters"] == {"filters": given["filters"], "expression": shown}
        (attached,) = made["evaluators"]
        assert attached["query_mappings"] == body["evaluators"][0]["query_mappings"]
        assert (attached["column_mappings"], attached["query_filter"], made["query_filter"]) == (None, None, None)
        assert await it.ask("GET", f"/v2/tasks/{made['id']}") == made
        assert (await it.ask("GET", "/v2/tasks"))["tasks"] == [made]


@pytest.mark.parametrize(
    ("granularity", "fields", "attachment", "status", "said"),
    [
        ("TRACE", {"query_filter": "name = 'x'", "query_filters": TWO}, {}, 400, "cannot be mixed"),
        ("TRACE", {"query_filter": "name = 'x'"}, {"query_mappings": ["x"]}, 400, "cannot be mixed"),
        ("TRACE", {"query_filters": TWO}, {"column_mappings": {"output": "name"}}, 400, "cannot be mixed"),
        ("TRACE", {"query_filters": TWO}, {"query_filter": "name = 'x'"}, 400, "cannot be mixed"),
        ("TRACE", {}, {"query_mappings": ["x"], "column_mappings": {"output": "name"}}, 400, "cannot be mixed"),
        ("TRACE", {}, {"query_mappings": ["x"], "query_filter": "name = 'x'"}, 400, "cannot be mixed"),
        ("SPAN", {"query_filters": TWO}, {}, 400, "cannot be mixed"),
        ("SPAN", {}, {"query_mappings": ["x"]}, 422, "data_granularity"),
        ("TRACE", {"query_filters": {"filters": [LLM, TOOL]}}, {}, 422, "an expression"),
        ("TRACE", {"query_filters": {**TWO, "expression": "A AND C"}}, {}, 422, "no filter C"),
        ("TRACE", {"query_filters": {**TWO, "expression": "A AND"}}, {}, 422, "query_filters.expression, column 6"),
        ("TRACE", {"query_filters": {"filters": [LLM, LLM], "expression": "A"}}, {}, 422, "once"),
        ("TRACE", {"query_filters": {"filters": []}}, {}, 400, "filters"),
        ("TRACE", {"query_filters": {"filters": [{"id": "F", "filter": "x"}]}}, {}, 400, "filters.0.id"),
        (
            "TRACE",
            {"query_filters": {"filters": [{"id": "A", "filter": "colour = 'red'"}]}},
            {},
            422,
            "query_filters.filters[0].filter, column 1",
        ),
        ("SESSION", {"query_filters": {"filters": [LLM]}}, {"query_mappings": ["x", ["B"]]}, 422, "names B"),
        ("SESSION", {}, {"query_mappings": ["x", ["A"]]}, 422, "names A"),
        ("SESSION", {}, {"query_mappings": []}, 400, "query_mappings"),
    ],
)
async def test_invalid_query_filters_and_mappings_are_refused(
    granularity: str, fields: dict[str, Any], attachment: dict[str, Any], status: int, said: str
) -> None:
    async with engine() as it:
        body = await body_of(it, granularity, **fields)
        given = dict(attachment)
        if mapping := given.get("query_mappings"):
            path, ids = mapping[0], mapping[1] if len(mapping) > 1 else []
            given["query_mappings"] = [{"variable_name": "output", "attribute_path": path, "query_ids": ids}]
        body["evaluators"] = [{**body["evaluators"][0], **given}]
        assert said in (await it.ask("POST", "/v2/tasks", body, status=status))["detail"]


async def test_evaluators_of_a_task_must_share_one_granularity() -> None:
    async with engine() as it:
        body = await body_of(it, "TRACE")
        other = await it.seed_code_evaluator(granularity="SESSION", evaluation_name="other")
        body["evaluators"].append({"evaluator_id": other})
        assert "the same data_granularity" in (await it.ask("POST", "/v2/tasks", body, status=422))["detail"]


async def test_trace_evaluators_are_refused_for_experiment_runs() -> None:
    async with engine() as it:
        dataset = await it.seed_dataset()
        experiment = await it.seed_experiment(dataset)
        body = await body_of(it, "TRACE", dataset_id=dataset, experiment_ids=[experiment])
        del body["project_id"]
        assert "whole traces" in (await it.ask("POST", "/v2/tasks", body, status=422))["detail"]
        evaluator = await it.seed_code_evaluator()
        body["evaluators"] = [mapped(evaluator, ("output", "output"))]
        for shape in ({}, {"query_filters": TWO}):
            detail = (await it.ask("POST", "/v2/tasks", {**body, **shape}, status=400))["detail"]
            assert "experiment runs do not belong to a trace" in detail


async def test_query_shape_is_updated_by_part_and_validated_as_a_whole() -> None:
    async with engine() as it:
        made = await it.ask("POST", "/v2/tasks", await body_of(it, "TRACE", query_filters=TWO))
        path, evaluator = f"/v2/tasks/{made['id']}", made["evaluators"][0]["evaluator_id"]
        changed = await it.ask("PATCH", path, {"query_filters": {"filters": [SLOW]}})
        assert changed["query_filters"] == {"filters": [SLOW], "expression": "C"}
        assert changed["evaluators"] == made["evaluators"]
        stale = {"evaluators": [mapped(evaluator, ("output", "name", ["A"]))]}
        assert "names A" in (await it.ask("PATCH", path, stale, status=422))["detail"]
        await it.ask("PATCH", path, {"evaluators": [mapped(evaluator, ("output", "name", ["C"]))]})
        assert "names C" in (await it.ask("PATCH", path, {"query_filters": TWO}, status=422))["detail"]
        assert "cannot be mixed" in (await it.ask("PATCH", path, {"query_filter": "name = 'x'"}, status=400))["detail"]
        spans = await it.seed_code_evaluator(evaluation_name="spans")
        moved = {"query_filters": None, "query_filter": "name = 'x'", "evaluators": [{"evaluator_id": spans}]}
        now = await it.ask("PATCH", path, moved)
        assert (now["query_filters"], now["query_filter"]) == (None, "name = 'x'")
        assert now["evaluators"][0]["query_mappings"] is None
        assert (await it.ask("PATCH", path, {"name": "other"}))["query_filter"] == "name = 'x'"


SPANS = [
    span("llm", 0, "a"),
    span("tool", 1, "b", kind="TOOL"),
    span("both", 2, "c"),
    span("both", 3, "d", kind="TOOL", parent="both-2"),
    span("both", 4, "e", kind="CHAIN", parent="both-2"),
    span("slow", 5, "f", slow=True),
    span("slow", 6, "g", kind="TOOL", parent="slow-5"),
]
ALL = {"filters": [LLM, TOOL, SLOW]}


@pytest.mark.parametrize(
    ("query_filters", "expected"),
    [
        ({"filters": [LLM]}, ["slow", "both", "llm"]),
        ({**TWO, "expression": "A AND B"}, ["slow", "both"]),
        ({**TWO, "expression": "A OR B"}, ["slow", "both", "tool", "llm"]),
        ({**TWO, "expression": "NOT A"}, ["tool"]),
        ({**ALL, "expression": "A AND B AND NOT C"}, ["both"]),
        ({**ALL, "expression": "C OR NOT (A AND B)"}, ["slow", "tool", "llm"]),
        ({**ALL, "expression": "c"}, ["slow"]),
    ],
)
async def test_query_id_matches_a_trace_with_any_of_its_spans(
    query_filters: dict[str, Any], expected: list[str]
) -> None:
    async with engine() as it:
        body = await body_of(it, "TRACE", query_filters=query_filters)
        await put(it, body["project_id"], SPANS)
        done = await it.finish((await it.ask("POST", "/v2/tasks", body))["id"], **WINDOW)
        assert [row["row_id"] for row in await it.rows(done["id"])] == expected


async def test_query_id_matches_a_session_with_any_span_of_its_traces() -> None:
    async with engine() as it:
        body = await body_of(it, "SESSION", query_filters=TWO)
        await put(
            it,
            body["project_id"],
            [
                # Only root spans have the session's id.
                span("one", 0, "a", session="across two traces"),
                span("two", 1, "b", session="across two traces", kind="CHAIN"),
                span("two", 2, "c", parent="two-1", kind="TOOL"),
                span("three", 3, "d", session="no tool"),
                span("four", 4, "e", kind="TOOL"),
            ],
        )
        done = await it.finish((await it.ask("POST", "/v2/tasks", body))["id"], **WINDOW)
        assert [row["row_id"] for row in await it.rows(done["id"])] == ["across two traces"]


async def test_query_id_matches_spans_in_the_window_only() -> None:
    async with engine() as it:
        body = await body_of(it, "TRACE", query_filters=TWO)
        await put(it, body["project_id"], SPANS)
        window = {"data_start_time": "2026-03-01T00:00:02Z", "data_end_time": "2026-03-01T00:00:05Z"}
        done = await it.finish((await it.ask("POST", "/v2/tasks", body))["id"], **window)
        # The tool call of "slow" is after the window.
        assert [row["row_id"] for row in await it.rows(done["id"])] == ["both"]


async def test_query_mapping_reads_the_spans_that_match_its_query_ids() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, SPANS)
        evaluator = await it.seed_template_evaluator(
            judge.base_url, template="{llm}|{tool}|{any}|{either}", granularity="TRACE"
        )
        output = "attributes.output.value"
        mappings = [("llm", output, ["A"]), ("tool", output, ["b"]), ("any", output), ("either", output, ["A", "B"])]
        # B is used in a mapping only.
        filters = {**TWO, "expression": "A"}
        task = await seed_group_task(it, project, [mapped(evaluator, *mappings)], query_filters=filters)
        done = await it.finish(task, **WINDOW)
        prompts = [request.first_prompt for request in judge.requests]
        assert sorted(prompts) == ["c|d|c, d, e|c, d", "f|g|f, g|f, g"]
        (failed,) = await it.rows(done["id"], outcome="error")
        assert failed["row_id"] == "llm"
        assert failed["reason"] == (
            "variable 'tool' has no value: no span of the trace that query B matches has anything at "
            "'attributes.output.value', which it is mapped to"
        )


async def test_variable_with_two_mappings_has_the_values_of_both_in_time_order() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, SPANS[2:5])
        evaluator = await it.seed_template_evaluator(judge.base_url, template="{x}", granularity="TRACE")
        mappings = [("x", "name", ["B"]), ("x", "attributes.output.value", ["A"])]
        task = await seed_group_task(it, project, [mapped(evaluator, *mappings)], query_filters=TWO)
        await it.finish(task, **WINDOW)
        assert judge.requests[-1].first_prompt == "c, span"


async def test_span_shape_on_groups_filters_by_any_span_and_reads_every_span() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, SPANS)
        evaluator = await it.seed_template_evaluator(judge.base_url, template="{x}", granularity="TRACE")
        attachment = {
            "evaluator_id": evaluator,
            "query_filter": "span_kind = 'CHAIN'",
            "column_mappings": {"x": "attributes.output.value"},
        }
        task = await seed_group_task(it, project, [attachment], query_filter="span_kind = 'TOOL'")
        done = await it.finish(task, **WINDOW)
        assert [row["row_id"] for row in await it.rows(done["id"])] == ["both"]
        assert judge.requests[-1].first_prompt == "c, d, e"
