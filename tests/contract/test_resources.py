"""Create, read, update and delete every resource through the client, on every backend."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from evaltasks.api.ai_integrations import CreateAiIntegration, ListAiIntegrations, UpdateAiIntegration
from evaltasks.api.annotation_configs import CreateAnnotationConfig, ListAnnotationConfigs, UpdateAnnotationConfig
from evaltasks.api.annotations import AnnotateRows, AnnotateSpans
from evaltasks.api.datasets import (
    AppendExamples,
    CreateDataset,
    DeleteExamples,
    ListDatasets,
    ListExamples,
    RenameDataset,
    SearchExamples,
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
from evaltasks.api.experiments import (
    AppendExperimentRuns,
    CreateExperiment,
    ListExperimentRuns,
    ListExperiments,
    SearchExperimentRuns,
)
from evaltasks.api.integrations import CreateIntegration, ListIntegrations, UpdateIntegration
from evaltasks.api.problems import BadRequest, Conflict, Forbidden, NotFound, Problem
from evaltasks.api.projects import CreateProject, ListProjects, RenameProject
from evaltasks.api.spaces import CreateSpace, ListSpaces, UpdateSpace
from evaltasks.api.spans import DeleteSpans, IngestSpans, ListSpans
from evaltasks.api.task_runs import ListTaskRunRows, ListTaskRuns, TaskRun, TaskRunStatus, TriggerTaskRun
from evaltasks.api.tasks import CreateTask, ListTasks, Task, UpdateTask
from evaltasks.api.traces import ListTraces
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError
from evaltasks.engine.ids import ORGANIZATION_ID
from tests.support.backends import BACKENDS, KEY, client_of

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

MANAGED = {
    "type": "managed", "name": "is_answer", "managed_evaluator": "matches_regex", "variables": ["output"],
    "static_params": [{"name": "pattern", "type": "regex", "default_value": "answer"}],
}  # fmt: skip


def code_version(message: str = "first", **changes: object) -> dict[str, Any]:
    return {"commit_message": message, "code_config": {**MANAGED, **changes}}


async def make_evaluator(client: Client, name: str = "tone") -> str:
    space = await client.resolve.space()
    body = {"space_id": space.id, "name": name, "type": "code", "version": code_version()}
    return (await client.evaluators.create(CreateEvaluator.model_validate(body))).id


async def make_project(client: Client, name: str = "chat") -> str:
    return (await client.projects.create(CreateProject(name=name, space_id=(await client.resolve.space()).id))).id


async def make_dataset(client: Client, name: str = "gold", count: int = 3) -> str:
    rows: list[dict[str, Any]] = [{"question": f"q{i}", "nested": {"n": i}, "gap": None} for i in range(count)]
    body = CreateDataset(name=name, space_id=(await client.resolve.space()).id, examples=rows)
    return (await client.datasets.create(body)).id


async def make_task(client: Client, name: str = "Tone", **fields: Any) -> Task:
    body = {"name": name, "type": "code_evaluation", **fields}
    return await client.tasks.create(CreateTask.model_validate(body))


async def ended(client: Client, run_id: str) -> TaskRun:
    """Poll until the task run has ended, and return it."""
    with anyio.fail_after(20):
        while not (task_run := await client.task_runs.get(run_id)).finished:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return task_run


async def test_the_client_recognises_an_engine(backend: str) -> None:
    async with client_of(backend) as client:
        info = await client.engine.info()
        space = await client.resolve.space()
    assert client.is_engine
    assert (info.product, info.default_space_id) == ("evaltasks", space.id)


async def test_spaces(backend: str) -> None:
    async with client_of(backend) as client:
        made = await client.spaces.create(CreateSpace(name="team", organization_id=ORGANIZATION_ID, description="ours"))
        assert await client.spaces.get(made.id) == made
        assert [space.name for space in (await client.spaces.list(ListSpaces(name="TEA"))).spaces] == ["team"]
        with pytest.raises(Conflict):
            await client.spaces.create(CreateSpace(name="team", organization_id=ORGANIZATION_ID))


async def test_spaces_are_updated_cleared_and_deleted(backend: str) -> None:
    async with client_of(backend) as client:
        made = await client.spaces.create(CreateSpace(name="team", organization_id=ORGANIZATION_ID, description="ours"))
        renamed = await client.spaces.update(made.id, UpdateSpace(name="crew"))
        cleared = await client.spaces.update(made.id, UpdateSpace(description=None))
        await client.spaces.delete(made.id)
        with pytest.raises(NotFound):
            await client.spaces.get(made.id)
        with pytest.raises(Forbidden):
            await client.spaces.delete((await client.resolve.space()).id)
    assert (renamed.name, renamed.description) == ("crew", "ours")
    assert (cleared.name, cleared.description) == ("crew", "")


async def test_annotation_configs_and_what_is_annotated_under_them(backend: str) -> None:
    async with client_of(backend) as client:
        space = await client.resolve.space()
        made = await client.annotation_configs.create(
            CreateAnnotationConfig.model_validate(
                {"name": "tone", "space_id": space.id, "annotation_config_type": "continuous",
                 "minimum_score": 0, "maximum_score": 1}
            )
        )  # fmt: skip
        changed = await client.annotation_configs.update(
            made.id, UpdateAnnotationConfig.model_validate({"annotation_config_type": "continuous", "maximum_score": 5})
        )
        dataset_id = await make_dataset(client)
        example, *_ = [each async for each in client.datasets.all_examples(dataset_id)]
        run = {"example_id": example.id, "output": "out"}
        experiment = await client.experiments.create(
            CreateExperiment(name="baseline", dataset_id=dataset_id, experiment_runs=[run])
        )
        (experiment_run,) = [each async for each in client.experiments.all_experiment_runs(experiment.id)]

        def on(row_id: str) -> AnnotateRows:
            return AnnotateRows.model_validate(
                {"annotations": [{"record_id": row_id, "values": [{"name": "tone", "score": 4}]}]}
            )

        await client.datasets.annotate_examples(dataset_id, on(example.id))
        await client.experiments.annotate_experiment_runs(experiment.id, on(experiment_run.id))
        sought = await client.datasets.search_examples(dataset_id, SearchExamples(filter="annotation.tone.score = 4"))
        (annotated_run,) = [each async for each in client.experiments.all_experiment_runs(experiment.id)]
        listed = [each.id async for each in client.annotation_configs.all(ListAnnotationConfigs(name="TON"))]
        page = await client.annotation_configs.list(ListAnnotationConfigs(space_id=space.id))
        got = await client.annotation_configs.get(made.id)
        await client.annotation_configs.delete(made.id)
        with pytest.raises(NotFound):
            await client.annotation_configs.get(made.id)
    assert (got, changed.maximum_score, changed.values) == (changed, 5, None)
    assert listed == [each.id for each in page.annotation_configs] == [made.id]
    assert [each.id for each in sought.examples] == [example.id]
    assert annotated_run.columns["annotations"][0]["score"] == 4


async def test_examples_are_updated_into_a_new_version_and_deleted_from_it(backend: str) -> None:
    async with client_of(backend) as client:
        dataset_id = await make_dataset(client)
        first, second, _ = [each async for each in client.datasets.all_examples(dataset_id)]
        changed = await client.datasets.update_examples(
            dataset_id, UpdateExamples(examples=[{"id": first.id, "question": None}], new_version="v2")
        )
        deleted = await client.datasets.delete_examples(
            dataset_id, DeleteExamples(dataset_version_id=changed.dataset_version_id, example_ids=[second.id])
        )
        left = [each async for each in client.datasets.all_examples(dataset_id, changed.dataset_version_id)]
    assert deleted.deleted_example_ids == [second.id]
    assert [(each.id, each.columns["question"]) for each in left] == [(first.id, None), (left[1].id, "q2")]


async def test_spans_are_annotated_read_as_traces_and_deleted(backend: str) -> None:
    now = datetime.now(UTC)
    spans = [
        {"span_id": id_, "trace_id": "t", "parent_id": parent, "start_time": (now - timedelta(hours=1)).isoformat()}
        for id_, parent in (("root", None), ("child", "root"))
    ]
    records = [{"record_id": "child", "values": [{"name": "tone", "label": "kind"}]}]
    async with client_of(backend) as client:
        project_id, space = await make_project(client), await client.resolve.space()
        await client.annotation_configs.create(
            CreateAnnotationConfig.model_validate(
                {"name": "tone", "space_id": space.id, "annotation_config_type": "freeform"}
            )
        )
        await client.spans.ingest(project_id, IngestSpans.model_validate({"spans": spans}))
        await client.spans.annotate(AnnotateSpans.model_validate({"project_id": project_id, "annotations": records}))
        found = await client.traces.list(
            ListTraces(project_id=project_id, filter="annotation.tone.label = 'kind'"), limit=1
        )
        deleted = await client.spans.delete(DeleteSpans(project_id=project_id, span_ids=["child", "gone"]))
        left = await client.spans.list(ListSpans(project_id=project_id))
    (trace,) = found.traces
    annotated = {span.context.span_id: [each.label for each in span.annotations] for span in trace.spans}
    assert annotated == {"root": [], "child": ["kind"]}
    assert (deleted.deleted_span_ids, deleted.not_deleted_span_ids) == (["child"], ["gone"])
    assert [span.context.span_id for span in left.spans] == ["root"]


async def test_projects(backend: str) -> None:
    async with client_of(backend) as client:
        project_id = await make_project(client)
        assert (await client.projects.rename(project_id, RenameProject(name="talk"))).name == "talk"
        assert (await client.projects.get(project_id)).name == "talk"
        assert [p.id for p in (await client.projects.list(ListProjects(name="TAL"))).projects] == [project_id]
        await client.projects.delete(project_id)
        with pytest.raises(NotFound):
            await client.projects.get(project_id)


async def test_spans_are_ingested_listed_by_filter_and_read_to_the_last_page(backend: str) -> None:
    spans = [
        {"span_id": f"s{i}", "trace_id": "t", "start_time": f"2026-03-01T00:{i // 60:02}:{i % 60:02}Z",
         "attributes": {"input.value": f"q{i}", "llm": {"model_name": "m"}}}
        for i in range(620)
    ]  # fmt: skip
    async with client_of(backend) as client:
        project_id = await make_project(client)
        added = await client.spans.ingest(project_id, IngestSpans.model_validate({"spans": spans}))
        again = await client.spans.ingest(project_id, IngestSpans.model_validate({"spans": spans[:5]}))
        window = ListSpans.model_validate(
            {"project_id": project_id, "start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-02T00:00:00Z"}
        )
        found = [span.context.span_id async for span in client.spans.all(window)]
        one = await client.spans.list(window.model_copy(update={"filter": "attributes.input.value = 'q7'"}), limit=5)
    assert (added.num_added, again.num_replaced) == (620, 5)
    assert sorted(found) == sorted(f"s{i}" for i in range(620))
    assert [span.context.span_id for span in one.spans] == ["s7"]
    assert one.spans[0].attributes["llm.model_name"] == "m"


async def test_datasets_and_their_examples(backend: str) -> None:
    async with client_of(backend) as client:
        dataset_id = await make_dataset(client)
        before = await client.datasets.get(dataset_id)
        appended = await client.datasets.append_examples(dataset_id, AppendExamples(examples=[{"question": "late"}]))
        await client.datasets.append_examples(
            dataset_id, AppendExamples(examples=[{"question": f"more {i}"} for i in range(600)])
        )
        every = [example async for example in client.datasets.all_examples(dataset_id)]
        page = await client.datasets.list_examples(dataset_id, ListExamples(limit=2))
        sought = await client.datasets.search_examples(dataset_id, SearchExamples(filter="question = 'late'"))
        renamed = await client.datasets.rename(dataset_id, RenameDataset(name="silver"))
        listed = await client.datasets.list(ListDatasets(name="silver"))
        await client.datasets.delete(dataset_id)
        with pytest.raises(NotFound):
            await client.datasets.get(dataset_id)
    assert before.versions is not None
    assert len(appended.example_ids) == 1
    assert len(every) == len({example.id for example in every}) == 604
    first = next(example for example in every if example.columns.get("question") == "q1")
    assert first.columns == {"question": "q1", "nested": {"n": 1}, "gap": None}
    assert (len(page.examples), page.pagination.has_more) == (2, True)
    assert [example.id for example in sought.examples] == appended.example_ids
    assert (renamed.name, [dataset.id for dataset in listed.datasets]) == ("silver", [dataset_id])


async def test_experiments_and_their_runs(backend: str) -> None:
    async with client_of(backend) as client:
        dataset_id = await make_dataset(client)
        examples = [example.id async for example in client.datasets.all_examples(dataset_id)]
        runs = [{"example_id": id_, "output": f"out {i}", "cost": i} for i, id_ in enumerate(examples)]
        made = await client.experiments.create(
            CreateExperiment(name="baseline", dataset_id=dataset_id, experiment_runs=runs[:2])
        )
        await client.experiments.append_experiment_runs(made.id, AppendExperimentRuns(experiment_runs=runs[2:]))
        every = [run async for run in client.experiments.all_experiment_runs(made.id)]
        page = await client.experiments.list_experiment_runs(made.id, ListExperimentRuns(limit=1))
        sought = await client.experiments.search_experiment_runs(made.id, SearchExperimentRuns(filter="cost >= 1"))
        listed = await client.experiments.list(ListExperiments(dataset_id=dataset_id))
        found = await client.resolve.experiment("baseline", dataset_id=dataset_id)
        got = await client.experiments.get(made.id)
        await client.experiments.delete(made.id)
        with pytest.raises(NotFound):
            await client.experiments.get(made.id)
    assert sorted((run.output, run.columns["cost"]) for run in every) == [("out 0", 0), ("out 1", 1), ("out 2", 2)]
    assert (len(page.experiment_runs), page.pagination.has_more, len(sought.experiment_runs)) == (1, True, 2)
    assert got.id == found.id == made.id == listed.experiments[0].id


async def test_evaluators_and_their_versions(backend: str) -> None:
    async with client_of(backend) as client:
        evaluator_id = await make_evaluator(client)
        await client.evaluators.update(evaluator_id, UpdateEvaluator(description="about tone"))
        cleared = await client.evaluators.update(evaluator_id, UpdateEvaluator(description=None))
        second = await client.evaluators.create_version(
            evaluator_id, CreateEvaluatorVersion.model_validate(code_version("second", variables=["input"]))
        )
        first = await client.resolve.evaluator_version("first", evaluator_id)
        latest = await client.evaluators.get(evaluator_id)
        pinned = await client.evaluators.get(evaluator_id, first.id)
        page = await client.evaluators.list_versions(evaluator_id, ListEvaluatorVersions())
        same = await client.evaluators.get_version(second.id)
        deleted = await client.evaluators.delete_versions(evaluator_id, DeleteEvaluatorVersions(version_ids=[first.id]))
        listed = await client.evaluators.list(ListEvaluators(name="tone"))
        templates = await client.evaluators.list_templates()
        await client.evaluators.delete(evaluator_id)
        with pytest.raises(NotFound):
            await client.evaluators.get(evaluator_id)
    assert not cleared.description
    assert (latest.version.id, pinned.version.id) == (second.id, first.id)
    assert same.code_config is not None
    assert same.code_config.variables == ["input"]
    assert {version.id for version in page.evaluator_versions} == {first.id, second.id}
    assert (deleted.completed, deleted.deleted_version_ids) == (True, [first.id])
    assert [evaluator.id for evaluator in listed.evaluators] == [evaluator_id]
    assert templates.evaluator_templates


async def test_ai_integrations_never_return_a_key(backend: str) -> None:
    async with client_of(backend) as client:
        made = await client.ai_integrations.create(
            CreateAiIntegration.model_validate(
                {"name": "local", "provider": "custom", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "LOCAL_KEY",
                 "model_names": ["m"]}
            )
        )  # fmt: skip
        updated = await client.ai_integrations.update(made.id, UpdateAiIntegration(model_names=["m", "n"]))
        found = await client.resolve.ai_integration("local")
        builtin = await client.resolve.ai_integration("heuristic")
        listed = await client.ai_integrations.list(ListAiIntegrations())
        got = await client.ai_integrations.get(made.id)
        await client.ai_integrations.delete(made.id)
        with pytest.raises(NotFound):
            await client.ai_integrations.get(made.id)
    assert (got.model_names, updated.api_key_env, found.id) == (["m", "n"], "LOCAL_KEY", made.id)
    assert {each.id for each in listed.ai_integrations} == {made.id, builtin.id}


async def test_agent_integrations_are_found_by_name_and_never_return_a_header(backend: str) -> None:
    async with client_of(backend) as client:
        schema = {"type": "object"}
        config = {"endpoint": "http://127.0.0.1:9/", "headers": {"x-team": "blue"}, "input_schema": schema}
        body = {"type": "agent", "name": "mine", "config": config}
        made = await client.integrations.create(CreateIntegration.model_validate(body))
        changed = {"type": "AGENT", "config": {"output_path": "a.b"}}
        updated = await client.integrations.update(made.id, UpdateIntegration.model_validate(changed))
        found = await client.resolve.agent_integration("mine")
        listed = [one.id async for one in client.integrations.all(ListIntegrations())]
        got = await client.integrations.get(made.id)
        await client.integrations.delete(made.id)
        with pytest.raises(NotFound):
            await client.integrations.get(made.id)
    assert (found.id, listed) == (made.id, [made.id])
    assert (got.config.headers, got.config.has_headers, got.config.output_path) == (None, True, "a.b")
    assert got == updated


async def test_tasks_are_created_updated_cleared_and_deleted(backend: str) -> None:
    async with client_of(backend) as client:
        project_id, evaluator_id = await make_project(client), await make_evaluator(client)
        made = await make_task(
            client, project_id=project_id, evaluators=[{"evaluator_id": evaluator_id}], is_continuous=False,
            query_filter="span_kind = 'LLM'", sampling_rate=0.5,
        )  # fmt: skip
        renamed = await client.tasks.update(made.id, UpdateTask(name="Tone 2"))
        cleared = await client.tasks.update(made.id, UpdateTask(query_filter=None))
        listed = await client.tasks.list(
            ListTasks.model_validate({"project_id": project_id, "type": "Code_Evaluation"})
        )
        found = await client.resolve.task("Tone 2")
        with pytest.raises(Problem):
            await client.tasks.update(made.id, UpdateTask())
        await client.tasks.delete(made.id)
        with pytest.raises(NotFound):
            await client.tasks.get(made.id)
    assert (made.query_filter, made.sampling_rate, made.type) == ("span_kind = 'LLM'", 0.5, "CODE_EVALUATION")
    assert (renamed.name, renamed.query_filter) == ("Tone 2", "span_kind = 'LLM'")
    assert (cleared.name, cleared.query_filter, cleared.sampling_rate) == ("Tone 2", None, 0.5)
    assert [task.id for task in listed.tasks] == [found.id] == [made.id]


async def test_a_task_run_from_its_trigger_to_its_last_row(backend: str) -> None:
    spans = [
        {"span_id": f"s{i}", "start_time": "2026-03-01T00:00:00Z", "kind": "LLM",
         "attributes": {"output.value": "an answer" if i % 2 else "nothing"}}
        for i in range(6)
    ]  # fmt: skip
    window = {"data_start_time": "2026-02-28T00:00:00Z", "data_end_time": "2026-03-02T00:00:00Z"}
    async with client_of(backend) as client:
        project_id, evaluator_id = await make_project(client), await make_evaluator(client)
        await client.spans.ingest(project_id, IngestSpans.model_validate({"spans": spans}))
        task = await make_task(
            client, project_id=project_id, evaluators=[{"evaluator_id": evaluator_id}], is_continuous=False
        )
        task_run = await client.tasks.trigger(task.id, TriggerTaskRun.model_validate(window))
        task_run = await ended(client, task_run.id)
        rows = [row async for row in client.task_runs.all_rows(task_run.id, ListTaskRunRows(limit=2))]
        runs = [each.id async for each in client.tasks.all_task_runs(task.id, ListTaskRuns(status="completed"))]
        with pytest.raises(BadRequest):
            await client.task_runs.cancel(task_run.id)
    assert task_run.status == TaskRunStatus.COMPLETED, task_run.failure_reason
    assert (task_run.num_successes, task_run.num_errors) == (6, 0)
    assert sorted(row.row_id for row in rows) == [f"s{i}" for i in range(6)]
    assert sum(row.score or 0 for row in rows) == 3
    assert runs == [task_run.id]


@pytest.mark.parametrize("hostile", ["a/b", "../tasks", "?x=1", "%2e%2e", "...", "größe", "' OR 1=1 --", "x" * 3000])
async def test_a_hostile_id_is_refused_and_no_request_reaches_a_resource(backend: str, hostile: str) -> None:
    async with client_of(backend) as client:
        for call in (client.tasks.get, client.projects.get, client.datasets.delete, client.task_runs.cancel):
            with pytest.raises((NotFound, BadRequest)) as caught:
                await call(hostile)
            assert caught.value.status in {400, 404, 405}


async def test_a_cursor_of_another_list_is_refused(backend: str) -> None:
    async with client_of(backend) as client:
        for number in range(3):
            await make_project(client, f"p{number}")
        page = await client.projects.list(ListProjects(limit=1))
        with pytest.raises(BadRequest, match="cursor"):
            await client.datasets.list(ListDatasets(cursor=page.pagination.next_cursor))


@pytest.mark.promise("key.secret")
async def test_the_key_is_in_no_log_at_any_log_level(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(backend) as client:
        await make_project(client)
        with pytest.raises((Problem, ClientError)):
            await client.projects.get("nothing")
    assert caplog.records
    assert KEY not in caplog.text
