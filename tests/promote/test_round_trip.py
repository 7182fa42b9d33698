"""Tasks that are moved to another service are equal except for ids; moving them again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaltasks.promote.export import export_space
from evaltasks.promote.folder import read_folder, write_folder
from evaltasks.promote.plan import Action
from tests.support.promoting import applied, evaluators_of, place, planned, tasks_of, world


async def test_every_type_of_task_is_moved_unchanged_and_a_second_apply_only_reads(tmp_path: Path) -> None:
    async with world() as source, place() as target:
        exported = await export_space(source.client, source.space.id)
        assert not exported.left_out
        write_folder(tmp_path, exported.files)
        bundle = read_folder(tmp_path)
        await applied(bundle, target)
        assert await tasks_of(target) == await tasks_of(source)
        assert len(await tasks_of(target)) == 11
        assert await evaluators_of(target) == await evaluators_of(source)
        writes = len(target.network.writes)
        again = await applied(bundle, target)
        assert {step.action for step in again.steps} == {Action.UNCHANGED}
        assert not again.differs
        assert len(target.network.writes) == writes
        # Export sends no writes either, and the applied tasks export to the same bytes.
        assert source.network.writes == []
        back = await export_space(target.client, target.space.id)
        written = write_folder(tmp_path, back.files)
    assert (written.changed, written.stale) == ([], [])


async def test_second_export_writes_no_file(tmp_path: Path) -> None:
    async with world() as source:
        first = write_folder(tmp_path, (await export_space(source.client, source.space.id)).files)
        second = write_folder(tmp_path, (await export_space(source.client, source.space.id)).files)
    assert len(first.changed) == len(second.unchanged) == 11 + 8 + 3
    assert second.changed == []


async def test_apply_completes_existing_resources_and_updates_different_ones() -> None:
    async with world() as source, world() as target:
        await target.it.ask("PATCH", f"/v2/evaluators/{target.ids['Tone']}", {"description": None})
        tasks = {task["name"]: task["id"] for task in (await target.it.ask("GET", "/v2/tasks"))["tasks"]}
        await target.it.ask("DELETE", f"/v2/tasks/{tasks['Judge']}")
        await target.it.ask(
            "PATCH", f"/v2/tasks/{tasks['Code monitor']}",
            {"query_filter": None, "sampling_rate": None, "evaluators": [{"evaluator_id": target.ids["Json"]}]},
        )  # fmt: skip
        await target.it.ask("PATCH", f"/v2/tasks/{tasks['Tone: live']}", {"is_continuous": False})
        await target.it.ask(
            "PATCH", f"/v2/tasks/{tasks['Ask']}",
            {"run_configuration": {
                "experiment_type": "AGENT_CALL", "integration_id": target.ids["bot"], "input_template": {"q": "fixed"},
            }},
        )  # fmt: skip
        await target.it.ask(
            "PATCH", f"/v2/ai-integrations/{target.ids['local']}", {"base_url": "http://127.0.0.1:8/v1", "scopings": []}
        )
        exported = (await export_space(source.client, source.space.id)).files
        plan = await applied(exported, target)
        assert await tasks_of(target) == await tasks_of(source)
        assert not (await planned(exported, target)).differs
    assert {step.name: sorted(one.field for one in step.differences) for step in plan.changes} == {
        "local": ["base_url", "this_space_only"],
        "Tone": ["description"],
        "Judge": [],
        "Code monitor": ["evaluators[Pattern]", "evaluators[Words]", "query_filter", "sampling_rate"],
        "Tone: live": ["is_continuous"],
        "Ask": ["run_configuration.input_template.deep", "run_configuration.input_template.q"],
    }


async def test_apply_clears_fields_that_the_file_leaves_out() -> None:
    async with place() as source, place() as target:
        for one, fields in ((source, {}), (target, {"sampling_rate": 0.5, "query_filter": "name = 'a'"})):
            made = await one.it.seed_code_evaluator("Regex")
            await one.it.seed_task([made], name="t", project_id=one.ids["chat"], **fields)
        await applied((await export_space(source.client, source.space.id)).files, target)
        task = (await tasks_of(target))["t"]
    assert (task["sampling_rate"], task["query_filter"]) == (None, None)


@pytest.mark.parametrize("names", [["Judge"], ["Tone: live", "Ask"]])
async def test_export_of_single_tasks_includes_only_the_resources_they_use(names: list[str]) -> None:
    async with world() as source, place() as target:
        exported = await export_space(source.client, source.space.id, names)
        await applied(exported.files, target)
        assert set(await tasks_of(target)) == set(names)
        wanted = {name: task for name, task in (await tasks_of(source)).items() if name in names}
        assert await tasks_of(target) == wanted
    evaluators = [file.name for file in exported.files if file.kind == "evaluator"]
    assert evaluators == (["Tone"] if names == ["Judge"] else ["Tone", "Relevant"])
