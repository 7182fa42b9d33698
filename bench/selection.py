"""Measure whether the cost of selecting 10,000 rows grows with the project: out of 10,000 and of 1,000,000 spans.

python -m bench.selection [--spans 10000 1000000] [--selected 10000]

Spans are written directly into a store's file: five per trace, five traces per session, half a kilobyte of attributes
each. Then, in a separate process for each size and granularity, an engine opens the file and a task is triggered. The
process reports its memory, the time until its rows are selected, and the time until a managed evaluator has evaluated
all of them. The ratios between the two sizes are the result.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2

from evaltasks.engine.engine import Engine

GRANULARITIES = ("SPAN", "TRACE", "SESSION")
WINDOW = {"data_start_time": "2026-03-01T00:00:00Z", "data_end_time": "2026-03-30T00:00:00Z"}
_START_US = 1_772_323_200_000_000  # 2026-03-01
_WINDOW_US = 28 * 86_400 * 1_000_000
_FILL = """
WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :spans)
INSERT INTO spans (
    project_id, trace_id, span_id, parent_id, name, kind, status_code, start_us, end_us, latency_ms, session_id,
    attributes, events, ingested_us
)
SELECT
    :project, printf('trace-%08d', i / 5), printf('span-%09d', i), iif(i % 5, printf('span-%09d', i - i % 5), NULL),
    'call', iif(i % 5 = 0, 'CHAIN', iif(i % 5 = 4, 'TOOL', 'LLM')), 'OK', :start + i * :step, :start + i * :step, 1.0,
    printf('session-%07d', i / 25),
    json_object(
        'session.id', printf('session-%07d', i / 25), 'team', iif(i % 3, 'blue', 'red'),
        'input.value', printf('question %d %s', i, :padding), 'output.value', printf('answer %d', i)
    ),
    '[]', :start
FROM numbers
"""


@contextmanager
def _without_indexes(connection: sqlite3.Connection) -> Iterator[None]:
    """Drop the indexes and make them again at the end, which is faster than a million single entries."""
    query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'spans' AND type = 'index' AND sql IS NOT NULL"
    indexes = connection.execute(query).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, text in indexes:
        connection.execute(text)


async def _make_project(path: str) -> str:
    async with Engine.open(path) as engine, _client(engine) as http:
        space = (await http.get("/v2/spaces")).json()["spaces"][0]["id"]
        return str((await http.post("/v2/projects", json={"name": "p", "space_id": space})).json()["id"])


def _client(engine: Engine) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=engine.app), base_url="http://engine")


def fill(path: str, spans: int) -> None:
    project = anyio.run(_make_project, path)
    values = {
        "spans": spans,
        "project": project,
        "start": _START_US,
        "step": _WINDOW_US // spans,
        "padding": "x" * 350,
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        with _without_indexes(connection):
            connection.execute(_FILL, values)
        connection.execute("COMMIT")


async def select(path: str, granularity: str, selected: int) -> dict[str, Any]:
    """Execute one task run on the store, in this process."""
    async with Engine.open(path) as engine, _client(engine) as http:

        async def made(place: str, body: dict[str, Any]) -> str:
            reply = await http.post(place, json=body)
            assert reply.is_success, reply.text
            return str(reply.json()["id"])

        space = (await http.get("/v2/spaces")).json()["spaces"][0]["id"]
        project = (await http.get("/v2/projects")).json()["projects"][0]["id"]
        code = {
            "type": "MANAGED",
            "name": f"answered {granularity}",
            "managed_evaluator": "MATCHES_REGEX",
            "variables": ["output"],
            "static_params": [{"name": "pattern", "type": "REGEX", "default_value": "answer"}],
            "data_granularity": granularity,
        }
        version = {"commit_message": "first", "code_config": code}
        evaluator = {"space_id": space, "name": granularity, "type": "CODE", "version": version}
        attached = {"evaluator_id": await made("/v2/evaluators", evaluator)}
        task: dict[str, Any] = {"name": granularity, "type": "CODE_EVALUATION", "project_id": project}
        if granularity == "SPAN":
            task["query_filter"] = "span_kind = 'LLM' AND attributes.team = 'blue'"
        else:
            filters = {"A": "span_kind = 'TOOL'", "B": "attributes.team = 'green'"}
            named = [{"id": id_, "filter": text} for id_, text in filters.items()]
            task["query_filters"] = {"filters": named, "expression": "A AND NOT B"}
        task_id = await made("/v2/tasks", {**task, "evaluators": [attached]})
        started_at, cpu_started_at = time.perf_counter(), time.process_time()
        run_id = await made(f"/v2/tasks/{task_id}/trigger", {**WINDOW, "max_spans": selected})
        measurement: dict[str, Any] = {}
        while True:
            task_run = (await http.get(f"/v2/task-runs/{run_id}")).json()
            if "select_seconds" not in measurement and task_run["num_selected"] is not None:
                measurement = {
                    "rows": task_run["num_selected"],
                    "select_seconds": time.perf_counter() - started_at,
                    "select_cpu_seconds": time.process_time() - cpu_started_at,
                }
            if task_run["status"] in {"COMPLETED", "FAILED", "CANCELLED"}:
                break
            await anyio.sleep(0.005)
        assert task_run["status"] == "COMPLETED", task_run
        measurement["all_seconds"] = time.perf_counter() - started_at
        measurement["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return measurement


def _run_in_process(*arguments: str) -> dict[str, Any]:
    """Run this program with other arguments in a separate process, whose memory can be measured."""
    done = subprocess.run([sys.executable, "-m", "bench.selection", *arguments], check=True, capture_output=True)
    measurement: dict[str, Any] = json.loads(done.stdout or b"{}")
    return measurement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--selected", type=int, default=10_000)
    parser.add_argument("--fill", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--select", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.fill[0], int(options.fill[1]))
        return
    if options.select:
        path, granularity, selected = options.select
        print(json.dumps(anyio.run(select, path, granularity, int(selected))))
        return
    measured: dict[str, list[dict[str, Any]]] = {granularity: [] for granularity in GRANULARITIES}
    with tempfile.TemporaryDirectory() as folder:
        for spans in options.spans:
            path = str(Path(folder) / f"{spans}.db")
            started_at = time.perf_counter()
            _run_in_process("--fill", path, str(spans))
            print(f"{spans:,} spans written in {time.perf_counter() - started_at:.1f} s")
            for granularity in GRANULARITIES:
                result = _run_in_process("--select", path, granularity, str(options.selected))
                measured[granularity].append(result)
                print(
                    f"  {granularity.lower():8}{result['rows']:6,} rows: selected in {result['select_seconds']:.2f} s "
                    f"(CPU {result['select_cpu_seconds']:.2f} s), "
                    f"judged in {result['all_seconds']:.2f} s, peak {result['peak_mb']:.0f} MB"
                )
    for granularity, (first, *_, last) in measured.items() if len(options.spans) > 1 else ():
        more = last["rows"] / max(first["rows"], 1)
        print(
            f"{granularity.lower()}: memory x {last['peak_mb'] / first['peak_mb']:.2f}, CPU seconds a selected "
            f"row x {last['select_cpu_seconds'] / first['select_cpu_seconds'] / more:.2f} from {options.spans[0]:,} to "
            f"{options.spans[-1]:,} spans"
        )


if __name__ == "__main__":
    main()
