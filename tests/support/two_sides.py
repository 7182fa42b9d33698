"""Two sides that get the same requests: an engine, through our client, and a model of plain dicts.

What a state machine needs for that, without rules: small strategies (few names, so that they are taken, parts of
others, and different in case alone), asking, and what must come back.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from evaltasks.api.problems import NotFound, Problem
from evaltasks.api.spans import ListSpans
from evaltasks.api.task_runs import TaskRun, TriggerTaskRun
from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from tests.support.engines import QUICK, ManualClock
from tests.support.plain_world import Kind, PlainWorld, Refusal, Thing

T = TypeVar("T")

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
UNKNOWN = "Tm90aGluZzo5OTk6YUIzZA=="
WINDOW = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}

# Few names, so that some are in use, parts of others, or differ only in case.
names = st.sampled_from(["a", "A", "ab", "b%_", "größe"])
outputs = st.lists(st.sampled_from(["yes", "no", "yes and no"]), min_size=1, max_size=3)
patterns = st.sampled_from(["yes", "^no", "maybe"])
evaluations = st.sampled_from(["tone", "length"])
filters = st.sampled_from([None, "= 'yes'", "= 'no'"])
# A number selects an existing resource, or an unknown one.
picks = st.integers(0, 40)
# The evaluator, and its pinned version.
Attachments: TypeAlias = list[tuple[int, int | None]]
attachments = st.lists(st.tuples(picks, picks | st.none()), max_size=2) | st.lists(
    st.tuples(picks, picks | st.none()), min_size=1, max_size=1
)
sizes = st.integers(1, 5)
# Deletions of large resources are rarer than the others.
sure = st.sampled_from([False, False, True])


@asynccontextmanager
async def opened() -> AsyncIterator[Client]:
    async with (
        Engine.open(":memory:", clock=ManualClock(NOW), limits=QUICK, environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        yield client


class Crashes(logging.Handler):
    """Records what the engine logs as an internal error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


class TwoSides(RuleBasedStateMachine):
    """An engine and its model. `portal` runs the event loop of engine and client."""

    portal: BlockingPortal
    client: Client
    world: PlainWorld
    gone: list[str]
    steps: int

    def ask(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        async def bounded() -> T:
            with anyio.fail_after(20):
                return await call(*arguments)

        return self.portal.call(bounded)

    def all(self, items: AsyncIterator[T]) -> list[T]:
        async def walk() -> list[T]:
            return [item async for item in items]

        return self.ask(walk)

    def expect(self, refusal: Refusal, call: Callable[..., Awaitable[T]], *arguments: Any) -> T | None:
        """Make a call and return its reply, or None if it was refused as expected."""
        try:
            reply = self.ask(call, *arguments)
        except Problem as problem:
            assert type(problem) is refusal, f"{type(problem).__name__} ({problem}) and not {refusal}"
            return None
        assert refusal is None, f"done, and {refusal.__name__} was due"
        return reply

    def one(self, kind: Kind, pick: int) -> str:
        """Return the id of one of them, sometimes a deleted or unknown one."""
        if not kind or pick == 40:
            return self.gone[-1] if self.gone and pick % 2 else UNKNOWN
        return list(kind)[pick % len(kind)]

    def _rename(self, kind: Kind, pick: int, name: str, home: str, call: Callable[[str], Awaitable[object]]) -> None:
        id_ = self.one(kind, pick)
        held = kind.get(id_)
        refusal = NotFound if held is None else self.world.naming(kind, {home: held[home]}, name, but=id_)
        if self.expect(refusal, call, id_) is not None and held is not None:
            held["name"] = name

    def _delete(
        self, kind: Kind, pick: int, call: Callable[[str], Awaitable[None]], drop: Callable[[str], object],
        refusal: Refusal = None,
    ) -> None:  # fmt: skip
        id_ = self.one(kind, pick)
        refusal = NotFound if id_ not in kind else refusal
        self.expect(refusal, call, id_)
        if refusal is None:
            drop(id_)
            self.gone.append(id_)

    def _version(self, pick: int, version: int | None) -> tuple[str, str | None, Refusal]:
        """A dataset, one of its versions (None: the latest), and what must be said to them."""
        id_ = self.one(self.world.datasets, pick)
        if id_ not in self.world.datasets:
            return id_, None, NotFound
        if version is None:
            return id_, None, None
        version_id = self.one(self.world.datasets[id_]["versions"], version)
        return id_, version_id, None if version_id in self.world.datasets[id_]["versions"] else NotFound

    def _attached(self, given: Attachments) -> list[Thing]:
        attached = []
        for pick, pinned in given:
            id_ = self.one(self.world.evaluators, pick)
            versions = self.world.evaluators.get(id_, {"versions": {}})["versions"]
            version = None if pinned is None else self.one(versions, pinned)
            attached.append({"evaluator_id": id_, "evaluator_version_id": version})
        return attached

    def _trigger(self, id_: str, override: bool) -> TaskRun | None:
        held = self.world.tasks.get(id_)
        window = WINDOW if held is not None and held["project_id"] is not None else {}
        body = TriggerTaskRun.model_validate({**window, "override_evaluations": override})
        return self.expect(None if held else NotFound, self.client.tasks.trigger, id_, body)

    def _ended(self, run_id: str) -> TaskRun:
        async def wait() -> TaskRun:
            while not (run := await self.client.task_runs.get(run_id)).finished:  # noqa: ASYNC110  a client's poll
                await anyio.sleep(0.002)
            return run

        return self.ask(wait)

    async def _spans(self, project_id: str) -> Kind:
        window = ListSpans(project_id=project_id, start_time=WINDOW["data_start_time"], end_time=NOW)
        return {
            span.context.span_id: {
                "output": span.attributes["output.value"],
                "evaluations": {each.name: each.label for each in span.evaluations},
            }
            async for span in self.client.spans.all(window)
        }

    def _learn_evaluations(self) -> None:
        for id_, experiment in self.world.experiments.items():
            runs = self.all(self.client.experiments.all_experiment_runs(id_))
            experiment["runs"] = {run.id: run_shown(run) for run in runs}
        for id_, project in self.world.projects.items():
            project["spans"] = self.ask(self._spans, id_)


def code_version(evaluation: str, pattern: str) -> Thing:
    return {
        "commit_message": "made",
        "code_config": {
            "type": "MANAGED", "name": evaluation, "managed_evaluator": "MATCHES_REGEX", "variables": ["output"],
            "static_params": [{"name": "pattern", "type": "REGEX", "default_value": pattern}],
        },
    }  # fmt: skip


def filter_on(on_project: bool, wanted: str | None) -> str | None:
    column = "attributes.output.value" if on_project else "output"
    return None if wanted is None else f"{column} {wanted}"


def experiment_runs(said: Sequence[str]) -> list[Thing]:
    return [{"example_id": f"e{number}", "output": text} for number, text in enumerate(said)]


def held_runs(ids: Sequence[str], said: Sequence[str]) -> Kind:
    return {id_: {"output": text, "evaluations": {}} for id_, text in zip(ids, said, strict=True)}


def run_shown(run: Any) -> Thing:
    labels = {
        name.split(".")[1]: label
        for name, label in run.columns.items()
        if name.startswith("eval.") and name[-5:] == "label"
    }
    return {"output": run.output, "evaluations": labels}


def counts_of(run: TaskRun) -> tuple[int, int, int]:
    return run.num_successes, run.num_errors, run.num_skipped


def newest_first(kind: Kind) -> list[tuple[str, Thing]]:
    """Sort resources by the time of their last change, newest first; equal ones by creation."""
    numbered = sorted(enumerate(kind.items()), key=lambda each: (each[1][1].get("updated", NOW), each[0]), reverse=True)
    return [pair for _, pair in numbered]


def one_each_turn(kind: Kind, turn: int) -> Iterator[tuple[str, Thing]]:
    """Return one of them, a different one each time."""
    ids = list(kind)
    for id_ in ids[turn % len(ids) :][:1] if ids else []:
        yield id_, kind[id_]


CRASHES = Crashes()
