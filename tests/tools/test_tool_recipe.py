"""The recipe "A tool" of CONTRIBUTING.md: two files are enough for a tool that every client sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaltasks.tools.catalog import TOOLS
from tests.support.agents import MODES, stdio_agent
from tests.support.recipes import code_blocks, copy_package
from tests.support.starts import true_command

EDITS = {
    "tools/catalog.py": [
        ("    count_tasks,\n", "    cancel_task_run,\n"),
        ("    count_tasks.SPEC,\n", "    get_task.SPEC,\n"),
    ]
}


@pytest.fixture(scope="module")
def source_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which the recipe was followed: the new file, and two lines of the catalog."""
    root = tmp_path_factory.mktemp("source")
    package = copy_package(root, EDITS)
    (block,) = code_blocks("A tool", "python")
    (package / "tools" / "count_tasks.py").write_text(block, encoding="utf-8")
    return root


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_added_by_the_recipe_is_listed_and_called(mode: str, source_root: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(source_root)}
    async with stdio_agent(mode, tmp_path / "store.sqlite", environment=environment, start=true_command) as it:
        names = [tool.name for tool in (await it.mcp.list_tools()).tools]
        answer = await it.answer("count_tasks", {})
        refusal = await it.refusal("count_tasks", {"space": "nowhere"})
    assert names == [
        name for spec in TOOLS for name in ((spec.name, "count_tasks") if spec is TOOLS[0] else (spec.name,))
    ]
    assert answer == {"num_tasks": 0}
    assert "nowhere" in refusal
