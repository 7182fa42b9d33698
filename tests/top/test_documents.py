"""README, the documents and the example configuration agree with the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from evaltasks.settings import OTHER_VARIABLES, option_table, settings_from
from evaltasks.tools.catalog import TOOLS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("mark", ["demo", "test"])
def test_readme_has_one_line_for_each_of_the_two_commands(mark: str) -> None:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert found is not None
    assert "\n" not in found.group(1)


def test_readme_names_every_tool() -> None:
    assert not [spec.name for spec in TOOLS if f"`{spec.name}`" not in README]


def test_document_links_have_targets() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_documented_variables_are_settings() -> None:
    variables = {variable for _, variable, _ in option_table()} | OTHER_VARIABLES
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for name in re.findall(r"EVALTASKS_[A-Z_]+[A-Z]", document.read_text(encoding="utf-8")):
            assert name in variables, f"{document.name} names {name}"


async def test_the_example_configuration_starts_a_server_with_settings_that_exist(tmp_path: Path) -> None:
    example = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))
    (entry,) = example["mcpServers"].values()
    settings_from({}, entry["env"])
    command = entry["command"]
    assert command == "evaltasks"
    found = shutil.which(command, path=str(Path(sys.executable).parent)) or shutil.which(command)
    assert found is not None, "the command of the example is not installed"
    server = StdioServerParameters(
        command=found,
        args=[*entry["args"], "--store", str(tmp_path / "store.sqlite")],
        env={"PATH": os.environ["PATH"], **entry["env"]},
    )
    async with Client(server, read_timeout_seconds=30) as client:
        assert len((await client.list_tools()).tools) == len(TOOLS)
