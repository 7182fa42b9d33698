"""Run by `test_task_field_recipe.py` on a copy of the package whose tasks have the field `note`.

Every step of a task's life uses the field; the observed values are written to stdout as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from evaltasks.client.resolve import Named
from evaltasks.client.transport import open_app_client
from evaltasks.promote.apply import make_plan
from evaltasks.promote.documents import TaskFile, to_document
from evaltasks.promote.export import export_space
from evaltasks.promote.folder import Bundle
from evaltasks.tools import create_task, get_task, update_task
from tests.support.engines import engine
from tests.support.tool_calls import ToolsInTest


async def life_of_a_task(store: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    async with engine(store) as it, open_app_client(it.engine.app) as client:
        tools = ToolsInTest(client, it)
        (older,) = (await it.ask("GET", "/v2/tasks"))["tasks"]
        seen["a task of the older store"] = older["note"]
        evaluators = [{"evaluator_id": older["evaluators"][0]["evaluator_id"]}]
        body = {"type": "CODE_EVALUATION", "project_id": older["project_id"], "evaluators": evaluators}
        created = await it.ask("POST", "/v2/tasks", {"name": "over REST", "note": "created", **body})
        path = f"/v2/tasks/{created['id']}"
        seen["created over REST"] = created["note"]
        seen["read over REST"] = (await it.ask("GET", path))["note"]
        seen["updated over REST"] = (await it.ask("PATCH", path, {"note": "updated"}))["note"]
        seen["kept by another update"] = (await it.ask("PATCH", path, {"sampling_rate": 0.5}))["note"]
        seen["in the view of get_task"] = (await tools.call(get_task.SPEC, task="over REST")).task.note
        seen["cleared over REST"] = (await it.ask("PATCH", path, {"note": None}))["note"]

        arguments = {"task_type": "code_evaluation", "project": older["project_id"], "evaluators": evaluators}
        made = await tools.call(create_task.SPEC, name="by a tool", note="tool", **arguments)
        seen["created by create_task"] = made.task.note
        changed = await tools.call(update_task.SPEC, task="by a tool", note="changed")
        seen["difference of update_task"] = [(one.field, one.before, one.after) for one in changed.changes]

        refused = await it.ask("POST", "/v2/tasks", {"name": "x", "type": "RUN_EXPERIMENT", "note": "n"}, status=400)
        seen["refused by the engine"] = "note applies to evaluation tasks" in refused["detail"]
        issues = await tools.issues(create_task.SPEC, name="x", task_type="run_experiment", note="n")
        seen["refused by create_task"] = issues["note"]
        empty = await it.ask("PATCH", path, {}, status=400)
        seen["listed as updatable"] = "note" in empty["detail"]

        space = Named(await it.space_id(), "default")
        exported = await export_space(client, space.id)
        (file,) = [one for one in exported.files if isinstance(one, TaskFile) and one.name == "by a tool"]
        seen["exported"] = to_document(file)["note"]  # type: ignore[attr-defined]
        others = [one for one in exported.files if one is not file]
        plan = await make_plan(
            Bundle.from_files([file.model_copy(update={"note": "promoted"}), *others]), client, space
        )
        seen["difference of apply"] = [
            (one.field, one.before, one.after) for step in plan.changes for one in step.differences
        ]
        for step in plan.changes:
            for write in step.writes:
                await write()
        seen["applied"] = (await it.ask("GET", f"/v2/tasks/{made.task.task_id}"))["note"]
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(life_of_a_task(sys.argv[1]))))
