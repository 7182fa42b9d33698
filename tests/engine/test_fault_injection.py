"""Parsing `--stage`, what the injected faults answer, and that an engine without them has none."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.tasks import Task, TaskType
from evaltasks.engine.fault_injection import (
    DEFAULT_SECONDS,
    NO_FAULTS,
    Failure,
    FaultInjection,
    InjectedCancellation,
    InjectedFault,
    parse_fault_injection,
)
from evaltasks.engine.filters.index import WHOLE, Index
from tests.support.engines import engine

NOW = datetime(2026, 4, 1, tzinfo=UTC)
# A comma parts, blanks around a name are cut off.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1).map(str.strip).filter(bool)
TIMES = st.floats(0, 1e9).map(lambda seconds: float(f"{seconds:g}"))
BAD = InjectedFault(Failure.BAD_INTEGRATION, "a=b:c")
ONE = st.one_of(
    st.builds(InjectedFault, st.sampled_from(list(DEFAULT_SECONDS)), NAMES, TIMES),
    st.builds(InjectedFault, st.sampled_from([one for one in Failure if one not in DEFAULT_SECONDS]), NAMES),
)


def task(name: str, type_: TaskType = TaskType.TEMPLATE_EVALUATION) -> Task:
    return Task(id="t", name=name, type=type_, created_at=NOW, updated_at=NOW)


@given(st.lists(ONE, max_size=4))
def test_text_of_a_fault_injection_parses_to_the_same(staged: list[InjectedFault]) -> None:
    assert parse_fault_injection(",".join(map(str, staged))) == FaultInjection(tuple(staged))


@pytest.mark.parametrize(
    ("text", "staged"),
    [
        ("stuck-pending", [InjectedFault(Failure.STUCK_PENDING)]),
        ("Judge-Failure=5:nightly *", [InjectedFault(Failure.JUDGE_FAILURE, "nightly *", 5.0)]),
        ("bad-integration:a=b:c, stuck-pending:", [BAD, InjectedFault(Failure.STUCK_PENDING)]),
        (" , ", []),
    ],
)  # fmt: skip
def test_fault_injection_is_parsed_from_text(text: str, staged: list[InjectedFault]) -> None:
    assert [str(one) for one in parse_fault_injection(text).injected] == [str(one) for one in staged]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stuck", "unknown failure 'stuck'; use one of delayed-indexing, unindexed-filter"),
        ("stuck-pending=3", "stuck-pending does not take a time"),
        ("judge-failure=soon", "judge-failure needs a number of seconds after '='"),
        ("judge-failure=-1", "0 or more"),
        ("judge-failure=nan", "0 or more"),
        ("bad-integration=", "needs a number of seconds"),
    ],
)
def test_text_that_cannot_be_parsed_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_fault_injection(text)


def test_failure_affects_tasks_with_a_matching_name_and_type() -> None:
    stage = parse_fault_injection("bad-integration:nightly*,code-contract=7,stuck-pending:slow?")
    assert stage.injected_cancellation(task("nightly one")) == InjectedCancellation(1.0, 0)
    assert stage.injected_cancellation(task("nightly one", TaskType.RUN_EXPERIMENT)) == InjectedCancellation(1.0, 0)
    assert stage.injected_cancellation(task("nightly one", TaskType.CODE_EVALUATION)) == InjectedCancellation(7.0, 0)
    assert stage.injected_cancellation(task("Nightly")) is None
    assert [stage.may_start(name) for name in ("slow1", "slow", "fast")] == [False, True, True]


def test_lists_lag_six_times_as_long_as_evaluations_but_find_a_trace() -> None:
    stage = parse_fault_injection("delayed-indexing=10:one,unindexed-filter:two")
    assert stage.evaluation_index("one", 60_000_000) == Index(upto_us=50_000_000)
    assert stage.evaluation_index("two", 60_000_000) == Index(lacks_custom_columns=True)
    assert stage.list_index(60_000_000) == Index(upto_us=0, finds_traces=True)


def test_without_a_stage_nothing_is_injected() -> None:
    assert NO_FAULTS.evaluation_index("any", 5) is WHOLE and NO_FAULTS.list_index(5) is WHOLE
    assert NO_FAULTS.may_start("any") and NO_FAULTS.injected_cancellation(task("any")) is None


@pytest.mark.parametrize(
    ("text", "is_lagging"),
    [
        (None, True),
        ("context.trace_id = 't'", False),
        ("context.trace_id IN ('t', 'u')", False),
        ("context.trace_id = 't' AND name = 'x'", False),
        ("context.trace_id = 't' OR context.trace_id = 'u'", False),
        ("context.trace_id = 't' OR name = 'x'", True),
        ("context.trace_id != 't'", True),
        ("context.span_id = 's'", True),
    ],
)
def test_only_a_filter_that_names_its_traces_avoids_the_lag(text: str | None, is_lagging: bool) -> None:
    assert ("ingested_us" in Index(upto_us=5, finds_traces=True).filter(text).sql) is is_lagging


async def test_engine_info_lists_what_is_staged() -> None:
    async with engine() as it:
        assert (await it.ask("GET", "/evaltasks/v1/info"))["staged"] == []
    async with engine(fault_injection=parse_fault_injection("stuck-pending:slow, judge-failure")) as it:
        reported = (await it.ask("GET", "/evaltasks/v1/info"))["staged"]
    assert reported == ["stuck-pending:slow", "judge-failure=180:*"]


async def test_no_request_stages_a_failure() -> None:
    """No request changes one either: only `Engine.open` takes it."""
    async with engine() as it:
        await it.ask("GET", "/evaltasks/v1/info", status=400, stage="stuck-pending")
        await it.ask("POST", "/evaltasks/v1/info", {"stage": "stuck-pending"}, status=405)
        body = {"name": "t", "type": "CODE_EVALUATION", "stage": "stuck-pending"}
        assert "stage" in (await it.ask("POST", "/v2/tasks", body, status=400))["detail"]
