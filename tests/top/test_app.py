"""The tools that a server offers for its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaltasks.app import open_server
from evaltasks.settings import settings_from
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.spec import Effect, Group


@pytest.mark.parametrize(
    ("options", "groups", "effects"),
    [
        ({}, set(Group), set(Effect)),
        ({"read_only": "true"}, set(Group), {Effect.READS}),
        ({"groups": "tasks,insight"}, {Group.TASKS, Group.INSIGHT}, set(Effect)),
        ({"groups": "tasks", "read_only": "true"}, {Group.TASKS}, {Effect.READS}),
    ],
)
async def test_a_server_offers_the_tools_of_its_groups_and_effects(
    options: dict[str, str], groups: set[Group], effects: set[Effect], tmp_path: Path
) -> None:
    settings = settings_from({"store": str(tmp_path / "s.sqlite"), **options}, {})
    async with open_server(settings, {}) as server:
        offered = {tool.name for tool in await server.list_tools()}
    assert offered == {spec.name for spec in TOOLS if spec.group in groups and spec.effect in effects}
