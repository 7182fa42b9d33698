"""Whole traces and sessions as rows: selection, the values that the judge reads, and where results are stored."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import ENDS, WINDOW, EngineInTest, ManualClock, engine
from tests.support.groups import mapped, put, seed_group_task, span, spans_of
from tests.support.judges import JudgeServer, judge_server


async def judged(it: EngineInTest, judge: JudgeServer, task: str, **options: object) -> dict[str, str]:
    """Return the prompts by row id, in the order of the rows; each row is one trace or session."""
    started = len(judge.requests)
    done = await it.finish(task, **{**WINDOW, **options})
    assert done["status"] == "COMPLETED", done
    rows = [row["row_id"] for row in await it.rows(done["id"], outcome="success")]
    prompts = {request.first_prompt for request in judge.requests[started:]}
    assert len(prompts) == len(rows)
    return {row: next(text for text in prompts if text.startswith(f"<{row}>")) for row in rows}


def after_id(prompts: dict[str, str]) -> dict[str, str]:
    return {row: text.partition(">")[2] for row, text in prompts.items()}


async def evaluator_of(
    it: EngineInTest, judge: JudgeServer, granularity: str, template: str = "<{id}>{output}", name: str = "tone"
) -> str:
    return await it.seed_template_evaluator(
        judge.base_url, template=template, evaluation_name=name, granularity=granularity
    )


ID = {"TRACE": ("id", "attributes.group"), "SESSION": ("id", "attributes.chat")}
OUTPUT = ("output", "attributes.output.value")


@pytest.mark.promise("select.trace", "record.granularity")
async def test_trace_is_one_row_with_values_joined_in_time_order() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [
                span("t1", 5, "late", parent="t1-0"),
                span("t1", 0, "first", group="t1"),
                span("t1", 2, "middle, with comma", parent="t1-0"),
                span("t2", 9, "alone", group="t2"),
                span("t1", 3, parent="t1-0"),
            ],
        )
        evaluator = await evaluator_of(it, judge, "TRACE")
        task = await seed_group_task(it, project, [mapped(evaluator, ID["TRACE"], OUTPUT)])
        assert after_id(await judged(it, judge, task)) == {
            "t2": "alone",
            "t1": "first, middle, with comma, late",
        }
        (task_run,) = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        assert (task_run["num_selected"], task_run["num_successes"]) == (2, 2)
        row = (await it.rows(task_run["id"]))[1]
        assert (row["row_kind"], row["row_id"], row["trace_id"]) == ("trace", "t1", "t1")
        assert row["provenance"]["num_spans"] == 4
        shown = {one["context"]["span_id"]: one["evaluations"] for one in await spans_of(it, project)}
        assert {span_id for span_id, evaluations in shown.items() if evaluations} == {"t1-0", "t2-9"}
        (evaluation,) = shown["t1-0"]
        assert evaluation["name"] == "trace_eval.tone"
        assert evaluation["label"] == row["label"]
        assert evaluation["metadata"]["task_run_id"] == task_run["id"]


@pytest.mark.promise("select.session", "record.granularity")
async def test_session_is_one_row_with_its_traces_in_time_order() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [
                # The second trace started before the first one ended.
                span("second", 2, "c", session="chat"),
                span("first", 0, "a", session="chat", chat="chat"),
                span("first", 7, "b", parent="first-0"),
                span("stray", 1, "x"),
                span("other", 4, "d", session="talk", chat="talk"),
            ],
        )
        evaluator = await evaluator_of(it, judge, "SESSION")
        task = await seed_group_task(it, project, [mapped(evaluator, ID["SESSION"], OUTPUT)])
        assert after_id(await judged(it, judge, task)) == {"talk": "d", "chat": "a, b, c"}
        (task_run,) = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
        rows = await it.rows(task_run["id"])
        assert [(row["row_kind"], row["row_id"], row["trace_id"]) for row in rows] == [
            ("session", "talk", None),
            ("session", "chat", None),
        ]
        shown = {one["context"]["span_id"]: one["evaluations"] for one in await spans_of(it, project)}
        assert {id_ for id_, evaluations in shown.items() if evaluations} == {"second-2", "first-0", "other-4"}
        assert shown["second-2"] == shown["first-0"]
        assert shown["second-2"][0]["name"] == "session_eval.tone"


async def one_row(it: EngineInTest, task: str, **options: object) -> dict[str, Any]:
    done = await it.finish(task, **{**WINDOW, **options})
    (row,) = await it.rows(done["id"])
    return row


async def test_conversation_is_a_json_array_of_turns_from_root_spans() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [
                span("t2", 10, 'He said "no"', input="And now?", session="chat"),
                span("t1", 0, "Hello", input="Hi", session="chat"),
                span("t1", 1, "inner", parent="t1-0", input="inner"),
                # There is no root span, so the first span is used.
                span("t3", 20, "Bye", parent="lost", session="chat"),
                span("t4", 30, session="chat"),
            ],
        )
        evaluator = await evaluator_of(it, judge, "SESSION", "{conversation}")
        assert (await one_row(it, await seed_group_task(it, project, [evaluator])))["outcome"] == "SUCCESS"
        assert json.loads(judge.requests[-1].first_prompt) == [
            {"input": "Hi", "output": "Hello"},
            {"input": "And now?", "output": 'He said "no"'},
            {"input": None, "output": "Bye"},
        ]


async def test_conversation_is_an_ordinary_variable_on_a_trace() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, [span("t", 0, "x", input="y", session="chat")])
        evaluator = await evaluator_of(it, judge, "TRACE", "{conversation}")
        row = await one_row(it, await seed_group_task(it, project, [evaluator]))
        assert row["outcome"] == "ERROR"
        assert "'conversation'" in row["reason"] and "no span of the trace" in row["reason"]


async def test_trace_values_are_truncated_at_100_000_characters_and_reported() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, [span("t", i, "x" * 40_000, input="short", parent="p") for i in range(4)])
        evaluator = await evaluator_of(it, judge, "TRACE", "{input}|{output}")
        mappings = mapped(evaluator, OUTPUT, ("input", "attributes.input.value"))
        row = await one_row(it, await seed_group_task(it, project, [mappings]))
        asked_input, _, asked_output = judge.requests[-1].first_prompt.partition("|")
        assert asked_input == "short, short, short, short"
        assert asked_output == ", ".join(["x" * 40_000] * 4)[:100_000]
        assert row["provenance"]["cut_to_characters"] == {"output": 100_000}
        (evaluation,) = (await spans_of(it, project))[-1]["evaluations"]
        assert evaluation["metadata"]["cut_to_characters"] == {"output": 100_000}


async def test_session_is_read_until_every_value_is_truncated() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        long = [span(f"t{i}", i, "x" * 60_000, session="s") for i in range(4)]
        child = span("t1", 1.5, "x", session="s", parent="t1-1")
        await put(it, project, [*long, child])
        evaluator = await evaluator_of(it, judge, "SESSION", "{output}")
        row = await one_row(it, await seed_group_task(it, project, [mapped(evaluator, OUTPUT)]))
        assert row["provenance"]["cut_to_characters"] == {"output": 100_000}
        assert row["provenance"]["num_spans"] == 2


async def test_session_values_share_100_000_characters_and_conversation_stays_json() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, [span(f"t{i}", i, "é" * 30_000, input=f"q{i}", session="s") for i in range(5)])
        evaluator = await evaluator_of(it, judge, "SESSION", "{input}|{output}|{conversation}")
        row = await one_row(it, await seed_group_task(it, project, [mapped(evaluator, OUTPUT)]))
        given, output, conversation = judge.requests[-1].first_prompt.split("|")
        assert given == "q0, q1, q2, q3, q4"
        assert len(given) + len(output) + len(conversation) <= 100_000
        turns = json.loads(conversation)
        assert [turn["input"] for turn in turns] == ["q0", "q1"]
        assert turns[0]["output"] == "é" * 30_000 and 0 < len(turns[1]["output"]) < 30_000
        cut = row["provenance"]["cut_to_characters"]
        assert cut == {"output": len(output), "conversation": len(conversation)}
        assert min(cut.values()) > 49_000


async def test_unmapped_variable_reads_root_spans_first_then_all_spans() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [
                span("t", 0, "answer", id="root"),
                span("t", 1, "step 1", parent="root", tool="search"),
                span("t", 2, "step 2", parent="root", tool="read", weight=2.5),
            ],
        )
        evaluator = await evaluator_of(it, judge, "TRACE", "{output}|{tool}|{weight}")
        await one_row(it, await seed_group_task(it, project, [evaluator]))
        assert judge.requests[-1].first_prompt == "answer|search, read|2.5"


async def test_mapping_reads_evaluations_of_spans_and_traces() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it, project, [span("t1", 0, "[[label: yes]] a", session="s"), span("t2", 1, "[[label: no]] b", session="s")]
        )
        inner = await evaluator_of(it, judge, "TRACE", "{output}", "inner")
        spans = await it.seed_template_evaluator(judge.base_url, template="{output}", evaluation_name="own")
        await it.finish(await seed_group_task(it, project, [inner], name="a"), **WINDOW)
        await it.finish(await seed_group_task(it, project, [spans], name="b"), **WINDOW)
        outer = await evaluator_of(it, judge, "SESSION", "{traces}|{spans}", "outer")
        mappings = mapped(outer, ("traces", "trace_eval.inner.label"), ("spans", "eval.own.score"))
        await one_row(it, await seed_group_task(it, project, [mappings], name="c"))
        assert judge.requests[-1].first_prompt == "yes, no|1.0, 0.0"


@pytest.mark.parametrize("granularity", ["TRACE", "SESSION"])
async def test_labelled_groups_are_skipped_and_all_labelled_cancels_the_task_run(granularity: str) -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, [span(f"t{i}", i, "a", session=f"t{i}") for i in range(2)])
        task = await seed_group_task(it, project, [await evaluator_of(it, judge, granularity, "{output}")])
        assert (await it.finish(task, **WINDOW))["num_successes"] == 2
        await put(it, project, [span("new", 5, "c", session="new")])
        done = await it.finish(task, **WINDOW)
        assert {row["row_id"]: row["outcome"] for row in await it.rows(done["id"])} == {
            "new": "SUCCESS", "t1": "SKIPPED", "t0": "SKIPPED"
        }  # fmt: skip
        done = await it.finish(task, **WINDOW)
        assert (done["status"], done["num_selected"]) == ("CANCELLED", 0)
        assert "override_evaluations" in done["failure_reason"]
        assert (await it.finish(task, **WINDOW, override_evaluations=True))["num_successes"] == 3


async def test_max_spans_limits_rows_newest_first() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [span(f"t{i}", 10 * i + j, "x", session=f"s{i // 2}", parent="p") for i in range(6) for j in range(3)],
        )
        for granularity, expected in (("TRACE", ["t5", "t4"]), ("SESSION", ["s2", "s1"])):
            evaluator = await evaluator_of(it, judge, granularity, "{output}", granularity)
            task = await seed_group_task(it, project, [evaluator], name=granularity)
            done = await it.finish(task, **WINDOW, max_spans=2)
            assert [row["row_id"] for row in await it.rows(done["id"])] == expected


async def test_window_selects_groups_and_each_is_judged_whole() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [span("before", 0, "a"), span("across", 1, "b"), span("across", 11, "c"), span("after", 20, "d")],
        )
        evaluator = await evaluator_of(it, judge, "TRACE", "{output}")
        task = await seed_group_task(it, project, [mapped(evaluator, OUTPUT)])
        window = {"data_start_time": "2026-03-01T00:00:05Z", "data_end_time": "2026-03-01T00:00:15Z"}
        assert (await one_row(it, task, **window))["row_id"] == "across"
        assert judge.requests[-1].first_prompt == "b, c"


async def test_sampling_of_traces_is_deterministic() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(it, project, [span(f"t{i // 2}", i, "x") for i in range(200)])
        evaluator = await evaluator_of(it, judge, "TRACE", "{output}")
        task = await seed_group_task(it, project, [evaluator], sampling_rate=0.3)
        first = {row["row_id"] for row in await it.rows((await it.finish(task, **WINDOW))["id"])}
        assert 10 < len(first) < 60
        again = await it.finish(task, **WINDOW, override_evaluations=True)
        assert {row["row_id"] for row in await it.rows(again["id"])} == first


async def test_filters_read_evaluations_of_a_spans_trace_and_session() -> None:
    async with engine() as it, judge_server() as judge:
        project = await it.seed_project()
        await put(
            it,
            project,
            [
                span("good", 0, "[[label: yes]]", session="s"),
                span("good", 1, "inner", parent="good-0"),
                span("bad", 2, "[[label: no]]", session="s"),
                span("stray", 3, "[[label: no]]"),
            ],
        )
        trace = await evaluator_of(it, judge, "TRACE", "{output}", "tone")
        session = await evaluator_of(it, judge, "SESSION", "{output}", "mood")
        await it.finish(await seed_group_task(it, project, [trace], name="a"), **WINDOW)
        await it.finish(await seed_group_task(it, project, [session], name="b"), **WINDOW)

        async def found(text: str) -> set[str]:
            return {one["context"]["span_id"] for one in await spans_of(it, project, filter=text)}

        assert await found("trace_eval.tone.label = 'yes'") == {"good-0", "good-1"}
        assert await found("trace_eval.tone.score < 1") == {"bad-2", "stray-3"}
        assert await found("session_eval.mood.label = 'yes'") == {"good-0", "good-1", "bad-2"}
        assert await found("session_eval.mood.label IS NULL") == {"stray-3"}
        assert await found("trace_eval.tone.metadata.judge = 'llm' AND eval.tone.label IS NULL") == {
            "good-0", "good-1", "bad-2", "stray-3"
        }  # fmt: skip
        only_session = await spans_of(it, project, included_columns=["session_eval.mood.label"])
        assert {
            one["context"]["span_id"]: [(e["name"], e["label"], e["score"]) for e in one["evaluations"]]
            for one in only_session
        } == {
            "stray-3": [],
            "bad-2": [("session_eval.mood", "yes", None)],
            "good-1": [],
            "good-0": [("session_eval.mood", "yes", None)],
        }


async def test_newer_version_with_another_granularity_fails_the_task_run_with_a_reason() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await put(it, project, [span("t", 0, "answer")])
        evaluator = await it.seed_code_evaluator(granularity="TRACE")
        task = await it.seed_task([evaluator], project_id=project, query_filters=ONE)
        config = {"type": "MANAGED", "name": "x", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"]}
        await it.ask("POST", f"/v2/evaluators/{evaluator}/versions", {"commit_message": "2", "code_config": config})
        done = await it.finish(task, **WINDOW)
        assert done["status"] == "FAILED"
        assert "data_granularity" in done["failure_reason"]


ONE = {"filters": [{"id": "A", "filter": "span_kind = 'LLM'"}]}
QUIET = ExecutorLimits(poll_seconds=0.02, continuous_seconds=0.0, quiet_seconds=60.0)


class Watched:
    """A continuous task over groups, with a clock that the test sets."""

    def __init__(self, it: EngineInTest, clock: ManualClock, task: str) -> None:
        self.it, self.clock, self.task = it, clock, task

    async def rows(self, expected: int) -> list[tuple[str, str]]:
        """Return (row id, outcome) of all task runs of the task, once there are so many and all have ended."""
        with anyio.fail_after(10):
            while True:
                runs = (await self.it.ask("GET", f"/v2/tasks/{self.task}/runs"))["task_runs"]
                rows = [row for one in reversed(runs) for row in await self.it.rows(one["id"])]
                if len(rows) >= expected and all(one["status"] in ENDS for one in runs):
                    return [(row["row_id"], row["outcome"]) for row in rows]
                await anyio.sleep(0.01)

    async def looked(self) -> None:
        """Wait until the executor has polled two more times, so that it has seen all earlier changes."""
        turns = self.it.engine.executor.poll_count + 2
        with anyio.fail_after(10):
            while self.it.engine.executor.poll_count < turns:
                self.it.engine.services.wake_signal.notify()
                await anyio.sleep(0.001)


@pytest.mark.promise("continuous.once")
@pytest.mark.parametrize("granularity", ["TRACE", "SESSION"])
async def test_continuous_task_evaluates_a_quiet_group_exactly_once(granularity: str) -> None:
    clock = ManualClock()

    def turn(group: str, at: float, output: str) -> dict[str, Any]:
        trace = group if granularity == "TRACE" else f"{group}-{at}"
        return span(trace, at, output, session=group, id=f"{group}-{at}")

    async with engine(clock=clock, limits=QUIET) as it:
        project = await it.seed_project()
        await put(it, project, [turn("old", 0, "answer")])
        evaluator = await it.seed_code_evaluator(granularity=granularity)
        task = await it.seed_task([evaluator], project_id=project, is_continuous=True)
        watched = Watched(it, clock, task)
        await put(it, project, [turn("a", 1, "answer"), turn("b", 2, "no")])
        await clock.turn(50)
        await put(it, project, [turn("a", 3, "answer"), turn("c", 4, "answer")])
        await clock.turn(11)
        assert await watched.rows(1) == [("b", "SUCCESS")]
        await watched.looked()
        assert await watched.rows(1) == [("b", "SUCCESS")]
        await clock.turn(50)
        assert sorted(await watched.rows(3)) == [("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS")]
        # Whatever arrives later, each was evaluated once.
        await put(it, project, [turn("a", 5, "answer"), turn("d", 6, "answer"), turn("old", 7, "answer")])
        await clock.turn(61)
        assert Counter(row_id for row_id, _ in await watched.rows(5)) == dict.fromkeys(["a", "b", "c", "d", "old"], 1)
        await watched.looked()
        assert len(await watched.rows(5)) == 5


async def test_continuous_task_evaluates_a_trace_once_even_after_an_error() -> None:
    clock = ManualClock()
    async with engine(clock=clock, limits=QUIET) as it:
        project = await it.seed_project()
        evaluator = await it.seed_code_evaluator(granularity="TRACE")
        other = await it.seed_code_evaluator(granularity="TRACE", evaluation_name="other")
        task = await it.seed_task([evaluator], project_id=project, is_continuous=True)
        watched = Watched(it, clock, task)
        await put(it, project, [span("empty", 0)])
        await clock.turn(61)
        assert await watched.rows(1) == [("empty", "ERROR")]
        await it.ask(
            "PATCH", f"/v2/tasks/{task}", {"evaluators": [{"evaluator_id": evaluator}, {"evaluator_id": other}]}
        )
        await put(it, project, [span("empty", 1, "answer"), span("next", 2, "answer")])
        await clock.turn(61)
        # An evaluator that is new to the task may still evaluate it.
        assert sorted(await watched.rows(4)) == [
            ("empty", "ERROR"), ("empty", "SUCCESS"), ("next", "SUCCESS"), ("next", "SUCCESS")
        ]  # fmt: skip


async def test_two_processes_evaluate_every_quiet_trace_once(tmp_path: Path) -> None:
    path, clock = tmp_path / "store.db", ManualClock()
    async with engine(path, clock=clock, limits=QUIET) as one, engine(path, clock=clock, limits=QUIET) as two:
        project = await one.seed_project()
        task = await one.seed_task(
            [await one.seed_code_evaluator(granularity="TRACE")], project_id=project, is_continuous=True
        )
        for first in range(0, 40, 4):
            spans = [span(f"t{i // 2}", i, "answer") for i in range(first, first + 4)]
            await put(one if first % 8 else two, project, spans)
            await clock.turn(20)
        await clock.turn(61)
        rows = await Watched(two, clock, task).rows(20)
        assert Counter(rows) == {(f"t{i}", "SUCCESS"): 1 for i in range(20)}
