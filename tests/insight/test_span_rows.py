"""Rows of files are converted to spans, with any of the known column names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from evaltasks.api.spans import IncomingSpan
from evaltasks.insight.span_rows import RowError, ignored_columns, incoming_span

START = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


def test_incoming_span_reads_the_columns_of_an_ax_export() -> None:
    row = {
        "context.trace_id": "t1", "context.span_id": "s1", "parent_id": None, "name": "answer",
        "attributes.openinference.span.kind": "LLM", "start_time": "2026-11-21T10:00:00Z",
        "end_time": "2026-11-21T10:00:02Z", "status_code": "OK", "attributes.input.value": "why?",
        "attributes.llm.token_count.total": "12", "eval.tone.label": "kind",
    }  # fmt: skip
    assert incoming_span(row, 1) == IncomingSpan(
        name="answer", trace_id="t1", span_id="s1", kind="LLM", start_time=START,
        end_time=START.replace(second=2), status_code="OK",
        attributes={"input.value": "why?", "llm.token_count.total": 12},
    )  # fmt: skip
    assert ignored_columns(row) == {"eval.tone.label"}


def test_incoming_span_reads_nested_spans_and_otlp_names_alike() -> None:
    nested = {
        "name": "answer", "context": {"trace_id": "t1", "span_id": "s1"}, "kind": "llm",
        "start_time": "2026-11-21T10:00:00", "status_code": "Error", "attributes": {"input": {"value": "why?"}},
    }  # fmt: skip
    otlp = {
        "name": "answer", "traceId": "t1", "spanId": "s1", "span_kind": "LLM",
        "startTimeUnixNano": "1795255200000000000", "status": {"code": 2}, "attributes.input": {"value": "why?"},
    }  # fmt: skip
    assert incoming_span(nested, 1) == incoming_span(otlp, 1)


@pytest.mark.parametrize("seconds", [1795255200, 1795255200.0, 1795255200_000, 1795255200_000_000, "1795255200"])
def test_incoming_span_infers_the_unit_of_a_numeric_time_from_its_size(seconds: Any) -> None:
    assert incoming_span({"start_time": seconds}, 1).start_time == START


@pytest.mark.parametrize(
    ("number", "start"),
    [
        (99_999_999_999, "5138-11-16T09:46:39"),  # the last number that is seconds
        (100_000_000_000, "1973-03-03T09:46:40"),  # milliseconds
        (100_000_000_000_000, "1973-03-03T09:46:40"),  # microseconds
        (100_000_000_000_000_000, "1973-03-03T09:46:40"),  # nanoseconds
    ],
)
def test_incoming_span_reads_a_numeric_time_as_a_year_after_1972(number: int, start: str) -> None:
    assert incoming_span({"start_time": number}, 1).start_time == datetime.fromisoformat(start).replace(tzinfo=UTC)


def test_incoming_span_reads_plain_input_and_output_columns_as_values() -> None:
    span = incoming_span({"start_time": 1795255200, "input": "why?", "output": "so", "customer": "c1"}, 1)
    assert span.attributes == {"input.value": "why?", "output.value": "so", "customer": "c1"}


def test_incoming_span_derives_missing_ids_from_content_and_row_number() -> None:
    row = {"start_time": 1795255200, "input": "why?"}
    first, again, neighbour = incoming_span(row, 1), incoming_span(row, 1), incoming_span(row, 2)
    assert (first.span_id, first.trace_id) == (again.span_id, again.trace_id)
    assert first.span_id != neighbour.span_id
    assert first.trace_id != neighbour.trace_id
    assert (len(first.span_id or ""), len(first.trace_id or "")) == (16, 32)
    assert int(f"{first.span_id}{first.trace_id}", 16) > 0


@pytest.mark.parametrize(("given", "derived"), [("span_id", "trace_id"), ("trace_id", "span_id")])
def test_incoming_span_keeps_one_id_and_derives_the_other(given: str, derived: str) -> None:
    span = incoming_span({"start_time": 1795255200, given: "mine"}, 1)
    assert getattr(span, given) == "mine"
    assert getattr(span, derived) not in {None, "mine"}


def test_incoming_span_may_end_when_it_starts() -> None:
    assert incoming_span({"start_time": 1795255200, "end_time": 1795255200}, 1).end_time == START
    assert incoming_span({"start_time": 1795255200, "latency_ms": 0}, 1).end_time == START


def test_incoming_span_computes_a_missing_end_from_the_latency() -> None:
    span = incoming_span({"start_time": 1795255200, "latency_ms": 1500}, 1)
    assert span.end_time == START.replace(second=1, microsecond=500_000)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"name": "x"}, "start_time is missing"),
        ({"start_time": "yesterday"}, "neither RFC 3339"),
        ({"start_time": 0}, "1970"),
        ({"start_time": True}, "neither RFC 3339"),
        ({"start_time": [1795255200]}, "neither RFC 3339"),
        ({"start_time": 1e300}, "out of range"),
        ({"start_time": 1795255200, "end_time": 1795255100}, "end_time is before start_time"),
        ({"start_time": 1795255200, "status_code": "WEIRD"}, "status_code must be"),
        ({"start_time": 1795255200, "attributes": "{broken"}, "attributes is text that is not JSON"),
        ({"start_time": 1795255200, "events": {"name": "x"}}, "events must be a list"),
        ({"start_time": 1795255200, "input": "a", "attributes.input.value": "b"}, "there twice"),
        ({"start_time": 1795255200, "span_id": "x" * 300}, "span_id"),
    ],
)
def test_incoming_span_rejects_a_row_with_its_number_and_without_its_content(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowError, match=problem) as caught:
        incoming_span(row, 17)
    assert caught.value.number == 17
    assert "x" * 50 not in str(caught.value)


def test_incoming_span_keeps_the_columns_after_an_ignored_one() -> None:
    row = {"eval.tone.label": "kind", "start_time": 1795255200, "annotations": [], "customer": "c1", "x": 1}
    assert incoming_span(row, 1).attributes == {"customer": "c1", "x": 1}
