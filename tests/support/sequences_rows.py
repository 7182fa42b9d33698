"""Rules for resources with rows: spaces, projects and spans, datasets and examples, experiments and their runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from evaltasks.api.datasets import (
    AppendExamples,
    CreateDataset,
    DeleteExamples,
    RenameDataset,
    UpdateExamples,
)
from evaltasks.api.experiments import AppendExperimentRuns, CreateExperiment
from evaltasks.api.problems import BadRequest, Conflict, NotFound
from evaltasks.api.projects import CreateProject, RenameProject
from evaltasks.api.spaces import CreateSpace, UpdateSpace
from evaltasks.api.spans import IngestSpans
from tests.support.plain_world import Refusal, Thing
from tests.support.two_sides import (
    NOW,
    UNKNOWN,
    TwoSides,
    experiment_runs,
    held_runs,
    names,
    outputs,
    picks,
    sure,
)


class RowRules(TwoSides):
    """Rules of a state machine; each sends the same request to both sides."""

    @rule(name=names)
    def create_space(self, name: str) -> None:
        made = self.expect(
            self.world.naming(self.world.spaces, {}, name), self.client.spaces.create, CreateSpace(name=name)
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
        if self.expect(refusal, self.client.spaces.update, id_, UpdateSpace(**change)) is not None:
            self.world.spaces[id_] |= {key: value or "" for key, value in change.items()}

    @rule(pick=picks, sure=sure)
    def delete_space(self, pick: int, sure: bool) -> None:
        if not sure:
            return
        id_ = self.one(self.world.spaces, pick)
        refusal = self.world.deleting_space(id_)
        self.expect(refusal, self.client.spaces.delete, id_)
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
        made = self.expect(refusal, self.client.projects.create, body)
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
        reported = self.expect(refusal, self.client.spans.ingest, id_, IngestSpans.model_validate({"spans": spans}))
        if reported is None:
            return
        there = self.world.projects[id_]["spans"]
        assert reported.num_replaced == len(there.keys() & said.keys())
        for span, texts in said.items():
            there[span] = {"output": texts[0], "evaluations": there.get(span, {}).get("evaluations", {})}

    # --- datasets and their examples ----------------------------------------------------------------------------------
    @rule(pick=picks, name=names, rows=outputs)
    def create_dataset(self, pick: int, name: str, rows: list[str]) -> None:
        home = self.one(self.world.spaces, pick)
        refusal = self.world.naming(self.world.datasets, {"space_id": home}, name)
        if home not in self.world.spaces:
            refusal = NotFound
        examples = [{"question": text, "gap": None} for text in rows]
        body = CreateDataset(name=name, space_id=home, examples=examples)
        made = self.expect(refusal, self.client.datasets.create, body)
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
        reported = self.expect(
            refusal,
            self.client.datasets.append_examples,
            id_,
            AppendExamples(examples=examples),
            version_id,
        )
        if reported is not None:
            held = self.world.datasets[id_]["versions"]
            assert reported.dataset_version_id == (version_id or list(held)[-1])
            held[reported.dataset_version_id]["rows"] |= dict(zip(reported.example_ids, examples, strict=True))

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, version=picks | st.none(), places=st.lists(st.integers(0, 4), min_size=1, max_size=3),
          text=st.sampled_from(["new", None]), into=st.sampled_from([None, "v2", "v3"]))  # fmt: skip
    def update_examples(
        self, pick: int, version: int | None, places: list[int], text: str | None, into: str | None
    ) -> None:
        id_, version_id, refusal = self._version(pick, version)
        versions = self.world.datasets.get(id_, {"versions": {}})["versions"]
        rows = versions.get(version_id or next(reversed(versions), ""), {"rows": {}})["rows"]
        ids = [list(rows)[place] if place < len(rows) else "unknown" for place in places]
        if refusal is None and into is not None and any(each["name"] == into for each in versions.values()):
            refusal = Conflict
        body = UpdateExamples(examples=[{"id": each, "question": text} for each in ids], new_version=into)
        reported = self.expect(refusal, self.client.datasets.update_examples, id_, body, version_id)
        if reported is None:
            return
        if into is not None:
            rows = {each: dict(columns) for each, columns in rows.items()}
            versions[reported.dataset_version_id] = {"name": into, "rows": rows}
        assert reported.example_ids == [each for each in dict.fromkeys(ids) if each in rows]
        for each in reported.example_ids:
            rows[each]["question"] = text

    @precondition(lambda self: self.world.datasets)
    @rule(pick=picks, version=picks, places=st.sets(st.integers(0, 4), min_size=1, max_size=3))
    def delete_examples(self, pick: int, version: int, places: set[int]) -> None:
        id_, version_id, refusal = self._version(pick, version)
        versions = self.world.datasets.get(id_, {"versions": {}})["versions"]
        rows = versions.get(version_id or "", {"rows": {}})["rows"]
        ids = list(dict.fromkeys(list(rows)[each] if each < len(rows) else "unknown" for each in sorted(places)))
        body = DeleteExamples(dataset_version_id=version_id or UNKNOWN, example_ids=ids)
        reported = self.expect(refusal, self.client.datasets.delete_examples, id_, body)
        if reported is not None:
            assert reported.deleted_example_ids == [each for each in ids if each in rows]
            for each in reported.deleted_example_ids:
                del rows[each]

    # --- experiments --------------------------------------------------------------------------------------------------
    @rule(pick=picks, alone=st.booleans(), name=names, said=outputs)
    def create_experiment(self, pick: int, alone: bool, name: str, said: list[str]) -> None:
        homes = self.world.spaces if alone else self.world.datasets
        home = self.one(homes, pick)
        where = {"dataset_id": None, "space_id": home} if alone else {"dataset_id": home}
        refusal = self.world.naming(self.world.experiments, where, name) if home in homes else NotFound
        body = CreateExperiment(
            name=name, **{k: v for k, v in where.items() if v}, experiment_runs=experiment_runs(said)
        )
        made = self.expect(refusal, self.client.experiments.create, body)
        if made is None:
            return
        ids = [run.id for run in self.all(self.client.experiments.all_experiment_runs(made.id))]
        self.world.experiments[made.id] = {
            "name": name, "dataset_id": where["dataset_id"],
            "space_id": home if alone else self.world.datasets[home]["space_id"], "runs": held_runs(ids, said),
        }  # fmt: skip

    @precondition(lambda self: self.world.experiments)
    @rule(pick=picks, said=outputs)
    def append_runs(self, pick: int, said: list[str]) -> None:
        id_ = self.one(self.world.experiments, pick)
        refusal = None if id_ in self.world.experiments else NotFound
        body = AppendExperimentRuns(experiment_runs=experiment_runs(said))
        reported = self.expect(refusal, self.client.experiments.append_experiment_runs, id_, body)
        if reported is not None:
            self.world.experiments[id_]["runs"] |= held_runs(reported.run_ids, said)

    @precondition(lambda self: self.world.experiments)
    @rule(pick=picks)
    def delete_experiment(self, pick: int) -> None:
        self._delete(self.world.experiments, pick, self.client.experiments.delete, self.world.experiments.pop)
