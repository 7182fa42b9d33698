"""The recipe "A tool" of CONTRIBUTING.md: two files are enough for a tool that every client sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaltasks.tools.catalog import TOOLS
from tests.support.agents import MODES, stdio_agent
from tests.support.recipes import code_blocks
from tests.support.starts import true_command

PACKAGE = Path(__file__).parents[2] / "server" / "evaltasks"


@pytest.fixture(scope="module")
def source_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which the recipe was followed: the new file, and two lines of the catalog."""
    root = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, root / "evaltasks", ignore=shutil.ignore_patterns("__pycache__"))
    (block,) = code_blocks("A tool", "python")
    (root / "evaltasks" / "tools" / "count_tasks.py").write_text(block, encoding="utf-8")
    catalog = root / "evaltasks" / "tools" / "catalog.py"
    text = catalog.read_text(encoding="utf-8")
    text = text.replace("from evaltasks.tools import (\n", "from evaltasks.tools import (\n    count_tasks,\n", 1)
    text = text.replace("    list_tasks.SPEC,\n", "    list_tasks.SPEC,\n    count_tasks.SPEC,\n", 1)
    catalog.write_text(text, encoding="utf-8")
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
