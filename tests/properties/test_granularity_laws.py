"""Laws of traces and sessions as rows: expressions, joined values, separate projects, and repeatable selection."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaltasks.api.problems import Unprocessable
from evaltasks.api.tasks import QueryId
from evaltasks.engine.filters.expression import (
    Expression,
    Named,
    Negated,
    condition,
    parse_expression,
    print_expression,
)
from evaltasks.engine.filters.syntax import Junction
from evaltasks.engine.runs.executor import ExecutorLimits
from evaltasks.engine.runs.joining import Conversation, JoinedText, Turn, allot_characters
from tests.support.engines import QUICK, WINDOW, EngineInTest, engine
from tests.support.groups import mapped, put, span

IDS = st.sampled_from(QueryId)
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    IDS.map(Named),
    lambda parts: st.one_of(
        st.builds(Negated, parts),
        st.builds(Junction, st.sampled_from(["AND", "OR"]), st.lists(parts, min_size=2, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)
TEXTS = st.text(st.sampled_from('ab,"\\é🙂\n '), max_size=12)


@given(EXPRESSIONS)
def test_print_expression_and_parse_expression_round_trip(tree: Expression) -> None:
    assert parse_expression(print_expression(tree), set(QueryId)) == tree
    assert parse_expression(print_expression(tree).lower(), set(QueryId)) == tree


def _holds(tree: Expression, facts: Mapping[QueryId, bool]) -> bool:
    match tree:
        case Named(id=id_):
            return facts[id_]
        case Negated(part=part):
            return not _holds(part, facts)
        case Junction(word=word, parts=parts):
            return (all if word == "AND" else any)(_holds(part, facts) for part in parts)


@given(EXPRESSIONS, st.fixed_dictionaries({id_: st.booleans() for id_ in QueryId}))
def test_expression_condition_equals_its_meaning_in_python(tree: Expression, facts: dict[QueryId, bool]) -> None:
    text = condition(tree, {id_: "(1 = 1)" if fact else "(1 = 0)" for id_, fact in facts.items()})
    python = text.replace(" = ", " == ").replace("AND", "and").replace("OR", "or").replace("NOT", "not")
    assert eval(python) is _holds(tree, facts)


@given(st.text(max_size=30) | st.text(st.sampled_from("ABEF ()andornt"), max_size=30))
def test_parse_expression_accepts_any_text_or_rejects_it_with_its_place(text: str) -> None:
    try:
        parse_expression(text, {QueryId.A, QueryId.B})
    except Unprocessable as problem:
        assert problem.detail.startswith("query_filters.expression, column ")


@given(st.lists(TEXTS, max_size=8), st.integers(1, 40))
def test_joined_text_is_a_prefix_and_reports_truncation(texts: list[str], limit: int) -> None:
    joined = JoinedText(limit)
    for text in texts:
        joined.add(text)
    whole = ", ".join(texts)
    assert joined.text() == whole[:limit]
    assert joined.is_truncated == (len(whole) > limit)
    assert joined.is_empty == (not texts)


@given(st.lists(st.builds(Turn, TEXTS | st.none(), TEXTS | st.none()), max_size=6), st.integers(2, 200))
def test_conversation_is_json_of_its_first_turns_within_the_limit(turns: list[Turn], limit: int) -> None:
    talk = Conversation(limit)
    for turn in turns:
        talk.add(turn)
    text = talk.text()
    assert len(text) <= limit
    read = json.loads(text)
    whole = [{"input": turn.input, "output": turn.output} for turn in turns]
    if len(json.dumps(whole, ensure_ascii=False)) <= limit:
        assert (read, talk.is_truncated) == (whole, False)
        return
    assert talk.is_truncated
    assert read[:-1] == whole[: len(read)][:-1]
    for mine, theirs in zip(read[-1:], whole[: len(read)][-1:], strict=True):
        assert all((theirs[key] or "").startswith(mine[key] or "") for key in ("input", "output"))


def test_conversation_that_fits_exactly_is_whole_and_otherwise_loses_its_last_characters() -> None:
    turns = [Turn("question 1", "answer 1"), Turn("question 2", "the longer answer 2")]
    whole = json.dumps([{"input": turn.input, "output": turn.output} for turn in turns], ensure_ascii=False)
    for lost in range(3):
        talk = Conversation(len(whole) - lost)
        for turn in turns:
            talk.add(turn)
        expected = f"{whole[: len(whole) - 3 - lost]}{whole[-3:]}"
        assert (talk.text(), talk.is_truncated) == (expected, lost > 0)


@given(st.dictionaries(TEXTS, st.integers(0, 500), min_size=1, max_size=6), st.integers(0, 1000))
def test_allot_characters_is_fair_and_within_the_total(lengths: dict[str, int], total: int) -> None:
    kept = allot_characters(lengths, total)
    assert all(kept[name] <= lengths[name] for name in lengths)
    assert sum(kept.values()) <= total
    if sum(lengths.values()) <= total:
        assert kept == lengths
    short = [kept[name] for name in lengths if kept[name] < lengths[name]]
    assert not short or min(short) >= max(kept.values()) - 1


# A span as (project, trace, session, second): few of each, so that both projects have the same ids.
PLACES = st.tuples(
    st.sampled_from("pq"), st.sampled_from(["t1", "t2", "t3"]), st.sampled_from(["s1", "s2", None]), st.integers(0, 9)
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PLACES, max_size=20), st.sampled_from(["TRACE", "SESSION"]))
def test_group_row_contains_only_spans_of_its_project(
    places: list[tuple[str, str, str | None, int]], granularity: str
) -> None:
    anyio.run(_check_projects, places, granularity)


async def _check_projects(places: list[tuple[str, str, str | None, int]], granularity: str) -> None:
    async with engine() as it:
        projects = {name: await it.seed_project() for name in "pq"}
        for number, (project, trace, session, second) in enumerate(places):
            one = span(trace, second, f"{project}{number}", id=f"n{number}", session=session)
            await put(it, projects[project], [one])
        # The pattern matches a value only if every part of it is of the project q.
        only_q = {"name": "pattern", "type": "REGEX", "default_value": r"^q\d+(, q\d+)*$"}
        evaluator = await it.seed_code_evaluator(granularity=granularity, static_params=[only_q])
        found: dict[str, dict[str, Any]] = {}
        for name, project in projects.items():
            task = await _task(it, project, evaluator)
            done = await it.finish(task, **WINDOW)
            found[name] = {row["row_id"]: row for row in await it.rows(done["id"])}
        for name in projects:
            spans: dict[str, int] = {}
            traces = {(trace, session) for project, trace, session, _ in places if project == name}
            if granularity == "TRACE":
                ids = {trace: {trace} for trace, _ in traces}
            else:
                ids = {s: {trace for trace, other in traces if other == s} for _, s in traces if s is not None}
            for id_, members in ids.items():
                spans[id_] = sum(project == name and trace in members for project, trace, _, _ in places)
            rows = found[name]
            assert {id_: row["provenance"]["num_spans"] for id_, row in rows.items()} == spans
            assert {row["label"] for row in rows.values()} <= {"true" if name == "q" else "false"}


async def _task(it: EngineInTest, project: str, evaluator: str, **fields: object) -> str:
    attachment = mapped(evaluator, ("output", "attributes.output.value"))
    body = {"name": f"task {project}", "type": "CODE_EVALUATION", "project_id": project, "evaluators": [attachment]}
    return str((await it.ask("POST", "/v2/tasks", {**body, **fields}))["id"])


IDLE = ExecutorLimits(task_runs_max=0, poll_seconds=0.02)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(PLACES, min_size=1, max_size=20),
    st.sampled_from(["TRACE", "SESSION"]),
    st.none() | st.floats(0.1, 0.9),
    st.integers(1, 4),
)
def test_selection_is_the_same_after_a_restart(
    places: list[tuple[str, str, str | None, int]], granularity: str, rate: float | None, rows_max: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(_check_restart, Path(folder) / "store.db", places, granularity, rate, rows_max)


async def _check_restart(
    path: Path, places: list[tuple[str, str, str | None, int]], granularity: str, rate: float | None, rows_max: int
) -> None:
    options = {**WINDOW, "max_spans": rows_max, "override_evaluations": True}
    async with engine(path, limits=QUICK) as it:
        project = await it.seed_project()
        await put(it, project, [span(t, at, "x", id=f"n{n}", session=s) for n, (_, t, s, at) in enumerate(places)])
        evaluator = await it.seed_code_evaluator(granularity=granularity)
        task = await _task(it, project, evaluator, sampling_rate=rate)
        before = await it.rows((await it.finish(task, **options))["id"])
    async with engine(path, limits=IDLE) as it:
        pending = (await it.trigger(task, **options))["id"]
    async with engine(path, limits=QUICK) as it:
        after = await it.rows((await it.ended(pending))["id"])
    assert [row["row_id"] for row in after] == [row["row_id"] for row in before]
    assert len(before) <= rows_max
