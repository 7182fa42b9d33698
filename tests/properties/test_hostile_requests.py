"""Any cursor, id, filter or span in a request gets a documented answer, and never an internal error.

`FUZZ_EXAMPLES` sets the number of examples of each.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from evaltasks.api.operations import OPERATIONS
from tests.support.documented import contract_violation
from tests.support.engines import EngineInTest, engine
from tests.support.otlp import span_request
from tests.support.requests import WINDOW, Sent, address, one_request_each

T = TypeVar("T")

ROWS = {row.name: row for row in OPERATIONS}
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
PROTOBUF = {"content-type": "application/x-protobuf"}


def some_of(strategy: st.SearchStrategy[T], share: float = 1) -> list[T]:
    """Generate examples to send to one open engine, which hypothesis cannot keep open between examples."""
    found: list[T] = []

    @settings(
        max_examples=max(1, int(EXAMPLES * share)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def gather(example: T) -> None:
        found.append(example)

    gather()
    return found


async def _send(it: EngineInTest, name: str, sent: Sent) -> int:
    """Send a request, assert that the answer is documented, and return its status."""
    row = ROWS[name.partition(",")[0]]
    reply = await it.http.request(row.method, address(row.path, sent.path, sent.query), json=sent.body)
    assert contract_violation(row.name, reply) is None, f"{name} {sent}: {reply.text[:500]}"
    return reply.status_code


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def _packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _cursors(genuine: str) -> st.SearchStrategy[str]:
    scope, key = json.loads(base64.urlsafe_b64decode(genuine))
    key_parts = st.integers() | st.floats() | st.text(max_size=5) | st.none() | st.booleans() | _JSON
    of_this_list = st.lists(key_parts, min_size=len(key), max_size=len(key)).map(lambda parts: _packed([scope, parts]))
    cut = st.tuples(st.integers(0, len(genuine) - 1), st.text(max_size=3)).map(
        lambda change: genuine[: change[0]] + change[1] + genuine[change[0] + 1 :]
    )
    return of_this_list | cut | _JSON.map(_packed) | st.text(max_size=30)


async def test_any_cursor_gets_a_page_or_a_documented_error() -> None:
    async with engine() as it:
        requests = await one_request_each(it)
        for name, spoilt in [
            ("list_spans", "query"), ("list_examples", "query"), ("search_examples", "body"), ("list_spaces", "query"),
            ("search_experiment_runs", "body"), ("list_task_run_rows", "query"), ("list_evaluators", "query"),
            ("list_traces", "query"),
        ]:  # fmt: skip
            row, good = ROWS[name], requests[name]
            open_query = {} if spoilt == "body" else {"limit": "1"}
            open_body = {"limit": 1} if spoilt == "body" else good.body
            if isinstance(open_body, dict):
                open_body = {
                    key: value for key, value in open_body.items() if key not in ("filter", "included_columns")
                }
            await it.ask("POST", "/v2/spaces", {"name": f"for {name}"})
            await it.seed_code_evaluator()
            page = await it.ask(row.method, address(row.path, good.path, open_query), open_body)
            for cursor in some_of(_cursors(page["pagination"]["next_cursor"]), 0.5):
                if spoilt == "body":
                    sent = Sent(good.path, open_query, {**open_body, "cursor": cursor})
                else:
                    sent = Sent(good.path, {**open_query, "cursor": cursor}, open_body)
                if any("\ud800" <= letter <= "\udfff" for letter in cursor):
                    continue
                assert await _send(it, name, sent) in {200, 400}


async def test_id_of_another_kind_is_not_found() -> None:
    """In the path, and in every field of a body or a query that holds an id."""
    async with engine() as it:
        requests = await one_request_each(it)
        ids = {value for sent in requests.values() for value in sent.path.values()}
        for name, good in requests.items():
            for parameter, value in good.path.items():
                for other in sorted(ids - {value}):
                    status = await _send(it, name, Sent({**good.path, parameter: other}, good.query, good.body))
                    of_same_kind = _kind(other) == _kind(value)
                    assert of_same_kind or status in {400, 403, 404, 422}, f"{name} {parameter}={other}: {status}"
            for spoil in _ids_in(good):
                for other in sorted(ids)[::3]:
                    await _send(it, name, spoil(other))


def _kind(identifier: str) -> str:
    return base64.b64decode(identifier).decode().partition(":")[0]


def _ids_in(good: Sent) -> list[Callable[[str], Sent]]:
    """For each id in a request, return a function that makes the request with another id there."""
    found: list[Callable[[str], Sent]] = []

    def at(whole: Any, path: tuple[str | int, ...], value: str) -> Any:
        if not path:
            return value
        copied = whole.copy()
        copied[path[0]] = at(whole[path[0]], path[1:], value)
        return copied

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, member in members:
            if isinstance(member, str) and any(str(part).endswith(("_id", "_ids")) for part in (*path, key)):
                found.append(lambda other, place=(*path, key): Sent(good.path, good.query, at(good.body, place, other)))
            walk(member, (*path, key))

    walk(good.body, ())
    for name in good.query.keys() & {"space_id", "project_id", "dataset_id", "dataset_version_id", "version_id"}:
        found += [lambda other, name=name: Sent(good.path, {**good.query, name: other}, good.body)]
    return found


_WORDS = st.sampled_from(
    ["attributes.input.value", "eval.x.label", "name", "latency_ms", "status_code", "annotation.a.label", "output",
     "trace_eval.x.score", "question", "=", "!=", "<", ">=", "LIKE", "CONTAINS", "IN", "IS", "NOT", "NULL", "AND", "OR",
     "(", ")", ",", "'x'", "''", "1", "-1", "1e999", "99999999999999999999", "'", '"', "\0"]
)  # fmt: skip


async def test_any_filter_gets_a_page_or_a_documented_error() -> None:
    filters = some_of(st.text(max_size=40) | st.lists(_WORDS, max_size=12).map(" ".join), 2)
    async with engine() as it:
        requests = await one_request_each(it)
        for name in ("list_spans", "list_traces", "search_examples", "search_experiment_runs"):
            good = requests[name]
            for text in filters:
                sent = Sent(good.path, good.query, {**good.body, "filter": text})
                if not any("\ud800" <= letter <= "\udfff" for letter in text):
                    assert await _send(it, name, sent) in {200, 400, 422}


_VALUES: st.SearchStrategy[AnyValue] = st.recursive(
    st.builds(AnyValue, string_value=st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
    | st.builds(AnyValue, double_value=st.floats())
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, bytes_value=st.binary(max_size=4))
    | st.just(AnyValue()),
    lambda inner: (
        st.builds(AnyValue, array_value=st.lists(inner, max_size=3).map(lambda found: ArrayValue(values=found)))
        | st.builds(
            AnyValue,
            kvlist_value=st.dictionaries(
                st.sampled_from(["a", "a.b", "", ".", "0", "metadata", "\0"]), inner, max_size=3
            ).map(lambda found: KeyValueList(values=[KeyValue(key=key, value=value) for key, value in found.items()])),
        )
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["input.value", "metadata", "session.id", "openinference.span.kind", "llm.token_count.total", "", ".", "a\0b",
     "attributes.x", "eval.x.label", "eval.x.score", "tag.tags"]
)  # fmt: skip


async def test_any_span_sent_over_otlp_can_be_read() -> None:
    attributes = some_of(st.dictionaries(_KEYS, _VALUES, max_size=5), 2)
    names = some_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), 0.5)
    async with engine() as it:
        for nth, found in enumerate(attributes):
            request = span_request(project=f"p{nth // 400}")  # what one page can show
            span = request.resource_spans[0].scope_spans[0].spans[0]
            span.attributes.extend(KeyValue(key=key, value=value) for key, value in found.items())
            span.events.add(name=names[nth % len(names)], time_unix_nano=nth, attributes=span.attributes)
            span.name = span.status.message = names[nth % len(names)]
            span.span_id = (nth + 1).to_bytes(8, "big")
            reply = await it.http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
            assert reply.status_code == 200, (found, reply.text)
        projects = (await it.ask("GET", "/v2/projects"))["projects"]
        num_read = 0
        for project in projects:
            body = {"project_id": project["id"], **WINDOW}
            assert await _send(it, "list_spans", Sent(query={"limit": "500"}, body=body)) == 200
            assert await _send(it, "list_traces", Sent(query={"limit": "50"}, body=body)) == 200
            num_read += len((await it.ask("POST", "/v2/spans?limit=500", body))["spans"])
    assert num_read == len(attributes)


async def test_any_content_encoding_is_accepted_or_rejected() -> None:
    whole = span_request(spans=3).SerializeToString()
    packings: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("gzip", gzip.compress), ("deflate", zlib.compress), ("GZip", gzip.compress), ("identity", bytes),
        ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))), ("br", bytes), ("", bytes),
        ("gzip", lambda data: gzip.compress(data) * 2), ("gzip", zlib.compress), ("deflate", bytes), ("x-gzip", bytes),
    ]  # fmt: skip
    spoilt = st.tuples(st.integers(0, 200), st.binary(max_size=3), st.booleans())
    async with engine() as it:
        for encoding, pack in packings:
            packed = pack(whole)
            for place, noise, is_cut in [(len(packed), b"", False), *some_of(spoilt, 0.3)]:
                at = place % (len(packed) + 1)
                sent = packed[:at] + noise + (b"" if is_cut else packed[at + len(noise) :])
                headers = {**PROTOBUF, "content-encoding": encoding}
                reply = await it.http.post("/v1/traces", content=sent, headers=headers)
                assert reply.status_code in {200, 400, 415}, (encoding, sent, reply.text)
                assert reply.headers["content-type"] == PROTOBUF["content-type"]
