"""Valid requests with one invalid value: every place of the request, every kind of hostile value."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from evaltasks.engine.ids import new_id
from tests.support.requests import Sent

_HERE = "@@here@@"

_TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "x" * 300,
    "x" * 100_000,
    "..",
    "%2e%2e",
    "a/b",
    "'; --",
    "{",
    "{{x}}",
    "\\",
    "\u202e",
    "\U0001f600",
    "9" * 5_000,
    "NaN",
    "1e999",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30T00:00:00Z",
    "1",
    "-62135596800",
    "253402300800",
    "2026-03-01T00:00:00+23:59",
    "not an id",
    new_id("Space"),
    new_id("OnlineTask"),
    "00000000-0000-0000-0000-000000000000",
    "(" * 300,
    "not " * 2_000 + "a = 1",
    "[",
]
# Raw texts, because a JSON encoder cannot write some of them.
SPOILT_JSON = [
    *(json.dumps(text) for text in _TEXTS),
    '"\\ud800"',
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1e-999",
    "0",
    "-1",
    "-0.0",
    "1.5",
    "9" * 30,
    "9" * 5_000,
    str(2**63),
    str(2**63 - 1),
    str(-(2**63)),
    str(-(2**63) - 1),
    str(2**31),
    "true",
    "null",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    '[""]',
    '{"": null}',
    '{"a": 1, "a": 2}',
    '{"a\\u0000": 1}',
    '{"id": "x"}',
    "[" * 100 + "]" * 100,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 150 + "1" + "}" * 150,
    '{"a":' * 100_000 + "1" + "}" * 100_000,
    '[{"a": NaN}]',
    '{"x": 1e999}',
    '{"x": ' + "9" * 400 + "}",
]
FILTERS = [
    "a = " + "9" * 30,
    "a = " + "9" * 5_000,
    "a = 1e999",
    "latency_ms > -1e999",
    "a = '\0'",
    "a LIKE '" + "%_" * 5_000 + "'",
    "(" * 5_000 + "a = 1" + ")" * 5_000,
    " AND ".join(["a = 1"] * 5_000),
    "a IN (" + ", ".join(["1"] * 5_000) + ")",
    "a IN ()",
    "a =",
    "= 1",
    "a = 'x",
    'a = "x',
    "a.b.c." * 500 + "d = 1",
    "a[0] = 1",
    "start_time > '0001-01-01'",
    "NOT",
    "a = b",
    "a = 1; DROP TABLE spans",
    "a = 1 -- x",
    "a = NaN",
    "a = 0x10",
    "`a` = 1",
    "a.'b' = 1",
    "attributes. = 1",
    ". = 1",
    "attributes.a" + "b" * 50_000 + " = 1",
    "a = " + "'x'" * 3,
    "a IS NULL OR",
    "eval..label = 'x'",
    "eval.'x'.score > 1e400",
]
# In a URL a lone surrogate represents a byte that is not UTF-8, and clients limit the length.
SPOILT_TEXTS = [text for text in _TEXTS if len(text) < 20_000]
SPOILT_TEXTS += ["0", "-1", "1.5", str(2**63), "9" * 30, "true", "null", "\udcff", "a\udcfe\udcffb"]
WHOLE_BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b"{",
    b"\xff\xfe",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b'{"name": "\xff"}',
    b'{"name": "\xed\xa0\x80"}',
    "{}".encode("utf-16"),
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"name": "a", "name": "b"}',
    b'{"limit": 1, "limit": 2}',
    b"{} {}",
    b"9" * 100_000,
]


def spoilt_requests(good: Sent) -> Iterator[tuple[str, Sent, bytes | None]]:
    """Yield what was changed, the path and query of the request, and the body as sent."""
    body = None if good.body is None else json.dumps(good.body).encode()
    for name in good.path:
        for text in SPOILT_TEXTS:
            yield f"path {name} {text[:40]!r}", replace(good, path={**good.path, name: text}), body
    for name in [*good.query, "cursor", "unknown"]:
        for text in SPOILT_TEXTS:
            yield f"query {name} {text[:40]!r}", replace(good, query={**good.query, name: text}), body
    for whole in WHOLE_BODIES:
        yield f"body {whole[:40]!r}", good, whole
    if good.body is None:
        return
    for place, spoilable in _places(good.body):
        text = json.dumps(spoilable)
        filters = map(json.dumps, FILTERS if "filter" in place else ())
        for value in (*SPOILT_JSON, *filters):
            yield f"body {place} {value[:40]}", good, text.replace(json.dumps(_HERE), value).encode()
        yield f"body {place} twice", good, text.replace(json.dumps(_HERE), '1, "unknown": 2, "unknown": 3', 1).encode()


def _places(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield the body once for each value in it, with that value marked."""
    paths: list[tuple[str | int, ...]] = []

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        if path:
            paths.append(path)
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, member in members:
            walk(member, (*path, key))

    walk(body, ())
    for path in paths:
        marked = copy.deepcopy(body)
        inside = marked
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = _HERE
        yield ".".join(map(str, path)), marked
