"""Random sequences of operations through our client: the engine and a reference model agree after every step.

In CI a few dozen short sequences. By hand, for some minutes, with new ones each time:

    EVALTASKS_LONG=300 pytest tests/properties/test_sequences.py -q -p no:cacheprovider --timeout 0

EVALTASKS_LONG is how many sequences, each of up to 60 steps (150 take about six minutes on a busy machine).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from evaltasks.api.datasets import (
    ListDatasets,
    ListExamples,
)
from evaltasks.api.evaluators import (
    ListEvaluators,
    ListEvaluatorVersions,
)
from evaltasks.api.experiments import ListExperimentRuns, ListExperiments
from evaltasks.api.problems import NotFound
from evaltasks.api.projects import ListProjects
from evaltasks.api.spaces import ListSpaces
from evaltasks.api.task_runs import ListTaskRuns
from evaltasks.api.tasks import ListTasks
from tests.support.plain_world import PlainWorld
from tests.support.sequences_rows import RowRules
from tests.support.sequences_tasks import TaskRules
from tests.support.two_sides import (
    CRASHES,
    counts_of,
    names,
    newest_first,
    one_each_turn,
    opened,
    picks,
    run_shown,
    sizes,
)

LONG = int(os.environ.get("EVALTASKS_LONG", "0"))


class Sequences(RowRules, TaskRules):
    """The state machine; `agree` compares the whole content of both sides after every step."""

    @initialize()
    def open(self) -> None:
        self._opening = self.portal.wrap_async_context_manager(opened())
        self.client = self._opening.__enter__()
        self.world = PlainWorld()
        self.gone: list[str] = []
        self.steps = 0
        for space in self.all(self.client.spaces.all(ListSpaces())):
            self.world.spaces[space.id] = {"name": space.name, "description": space.description}
        # Start with one of each, created like everything else, so that short sequences reach what depends on them.
        self.create_project(0, "a")
        self.send_spans(0, {"s1": ["yes"], "s2": ["no"]})
        self.create_dataset(0, "a", ["yes", "no"])
        self.create_experiment(0, False, "a", ["yes", "no"])
        self.create_evaluator(0, "a", "tone", "yes")
        self.create_evaluator(0, "ab", "length", "^no")
        self.make_task(0, True, "a", None, [(0, None), (1, 0)], [])
        self.make_task(0, False, "ab", "= 'yes'", [(0, 0)], [0])

    def teardown(self) -> None:
        if hasattr(self, "_opening"):
            self._opening.__exit__(None, None, None)

    @rule(pick=picks, scoped=st.booleans(), part=names | st.none(), size=sizes, what=st.integers(0, 4))
    def list_some(self, pick: int, scoped: bool, part: str | None, size: int, what: int) -> None:
        resource, kind, query = (
            (self.client.projects, self.world.projects, ListProjects),
            (self.client.datasets, self.world.datasets, ListDatasets),
            (self.client.experiments, self.world.experiments, ListExperiments),
            (self.client.evaluators, self.world.evaluators, ListEvaluators),
            (self.client.tasks, self.world.tasks, ListTasks),
        )[what]
        space = self.one(self.world.spaces, pick) if scoped else None
        refusal = NotFound if scoped and space not in self.world.spaces else None
        asked = query(space_id=space, name=part, limit=size)

        async def walk() -> list[str]:
            return [item.id async for item in resource.all(asked)]

        found = self.expect(refusal, walk)
        if found is not None:
            assert found == [
                id_ for id_, thing in newest_first(kind)
                if space in (None, thing["space_id"]) and (part or "").casefold() in thing["name"].casefold()
            ]  # fmt: skip

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "world"):
            # One call into the event loop, because a hundred small ones would cost more than their requests.
            self.ask(self._agree)

    async def _agree(self) -> None:
        self.steps += 1
        # Small pages need many requests, so they alternate with large ones.
        size = (100, 2, 100, 1, 100, 3)[self.steps % 6]
        client, world = self.client, self.world
        assert not CRASHES.said, CRASHES.said
        for listed, kind, fields in (
            (client.spaces.all(ListSpaces(limit=size)), world.spaces, ("name", "description")),
            (client.projects.all(ListProjects(limit=size)), world.projects, ("name", "space_id")),
            (client.datasets.all(ListDatasets(limit=size)), world.datasets, ("name", "space_id")),
            (client.experiments.all(ListExperiments(limit=size)), world.experiments,
             ("name", "space_id", "dataset_id")),
            (client.evaluators.all(ListEvaluators(limit=size)), world.evaluators, ("name", "space_id", "description")),
            (client.tasks.all(ListTasks(limit=size)), world.tasks,
             ("name", "type", "project_id", "dataset_id", "query_filter", "sampling_rate", "experiment_ids")),
        ):  # fmt: skip
            found: list[Any] = [each async for each in listed]  # type: ignore[attr-defined]
            shown = [(each.id, {field: getattr(each, field) for field in fields}) for each in found]
            assert shown == [(id_, {field: held[field] for field in fields}) for id_, held in newest_first(kind)]
        await self._agree_on_one_of_each(self.steps)

    async def _agree_on_one_of_each(self, turn: int) -> None:
        client, world = self.client, self.world
        for id_, dataset in one_each_turn(world.datasets, turn):
            got = await client.datasets.get(id_)
            assert [v.id for v in got.versions or ()] == list(dataset["versions"])[::-1]
            for version_id, version in dataset["versions"].items():
                asked = ListExamples(dataset_version_id=version_id, limit=500)
                page = await client.datasets.list_examples(id_, asked)
                assert [(each.id, each.columns) for each in page.examples] == list(version["rows"].items())
        for id_, experiment in one_each_turn(world.experiments, turn):
            page = await client.experiments.list_experiment_runs(id_, ListExperimentRuns(limit=500))
            assert {run.id: run_shown(run) for run in page.experiment_runs} == experiment["runs"]
        for id_, project in one_each_turn(world.projects, turn):
            assert await self._spans(id_) == project["spans"]
        for id_, evaluator in one_each_turn(world.evaluators, turn):
            versions = await client.evaluators.list_versions(id_, ListEvaluatorVersions())
            assert [v.id for v in versions.evaluator_versions] == list(evaluator["versions"])[::-1]
        for id_, task in one_each_turn(world.tasks, turn):
            got = await client.tasks.get(id_)
            assert [(e.evaluator_id, e.evaluator_version_id) for e in got.evaluators] == [
                (e["evaluator_id"], e["evaluator_version_id"]) for e in task["evaluators"]
            ]
            runs = [run async for run in client.tasks.all_task_runs(id_, ListTaskRuns(limit=2))]
            assert {run.id: (run.status, counts_of(run)) for run in runs} == {
                key: (run["status"], run["counts"]) for key, run in world.task_runs.items() if run["task_id"] == id_
            }
        if self.gone:
            gone = self.gone[turn % len(self.gone)]
            get = (client.tasks.get, client.projects.get, client.datasets.get, client.experiments.get)[turn % 4]
            with pytest.raises(NotFound):
                await get(gone)


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def test_engine_and_reference_model_agree_after_every_step(portal: BlockingPortal) -> None:
    machine = type("Machine", (Sequences,), {"portal": portal})
    CRASHES.said.clear()
    logging.getLogger("evaltasks").addHandler(CRASHES)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=LONG or 10, stateful_step_count=60 if LONG else 30, deadline=None,
                suppress_health_check=list(HealthCheck), derandomize=not LONG,
            ),
        )  # fmt: skip
    finally:
        logging.getLogger("evaltasks").removeHandler(CRASHES)
