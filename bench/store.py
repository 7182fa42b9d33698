"""Compare storing and filtering spans with bare `sqlite3` on the same schema, in one run.

    python -m bench.store [--spans 1000000] [--rounds 3]

Both sides get the same batches of 1,000 spans, already parsed. The floor inserts each batch with `executemany` in one
transaction; the engine stores it with `put_spans`, which also distinguishes added from replaced spans. Then both read
the newest 10,000 LLM spans of a model with their attributes; the engine uses a filter, page by page. Each side has its
own process. Memory is the peak, and must not grow with the number of spans.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import anyio

from evaltasks.api.spaces import CreateSpace
from evaltasks.engine.filters.compile import Target, compile_filter
from evaltasks.engine.store.projects import insert_project
from evaltasks.engine.store.queries import named_queries, schema
from evaltasks.engine.store.spaces import insert_space
from evaltasks.engine.store.spans import SpanKey, SpanRow, put_spans, span_rows
from evaltasks.engine.store.store import Store, Transaction

_BATCH = 1000
_FOUND = 10_000
_PAGE = 500
_START_US = 1_767_225_600_000_000
_FILTER = "attributes.llm.model_name = 'model-3' and span_kind = 'LLM'"
_BARE_QUERY = """
SELECT seq, start_us, trace_id, span_id, attributes FROM spans
WHERE project_id = 'p' AND kind = 'LLM' AND json_extract(attributes, '$."llm.model_name"') = 'model-3'
ORDER BY start_us DESC, trace_id, span_id LIMIT 10000
"""


def batches(spans: int) -> Iterator[list[SpanRow]]:
    """Spans of about 1.6 kB, two thirds of them LLM spans, of ten models."""
    for start in range(0, spans, _BATCH):
        yield [_span(number) for number in range(start, min(start + _BATCH, spans))]


def _span(number: int) -> SpanRow:
    kind = "LLM" if number % 3 else "CHAIN"
    attributes = {
        "openinference.span.kind": kind,
        "llm.model_name": f"model-{number % 10}",
        "llm.token_count.prompt": number % 4000,
        "llm.token_count.completion": number % 700,
        "session.id": f"session-{number // 20}",
        "input.value": f"Question {number}: " + "what did the committee decide about the harbour? " * 12,
        "output.value": f"Answer {number}: " + "it decided to rebuild the northern quay in spring. " * 14,
    }
    started = _START_US + number * 1000
    return SpanRow(
        trace_id=f"{number // 5:032x}", span_id=f"{number:016x}", parent_id=None, name="llm call", kind=kind,
        status_code="OK", status_message=None, start_us=started, end_us=started + 900_000, latency_ms=900.0,
        session_id=f"session-{number // 20}", attributes=json.dumps(attributes), events="[]",
    )  # fmt: skip


def bare(folder: Path, spans: int) -> dict[str, float]:
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(schema())
    connection.execute("INSERT INTO spaces (id, name, created_us) VALUES ('s', 's', 0)")
    connection.execute("INSERT INTO projects (id, space_id, name, created_us) VALUES ('p', 's', 'p', 0)")
    insert = named_queries()["spans.put"].split("ON CONFLICT")[0]
    watch = _Watch()
    for batch in batches(spans):
        rows = [{**asdict(row), "project_id": "p", "ingested_us": 1} for row in batch]
        with watch:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows)
            connection.execute("COMMIT")
    query = _Watch()
    with query:
        found = len(connection.execute(_BARE_QUERY).fetchall())
    connection.close()
    return _measured(watch, query, found)


def ours(folder: Path, spans: int) -> dict[str, float]:
    return anyio.run(_ours, folder, spans)


async def _ours(folder: Path, spans: int) -> dict[str, float]:
    async with Store.open(folder / "ours.sqlite") as store:

        def make_project(tx: Transaction) -> None:
            insert_space(tx, "s", CreateSpace(name="s"), 0)
            insert_project(tx, project_id="p", space_id="s", name="p", created_us=0)

        await store.write(make_project)
        watch, query = _Watch(), _Watch()
        for batch in batches(spans):
            with watch:
                await store.write(partial(put_spans, project_id="p", rows=batch, ingested_us=1))
        compiled = compile_filter(_FILTER, Target.SPAN)

        def find(tx: Transaction) -> int:
            found, after = 0, SpanKey(2**62, "", "")
            while found < _FOUND:
                page = span_rows(tx, "p", (0, 2**62), compiled, after, _PAGE)
                found += len(page)
                if len(page) < _PAGE:
                    break
                after = SpanKey(page[-1]["start_us"], page[-1]["trace_id"], page[-1]["span_id"])
            return found

        with query:
            found = await store.read(find)
        return _measured(watch, query, found)


class _Watch:
    """Sums CPU seconds of its blocks, which exclude other work on the machine."""

    def __init__(self) -> None:
        self.cpu = self.seconds = 0.0

    def __enter__(self) -> None:
        self._cpu, self._started_at = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._cpu
        self.seconds += time.perf_counter() - self._started_at


def _measured(put: _Watch, query: _Watch, found: int) -> dict[str, float]:
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "put_cpu": put.cpu, "put_seconds": put.seconds, "query_cpu": query.cpu, "query_seconds": query.seconds,
        "found": found, "resident_mb": resident,
    }  # fmt: skip


SIDES = {"bare": bare, "ours": ours}


def measure(side: str, spans: int) -> dict[str, float]:
    """Run a side in its own process, on a new file."""
    command = [sys.executable, "-m", "bench.store", "--side", side, "--spans", str(spans)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def compare(spans: int, rounds: int) -> None:
    floors, mine = [], []
    for _ in range(rounds):
        floors.append(measure("bare", spans))
        mine.append(measure("ours", spans))
        assert floors[-1]["found"] == mine[-1]["found"]
        print(
            f"{spans:>9,} spans: bare {spans / floors[-1]['put_seconds']:,.0f} spans/s, ours "
            f"{spans / mine[-1]['put_seconds']:,.0f}; {mine[-1]['found']:,.0f} found in "
            f"{floors[-1]['query_seconds']:.2f} s and {mine[-1]['query_seconds']:.2f} s; "
            f"ours holds {mine[-1]['resident_mb']:.0f} MB",
            flush=True,
        )
    for what in ("put", "query"):
        ratios = [one[f"{what}_cpu"] / floor[f"{what}_cpu"] for one, floor in zip(mine, floors, strict=True)]
        print(f"{spans:>9,} spans: {what}, CPU time of the bare one's: {_spread(ratios)}", flush=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        gc.freeze()
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(SIDES[options.side](Path(folder), options.spans)))
        return
    for spans in sorted({min(10_000, options.spans), options.spans}):
        compare(spans, options.rounds)


if __name__ == "__main__":
    main()
