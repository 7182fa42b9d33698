"""Compare fifty clients that list, read and trigger at once with a bare Starlette app that reads one SQLite row.

    python -m bench.load [--clients 50] [--seconds 60] [--floor-seconds 15] [--triggers 0.02]

uvicorn serves each in its own process, over TCP; the clients share one process that does as little as possible. Our
engine has 20 tasks and 10,000 spans. The share `--triggers` of the calls starts a task run of ten rows, which the
engine evaluates meanwhile. Every answer other than a success is counted and shown; there is no rate limit, so there is
no 429. At the end every task run must be completed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

_TASKS = 20
_SPANS = 10_000
_ROWS = 10
_MOMENT = "2026-01-01T{:02d}:{:02d}:{:02d}Z"
Call = tuple[str, str, str, bytes]  # what it is, method, path, body


@dataclass
class Seen:
    """Milliseconds of the calls by kind, and the status codes of the answers."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def all_milliseconds(self) -> list[float]:
        return [duration for durations in self.milliseconds.values() for duration in durations]

    @property
    def per_second(self) -> float:
        return len(self.all_milliseconds) / self.seconds


class Wire:
    """One keep-alive connection with just enough HTTP/1.1 for the answers of these servers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        self.writer.write(f"{head}content-type: application/json\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(answer[9:12]), await self._reader.readexactly(length)


async def load(port: int, clients: int, seconds: float, next_call: Callable[[random.Random], Call]) -> Seen:
    """Run clients that each send the next request as soon as they have an answer."""
    seen = Seen()
    started_at = time.perf_counter()

    async def client(number: int) -> None:
        chance = random.Random(number)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        while time.perf_counter() - started_at < seconds:
            what, method, path, body = next_call(chance)
            sent = time.perf_counter()
            status, _ = await wire.ask(method, path, body)
            seen.milliseconds[what].append((time.perf_counter() - sent) * 1000)
            seen.statuses[status] += 1
        wire.writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    seen.seconds = time.perf_counter() - started_at
    return seen


@contextmanager
def server(*command: str) -> Iterator[int]:
    """Start a server that prints its address, and yield its port."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().strip().rpartition(":")[2])
        finally:
            process.terminate()


class Ours:
    """An engine with data, and the calls that the clients make."""

    def __init__(self, port: int, triggers: float) -> None:
        self._triggers = triggers
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        space = self._ask("GET", "/v2/spaces")["spaces"][0]["id"]
        self._project = self._ask("POST", "/v2/projects", {"name": "shop", "space_id": space})["id"]
        for first in range(0, _SPANS, 1000):
            spans = [_span(number) for number in range(first, first + 1000)]
            self._ask("POST", f"/evaltasks/v1/projects/{self._project}/spans", {"spans": spans})
        version = {
            "commit_message": "first",
            "code_config": {
                "type": "MANAGED", "name": "is_json", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"],
            },
        }  # fmt: skip
        body = {"space_id": space, "name": "is_json", "type": "CODE", "version": version}
        evaluator = self._ask("POST", "/v2/evaluators", body)["id"]
        mappings = {"output": "attributes.output.value"}
        self._tasks = [
            self._ask(
                "POST", "/v2/tasks",
                {
                    "name": f"task {number}", "type": "CODE_EVALUATION", "project_id": self._project,
                    "is_continuous": False,
                    "evaluators": [{"evaluator_id": evaluator, "column_mappings": mappings}],
                },
            )["id"]
            for number in range(_TASKS)
        ]  # fmt: skip
        window = {"data_start_time": _MOMENT.format(0, 0, 0), "data_end_time": _MOMENT.format(23, 0, 0)}
        self._trigger = json.dumps({**window, "max_spans": _ROWS, "override_evaluations": True}).encode()
        self._runs = [
            self._ask("POST", f"/v2/tasks/{task}/trigger", json.loads(self._trigger))["id"] for task in self._tasks
        ]
        self._question = json.dumps(
            {"project_id": self._project, "filter": "status_code = 'ERROR' AND attributes.number > 9000"}
        ).encode()

    def next_call(self, chance: random.Random) -> Call:
        task, run = chance.choice(self._tasks), chance.choice(self._runs)
        if chance.random() < self._triggers:
            return "trigger", "POST", f"/v2/tasks/{task}/trigger", self._trigger
        return chance.choice(
            [
                ("list tasks", "GET", "/v2/tasks?limit=10", b""),
                ("get task", "GET", f"/v2/tasks/{task}", b""),
                ("list task runs", "GET", f"/v2/tasks/{task}/runs?limit=10", b""),
                ("get task run", "GET", f"/v2/task-runs/{run}", b""),
                ("rows of a task run", "GET", f"/evaltasks/v1/task-runs/{run}/rows", b""),
                ("list spans by a filter", "POST", "/v2/spans?limit=10", self._question),
            ]
        )

    def settle(self) -> Counter[str]:
        """Wait until every task run has ended, and return how many have each status."""
        ends: Counter[str] = Counter()
        for task in self._tasks:
            cursor: str | None = ""
            while cursor is not None:
                page = self._ask("GET", f"/v2/tasks/{task}/runs?limit=100&cursor={cursor}")
                if any(run["status"] in {"PENDING", "RUNNING"} for run in page["task_runs"]):
                    time.sleep(0.1)
                    continue
                ends.update(run["status"] for run in page["task_runs"])
                cursor = page["pagination"].get("next_cursor")
        return ends

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def _span(number: int) -> dict[str, Any]:
    moment = _MOMENT.format(number // 3600, number // 60 % 60, number % 60)
    return {
        "name": "llm call", "kind": "LLM", "trace_id": f"{number:032x}", "span_id": f"{number:016x}",
        "start_time": moment, "end_time": moment, "status_code": "ERROR" if number % 7 == 0 else "OK",
        "attributes": {"input.value": f"question {number}", "output.value": f'{{"n": {number}}}', "number": number},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--floor-seconds", type=float, default=15)
    parser.add_argument("--triggers", type=float, default=0.02)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        with server("bench.bare_reader", str(Path(folder) / "bare.sqlite")) as port:
            read: Call = ("one row", "GET", "/rows/7", b"")
            floor = asyncio.run(load(port, options.clients, options.floor_seconds, lambda _: read))
        _show("bare Starlette", floor)
        store = str(Path(folder) / "ours.sqlite")
        with server("evaltasks", "engine", "--port", "0", "--store", store) as port:
            ours = Ours(port, options.triggers)
            seen = asyncio.run(load(port, options.clients, options.seconds, ours.next_call))
            ends = ours.settle()
        _show("ours", seen)
    for what, some in sorted(seen.milliseconds.items()):
        print(f"  {what:<22} {len(some):>6} calls, median {statistics.median(some):5.0f} ms, p99 {_p99(some):5.0f} ms")
    rows = (seen.statuses[201] + _TASKS) * _ROWS / seen.seconds
    print(f"task runs ended: {dict(ends)}; {rows:.0f} rows evaluated a second beside it")
    print(
        f"{options.clients} clients: {seen.per_second / floor.per_second:.2f} of the bare app's calls a second, "
        f"p99 {_p99(seen.all_milliseconds) / _p99(floor.all_milliseconds):.1f} times the bare app's"
    )
    wrong = {status: n for status, n in seen.statuses.items() if not 200 <= status < 300}
    if wrong or set(ends) != {"COMPLETED"}:
        sys.exit(f"not all went well: {wrong} {dict(ends)}")


def _p99(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=100)[-1]


def _show(side: str, seen: Seen) -> None:
    some = seen.all_milliseconds
    print(
        f"{side}: {seen.per_second:.0f} calls/s in {seen.seconds:.0f} s, median {statistics.median(some):.0f} ms, "
        f"p99 {_p99(some):.0f} ms, longest {max(some):.0f} ms; statuses {dict(seen.statuses)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
