"""A model of an engine's contents as plain dicts, for `tests/properties/test_sequences.py`.

Every kind is a dict from id to its fields, in the order of creation. Methods say what the engine must answer (the class
of the refusal, or None) or what becomes of everything when it does what it was asked. Nothing here knows the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from evaltasks.api.problems import BadRequest, Conflict, Forbidden, NotFound, Problem, Unprocessable

Thing: TypeAlias = dict[str, Any]
Kind: TypeAlias = dict[str, Thing]
Refusal: TypeAlias = type[Problem] | None

# If several of these are wrong, the first is reported.
_ORDER: tuple[type[Problem], ...] = (BadRequest, NotFound, Unprocessable, Conflict)


def worst(*issues: Refusal) -> Refusal:
    return next((kind for kind in _ORDER if kind in issues), None)


@dataclass
class PlainWorld:
    spaces: Kind = field(default_factory=dict)
    projects: Kind = field(default_factory=dict)
    datasets: Kind = field(default_factory=dict)
    experiments: Kind = field(default_factory=dict)
    evaluators: Kind = field(default_factory=dict)
    tasks: Kind = field(default_factory=dict)
    task_runs: Kind = field(default_factory=dict)

    # --- what must be refused ---------------------------------------------------------------------------------------
    def naming(self, kind: Kind, home: Thing, name: str, but: str | None = None) -> Refusal:
        """Return Conflict if another resource of the kind and the same parent has the name."""
        taken = any(
            id_ != but and thing["name"] == name and all(thing.get(key) == value for key, value in home.items())
            for id_, thing in kind.items()
        )
        return Conflict if taken else None

    def deleting_space(self, id_: str) -> Refusal:
        if id_ not in self.spaces:
            return NotFound
        return Forbidden if len(self.spaces) == 1 else None

    def users_of(self, evaluator_id: str) -> list[str]:
        return [
            id_ for id_, task in self.tasks.items()
            if any(each["evaluator_id"] == evaluator_id for each in task["evaluators"])
        ]  # fmt: skip

    def deleting_versions(self, evaluator_id: str, version_ids: Sequence[str]) -> Refusal:
        if evaluator_id not in self.evaluators:
            return NotFound
        left = self.evaluators[evaluator_id]["versions"].keys() - set(version_ids)
        there = self.evaluators[evaluator_id]["versions"].keys() & set(version_ids)
        return Conflict if there and not left and self.users_of(evaluator_id) else None

    def attaching(self, evaluators: Sequence[Thing], space_id: str | None) -> list[Refusal]:
        """Return the problem of a task's list of evaluators, if any."""
        issues: list[Refusal] = [] if evaluators else [BadRequest]
        seen: set[str] = set()
        names: set[str] = set()
        for each in evaluators:
            evaluator = self.evaluators.get(each["evaluator_id"])
            if each["evaluator_id"] in seen:
                issues.append(Unprocessable)
                continue
            seen.add(each["evaluator_id"])
            if evaluator is None:
                issues.append(NotFound)
                continue
            if space_id is not None and evaluator["space_id"] != space_id:
                issues.append(Unprocessable)
            pinned = each.get("evaluator_version_id")
            if not evaluator["versions"] or (pinned is not None and pinned not in evaluator["versions"]):
                issues.append(Unprocessable)
                continue
            name = evaluator["versions"][self.version_used(each)]["evaluation"]
            if name in names:
                issues.append(Unprocessable)
            names.add(name)
        return issues

    def version_used(self, attached: Thing) -> str:
        pinned = attached.get("evaluator_version_id")
        return str(pinned or list(self.evaluators[attached["evaluator_id"]]["versions"])[-1])

    # --- what becomes of everything ---------------------------------------------------------------------------------
    def drop_space(self, id_: str) -> None:
        del self.spaces[id_]
        for kind in (self.projects, self.datasets, self.experiments, self.evaluators, self.tasks):
            for each in [key for key, thing in kind.items() if thing["space_id"] == id_]:
                del kind[each]
        self._drop_runs_without_task()

    def drop_project(self, id_: str) -> None:
        del self.projects[id_]
        self._drop_tasks("project_id", id_)

    def drop_dataset(self, id_: str) -> None:
        del self.datasets[id_]
        for each in [key for key, thing in self.experiments.items() if thing["dataset_id"] == id_]:
            del self.experiments[each]
        self._drop_tasks("dataset_id", id_)

    def drop_task(self, id_: str) -> None:
        del self.tasks[id_]
        self._drop_runs_without_task()

    def drop_versions(self, evaluator_id: str, version_ids: Sequence[str]) -> list[str]:
        """Delete versions and return the existing ids. Tasks that pinned one use the latest version from now on."""
        versions = self.evaluators[evaluator_id]["versions"]
        gone = [id_ for id_ in dict.fromkeys(version_ids) if id_ in versions]
        for id_ in gone:
            del versions[id_]
        for task in self.tasks.values():
            for each in task["evaluators"]:
                if each["evaluator_version_id"] in gone:
                    each["evaluator_version_id"] = None
        return gone

    def _drop_tasks(self, home: str, id_: str) -> None:
        for each in [key for key, task in self.tasks.items() if task[home] == id_]:
            del self.tasks[each]
        self._drop_runs_without_task()

    def _drop_runs_without_task(self) -> None:
        for each in [key for key, run in self.task_runs.items() if run["task_id"] not in self.tasks]:
            del self.task_runs[each]

    # --- what a task run does ----------------------------------------------------------------------------------------
    def evaluate(self, task: Thing, *, override: bool) -> Thing:
        """Complete a task run and store its evaluations on the rows."""
        lines = [(row, each) for each in task["evaluators"] for row in self._rows(task)]
        successes = skipped = 0
        for row, attached in lines:
            version = self.evaluators[attached["evaluator_id"]]["versions"][self.version_used(attached)]
            if version["evaluation"] in row["evaluations"] and not override:
                skipped += 1
                continue
            successes += 1
        if lines and not successes:
            return {"status": "CANCELLED", "counts": (0, 0, 0)}
        for row, attached in lines:
            version = self.evaluators[attached["evaluator_id"]]["versions"][self.version_used(attached)]
            if override or version["evaluation"] not in row["evaluations"]:
                passes = re.search(version["pattern"], row["output"]) is not None
                row["evaluations"][version["evaluation"]] = "true" if passes else "false"
        return {"status": "COMPLETED", "counts": (successes, 0, skipped)}

    def _rows(self, task: Thing) -> Iterator[Thing]:
        wanted = task["query_filter"]
        for row in self._sources(task):
            # The only filter that is used names one output.
            if wanted is None or f"'{row['output']}'" in wanted:
                yield row

    def _sources(self, task: Thing) -> Iterable[Thing]:
        if task["project_id"] is not None:
            return self.projects[task["project_id"]]["spans"].values()
        named = (self.experiments.get(id_) for id_ in dict.fromkeys(task["experiment_ids"]))
        return [row for experiment in named if experiment is not None for row in experiment["runs"].values()]
