"""Generates docs/compatibility.md from the results of the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.compat import arize_resources, arize_tasks, telemetry
from tests.compat.ax_resources import RESOURCE_ROWS, WALKS
from tests.compat.ax_tasks import TASK_ROWS
from tests.compat.rows import CLIENTS, WHY_NOT, Client, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
_HEAD = """# Compatibility

Results of the clients that Arize publishes, run unchanged against `evaltasks engine`. This page is generated from the
results of `tests/compat/check.sh`, which fails if the page does not match them; do not edit it. The behaviour of AX is
taken from its documents and from these clients, not from runs against the service. Every engine here requires a key,
and every client sends it.

| | |
| --- | --- |
| works | the call succeeded, and the response contained what the documents promise |
| refused | the call ended with an error and a reason, as the documents or the client require |
| differs | the documents require this of AX, and the engine does not do it |

Placeholders are in angle brackets; `…` replaces a long value.
"""
_BULK = "Arrow Flight and OTLP/gRPC"
_BULK_SAYS = "With `evaltasks[flight]` and `--flight-port`, `--otlp-grpc-port`."
_TELEMETRY = "OpenTelemetry, wrong keys, a rate limit"
_TELEMETRY_SAYS = (
    "Spans of an instrumented application, evaluated by a continuous task and read back with the Python SDK."
)


def page_from(outcomes: Sequence[Outcome], bulk: Iterable[str], telemetered: Iterable[str]) -> str:
    parts = [_HEAD, _totals(outcomes)]
    for client, title in CLIENTS.items():
        parts.append(f"## {title}\n")
        parts.append(_table((outcome.call, *verdict(outcome)) for outcome in outcomes if outcome.client == client))
    parts += [f"## {_BULK}\n", f"{_BULK_SAYS}\n", _table((call, "works", "") for call in bulk)]
    rows = ((call, *_words(telemetry.CALLS[call])) for call in telemetered)
    parts += [f"## {_TELEMETRY}\n", f"{_TELEMETRY_SAYS}\n", _table(rows)]
    return "\n".join(parts)


def verdict(outcome: Outcome) -> tuple[str, str]:
    return _words(outcome.why_not)


def _words(why_not: str | None) -> tuple[str, str]:
    return ("works", "") if why_not is None else WHY_NOT[why_not]


def _totals(outcomes: Sequence[Outcome]) -> str:
    words = ("works", "refused", "differs")
    lines = ["| client | " + " | ".join(words) + " |", "| --- | --- | --- | --- |"]
    for client, title in CLIENTS.items():
        found = [verdict(outcome)[0] for outcome in outcomes if outcome.client == client]
        lines.append(f"| {title} | " + " | ".join(str(found.count(word)) for word in words) + " |")
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| call | | why |", "| --- | --- | --- |"]
    lines += [f"| `{call.replace('|', chr(92) + '|')}` | {word} | {why} |" for call, word, why in rows]
    return "\n".join(lines) + "\n"


def calls_in_tables() -> dict[Client, list[str]]:
    """Return every call in the tables of this folder, by client, without running any."""
    npm = Path(__file__).with_name("npm_rows.mjs").read_text(encoding="utf-8")
    return {
        "ax": [row.call for row in (*TASK_ROWS, *RESOURCE_ROWS, *WALKS)],
        "arize": [row.call for row in (*arize_tasks.TASK_ROWS, *arize_resources.RESOURCE_ROWS)],
        "npm": re.findall(r'^row\("([^"]+)"', npm, re.MULTILINE),
    }


def calls_on_page(text: str) -> dict[Client, list[str]]:
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    return {
        client: [
            call.replace("\\|", "|") for call in re.findall(r"^\| `(.+?)` \| \w+ \|", by_title[title], re.MULTILINE)
        ]
        for client, title in CLIENTS.items()
    }
