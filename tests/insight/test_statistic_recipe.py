"""The recipe "A statistic" of CONTRIBUTING.md, followed from outside: one new line of `STATISTICS` is all it takes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import pytest

from evaltasks.insight import statistics
from evaltasks.insight.statistics import STATISTICS, Properties, Scale, Statistic
from evaltasks.tools.schema import output_schema
from evaltasks.tools.task_run_results import SPEC
from tests.support.agents import MODES, agent, text_of
from tests.support.engines import WINDOW

START = "2026-03-01T10:00:00Z"


def _median(scores: Sequence[float], _: Scale | None) -> Properties:
    return {"median": median(scores)}


MEDIAN = Statistic(_median, lambda properties: f"median {properties['median']:.3g}")


@pytest.mark.parametrize("mode", MODES)
async def test_a_new_statistic_is_in_the_structured_answer_and_in_its_text(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "STATISTICS", (*STATISTICS, MEDIAN))
    async with agent(mode) as it:
        project = await it.seed.seed_project()
        rows = [{"span_id": f"s{number}", "start_time": START, "output": text} for number, text in enumerate("abcx")]
        await it.answer("import_spans", {"project": project, "rows": rows})
        evaluator = await it.answer(
            "create_evaluator", {"name": "letters", "managed": "matches_regex", "pattern": "[abc]"}
        )
        task = await it.seed.seed_task([evaluator["evaluator_id"]], project_id=project)
        run = await it.seed.finish(task, **WINDOW)
        result = await it.call("task_run_results", {"run_id": run["id"]})

    assert not result.is_error
    (letters,) = result.structured_content["evaluators"]
    assert (letters["score"]["median"], letters["score"]["mean"]) == (1, 0.75)
    assert "4 of 4 evaluated, mean 0.75 [0.301, 0.954] (n 4, Wilson, 95 %), median 1\n" in text_of(result) + "\n"
    published = output_schema(SPEC)["properties"]["evaluators"]["items"]["properties"]["score"]
    assert published == {"type": "object"}
