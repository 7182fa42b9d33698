"""A connection with the store's schema and functions, to run compiled filters against rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from evaltasks.engine.filters.compile import CompiledFilter, Target
from evaltasks.engine.store.functions import register_functions
from evaltasks.engine.store.queries import schema

_FROM = {
    Target.SPAN: "spans s",
    Target.EXAMPLE: "examples x",
    Target.EXPERIMENT_RUN: "experiment_runs r",
}


class SpanStore:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def add_span(self, seq: int, **columns: object) -> None:
        """Add one span; `attributes` and `events` are values, all other fields are column contents."""
        row = {
            "seq": seq,
            "project_id": "p",
            "trace_id": f"t{seq}",
            "span_id": f"s{seq}",
            "parent_id": None,
            "name": "span",
            "kind": "LLM",
            "status_code": "OK",
            "status_message": None,
            "start_us": 0,
            "end_us": 0,
            "latency_ms": 0.0,
            "session_id": None,
            "ingested_us": 0,
            **columns,
            "attributes": _json(columns.get("attributes", {})),
            "events": _json(columns.get("events", [])),
        }
        self._insert("spans", row)

    def add_example(self, seq: int, columns: Mapping[str, object]) -> None:
        row = {"seq": seq, "id": f"x{seq}", "version_id": "v", "columns": _json(columns)}
        self._insert("examples", {**row, "created_us": 0, "updated_us": 0})

    def add_experiment_run(self, seq: int, columns: Mapping[str, object], output: str | None = None) -> None:
        row = {"seq": seq, "id": f"r{seq}", "experiment_id": "e", "example_id": "x1", "output": output}
        self._insert("experiment_runs", {**row, "columns": _json(columns), "created_us": 0})

    def evaluate(self, seq: int, name: str, row_kind: str = "span", **fields: object) -> None:
        row = {"row_kind": row_kind, "row_seq": seq, "name": name, "recorded_us": 0, "metadata": "{}", **fields}
        self._insert("evaluations", row)

    def select(self, compiled: CompiledFilter, target: Target = Target.SPAN) -> list[int]:
        """Return the `seq` of the rows that match, in order."""
        text = f"SELECT seq FROM {_FROM[target]} WHERE {compiled.sql} ORDER BY seq"
        return [seq for (seq,) in self.connection.execute(text, compiled.values)]

    def clear(self) -> None:
        for table in ("evaluations", "spans", "examples", "experiment_runs"):
            self.connection.execute(f"DELETE FROM {table}")

    def contents(self) -> Sequence[str]:
        """Return the schema and rows of the database."""
        return list(self.connection.iterdump())

    def _insert(self, table: str, row: Mapping[str, object]) -> None:
        names = ", ".join(row)
        places = ", ".join(f":{name}" for name in row)
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row)


@contextmanager
def span_store() -> Iterator[SpanStore]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        register_functions(connection)
        connection.executescript(schema())
        yield SpanStore(connection)
    finally:
        connection.close()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
