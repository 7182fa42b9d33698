"""Query filters: which rows each form selects, and the messages for invalid ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from evaltasks.api.problems import BadRequest, Problem, Unprocessable
from evaltasks.engine.filters.compile import Target, all_of, compile_filter
from evaltasks.engine.filters.parser import CHARACTERS_MAX, DEPTH_MAX, NODES_MAX, parse_filter
from evaltasks.engine.filters.syntax import print_filter
from tests.support.span_store import SpanStore, span_store

# 2026-03-01T00:00:00Z
MARCH_US = 1_772_323_200_000_000


@pytest.fixture
def store() -> Iterator[SpanStore]:
    with span_store() as opened:
        opened.add_span(
            1,
            name="root call",
            kind="CHAIN",
            latency_ms=12.5,
            start_us=MARCH_US,
            session_id="s-1",
            attributes={
                "input.value": "I want a refund",
                "llm.model_name": "gpt-4o",
                "llm.token_count.total": 120,
                "metadata.tier": "gold",
                "tags": ["a", "b"],
                "flag": True,
                "my key": 1,
                "7": "seven",
            },
            events=[{"name": "exception", "timestamp": "t", "attributes": {"exception.type": "TimeoutError"}}],
        )
        opened.add_span(
            2,
            parent_id="s1",
            status_code="ERROR",
            latency_ms=6000.0,
            start_us=MARCH_US + 1,
            attributes={
                "input.value": "REFUND?",
                "llm.token_count.total": "120",
                "llm.output_messages.0.message.content": "50% off it's",
                "error.type": "HttpTransportError",
            },
        )
        opened.add_span(3, kind="TOOL", parent_id="s1", attributes={"llm.token_count.total": 7, "tags": []})
        opened.evaluate(1, "correct", label="yes", score=1.0, explanation="fits", metadata='{"task_id": "T1"}')
        opened.evaluate(2, "correct", label="no", score=0.0)
        opened.evaluate(2, "my-eval v1.2", label="x", score=0.5)
        yield opened


SELECTED = [
    ("status_code = 'ERROR' AND attributes.openinference.span.kind = 'LLM'", [2]),
    ("span_kind = 'llm'", [2]),
    ("span_kind != 'TOOL'", [1, 2]),
    ("span_kind In ('chain', 'TOOL')", [1, 3]),
    ("latency_ms > 5000", [2]),
    ("latency_ms >= 12.5 and latency_ms <= 6e3", [1, 2]),
    ("attributes.error.type LIKE '%Transport%'", [2]),
    ("attributes.error.type LIKE 'Transport%'", []),
    ("name LIKE 'root_call'", [1]),
    ("event.attributes CONTAINS 'TimeoutError'", [1]),
    ("parent_id IS NULL", [1]),
    ("parent_id is not null", [2, 3]),
    ("parent_id = null", [1]),
    ("parent_id != NULL", [2, 3]),
    ("\"attributes.input.value\" contains 'refund'", [1]),
    ('"attributes"."input"."value" CONTAINS \'REFUND\'', [2]),
    ("attributes.llm.output_messages.0.message.content = '50% off it''s'", [2]),
    ("attributes.llm.output_messages IS NOT NULL", [2]),
    ("attributes.llm.token_count.total > 100", [1]),
    ("attributes.llm.token_count.total < 100", [3]),
    ("attributes.llm.token_count.total = '120'", [2]),
    ("attributes.llm.token_count.total != 120", [2, 3]),
    ("attributes.llm.token_count.total IN (7, '120')", [2, 3]),
    ("attributes.absent != 'x'", []),
    ("attributes.absent = null", [1, 2, 3]),
    ("attributes.flag = true", [1]),
    ("attributes.flag = false", []),
    ("attributes.tags.0 = 'a'", [1]),
    ("attributes.tags = '[]'", [3]),
    ('"attributes.my key" = 1', [1]),
    ("attributes.7 = 'seven'", [1]),
    ("attributes.session.id = 's-1'", [1]),
    ("metadata.tier = 'gold'", [1]),
    ("context.trace_id = 't2'", [2]),
    ("context.span_id IN ('s1', 's3', 's9')", [1, 3]),
    ("start_time > '2026-03-01T00:00:00Z'", [2]),
    ("start_time >= '2026-03-01' AND start_time <= '2026-03-01T01:00:00+01:00'", [1]),
    ("eval.correct.label = 'yes'", [1]),
    ("eval.correct.score < 0.5", [2]),
    ("eval.correct.label IS NULL", [3]),
    ("eval.correct.explanation CONTAINS 'fit'", [1]),
    ("eval.correct.metadata.task_id = 'T1'", [1]),
    ("eval.\"my-eval v1.2\".label = 'x'", [2]),
    ('"eval.my-eval v1.2.score" = 0.5', [2]),
    ("eval.never.label = 'x' OR (name = 'root call')", [1]),
    ("span_kind = 'TOOL' OR span_kind = 'LLM' AND status_code = 'OK'", [3]),
    ("(span_kind = 'TOOL' OR span_kind = 'LLM') AND status_code = 'ERROR'", [2]),
    ("((parent_id IS NULL))", [1]),
    ("status_code\n=\t'ERROR'", [2]),
]


@pytest.mark.parametrize(("text", "seqs"), SELECTED)
def test_filter_selects_the_matching_rows(store: SpanStore, text: str, seqs: list[int]) -> None:
    assert store.select(compile_filter(text, Target.SPAN)) == seqs


@pytest.mark.parametrize("text", [text for text, _ in SELECTED])
def test_print_filter_parses_to_the_same_filter(text: str) -> None:
    tree = parse_filter(text)
    assert parse_filter(print_filter(tree)) == tree


REFUSED = [
    ("name", "column 5: expected =, !=", Unprocessable),
    ("name = ", "column 8: expected a text in single quotes or a number, found the end", Unprocessable),
    ("name == 'x'", "column 6: '==' is not part of the language; write =", Unprocessable),
    ("name <> 'x'", "write !=", Unprocessable),
    ('name = "x"', "column 8: expected a text in single quotes", Unprocessable),
    ("name = 'x", "column 8: this text has no closing single quote", Unprocessable),
    ('"name = 5', "column 1: this name is empty or has no closing double quote", Unprocessable),
    ("name = 'x' name = 'y'", "column 12: expected AND, OR or the end", Unprocessable),
    ("(name = 'x'", "column 12: expected AND, OR or a closing bracket", Unprocessable),
    ("name = 'x')", "column 11: expected AND, OR or the end of the filter, found )", Unprocessable),
    ("NOT name = 'x'", "column 1: expected a column name", Unprocessable),
    ("name NOT IN ('x')", "NOT is allowed in IS NOT NULL only", Unprocessable),
    ("name IN ()", "column 10: expected a text in single quotes or a number", Unprocessable),
    ("name IN ('x' 'y')", "column 14: expected a comma or a closing bracket", Unprocessable),
    ("name IN 'x'", "column 9: expected an opening bracket after IN", Unprocessable),
    ("name LIKE 5", "column 11: expected a text in single quotes after LIKE", Unprocessable),
    ("name < null", "column 8: nothing is < null", Unprocessable),
    ("name = 'x' AND", "column 15: expected a column name or an opening bracket", Unprocessable),
    ("'x' = name", "column 1: expected a column name", Unprocessable),
    ("attributes. = 5", "column 12: expected a name after the dot", Unprocessable),
    ("latency_ms > 5ms", "column 14: expected a number", Unprocessable),
    ("latency_ms > '5'", "column 14: latency_ms is a number", Unprocessable),
    ("name = 5", "column 8: name is a text", Unprocessable),
    ("latency_ms CONTAINS '5'", "column 21: latency_ms is a number", Unprocessable),
    ("start_time > 'yesterday'", "column 14: start_time is a time", Unprocessable),
    ("start_time > 5", "column 14: start_time is a time", Unprocessable),
    ("span_kind = 'LMM'", "column 13: this is not a value of span_kind; use one of LLM, CHAIN", Unprocessable),
    ("eval.x.score = 'good'", "column 16: eval.x.score is a number", Unprocessable),
    ("eval.x = 'good'", "column 1: write an evaluation as eval.<name>.label", Unprocessable),
    ("event.attributes = 'x'", "can only be used with CONTAINS", Unprocessable),
    ("trace_id = 'x'", "Nearest: context.trace_id.", Unprocessable),
    ("spankind = 'LLM'", "Nearest: span_kind.", Unprocessable),
    # A fourth one, attributes.session.id, is not listed.
    ("id = 'x'", "Nearest: parent_id, context.span_id, context.trace_id. Known", Unprocessable),
    ("input.value = 'x'", "attributes.input.value", Unprocessable),
    ("attributes.x > 1e999", "column 16: this number is too large", Unprocessable),
    ("annotation.x.explanation = 'y'", "column 1: write an annotation as annotation.<name>.label", Unprocessable),
    ("annotation.x.score = 'y'", "column 22: annotation.x.score is a number", Unprocessable),
    ("session_eval.x = 'y'", "column 1: write an evaluation as session_eval.<name>.label", Unprocessable),
    ("name = 'a\0b'", "null character", Unprocessable),
    ("name = '\ud800'", "surrogate", Unprocessable),
    (" \n", "filter is blank", BadRequest),
]


@pytest.mark.parametrize(("text", "message", "kind"), REFUSED)
def test_invalid_filter_is_rejected_with_its_column_and_what_was_expected(
    text: str, message: str, kind: type[Problem]
) -> None:
    with pytest.raises(kind) as caught:
        compile_filter(text, Target.SPAN)
    assert type(caught.value) is kind
    assert message in caught.value.detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = '" + "x" * CHARACTERS_MAX + "'", "characters long"),
        ("(" * (DEPTH_MAX + 1) + "name = 'x'" + ")" * (DEPTH_MAX + 1), f"column {DEPTH_MAX + 1}: the filter is nested"),
        ("(" * 3000, "the filter is nested"),
        (" OR ".join(["a.b=1"] * (NODES_MAX + 1)), f"more than {NODES_MAX} parts"),
    ],
)
def test_filter_over_a_limit_is_rejected(text: str, message: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        parse_filter(text)
    assert message in caught.value.detail


def test_filter_at_the_limits_is_accepted(store: SpanStore) -> None:
    deep = "(" * DEPTH_MAX + "parent_id IS NULL" + ")" * DEPTH_MAX
    wide = " OR ".join(["latency_ms = 1"] * (NODES_MAX - 1))
    for text, seqs in ((deep, [1]), (wide, [])):
        assert store.select(compile_filter(text, Target.SPAN)) == seqs


def test_filter_errors_start_with_the_name_of_the_field() -> None:
    with pytest.raises(Unprocessable, match=r"^evaluators\[1\]\.query_filter, column 1: "):
        compile_filter("nme = 'x'", Target.SPAN, field="evaluators[1].query_filter")


def test_filters_of_one_query_bind_separate_parameters(store: SpanStore) -> None:
    of_task = compile_filter("latency_ms > 10", Target.SPAN, prefix="task")
    of_evaluator = compile_filter("status_code = 'ERROR' OR name = 'x'", Target.SPAN, prefix="evaluator")
    assert store.select(all_of(of_task, of_evaluator)) == [2]
    assert store.select(all_of()) == [1, 2, 3]


def test_filter_on_examples_reads_user_columns(store: SpanStore) -> None:
    store.add_example(1, {"question": "why", "meta": {"tier": "gold"}, "n": 3})
    store.add_example(2, {"question": "who", "eval.x.label": "own", "n": "3"})
    for text, seqs in (
        ("question = 'why'", [1]),
        ("meta.tier = 'gold'", [1]),
        ("n >= 3", [1]),
        ("id = 'x2'", [2]),
        ("eval.x.label = 'own'", [2]),
        ("created_at < '2026-01-01'", [1, 2]),
    ):
        assert store.select(compile_filter(text, Target.EXAMPLE), Target.EXAMPLE) == seqs


def test_filter_on_experiment_runs_reads_output_user_columns_and_evaluations(store: SpanStore) -> None:
    store.add_experiment_run(1, {"latency": 5}, output="good answer")
    store.add_experiment_run(2, {}, output=None)
    store.evaluate(2, "correct", row_kind="experiment_run", label="no", score=0.0)
    for text, seqs in (
        ("output CONTAINS 'good'", [1]),
        ("output IS NULL", [2]),
        ("latency > 4", [1]),
        ("example_id = 'x1' AND eval.correct.label = 'no'", [2]),
    ):
        assert store.select(compile_filter(text, Target.EXPERIMENT_RUN), Target.EXPERIMENT_RUN) == seqs


def test_common_filters_use_an_index(store: SpanStore) -> None:
    where = compile_filter("span_kind = 'LLM'", Target.SPAN)
    text = f"EXPLAIN QUERY PLAN SELECT seq FROM spans s WHERE project_id = 'p' AND {where.sql} ORDER BY start_us DESC"
    plan = " ".join(row[3] for row in store.connection.execute(text, where.values))
    assert "spans_by_kind" in plan


def test_filter_compares_64_bit_integers_exactly_and_larger_ones_as_floats(store: SpanStore) -> None:
    store.add_span(4, attributes={"n": 2**53})
    store.add_span(5, attributes={"n": 2**53 + 1})
    store.add_span(6, attributes={"n": 2**63 - 1})
    for number, seqs in ((2**53, [4]), (2**53 + 1, [5]), (2**63 - 1, [6]), (-(2**63) + 1, [])):
        assert store.select(compile_filter(f"attributes.n = {number}", Target.SPAN)) == seqs
    assert store.select(compile_filter(f"attributes.n < {2**63}", Target.SPAN)) == [4, 5, 6]


@pytest.mark.parametrize(("characters", "allowed"), [(4000, True), (4001, False)])
def test_filter_may_have_4000_characters(characters: int, allowed: bool) -> None:
    text = "name = '" + "x" * (characters - len("name = ''")) + "'"
    with nullcontext() if allowed else pytest.raises(Unprocessable, match="4,001 characters long"):
        parse_filter(text)
