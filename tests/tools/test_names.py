"""Display names: read at most once a minute, never a reason to fail."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from evaltasks.api.problems import NotFound
from evaltasks.client.client import Client
from evaltasks.client.errors import Unreachable
from evaltasks.tools import names
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.names import display_names, remember_name
from tests.support.tool_calls import Person, RecordedProgress, SimulatedTime


class Resources:
    """Every kind of resource: an id `x` has the name `name of x`; some ids fail or never answer."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def get(self, id_: str) -> Any:
        self.read.append(id_)
        if id_ == "deleted":
            raise NotFound("no such resource")
        if id_ == "unreachable":
            raise Unreachable("no connection")
        if id_ == "slow":
            await anyio.sleep_forever()
        return type("Named", (), {"name": f"name of {id_}"})()


class Service:
    def __init__(self) -> None:
        self.projects = self.datasets = self.experiments = self.tasks = Resources()


@pytest.fixture
def context() -> ToolContext:
    client = cast(Client, Service())
    return ToolContext(client, ToolSettings(), RecordedProgress(), Person(), SimulatedTime())


def reads(context: ToolContext) -> list[str]:
    return cast(Service, context.client).projects.read


@pytest.mark.parametrize("kind", ["project", "dataset", "experiment", "task"])
async def test_display_names_reads_each_kind_once(kind: str, context: ToolContext) -> None:
    keys = [(kind, "a"), None, (kind, "a"), (kind, "b")]
    for _ in range(2):
        assert await display_names(context, keys) == {(kind, "a"): "name of a", (kind, "b"): "name of b"}
    assert sorted(reads(context)) == ["a", "b"]


async def test_display_names_are_read_again_after_a_minute(context: ToolContext) -> None:
    for seconds, num_reads in ((0, 1), (60, 1), (0.5, 2), (59.5, 2)):
        await context.time.sleep(seconds)
        assert await display_names(context, [("task", "a")]) == {("task", "a"): "name of a"}
        assert len(reads(context)) == num_reads


async def test_display_names_leave_out_what_cannot_be_read(context: ToolContext) -> None:
    keys = [("task", id_) for id_ in ("deleted", "unreachable", "a")]
    for _ in range(2):
        assert await display_names(context, keys) == {("task", "a"): "name of a"}
    assert len(reads(context)) == 3  # failures are cached too


async def test_display_names_return_those_that_were_read_in_time(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_LOOKUP_SECONDS_MAX", 0.02)
    assert await display_names(context, [("task", "slow"), ("task", "a")]) == {("task", "a"): "name of a"}


async def test_display_names_read_a_bounded_number_per_call(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_LOOKUPS_MAX", 2)
    keys = [("task", id_) for id_ in "abc"]
    assert sorted(await display_names(context, keys)) == keys[:2]
    assert sorted(await display_names(context, keys)) == keys


async def test_display_names_clears_a_full_cache_and_reads_every_requested_name_again(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_CACHE_ENTRIES_MAX", 2)
    for requested, read in (("a", "a"), ("ab", "b"), ("abc", "c"), ("ad", "ad"), ("bd", "b")):
        num_before = len(reads(context))
        found = await display_names(context, [("task", id_) for id_ in requested])
        assert found == {("task", id_): f"name of {id_}" for id_ in requested}
        assert sorted(reads(context)[num_before:]) == list(read)


async def test_a_remembered_name_is_not_read(context: ToolContext) -> None:
    remember_name(context, "project", "p", "support")
    remember_name(context, "project", "q", None)
    assert await display_names(context, [("project", "p")]) == {("project", "p"): "support"}
    assert reads(context) == []
    assert await display_names(context, [("project", "q")]) == {("project", "q"): "name of q"}
