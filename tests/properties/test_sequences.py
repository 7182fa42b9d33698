"""Random sequences of operations through our client: the engine and a world of plain dicts agree after every step.

In CI a few dozen short sequences. By hand, for some minutes, with new ones each time:

    EVALTASKS_LONG=300 pytest tests/properties/test_sequences.py -q -p no:cacheprovider --timeout 0

EVALTASKS_LONG is how many sequences, each of up to 60 steps (300 take about five minutes).
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from evaltasks.api.datasets import (
    AppendExamples,
    CreateDataset,
    DeleteExamples,
    ListDatasets,
    ListExamples,
    RenameDataset,
    UpdateExamples,
)
from evaltasks.api.evaluators import (
    CreateEvaluator,
    CreateEvaluatorVersion,
    DeleteEvaluatorVersions,
    ListEvaluators,
    ListEvaluatorVersions,
    UpdateEvaluator,
)
from evaltasks.api.experiments import AppendExperimentRuns, CreateExperiment, ListExperimentRuns, ListExperiments
from evaltasks.api.problems import BadRequest, Conflict, NotFound, Problem, Unprocessable
from evaltasks.api.projects import CreateProject, ListProjects, RenameProject
from evaltasks.api.spaces import CreateSpace, ListSpaces, UpdateSpace
from evaltasks.api.spans import IngestSpans, ListSpans
from evaltasks.api.task_runs import ListTaskRuns, TaskRun, TriggerTaskRun
from evaltasks.api.tasks import CreateTask, ListTasks, UpdateTask
from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client
from evaltasks.engine.engine import Engine
from tests.support.engines import QUICK, HandClock
from tests.support.plain_world import Kind, PlainWorld, Refusal, Thing, worst

T = TypeVar("T")

LONG = int(os.environ.get("EVALTASKS_LONG", "0"))
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
UNKNOWN = "Tm90aGluZzo5OTk6YUIzZA=="
WINDOW = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}

# Few of each, so that names are taken, parts of others, and different in case alone.
names = st.sampled_from(["a", "A", "ab", "b%_", "größe"])
outputs = st.lists(st.sampled_from(["yes", "no", "yes and no"]), min_size=1, max_size=3)
patterns = st.sampled_from(["yes", "^no", "maybe"])
evaluations = st.sampled_from(["tone", "length"])
filters = st.sampled_from([None, "= 'yes'", "= 'no'"])
# Any number names one of what there is, or something that is not there.
picks = st.integers(0, 40)
# Which evaluator, and which of its versions is pinned.
Attachments: TypeAlias = list[tuple[int, int | None]]
attachments = st.lists(st.tuples(picks, picks | st.none()), max_size=2) | st.lists(
    st.tuples(picks, picks | st.none()), min_size=1, max_size=1
)
sizes = st.integers(1, 5)
# What takes much with it is rarer than the rest.
sure = st.sampled_from([False, False, True])


@asynccontextmanager
async def _opened() -> AsyncIterator[Client]:
    async with (
        Engine.open(":memory:", clock=HandClock(NOW), limits=QUICK, environment={}) as engine,
        open_app_client(engine.app) as client,
    ):
        yield client


class _Crashes(logging.Handler):
    """Keeps what the engine logs as its own failure."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


class Sequences(RuleBasedStateMachine):
    """Each rule asks both sides for the same; `agree` compares all that either holds."""

    portal: BlockingPortal

    @initialize()
    def open(self) -> None:
        self._opening = self.portal.wrap_async_context_manager(_opened())
        self.client = self._opening.__enter__()
        self.world = PlainWorld()
        self.gone: list[str] = []
        self.steps = 0
        for space in self.all(self.client.spaces.all(ListSpaces())):
            self.world.spaces[space.id] = {"name": space.name, "description": space.description}
        # Something of each to begin with, made as everything is: short sequences then reach what depends on it.
        self.create_project(0, "a")
        self.send_spans(0, {"s1": ["yes"], "s2": ["no"]})
        self.create_dataset(0, "a", ["yes", "no"])
        self.create_experiment(0, False, "a", ["yes", "no"])
        self.create_evaluator(0, "a", "tone", "yes")
        self.create_evaluator(0, "ab", "length", "^no")
        self.make_task(0, True, "a", None, [(0, None), (1, 0)], [])
        self.make_task(0, False, "ab", None, [(0, 0)], [0])

    def teardown(self) -> None:
        if hasattr(self, "_opening"):
            self._opening.__exit__(None, None, None)

    # --- asking ------------------------------------------------------------------------------------------------------
    def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        async def bounded() -> T:
            with anyio.fail_after(20):
                return await call()

        return self.portal.call(bounded)

    def all(self, items: AsyncIterator[T]) -> list[T]:
        async def walk() -> list[T]:
            return [item async for item in items]

        return self.ask(walk)

    def expect(self, refusal: Refusal, call: Callable[[], Awaitable[T]]) -> T | None:
        """The reply, or None when the call was refused as it must be."""
        try:
            reply = self.ask(call)
        except Problem as problem:
            assert type(problem) is refusal, f"{type(problem).__name__} ({problem}) and not {refusal}"
            return None
        assert refusal is None, f"done, and {refusal.__name__} was due"
        return reply

    def one(self, kind: Kind, pick: int) -> str:
        """The id of one of them; now and then one that is gone or never was."""
        if not kind or pick == 40:
            return self.gone[-1] if self.gone and pick % 2 else UNKNOWN
        return list(kind)[pick % len(kind)]

    # --- spaces and projects -----------------------------------------------------------------------------------------
    @rule(name=names)
    def create_space(self, name: str) -> None:
        made = self.expect(
            self.world.naming(self.world.spaces, {}, name), lambda: self.client.spaces.create(CreateSpace(name=name))
        )
        if made is not None:
            self.world.spaces[made.id] = {"name": name, "description": ""}

    @rule(pick=picks, name=names | st.none(), description=st.sampled_from(["x", None, ...]))
    def change_space(self, pick: int, name: str | None, description: Any) -> None:
        id_ = self.one(self.world.spaces, pick)
        change: Thing = {} if description is ... else {"description": description}
        change |= {} if name is None else {"name": name}
        refusal: Refusal = None if id_ in self.world.spaces else NotFound
        if not change:
            refusal = BadRequest
        elif refusal is None and name is not None:
            refusal = self.world.naming(self.world.spaces, {}, name, but=id_)
        if self.expect(refusal, lambda: self.client.spaces.update(id_, UpdateSpace(**change))) is not None:
            self.world.spaces[id_] |= {key: value or "" for key, value in change.items()}

    @rule(pick=picks, sure=sure)
    def delete_space(self, pick: int, sure: bool) -> None:
        if not sure:
            return
        id_ = self.one(self.world.spaces, pick)
        refusal = self.world.deleting_space(id_)
        self.expect(refusal, lambda: self.client.spaces.delete(id_))
        if refusal is None:
            self.world.drop_space(id_)
            self.gone.append(id_)

    @rule(pick=picks, name=names)
    def create_project(self, pick: int, name: str) -> None:
        home = self.one(self.world.spaces, pick)
        refusal = self.world.naming(self.world.projects, {"space_id": home}, name)
        if home not in self.world.spaces:
            refusal = NotFound
        body = CreateProject(name=name, space_id=home)
        made = self.expect(refusal, lambda: self.client.projects.create(body))
        if made is not None:
            self.world.projects[made.id] = {"name": name, "space_id": home, "spans": {}}

    @precondition(lambda self: self.world.projects)
    @rule(pick=picks, name=names)
    def rename_project(self, pick: int, name: str) -> None:
        self._rename(self.world.projects, pick, name, "space_id",
                     lambda id_: self.client.projects.rename(id_, RenameProject(name=name)))  # fmt: skip

    @rule(pick=picks, sure=sure)
    def delete_project(self, pick: int, sure: bool) -> None:
        if not sure:
            return
        self._delete(self.world.projects, pick, self.client.projects.delete, self.world.drop_project)

    @precondition(lambda self: self.world.projects)
    @rule(pick=picks, said=st.dictionaries(st.sampled_from(["s1", "s2", "s3"]), outputs, min_size=1))
    def send_spans(self, pick: int, said: dict[str, list[str]]) -> None:
        id_ = self.one(self.world.projects, pick)
        spans = [
            {"name": "n", "trace_id": "t", "span_id": span, "kind": "LLM", "start_time": NOW - timedelta(days=1),
             "attributes": {"output.value": texts[0]}}
            for span, texts in said.items()
        ]  # fmt: skip
        refusal = None if id_ in self.world.projects else NotFound
        told = self.expect(refusal, lambda: self.client.spans.ingest(id_, IngestSpans.model_validate({"spans": spans})))
        if told is None:
            return
        there = self.world.projects[id_]["spans"]
        assert told.num_replaced == len(there.keys() & said.keys())
        for span, texts in said.items():
            there[span] = {"output": texts[0], "evaluations": there.get(span, {}).get("evaluations", {})}

    # --- datasets and their examples ---------------------------------------------------------------------------------
    @rule(pick=picks, name=names, rows=outputs)
    def create_dataset(self, pick: int, name: str, rows: list[str]) -> None:
        home = self.one(self.world.spaces, pick)
        refusal = self.world.naming(self.world.datasets, {"space_id": home}, name)
        if home not in self.world.spaces:
            refusal = NotFound
        examples = [{"question": text, "gap": None} for text in rows]
        body = CreateDataset(name=name, space_id=home, examples=examples)
        made = self.expect(refusal, lambda: self.client.datasets.create(body))
        if made is None:
            return
        assert made.versions is not None
        (version,) = made.versions
        ids = [each.id for each in self.all(self.client.datasets.all_examples(made.id))]
        held = dict(zip(ids, examples, strict=True))
        self.world.datasets[made.id] = {
            "name": name, "space_id": home, "versions": {version.id: {"name": version.name, "rows": held}},
        }  # fmt: skip

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, name=names)
    def rename_dataset(self, pick: int, name: str) -> None:
        self._rename(self.world.datasets, pick, name, "space_id",
                     lambda id_: self.client.datasets.rename(id_, RenameDataset(name=name)))  # fmt: skip

    @rule(pick=picks, sure=sure)
    def delete_dataset(self, pick: int, sure: bool) -> None:
        if not sure:
            return
        self._delete(self.world.datasets, pick, self.client.datasets.delete, self.world.drop_dataset)

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, version=picks | st.none(), rows=outputs)
    def append_examples(self, pick: int, version: int | None, rows: list[str]) -> None:
        id_, version_id, refusal = self._version(pick, version)
        examples = [{"question": text} for text in rows]
        told = self.expect(
            refusal,
            lambda: self.client.datasets.append_examples(id_, AppendExamples(examples=examples), version_id),
        )
        if told is not None:
            held = self.world.datasets[id_]["versions"]
            assert told.dataset_version_id == (version_id or list(held)[-1])
            held[told.dataset_version_id]["rows"] |= dict(zip(told.example_ids, examples, strict=True))

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, version=picks | st.none(), places=st.lists(st.integers(0, 4), min_size=1, max_size=3),
          text=st.sampled_from(["new", None]), into=st.sampled_from([None, "v2", "v3"]))  # fmt: skip
    def update_examples(
        self, pick: int, version: int | None, places: list[int], text: str | None, into: str | None
    ) -> None:
        id_, version_id, refusal = self._version(pick, version)
        versions = self.world.datasets.get(id_, {"versions": {}})["versions"]
        rows = versions.get(version_id or next(reversed(versions), ""), {"rows": {}})["rows"]
        ids = [list(rows)[place] if place < len(rows) else "nobody" for place in places]
        if refusal is None and into is not None and any(each["name"] == into for each in versions.values()):
            refusal = Conflict
        body = UpdateExamples(examples=[{"id": each, "question": text} for each in ids], new_version=into)
        told = self.expect(refusal, lambda: self.client.datasets.update_examples(id_, body, version_id))
        if told is None:
            return
        if into is not None:
            rows = {each: dict(columns) for each, columns in rows.items()}
            versions[told.dataset_version_id] = {"name": into, "rows": rows}
        assert told.example_ids == [each for each in dict.fromkeys(ids) if each in rows]
        for each in told.example_ids:
            rows[each]["question"] = text

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, version=picks, places=st.sets(st.integers(0, 4), min_size=1, max_size=3))
    def delete_examples(self, pick: int, version: int, places: set[int]) -> None:
        id_, version_id, refusal = self._version(pick, version)
        versions = self.world.datasets.get(id_, {"versions": {}})["versions"]
        rows = versions.get(version_id or "", {"rows": {}})["rows"]
        ids = list(dict.fromkeys(list(rows)[each] if each < len(rows) else "nobody" for each in sorted(places)))
        body = DeleteExamples(dataset_version_id=version_id or UNKNOWN, example_ids=ids)
        told = self.expect(refusal, lambda: self.client.datasets.delete_examples(id_, body))
        if told is not None:
            assert told.deleted_example_ids == [each for each in ids if each in rows]
            for each in told.deleted_example_ids:
                del rows[each]

    # --- experiments -------------------------------------------------------------------------------------------------
    @rule(pick=picks, alone=st.booleans(), name=names.filter(lambda name: '"' not in name), said=outputs)
    def create_experiment(self, pick: int, alone: bool, name: str, said: list[str]) -> None:
        homes = self.world.spaces if alone else self.world.datasets
        home = self.one(homes, pick)
        where = {"dataset_id": None, "space_id": home} if alone else {"dataset_id": home}
        refusal = self.world.naming(self.world.experiments, where, name) if home in homes else NotFound
        body = CreateExperiment(name=name, **{k: v for k, v in where.items() if v}, experiment_runs=_runs(said))
        made = self.expect(refusal, lambda: self.client.experiments.create(body))
        if made is None:
            return
        ids = [run.id for run in self.all(self.client.experiments.all_experiment_runs(made.id))]
        self.world.experiments[made.id] = {
            "name": name, "dataset_id": where["dataset_id"],
            "space_id": home if alone else self.world.datasets[home]["space_id"], "runs": _held(ids, said),
        }  # fmt: skip

    @precondition(lambda self: self.world.experiments)
    @rule(pick=picks, said=outputs)
    def append_runs(self, pick: int, said: list[str]) -> None:
        id_ = self.one(self.world.experiments, pick)
        refusal = None if id_ in self.world.experiments else NotFound
        body = AppendExperimentRuns(experiment_runs=_runs(said))
        told = self.expect(refusal, lambda: self.client.experiments.append_experiment_runs(id_, body))
        if told is not None:
            self.world.experiments[id_]["runs"] |= _held(told.run_ids, said)

    @precondition(lambda self: self.world.experiments)
    @rule(pick=picks)
    def delete_experiment(self, pick: int) -> None:
        self._delete(self.world.experiments, pick, self.client.experiments.delete, self.world.experiments.pop)

    # --- evaluators --------------------------------------------------------------------------------------------------
    @rule(pick=picks, name=names, evaluation=evaluations, pattern=patterns)
    def create_evaluator(self, pick: int, name: str, evaluation: str, pattern: str) -> None:
        home = self.one(self.world.spaces, pick)
        refusal = self.world.naming(self.world.evaluators, {"space_id": home}, name)
        if home not in self.world.spaces:
            refusal = NotFound
        body = CreateEvaluator.model_validate(
            {"name": name, "space_id": home, "type": "CODE", "version": _code(evaluation, pattern)}
        )
        made = self.expect(refusal, lambda: self.client.evaluators.create(body))
        if made is not None:
            version = {"evaluation": evaluation, "pattern": pattern}
            self.world.evaluators[made.id] = {
                "name": name, "space_id": home, "description": None, "evaluation": evaluation,
                "versions": {made.version.id: version}, "updated": NOW,
            }  # fmt: skip

    @precondition(lambda self: self.world.evaluators)
    @rule(pick=picks, pattern=patterns)
    def add_version(self, pick: int, pattern: str) -> None:
        id_ = self.one(self.world.evaluators, pick)
        held = self.world.evaluators.get(id_)
        evaluation = held["evaluation"] if held else "tone"
        body = CreateEvaluatorVersion.model_validate(_code(evaluation, pattern))
        made = self.expect(None if held else NotFound, lambda: self.client.evaluators.create_version(id_, body))
        if made is not None and held is not None:
            held["versions"][made.id] = {"evaluation": evaluation, "pattern": pattern}
            held["updated"] += timedelta(seconds=1)

    @precondition(lambda self: self.world.evaluators)
    @rule(pick=picks, name=names | st.none(), description=st.sampled_from(["x", None, ...]))
    def change_evaluator(self, pick: int, name: str | None, description: Any) -> None:
        id_ = self.one(self.world.evaluators, pick)
        held = self.world.evaluators.get(id_)
        change: Thing = {} if description is ... else {"description": description}
        change |= {} if name is None else {"name": name}
        if not change:
            return
        refusal: Refusal = None if held else NotFound
        if held is not None and name is not None:
            refusal = self.world.naming(self.world.evaluators, {"space_id": held["space_id"]}, name, but=id_)
        changed = self.expect(refusal, lambda: self.client.evaluators.update(id_, UpdateEvaluator(**change)))
        if changed is not None and held is not None:
            held |= change
            held["updated"] += timedelta(seconds=1)

    @precondition(lambda self: self.world.evaluators)
    @rule(pick=picks, places=st.sets(st.integers(0, 3), min_size=1, max_size=3))
    def delete_versions(self, pick: int, places: set[int]) -> None:
        id_ = self.one(self.world.evaluators, pick)
        held = list(self.world.evaluators.get(id_, {"versions": {}})["versions"])
        ids = [held[place] if place < len(held) else UNKNOWN for place in sorted(places)]
        refusal = self.world.deleting_versions(id_, ids)
        body = DeleteEvaluatorVersions(version_ids=ids)
        told = self.expect(refusal, lambda: self.client.evaluators.delete_versions(id_, body))
        if told is not None:
            assert told.deleted_version_ids == self.world.drop_versions(id_, ids)

    @precondition(lambda self: self.world.evaluators)
    @rule(pick=picks)
    def delete_evaluator(self, pick: int) -> None:
        id_ = self.one(self.world.evaluators, pick)
        refusal = Conflict if self.world.users_of(id_) else None
        self._delete(self.world.evaluators, pick, self.client.evaluators.delete, self.world.evaluators.pop, refusal)

    # --- tasks -------------------------------------------------------------------------------------------------------
    @rule(pick=picks, on_project=st.booleans(), name=names, wanted=filters, attached=attachments,
          experiments=st.lists(picks, max_size=2))  # fmt: skip
    def make_task(
        self, pick: int, on_project: bool, name: str, wanted: str | None, attached: Attachments, experiments: list[int]
    ) -> None:
        homes = self.world.projects if on_project else self.world.datasets
        home = self.one(homes, pick)
        space_id = homes[home]["space_id"] if home in homes else None
        evaluators = self._attached(attached)
        faults: list[Refusal] = [*self.world.attaching(evaluators, space_id), None if space_id else NotFound]
        named = [] if on_project else [self.one(self.world.experiments, each) for each in experiments]
        if not on_project:
            faults.append(None if named else Unprocessable)
            for each in named:
                held = self.world.experiments.get(each)
                faults.append(NotFound if held is None else None if held["dataset_id"] == home else Unprocessable)
        if space_id is not None:
            faults.append(self.world.naming(self.world.tasks, {"space_id": space_id}, name))
        task: Thing = {
            "name": name, "type": "CODE_EVALUATION", "project_id": home if on_project else None,
            "dataset_id": None if on_project else home, "query_filter": _filter(on_project, wanted),
            "evaluators": evaluators, "experiment_ids": named,
        }  # fmt: skip
        body = CreateTask.model_validate({**task, "experiment_ids": named or None})
        made = self.expect(worst(*faults), lambda: self.client.tasks.create(body))
        if made is not None:
            self.world.tasks[made.id] = {**task, "space_id": space_id, "sampling_rate": None}

    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks, name=names | st.none(), wanted=filters | st.just(""), rate=st.sampled_from([1.0, None, ...]),
          asked=st.booleans(), attached=st.none() | attachments)  # fmt: skip
    def change_task(
        self, pick: int, name: str | None, wanted: str | None, rate: Any, asked: bool, attached: Attachments | None
    ) -> None:
        id_ = self.one(self.world.tasks, pick)
        held = self.world.tasks.get(id_)
        on_project = held is None or held["project_id"] is not None
        change: Thing = ({} if rate is ... else {"sampling_rate": rate}) | ({} if name is None else {"name": name})
        if asked:
            change["query_filter"] = "" if wanted == "" else _filter(on_project, wanted)
        if attached is not None:
            change["evaluators"] = self._attached(attached)
        faults: list[Refusal] = []
        if held is not None:
            if "evaluators" in change:
                faults += self.world.attaching(change["evaluators"], held["space_id"])
            if change.get("sampling_rate") is not None and not on_project:
                faults.append(BadRequest)
            if name is not None:
                faults.append(self.world.naming(self.world.tasks, {"space_id": held["space_id"]}, name, but=id_))
        refusal = BadRequest if not change else NotFound if held is None else worst(*faults)
        changed = self.expect(refusal, lambda: self.client.tasks.update(id_, UpdateTask.model_validate(change)))
        if changed is not None and held is not None:
            held |= change
            held["query_filter"] = held["query_filter"] or None

    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks)
    def delete_task(self, pick: int) -> None:
        self._delete(self.world.tasks, pick, self.client.tasks.delete, self.world.drop_task)

    # --- task runs ---------------------------------------------------------------------------------------------------
    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks, override=st.booleans())
    def trigger_any(self, pick: int, override: bool) -> None:
        self._trigger_and_wait(self.one(self.world.tasks, pick), override)

    @precondition(lambda self: self.world.tasks)
    @rule(override=st.booleans())
    def trigger_the_newest(self, override: bool) -> None:
        self._trigger_and_wait(list(self.world.tasks)[-1], override)

    @precondition(lambda self: self.world.tasks)
    @rule()
    def trigger_the_oldest_twice(self) -> None:
        for _ in range(2):
            self._trigger_and_wait(next(iter(self.world.tasks)), False)

    def _trigger_and_wait(self, id_: str, override: bool) -> None:
        run = self._trigger(id_, override)
        if run is None:
            return
        due = self.world.evaluate(self.world.tasks[id_], override=override)
        ended = self._ended(run.id)
        assert (ended.status, _counts(ended)) == (due["status"], due["counts"]), ended.failure_reason
        self.world.task_runs[run.id] = {"task_id": id_, "status": ended.status, "counts": _counts(ended)}
        self.expect(BadRequest, lambda: self.client.task_runs.cancel(run.id))

    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks, and_then=st.sampled_from(["cancel", "delete task", "rename task"]))
    def trigger_and_disturb(self, pick: int, and_then: str) -> None:
        """How far it came is the engine's to tell; that it holds together is not."""
        id_ = self.one(self.world.tasks, pick)
        run = self._trigger(id_, True)
        if run is None:
            return
        if and_then == "delete task":
            self.ask(lambda: self.client.tasks.delete(id_))
            self.world.drop_task(id_)
            self.gone.append(id_)
            self.expect(NotFound, lambda: self.client.task_runs.get(run.id))
        else:
            if and_then == "cancel":
                try:
                    self.ask(lambda: self.client.task_runs.cancel(run.id))
                except BadRequest:
                    assert self.ask(lambda: self.client.task_runs.get(run.id)).finished
            else:
                name = f"renamed {self.steps}"
                self.ask(lambda: self.client.tasks.update(id_, UpdateTask(name=name)))
                self.world.tasks[id_]["name"] = name
            ended = self._ended(run.id)
            assert ended.status in {"CANCELLED", "COMPLETED"}
            self.world.task_runs[run.id] = {"task_id": id_, "status": ended.status, "counts": _counts(ended)}
        self._learn_evaluations()

    @precondition(lambda self: self.world.task_runs)
    @rule(pick=picks)
    def cancel_what_is_over(self, pick: int) -> None:
        id_ = self.one(self.world.task_runs, pick)
        self.expect(BadRequest if id_ in self.world.task_runs else NotFound, lambda: self.client.task_runs.cancel(id_))

    # --- lists -------------------------------------------------------------------------------------------------------
    @rule(pick=picks, scoped=st.booleans(), part=names | st.none(), size=sizes, what=st.integers(0, 4))
    def list_some(self, pick: int, scoped: bool, part: str | None, size: int, what: int) -> None:
        noun, kind, query = (
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
            return [item.id async for item in noun.all(asked)]

        found = self.expect(refusal, walk)
        if found is not None:
            assert found == [
                id_ for id_, thing in _newest_first(kind)
                if space in (None, thing["space_id"]) and (part or "").casefold() in thing["name"].casefold()
            ]  # fmt: skip

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "world"):
            return
        self.steps += 1
        # Small pages cost many requests, so they take turns with large ones.
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
            found: list[Any] = self.all(listed)  # type: ignore[arg-type]
            shown = [(each.id, {field: getattr(each, field) for field in fields}) for each in found]
            assert shown == [(id_, {field: held[field] for field in fields}) for id_, held in _newest_first(kind)]
        self._agree_on_one_of_each(self.steps)

    def _agree_on_one_of_each(self, turn: int) -> None:
        client, world = self.client, self.world
        for id_, dataset in _turn(world.datasets, turn):
            got = self.ask(lambda: client.datasets.get(id_))
            assert [v.id for v in got.versions or ()] == list(dataset["versions"])[::-1]
            for version_id, version in dataset["versions"].items():
                asked = ListExamples(dataset_version_id=version_id, limit=500)
                page = self.ask(lambda: client.datasets.list_examples(id_, asked))
                assert [(each.id, each.columns) for each in page.examples] == list(version["rows"].items())
        for id_, experiment in _turn(world.experiments, turn):
            page = self.ask(lambda: client.experiments.list_experiment_runs(id_, ListExperimentRuns(limit=500)))
            assert {run.id: _run_shown(run) for run in page.experiment_runs} == experiment["runs"]
        for id_, project in _turn(world.projects, turn):
            assert self._spans(id_) == project["spans"]
        for id_, evaluator in _turn(world.evaluators, turn):
            versions = self.ask(lambda: client.evaluators.list_versions(id_, ListEvaluatorVersions()))
            assert [v.id for v in versions.evaluator_versions] == list(evaluator["versions"])[::-1]
        for id_, task in _turn(world.tasks, turn):
            got = self.ask(lambda: client.tasks.get(id_))
            assert [(e.evaluator_id, e.evaluator_version_id) for e in got.evaluators] == [
                (e["evaluator_id"], e["evaluator_version_id"]) for e in task["evaluators"]
            ]
            runs = self.all(client.tasks.all_task_runs(id_, ListTaskRuns(limit=2)))
            assert {run.id: (run.status, _counts(run)) for run in runs} == {
                key: (run["status"], run["counts"]) for key, run in world.task_runs.items() if run["task_id"] == id_
            }
        if self.gone:
            gone = self.gone[turn % len(self.gone)]
            get = (client.tasks.get, client.projects.get, client.datasets.get, client.experiments.get)[turn % 4]
            self.expect(NotFound, lambda: get(gone))

    # --- what rules share --------------------------------------------------------------------------------------------
    def _rename(self, kind: Kind, pick: int, name: str, home: str, call: Callable[[str], Awaitable[object]]) -> None:
        id_ = self.one(kind, pick)
        held = kind.get(id_)
        refusal = NotFound if held is None else self.world.naming(kind, {home: held[home]}, name, but=id_)
        if self.expect(refusal, lambda: call(id_)) is not None and held is not None:
            held["name"] = name

    def _delete(
        self, kind: Kind, pick: int, call: Callable[[str], Awaitable[None]], drop: Callable[[str], object],
        refusal: Refusal = None,
    ) -> None:  # fmt: skip
        id_ = self.one(kind, pick)
        refusal = NotFound if id_ not in kind else refusal
        self.expect(refusal, lambda: call(id_))
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
        return self.expect(None if held else NotFound, lambda: self.client.tasks.trigger(id_, body))

    def _ended(self, run_id: str) -> TaskRun:
        async def wait() -> TaskRun:
            while not (run := await self.client.task_runs.get(run_id)).finished:  # noqa: ASYNC110  a client's poll
                await anyio.sleep(0.002)
            return run

        return self.ask(wait)

    def _spans(self, project_id: str) -> Kind:
        window = ListSpans(project_id=project_id, start_time=WINDOW["data_start_time"], end_time=NOW)
        return {
            span.context.span_id: {
                "output": span.attributes["output.value"],
                "evaluations": {each.name: each.label for each in span.evaluations},
            }
            for span in self.all(self.client.spans.all(window))
        }

    def _learn_evaluations(self) -> None:
        for id_, experiment in self.world.experiments.items():
            runs = self.all(self.client.experiments.all_experiment_runs(id_))
            experiment["runs"] = {run.id: _run_shown(run) for run in runs}
        for id_, project in self.world.projects.items():
            project["spans"] = self._spans(id_)


def _code(evaluation: str, pattern: str) -> Thing:
    return {
        "commit_message": "made",
        "code_config": {
            "type": "MANAGED", "name": evaluation, "managed_evaluator": "MATCHES_REGEX", "variables": ["output"],
            "static_params": [{"name": "pattern", "type": "REGEX", "default_value": pattern}],
        },
    }  # fmt: skip


def _filter(on_project: bool, wanted: str | None) -> str | None:
    column = "attributes.output.value" if on_project else "output"
    return None if wanted is None else f"{column} {wanted}"


def _runs(said: Sequence[str]) -> list[Thing]:
    return [{"example_id": f"e{number}", "output": text} for number, text in enumerate(said)]


def _held(ids: Sequence[str], said: Sequence[str]) -> Kind:
    return {id_: {"output": text, "evaluations": {}} for id_, text in zip(ids, said, strict=True)}


def _run_shown(run: Any) -> Thing:
    labels = {
        name.split(".")[1]: label
        for name, label in run.columns.items()
        if name.startswith("eval.") and name[-5:] == "label"
    }
    return {"output": run.output, "evaluations": labels}


def _counts(run: TaskRun) -> tuple[int, int, int]:
    return run.num_successes, run.num_errors, run.num_skipped


def _newest_first(kind: Kind) -> list[tuple[str, Thing]]:
    # Sorting is stable: what was changed at the same time stays newest first.
    return sorted(reversed(kind.items()), key=lambda each: each[1].get("updated", NOW), reverse=True)


def _turn(kind: Kind, turn: int) -> Iterator[tuple[str, Thing]]:
    """One of them, another each turn."""
    ids = list(kind)
    for id_ in ids[turn % len(ids) :][:1] if ids else []:
        yield id_, kind[id_]


CRASHES = _Crashes()


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def test_the_engine_and_a_world_of_plain_dicts_agree_after_every_step(portal: BlockingPortal) -> None:
    machine = type("Machine", (Sequences,), {"portal": portal})
    CRASHES.said.clear()
    logging.getLogger("evaltasks").addHandler(CRASHES)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=LONG or 15, stateful_step_count=60 if LONG else 30, deadline=None,
                suppress_health_check=list(HealthCheck), derandomize=not LONG,
            ),
        )  # fmt: skip
    finally:
        logging.getLogger("evaltasks").removeHandler(CRASHES)
