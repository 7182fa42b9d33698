"""The recipe "A field of a task" of CONTRIBUTING.md, followed from outside on a copy of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from filecmp import dircmp
from pathlib import Path

import evaltasks
from evaltasks.engine.store.store import SCHEMA_VERSION
from tests.support.engines import engine
from tests.support.recipes import code_blocks

PACKAGE = Path(evaltasks.__file__).parent
ROOT = Path(__file__).parents[2]
FILES_MAX = 4

SETTING, ARGUMENT = code_blocks("A field of a task", "python")
COLUMN, MIGRATION = code_blocks("A field of a task", "sql")
# file → (the line before which the text goes, the text)
EDITS = {
    "api/tasks.py": ("\n\n# Fields of a base that is further right come first: a name", SETTING),
    "engine/store/schema.sql": ("    UNIQUE (space_id, name)\n);\n\nCREATE TABLE task_evaluators", COLUMN),
    "tools/task_inputs.py": ("    query_filter: FilterText | None = Field(\n", ARGUMENT),
}


def _follow_recipe(package: Path) -> None:
    for name, (following, addition) in EDITS.items():
        file = package / name
        text = file.read_text(encoding="utf-8")
        assert text.count(following) == 1, f"{name}: the place for the recipe's text is missing"
        file.write_text(text.replace(following, addition + following), encoding="utf-8")
    migration = package / "engine" / "store" / "migrations" / f"{SCHEMA_VERSION + 1:04}_task_note.sql"
    migration.write_text(MIGRATION, encoding="utf-8")


def _touched(compared: dircmp[str]) -> list[str]:
    here = [*compared.diff_files, *compared.right_only, *compared.left_only]
    return here + [name for part in compared.subdirs.values() for name in _touched(part)]


async def test_a_field_of_a_task_takes_four_files(tmp_path: Path) -> None:
    store = tmp_path / "older.db"
    async with engine(store) as it:
        project = await it.seed_project("support-bot")
        await it.seed_task([await it.seed_code_evaluator("Regex")], project_id=project)
    package = tmp_path / "server" / "evaltasks"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    _follow_recipe(package)
    touched = _touched(dircmp(PACKAGE, package, ignore=["__pycache__"]))
    assert len(touched) == FILES_MAX, touched

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT)])}
    done = subprocess.run(  # noqa: ASYNC221  nothing else runs here
        [sys.executable, "-m", "tests.api.task_field_script", str(store)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
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
