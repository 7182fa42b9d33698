"""The task tools, called as the MCP server calls them, with a real client and an embedded engine."""

from __future__ import annotations

from typing import Any

import pytest

from evaltasks.api.problems import Conflict, NotFound
from evaltasks.client.errors import NotResolved
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools import (
    create_evaluation_task,
    create_run_experiment_task,
    create_task,
    delete_task,
    get_task,
    list_tasks,
    update_task,
)
from evaltasks.tools.context import Declined, ToolSettings
from tests.support.engines import WINDOW
from tests.support.tool_calls import ToolsInTest, tools_in_test

JUDGE = "http://127.0.0.1:9"  # never called: these tasks are not triggered


async def world(it: ToolsInTest) -> dict[str, str]:
    """Seed a project, a dataset with two experiments and one evaluator of each kind; return ids by name."""
    dataset = await it.seed.seed_dataset(name="questions")
    return {
        "support-bot": await it.seed.seed_project("support-bot"),
        "questions": dataset,
        "first": await it.seed.seed_experiment(dataset, name="first"),
        "second": await it.seed.seed_experiment(dataset, name="second"),
        "Regex": await it.seed.seed_code_evaluator("Regex"),
        "Judge": await it.seed.seed_template_evaluator(JUDGE, "Judge"),
    }


async def test_the_documented_examples_are_accepted_by_create_task() -> None:
    """The three examples of `ax tasks create`, with names instead of ids."""
    async with tools_in_test() as it:
        ids = await world(it)
        integration = await it.seed.seed_ai_integration(JUDGE)
        monitor = await it.call(
            create_task.SPEC,
            name="Relevance Monitor", task_type="template_evaluation", project=ids["support-bot"],
            evaluators='[{"evaluator_id": "Judge"}]', is_continuous=True, sampling_rate=0.1,
        )  # fmt: skip
        evaluation = await it.call(
            create_task.SPEC,
            name="Experiment Evaluation", task_type="template_evaluation", dataset=ids["questions"],
            experiment_ids=f"{ids['first']},{ids['second']}", evaluators='[{"evaluator_id": "Judge"}]',
            is_continuous=False,
        )  # fmt: skip
        generation = await it.call(
            create_task.SPEC,
            name="GPT-4o Summarization", task_type="run_experiment", dataset=ids["questions"],
            run_configuration='{"experiment_type": "llm_generation", "ai_integration_id": "ai_abc", '
            '"model_name": "gpt-4o", "messages": [{"role": "user", "content": "{{input}}"}]}'.replace(
                "ai_abc", integration
            ),
        )  # fmt: skip
        assert "input_variable_format is missing; mustache is used" in it.notes
    assert (monitor.task.type, monitor.task.sampling_rate, monitor.task.is_continuous) == (
        "template_evaluation", 0.1, True,
    )  # fmt: skip
    assert monitor.task.project.name == "support-bot"
    assert [one.name for one in evaluation.task.experiments] == ["first", "second"]
    assert generation.task.run_configuration["messages"] == [{"role": "user", "content": "{{input}}"}]
    assert generation.task.run_configuration["input_variable_format"] == "mustache"
    assert generation.next_call.arguments["experiment_name"]


async def test_the_documented_evaluator_and_configuration_formats_are_accepted_unchanged() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        integration = await it.seed.seed_ai_integration(JUDGE)
        evaluators = [{"evaluator_id": ids["Judge"], "query_filter": None, "column_mappings": None}]
        evaluation = await it.call(
            create_evaluation_task.SPEC,
            name="hallucination-eval", task_type="template_evaluation", project="support-bot",
            evaluators=evaluators, sampling_rate=0.1, is_continuous=True,
        )  # fmt: skip
        experiment = await it.call(
            create_run_experiment_task.SPEC,
            name="nightly-experiments", dataset="questions",
            run_configuration={
                "experiment_type": "llm_generation", "ai_integration_id": integration, "model_name": "gpt-4o",
                "messages": [{"role": "user", "content": "{{input}}"}],
            },
        )  # fmt: skip
    assert evaluation.task.evaluators[0].evaluator_name == "Judge"
    assert evaluation.task.evaluators[0].evaluator_version_id == "latest"
    assert experiment.task.run_configuration["experiment_type"] == "llm_generation"


async def test_names_are_accepted_wherever_ids_are_including_lists() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        created = await it.call(
            create_evaluation_task.SPEC,
            name="both", task_type="code_evaluation", dataset="questions", experiment_ids=["first", ids["second"]],
            evaluators=[{"evaluator_id": "Regex", "column_mappings": {"output": "output"}}],
        )  # fmt: skip
        assert it.notes == ""
        got = await it.call(get_task.SPEC, task="both")
    assert got.task == created.task
    assert [one.id for one in got.task.experiments] == [ids["first"], ids["second"]]
    assert got.task.evaluators[0].evaluator_id == ids["Regex"]


async def test_every_unknown_name_of_a_call_is_reported_together_with_candidates() -> None:
    async with tools_in_test() as it:
        await world(it)
        issues = await it.issues(
            create_evaluation_task.SPEC,
            name="x", task_type="code_evaluation", dataset="questions", experiment_ids=["frist", "second"],
            evaluators=["Rejex", "regexp"],
        )  # fmt: skip
        listed = await it.call(list_tasks.SPEC)
    assert set(issues) == {"experiment_ids[0]", "evaluators[0].evaluator_id", "evaluators[1].evaluator_id"}
    assert "'first'" in issues["experiment_ids[0]"]
    assert "'Regex'" in issues["evaluators[0].evaluator_id"]
    assert listed.tasks == []


async def test_evaluators_are_validated_against_the_task_and_their_mappings_before_creation() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        other_version = (await it.client.evaluators.get(ids["Judge"])).version.id
        issues = await it.issues(
            create_task.SPEC,
            name="x", task_type="code_evaluation", project="support-bot",
            evaluators=[
                {"evaluator_id": "Judge"},
                {"evaluator_id": "Regex", "evaluator_version_id": other_version},
                {"evaluator_id": ids["Regex"], "column_mappings": {"ouput": "x"}},
            ],
        )  # fmt: skip
    assert "takes code evaluators" in issues["evaluators[0].evaluator_id"]
    assert "another evaluator" in issues["evaluators[1].evaluator_version_id"]
    assert "same evaluator" in issues["evaluators[2].evaluator_id"]


async def test_all_errors_of_a_creation_are_reported_together_before_any_request() -> None:
    async with tools_in_test() as it:
        before = await it.call(list_tasks.SPEC)
        with pytest.raises(ValidationErrors) as refused:
            await it.call(
                create_task.SPEC,
                name="", task_type="code_evaluation", project="nowhere", experiment_ids=["e"], sampling_rate=5,
                evaluators=[{"evaluator": "x"}], run_configuration={"template": "x"}, colour="red",
            )  # fmt: skip
        after = await it.call(list_tasks.SPEC)
    assert refused.value.subject == "create_task (code_evaluation on a project)"
    assert [issue.argument for issue in refused.value.issues] == [
        "colour", "name", "evaluators[0].evaluator_id", "evaluators[0].evaluator", "sampling_rate",
        "run_configuration", "experiment_ids",
    ]  # fmt: skip
    assert before == after


async def test_a_dataset_task_without_experiments_is_sent_with_a_warning() -> None:
    async with tools_in_test() as it:
        await world(it)
        with pytest.raises(Exception, match="experiment"):
            await it.call(
                create_task.SPEC, name="x", task_type="code_evaluation", dataset="questions", evaluators=["Regex"]
            )
        assert "experiment_ids is missing" in it.notes


async def test_a_task_name_in_use_is_a_conflict() -> None:
    async with tools_in_test() as it:
        await world(it)
        call: dict[str, Any] = {
            "name": "x", "task_type": "code_evaluation", "project": "support-bot", "evaluators": ["Regex"]
        }  # fmt: skip
        await it.call(create_task.SPEC, **call)
        with pytest.raises(Conflict):
            await it.call(create_task.SPEC, **call)


async def test_lists_support_every_filter_and_paging() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        for number in range(3):
            await it.seed.seed_task([ids["Regex"]], name=f"Spans {number}", project_id=ids["support-bot"])
        await it.seed.seed_task(
            [ids["Judge"]], "TEMPLATE_EVALUATION", "Outputs", dataset_id=ids["questions"], experiment_ids=[ids["first"]]
        )

        async def names(**filters: Any) -> set[str]:
            return {task.name for task in (await it.call(list_tasks.SPEC, **filters)).tasks}

        spans = {"Spans 0", "Spans 1", "Spans 2"}
        assert await names() == spans | {"Outputs"}
        assert await names(space="default") == spans | {"Outputs"}
        assert await names(project="support-bot") == spans
        assert await names(dataset="questions") == {"Outputs"}
        assert await names(name="SPANS") == spans
        assert await names(task_type="TEMPLATE_EVALUATION") == {"Outputs"}
        assert await names(task_type="run_experiment") == set()
        first = await it.call(list_tasks.SPEC, limit=3)
        rest = await it.call(list_tasks.SPEC, limit=3, cursor=first.next_cursor)
        assert (first.has_more, rest.has_more) == (True, False)
        assert {task.name for task in (*first.tasks, *rest.tasks)} == spans | {"Outputs"}
        with pytest.raises(ValidationErrors):
            await names(project="nowhere")


async def test_a_task_is_found_by_name_and_by_id_and_never_guessed() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        id_ = await it.seed.seed_task([ids["Regex"]], name="Relevance", project_id=ids["support-bot"])
        for text in ("Relevance", id_, f"https://app.arize.com/spaces/x/tasks/{id_}"):
            assert (await it.call(get_task.SPEC, task=text)).task.task_id == id_
        with pytest.raises(NotResolved) as unknown:
            await it.call(get_task.SPEC, task="relevance")
        assert unknown.value.candidates == [("Relevance", id_)]


# --- updating -----------------------------------------------------------------------------------------------------
async def test_each_field_is_updated_and_the_answer_shows_the_difference() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"], sampling_rate=1)

        async def changes(**fields: Any) -> dict[str, tuple[Any, Any]]:
            answer = await it.call(update_task.SPEC, task="t", **fields)
            return {change.field: (change.before, change.after) for change in answer.changes}

        assert await changes(sampling_rate=0.25) == {"sampling_rate": (1.0, 0.25)}
        assert await changes(is_continuous=True) == {"is_continuous": (False, True)}
        assert await changes(query_filter="span_kind = 'LLM'") == {"query_filter": (None, "span_kind = 'LLM'")}
        assert await changes(query_filter="") == {"query_filter": ("span_kind = 'LLM'", None)}
        assert await changes(sampling_rate=0.25) == {}
        assert await changes(name="t2") == {"name": ("t", "t2")}
        assert (await it.call(get_task.SPEC, task="t2")).task.query_filter is None


async def test_an_update_notes_labels_that_the_prompt_does_not_mention() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        silent = await it.seed.seed_template_evaluator(
            JUDGE, "Silent", evaluation_name="silent", template="Judge it: {output}"
        )
        await it.seed.seed_task([ids["Judge"]], "TEMPLATE_EVALUATION", name="t", project_id=ids["support-bot"])
        for evaluators in ({"add": [{"evaluator_id": "Silent"}]}, [{"evaluator_id": silent}]):
            answer = await it.call(update_task.SPEC, task="t", evaluators=evaluators)
            assert any("never mentions 2 of its 2 labels" in note for note in answer.notes or [])


async def test_a_list_replaces_the_evaluators_and_an_object_changes_single_ones() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        second = await it.seed.seed_code_evaluator("Second", evaluation_name="second")
        third = await it.seed.seed_code_evaluator("Third", evaluation_name="third")
        await it.seed.seed_task([ids["Regex"], second], name="t", project_id=ids["support-bot"])

        async def evaluators(change: object) -> dict[str, Any]:
            answer = await it.call(update_task.SPEC, task="t", evaluators=change)
            return {one.evaluator_name: one.column_mappings for one in answer.task.evaluators}

        mapping = {"output": "attributes.output.value"}
        assert await evaluators({"change": [{"evaluator_id": "Regex", "column_mappings": mapping}]}) == {
            "Regex": mapping, "Second": None,
        }  # fmt: skip
        assert await evaluators({"add": [third], "remove": "Second"}) == {"Regex": mapping, "Third": None}
        assert await evaluators({"change": [{"evaluator_id": "Regex", "query_filter": "status_code = 'OK'"}]}) == {
            "Regex": mapping, "Third": None,
        }  # fmt: skip
        version = (await it.client.evaluators.get(ids["Regex"])).version.id
        await evaluators({"change": [{"evaluator_id": "Regex", "evaluator_version_id": version}]})
        assert (await it.call(get_task.SPEC, task="t")).task.evaluators[0].evaluator_version_id == version
        await evaluators({"change": [{"evaluator_id": "Regex", "evaluator_version_id": None}]})
        assert (await it.call(get_task.SPEC, task="t")).task.evaluators[0].evaluator_version_id == "latest"
        assert await evaluators([{"evaluator_id": "Second"}]) == {"Second": None}
        issues = await it.issues(update_task.SPEC, task="t", evaluators={"remove": ["Second"]})
        assert set(issues) == {"evaluators"}
        issues = await it.issues(
            update_task.SPEC, task="t", evaluators={"remove": ["Third"], "change": [{"evaluator_id": "Regex"}]}
        )
        assert set(issues) == {"evaluators.remove[0]", "evaluators.change[0].evaluator_id"}


async def test_a_run_configuration_is_replaced_completely() -> None:
    async with tools_in_test() as it:
        await world(it)
        integration = await it.seed.seed_ai_integration(JUDGE)
        configuration = {
            "experiment_type": "llm_generation", "ai_integration_id": integration, "model_name": "judge",
            "messages": [{"role": "user", "content": "{q}"}], "invocation_parameters": {"temperature": 0},
        }  # fmt: skip
        await it.call(create_run_experiment_task.SPEC, name="t", dataset="questions", run_configuration=configuration)
        del configuration["invocation_parameters"]
        answer = await it.call(update_task.SPEC, task="t", run_configuration=configuration)
    assert "invocation_parameters" not in answer.task.run_configuration
    assert [change.field for change in answer.changes] == ["run_configuration"]


async def test_an_update_without_changes_is_refused_before_any_request() -> None:
    async with tools_in_test() as it:
        # The task does not exist: any request would say so instead.
        issues = await it.issues(update_task.SPEC, task="nowhere")
    assert "no fields to update" in issues["update_task"]


async def test_unreadable_and_misplaced_fields_of_an_update_are_reported_together() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"])
        with pytest.raises(ValidationErrors) as refused:
            await it.call(update_task.SPEC, task="t", sampling_rate=7, run_configuration={"template": "x"})
    assert str(refused.value) == (
        "2 problems with update_task (code_evaluation on a project): "
        "1. sampling_rate: must be at most 1; use 1 or less. "
        "2. run_configuration: only for run_experiment tasks; remove it."
    )


# --- deleting -----------------------------------------------------------------------------------------------------
async def test_deleting_asks_the_person_and_lists_what_would_be_lost() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        id_ = await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"], is_continuous=True)
        await it.seed.finish(id_, data_start_time="2026-03-01T00:00:00Z", data_end_time="2026-03-02T00:00:00Z")
        it.person.agrees = False
        with pytest.raises(Declined):
            await it.call(delete_task.SPEC, task="t")
        [(question, confirm_with)] = it.person.asked
        assert "task run" in question
        assert "continuously" in question
        assert confirm_with == "t"
        assert (await it.call(get_task.SPEC, task="t")).task.task_id == id_
        it.person.agrees = True
        assert (await it.call(delete_task.SPEC, task="t")).deleted
        with pytest.raises(NotFound):
            await it.call(get_task.SPEC, task=id_)


async def test_the_question_before_deleting_counts_the_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        id_ = await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"])
        it.person.agrees = False

        async def question() -> str:
            with pytest.raises(Declined):
                await it.call(delete_task.SPEC, task="t")
            return it.person.asked[-1][0]

        assert "This also deletes 0 task runs and its configuration, and cannot be undone." in await question()
        assert "continuously" not in await question()
        await it.seed.finish(id_, **WINDOW)
        assert "deletes 1 task run and its" in await question()
        await it.seed.finish(id_, **WINDOW)
        assert "deletes 2 task runs and its" in await question()
        monkeypatch.setattr(delete_task, "_COUNTED_MAX", 3)
        assert "deletes 2 task runs and its" in await question()
        await it.seed.finish(id_, **WINDOW)
        assert "deletes at least 3 task runs and its" in await question()


@pytest.mark.parametrize("how", [{"force": True}, {"confirm": "t"}, {"confirm": "the id"}])
async def test_force_or_the_exact_name_or_id_deletes_without_a_question(how: dict[str, Any]) -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        id_ = await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"])
        it.person.agrees = False
        if how.get("confirm") == "the id":
            how = {"confirm": id_}
        await it.call(delete_task.SPEC, task="t", **how)
        assert (await it.call(list_tasks.SPEC)).tasks == []
        assert it.person.asked == []


async def test_a_wrong_confirmation_deletes_nothing() -> None:
    async with tools_in_test() as it:
        ids = await world(it)
        await it.seed.seed_task([ids["Regex"]], name="t", project_id=ids["support-bot"])
        assert set(await it.issues(delete_task.SPEC, task="t", confirm="T")) == {"confirm"}
        assert len((await it.call(list_tasks.SPEC)).tasks) == 1


# --- the note -----------------------------------------------------------------------------------------------------
async def test_the_first_task_tool_on_ax_notes_once_that_the_api_is_pre_release() -> None:
    async with tools_in_test() as it:
        await it.call(list_tasks.SPEC)
        assert it.notes == ""
        it.client.is_engine = False
        answer = await it.call(list_tasks.SPEC)
        assert "pre-release" in answer.notes[0]
        assert (await it.call(list_tasks.SPEC)).notes is None


async def test_a_default_space_scopes_the_list() -> None:
    async with tools_in_test() as it:
        await world(it)
        it.settings = ToolSettings(default_space="default")
        assert (await it.call(list_tasks.SPEC)).tasks == []
