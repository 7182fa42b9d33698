"""Task runs with judges that refuse calls for a while are slower and lose no row."""

from __future__ import annotations

from tests.support.engines import QUICK, WINDOW, engine
from tests.support.judge_scripts import Admission, storm
from tests.support.judges import Script, judge_server


async def _judged(script: Script, rows: int) -> tuple[int, int, int]:
    async with judge_server(script=script) as judge, engine(limits=QUICK) as it:
        project = await it.seed_project()
        await it.seed_spans(project, rows)
        evaluator = await it.seed_template_evaluator(judge.base_url)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        run = await it.finish(task, **WINDOW)
    assert run["status"] == "COMPLETED"
    return run["num_successes"], run["num_errors"], len(judge.requests)


async def test_row_refused_in_a_storm_is_judged_in_the_end() -> None:
    successes, errors, _ = await _judged(storm(0.3), 40)

    assert (successes, errors) == (40, 0)


async def test_judge_with_a_rate_limit_judges_every_row() -> None:
    admission = Admission(per_second=200, burst=5, retry_after="0")
    successes, errors, requests = await _judged(admission, 40)

    assert (successes, errors) == (40, 0)
    assert admission.num_refused == requests - 40
