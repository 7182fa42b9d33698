"""Rules for evaluators and their versions, tasks and task runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from evaltasks.api.evaluators import (
    CreateEvaluator,
    CreateEvaluatorVersion,
    DeleteEvaluatorVersions,
    UpdateEvaluator,
)
from evaltasks.api.problems import BadRequest, Conflict, NotFound, Unprocessable
from evaltasks.api.tasks import CreateTask, UpdateTask
from tests.support.plain_world import Refusal, Thing, worst
from tests.support.two_sides import (
    NOW,
    UNKNOWN,
    Attachments,
    TwoSides,
    attachments,
    code_version,
    counts_of,
    evaluations,
    filter_on,
    filters,
    names,
    patterns,
    picks,
)


class TaskRules(TwoSides):
    """Rules of a state machine; each sends the same request to both sides."""

    @rule(pick=picks, name=names, evaluation=evaluations, pattern=patterns)
    def create_evaluator(self, pick: int, name: str, evaluation: str, pattern: str) -> None:
        home = self.one(self.world.spaces, pick)
        refusal = self.world.naming(self.world.evaluators, {"space_id": home}, name)
        if home not in self.world.spaces:
            refusal = NotFound
        body = CreateEvaluator.model_validate(
            {"name": name, "space_id": home, "type": "CODE", "version": code_version(evaluation, pattern)}
        )
        made = self.expect(refusal, self.client.evaluators.create, body)
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
        body = CreateEvaluatorVersion.model_validate(code_version(evaluation, pattern))
        made = self.expect(None if held else NotFound, self.client.evaluators.create_version, id_, body)
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
        changed = self.expect(refusal, self.client.evaluators.update, id_, UpdateEvaluator(**change))
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
        reported = self.expect(refusal, self.client.evaluators.delete_versions, id_, body)
        if reported is not None:
            assert reported.deleted_version_ids == self.world.drop_versions(id_, ids)

    @precondition(lambda self: self.world.evaluators)
    @rule(pick=picks)
    def delete_evaluator(self, pick: int) -> None:
        id_ = self.one(self.world.evaluators, pick)
        refusal = Conflict if self.world.users_of(id_) else None
        self._delete(self.world.evaluators, pick, self.client.evaluators.delete, self.world.evaluators.pop, refusal)

    # --- tasks --------------------------------------------------------------------------------------------------------
    @rule(pick=picks, on_project=st.booleans(), name=names, wanted=filters, attached=attachments,
          experiments=st.lists(picks, max_size=2))  # fmt: skip
    def make_task(
        self, pick: int, on_project: bool, name: str, wanted: str | None, attached: Attachments, experiments: list[int]
    ) -> None:
        homes = self.world.projects if on_project else self.world.datasets
        home = self.one(homes, pick)
        space_id = homes[home]["space_id"] if home in homes else None
        evaluators = self._attached(attached)
        issues: list[Refusal] = [*self.world.attaching(evaluators, space_id), None if space_id else NotFound]
        named = [] if on_project else [self.one(self.world.experiments, each) for each in experiments]
        if not on_project:
            issues.append(None if named else Unprocessable)
            for each in named:
                held = self.world.experiments.get(each)
                issues.append(NotFound if held is None else None if held["dataset_id"] == home else Unprocessable)
        if space_id is not None:
            issues.append(self.world.naming(self.world.tasks, {"space_id": space_id}, name))
        task: Thing = {
            "name": name, "type": "CODE_EVALUATION", "project_id": home if on_project else None,
            "dataset_id": None if on_project else home, "query_filter": filter_on(on_project, wanted),
            "evaluators": evaluators, "experiment_ids": named,
        }  # fmt: skip
        body = CreateTask.model_validate({**task, "experiment_ids": named or None})
        made = self.expect(worst(*issues), self.client.tasks.create, body)
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
            change["query_filter"] = "" if wanted == "" else filter_on(on_project, wanted)
        if attached is not None:
            change["evaluators"] = self._attached(attached)
        issues: list[Refusal] = []
        if held is not None:
            if "evaluators" in change:
                issues += self.world.attaching(change["evaluators"], held["space_id"])
            if change.get("sampling_rate") is not None and not on_project:
                issues.append(BadRequest)
            if name is not None:
                issues.append(self.world.naming(self.world.tasks, {"space_id": held["space_id"]}, name, but=id_))
        refusal = BadRequest if not change else NotFound if held is None else worst(*issues)
        changed = self.expect(refusal, self.client.tasks.update, id_, UpdateTask.model_validate(change))
        if changed is not None and held is not None:
            held |= change
            held["query_filter"] = held["query_filter"] or None

    @precondition(lambda self: any(task["query_filter"] for task in self.world.tasks.values()))
    @rule(pick=picks, how=st.sampled_from([None, ""]))
    def clear_a_filter(self, pick: int, how: str | None) -> None:
        filtered = [id_ for id_, task in self.world.tasks.items() if task["query_filter"]]
        id_ = filtered[pick % len(filtered)]
        self.ask(self.client.tasks.update, id_, UpdateTask(query_filter=how))
        self.world.tasks[id_]["query_filter"] = None

    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks)
    def delete_task(self, pick: int) -> None:
        self._delete(self.world.tasks, pick, self.client.tasks.delete, self.world.drop_task)

    # --- task runs ----------------------------------------------------------------------------------------------------
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
        assert (ended.status, counts_of(ended)) == (due["status"], due["counts"]), ended.failure_reason
        self.world.task_runs[run.id] = {"task_id": id_, "status": ended.status, "counts": counts_of(ended)}
        self.expect(BadRequest, self.client.task_runs.cancel, run.id)

    @precondition(lambda self: self.world.tasks)
    @rule(pick=picks, and_then=st.sampled_from(["cancel", "delete task", "rename task"]))
    def trigger_and_disturb(self, pick: int, and_then: str) -> None:
        """Trigger a task run and disturb it. Its progress is not compared, its consistency is."""
        id_ = self.one(self.world.tasks, pick)
        run = self._trigger(id_, True)
        if run is None:
            return
        if and_then == "delete task":
            self.ask(self.client.tasks.delete, id_)
            self.world.drop_task(id_)
            self.gone.append(id_)
            self.expect(NotFound, self.client.task_runs.get, run.id)
        else:
            if and_then == "cancel":
                try:
                    self.ask(self.client.task_runs.cancel, run.id)
                except BadRequest:
                    assert self.ask(self.client.task_runs.get, run.id).finished
            else:
                name = f"renamed {self.steps}"
                self.ask(self.client.tasks.update, id_, UpdateTask(name=name))
                self.world.tasks[id_]["name"] = name
            ended = self._ended(run.id)
            assert ended.status in {"CANCELLED", "COMPLETED"}
            self.world.task_runs[run.id] = {"task_id": id_, "status": ended.status, "counts": counts_of(ended)}
        self._learn_evaluations()

    @precondition(lambda self: self.world.task_runs)
    @rule(pick=picks)
    def cancel_what_is_over(self, pick: int) -> None:
        id_ = self.one(self.world.task_runs, pick)
        self.expect(BadRequest if id_ in self.world.task_runs else NotFound, self.client.task_runs.cancel, id_)
