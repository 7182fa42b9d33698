"""Law: the counts of any task run equal its ledger, and every evaluation is one success."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaltasks.engine.runs.executor import ExecutorLimits
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.judges import Answer, SeenRequest, judge_server

ANSWERS = {
    "good": lambda: None,
    "no label": lambda: Answer.text("I cannot say"),
    "later": lambda: Answer.rate_limited("0"),
    "too long": lambda: Answer.error(400, code="context_length_exceeded"),
    "nonsense": Answer.page,
    "wrong key": lambda: Answer.error(401, code="invalid_api_key"),
}


@pytest.mark.promise("record.at_once", "record.kinds")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.lists(st.sampled_from(sorted(ANSWERS)), max_size=40),
    spans=st.integers(0, 25),
    labelled=st.integers(0, 25),
    override=st.booleans(),
    cancel_after=st.none() | st.integers(1, 30),
)
def test_counts_of_a_task_run_equal_its_ledger(
    plan: list[str], spans: int, labelled: int, override: bool, cancel_after: int | None
) -> None:
    anyio.run(_check, plan, spans, min(labelled, spans), override, cancel_after)


async def _check(plan: list[str], spans: int, labelled: int, override: bool, cancel_after: int | None) -> None:
    answers = iter(plan)

    def script(request: SeenRequest) -> Answer | None:
        return ANSWERS[next(answers, "good")]() if is_armed else None

    is_armed = False
    limits = ExecutorLimits(in_flight_max=4, rows_per_fetch=3, poll_seconds=0.01, retry_seconds=0.001)
    async with engine(limits=limits) as it, judge_server(script=script) as judge:
        project = await it.seed_project()
        evaluator = await it.seed_template_evaluator(judge.base_url)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        if labelled:
            await it.seed_spans(project, labelled)
            await it.finish(task, **WINDOW)
        if spans - labelled:
            await it.seed_spans(project, spans - labelled, first=labelled)
        is_armed = True
        asked = len(judge.requests)
        task_run = await it.trigger(task, **WINDOW, override_evaluations=override)
        if cancel_after is not None:
            with anyio.move_on_after(0.2):
                await judge.wait_for_requests(asked + cancel_after)
            await it.http.post(f"/v2/task-runs/{task_run['id']}/cancel")
        done = await it.ended(task_run["id"])
        await it.idle()
        await _check_law(it, await it.task_run(done["id"]), project)


async def _check_law(it: EngineInTest, done: dict[str, Any], project: str) -> None:
    rows = await it.rows(done["id"])
    outcomes = Counter(row["outcome"] for row in rows)
    assert (outcomes["SUCCESS"], outcomes["ERROR"], outcomes["SKIPPED"]) == (
        done["num_successes"],
        done["num_errors"],
        done["num_skipped"],
    )
    assert len(rows) == (done["num_selected"] or 0)
    assert len({(row["row_id"], row["evaluator_id"]) for row in rows}) == len(rows)
    if done["status"] == "COMPLETED":
        assert outcomes["WAITING"] == 0
    window = {"start_time": WINDOW["data_start_time"], "end_time": WINDOW["data_end_time"]}
    page = await it.ask("POST", "/v2/spans?limit=500", {"project_id": project, **window})
    made = [
        span["context"]["span_id"]
        for span in page["spans"]
        for evaluation in span["evaluations"]
        if evaluation["metadata"]["task_run_id"] == done["id"]
    ]
    assert sorted(made) == sorted(row["row_id"] for row in rows if row["outcome"] == "SUCCESS")
