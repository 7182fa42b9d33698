"""The recipe "A field of a task" of CONTRIBUTING.md, followed from outside on a copy of the package."""

from __future__ import annotations

import json
from filecmp import dircmp
from pathlib import Path

from evaltasks.engine.store.store import SCHEMA_VERSION
from tests.support.engines import engine
from tests.support.recipes import PACKAGE, code_blocks, copy_package, run_with_copy

FILES_MAX = 4

SETTING, ARGUMENT = code_blocks("A field of a task", "python")
COLUMN, MIGRATION = code_blocks("A field of a task", "sql")
EDITS = {
    "api/tasks.py": [(SETTING, "\n\n# Fields of a base that is further right come first: a name")],
    "engine/store/schema.sql": [(COLUMN, "    UNIQUE (space_id, name)\n);\n\nCREATE TABLE task_evaluators")],
    "tools/task_inputs.py": [(ARGUMENT, "    query_filter: FilterText | None = Field(\n")],
}


def _follow_recipe(directory: Path) -> Path:
    for name, ((_, before),) in EDITS.items():
        assert (PACKAGE / name).read_text(encoding="utf-8").count(before) == 1, f"{name}: the place is not clear"
    package = copy_package(directory, EDITS)
    migration = package / "engine" / "store" / "migrations" / f"{SCHEMA_VERSION + 1:04}_task_note.sql"
    migration.write_text(MIGRATION, encoding="utf-8")
    return package


def _touched(compared: dircmp[str]) -> list[str]:
    here = [*compared.diff_files, *compared.right_only, *compared.left_only]
    return here + [name for part in compared.subdirs.values() for name in _touched(part)]


async def test_a_field_of_a_task_takes_four_files(tmp_path: Path) -> None:
    store = tmp_path / "older.db"
    async with engine(store) as it:
        project = await it.seed_project("support-bot")
        await it.seed_task([await it.seed_code_evaluator("Regex")], project_id=project)
    directory = tmp_path / "server"
    package = _follow_recipe(directory)
    touched = _touched(dircmp(PACKAGE, package, ignore=["__pycache__"]))
    assert len(touched) == FILES_MAX, touched

    shown = run_with_copy(directory, "tests.api.task_field_script", str(store))

    assert json.loads(shown) == {
        "a task of the older store": None,
        "created over REST": "created",
        "read over REST": "created",
        "updated over REST": "updated",
        "kept by another update": "updated",
        "in the view of get_task": "updated",
        "cleared over REST": None,
        "created by create_task": "tool",
        "difference of update_task": [["note", "tool", "changed"]],
        "refused by the engine": True,
        "refused by create_task": "only for evaluation tasks; remove it",
        "listed as updatable": True,
        "exported": "changed",
        "difference of apply": [["note", "changed", "promoted"]],
        "applied": "promoted",
    }
