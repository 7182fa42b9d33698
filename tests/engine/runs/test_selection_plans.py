"""The query plans of row selection use the indexes, whatever a row is.

A plan that scans the project costs nothing in the small store of a test and minutes in a large one, so the plan itself
is checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from evaltasks.engine.runs.executor import ExecutorLimits
from evaltasks.engine.store.queries import named_queries
from evaltasks.engine.store.store import Transaction
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.groups import put, span

NEWEST = "USING INDEX spans_by_time (project_id=? AND start_us>? AND start_us<?)"
NEW = "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
# A full scan of a table of the store, or of a whole project, but not of one of our sub-selects.
WALKS = re.compile(r"SCAN (s|g|f|m|n|l|r|e|t)\b|\(project_id=\?\)")
AT_ONCE = ExecutorLimits(poll_seconds=0.02, continuous_seconds=0.0, quiet_seconds=-1.0)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the plan of every selection, line by line."""
    found: list[list[str]] = []
    execute = Transaction._execute

    def explained(self: Transaction, query: str, values: Mapping[str, Any], slots: Mapping[str, str]) -> Any:
        if query in {"ledger.select_spans", "groups.select_groups", "ledger.insert_selected"}:
            text = f"EXPLAIN QUERY PLAN {named_queries()[query].format_map(slots)}"
            found.append([row["detail"] for row in self._connection.execute(text, values)])
        return execute(self, query, values, slots)

    monkeypatch.setattr(Transaction, "_execute", explained)
    return found


async def seeded(it: EngineInTest, granularity: str, **fields: object) -> tuple[str, str]:
    project = await it.seed_project()
    await put(it, project, [span("old", 0, "answer", session="s")])
    if granularity == "SPAN":
        fields["query_filter"] = "span_kind = 'LLM' AND attributes.output.value CONTAINS 'a'"
    else:
        filters = [{"id": "A", "filter": "span_kind = 'LLM'"}, {"id": "B", "filter": "session_eval.x.label = 'y'"}]
        fields["query_filters"] = {"filters": filters, "expression": "A AND NOT B"}
    evaluator = await it.seed_code_evaluator(granularity=granularity)
    return project, await it.seed_task([evaluator], project_id=project, sampling_rate=1.0, **fields)


async def first_task_run(it: EngineInTest, task: str) -> str:
    with anyio.fail_after(10):
        while True:
            made = (await it.ask("GET", f"/v2/tasks/{task}/runs"))["task_runs"]
            if made:
                return str(made[0]["id"])
            await anyio.sleep(0.005)


@pytest.mark.parametrize("granularity", ["SPAN", "TRACE", "SESSION"])
async def test_selection_reads_a_window_from_its_newest_span(granularity: str, plans: list[list[str]]) -> None:
    async with engine() as it:
        _, task = await seeded(it, granularity)
        assert (await it.finish(task, **WINDOW))["num_successes"] == 1
    plan, written = plans
    assert [line for line in written if WALKS.search(line)] == []
    assert any(line.replace("COVERING ", "").endswith(NEWEST) for line in plan), plan
    assert [line for line in plan if WALKS.search(line)] == []


@pytest.mark.parametrize("granularity", ["SPAN", "TRACE", "SESSION"])
async def test_selection_of_a_continuous_task_reads_new_spans_only(granularity: str, plans: list[list[str]]) -> None:
    async with engine(limits=AT_ONCE) as it:
        project, task = await seeded(it, granularity, is_continuous=True)
        await put(it, project, [span("new", 1, "answer", session="new")])
        assert (await it.ended(await first_task_run(it, task)))["num_successes"] == 1
    plan, written = plans
    assert [line for line in written if WALKS.search(line)] == []
    assert any(line.endswith(NEW) for line in plan), plan
    assert [line for line in plan if WALKS.search(line)] == []
