"""An apply that is interrupted at any write, with or without effect, is completed by the next one."""

from __future__ import annotations

import pytest

from evaltasks.promote.apply import apply_plan
from evaltasks.promote.export import export_space
from evaltasks.promote.plan import ApplyFailed
from tests.support.promoting import Place, applied, evaluators_of, place, planned, tasks_of, world

# Every kind of resource, evaluators with several versions, pins in attachments and in a run configuration.
TASKS = ["Ask", "Judge", "Tone: live"]


async def versions_of(made: Place) -> dict[str, int]:
    page = await made.it.ask("GET", "/v2/evaluators")
    ids = {one["name"]: one["id"] for one in page["evaluators"]}
    return {
        name: len((await made.it.ask("GET", f"/v2/evaluators/{id_}/versions"))["evaluator_versions"])
        for name, id_ in ids.items()
    }


@pytest.mark.parametrize("after", [False, True], ids=["before it takes effect", "after it took effect"])
async def test_apply_interrupted_at_any_write_is_completed_by_the_next_one(after: bool) -> None:
    async with world() as source:
        files = (await export_space(source.client, source.space.id, TASKS)).files
    async with place() as undisturbed:
        await applied(files, undisturbed)
        writes = undisturbed.network.writes
        end = await tasks_of(undisturbed), await evaluators_of(undisturbed), await versions_of(undisturbed)
    assert len(writes) > 9
    for number in range(len(writes)):
        async with place() as target:
            plan = await planned(files, target)
            target.network.cut_at, target.network.after = number, after
            with pytest.raises(ApplyFailed) as stopped:
                await apply_plan(plan, lambda step: None)
            assert "apply again" in str(stopped.value)
            target.network.cut_at = None
            await applied(files, target)
            assert (await tasks_of(target), await evaluators_of(target), await versions_of(target)) == end
            # A write that took effect was not sent again.
            expected = len(writes) + (0 if after else 1)
            assert len(target.network.writes) == expected


async def test_apply_interrupted_between_two_versions_ends_with_the_latest_of_the_file() -> None:
    """Adding an older version makes it the latest for a moment; the second apply must not leave it the latest."""
    async with world() as source, world() as target:
        files = (await export_space(source.client, source.space.id, ["Tone: live"])).files
        await target.it.ask(
            "DELETE", f"/v2/evaluators/{target.ids['Tone']}/versions", {"version_ids": [target.ids["Tone@2"]]}
        )
        plan = await planned(files, target)
        (step,) = [step for step in plan.changes if step.name == "Tone"]
        assert [one.field for one in step.differences][-1] == "latest"
        assert len(step.writes) == 2
        target.network.cut_at = 1
        with pytest.raises(ApplyFailed):
            await apply_plan(plan, lambda step: None)
        target.network.cut_at = None
        await applied(files, target)
        assert (await evaluators_of(target))["Tone"] == (await evaluators_of(source))["Tone"]
        assert (await tasks_of(target))["Tone: live"] == (await tasks_of(source))["Tone: live"]
        assert not (await planned(files, target)).changes
