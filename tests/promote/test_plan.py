"""The plan: its steps, differences and problems, before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evaltasks.api.ai_integrations import CreateAiIntegration
from evaltasks.api.evaluators import CreateEvaluatorVersion
from evaltasks.api.integrations import CreateAgentConfig
from evaltasks.api.tasks import CreateTask, EvaluatorAttachment
from evaltasks.client.transport import open_remote_client
from evaltasks.promote.apply import apply_plan, make_plan
from evaltasks.promote.differences import Difference
from evaltasks.promote.documents import (
    AgentIntegrationFile,
    AiIntegrationFile,
    AnyFile,
    AttachmentFile,
    EvaluatorFile,
    TaskFile,
    VersionFile,
)
from evaltasks.promote.export import export_space
from evaltasks.promote.folder import BadFiles, Bundle, read_folder, write_folder
from evaltasks.promote.plan import Action, ContinuousPolicy, Plan, Step
from evaltasks.promote.report import plan_json, plan_text
from tests.support.backends import KEY, served
from tests.support.promoting import (
    applied,
    evaluator,
    managed,
    place,
    planned,
    post,
    tasks_of,
    without_heuristic,
    world,
)


def task(name: str = "t", **fields: Any) -> TaskFile:
    given = {"name": name, "type": "code_evaluation", "project": "chat", "evaluators": [{"evaluator": "Words"}]}
    return TaskFile.model_validate({key: part for key, part in {**given, **fields}.items() if part is not None})


def words(*keywords: str, label: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a version of an evaluator that looks for keywords."""
    param = {"name": "keywords", "type": "string_array", "default_value": list(keywords)}
    return {"label": label, "code_config": managed("CONTAINS_ANY_KEYWORD", "words", param), **fields}


def evaluator_file(*versions: dict[str, Any], name: str = "Words") -> EvaluatorFile:
    return EvaluatorFile.model_validate({"name": name, "type": "code", "versions": versions or [words("a")]})


def issues(plan: Plan) -> list[str]:
    return [f"{issue.issue.argument}: {issue.issue.problem}" for issue in plan.issues]


async def exported(names: Sequence[str] = ()) -> list[AnyFile]:
    async with world() as source:
        return (await export_space(source.client, source.space.id, names)).files


async def test_plan_reports_all_missing_resources_with_candidates_and_writes_nothing() -> None:
    files = await exported()
    async with place(bare=True) as target:
        await target.it.seed_project("chatt")
        await target.it.seed_experiment(await target.it.seed_dataset(name="gold"), name="bases")
        plan = await planned([file for file in files if file.kind != "ai_integration"], target)
        text = plan_text(plan)
        assert target.network.writes == []
    assert "there is no project 'chat'; a project is created with its first spans" in text
    assert "there are: 'chatt'" in text
    assert "experiments[0]: there is no experiment 'base'" in text
    assert "there is no AI integration 'openai' and no file for it; there are: heuristic" in text
    assert "nothing was changed" in text
    assert len(plan.issues) > 8


async def test_plan_reports_a_name_that_a_different_resource_has() -> None:
    async with place() as target:
        other = await target.it.seed_code_evaluator("Regex")
        await target.it.seed_task([other], name="t", dataset_id=target.ids["gold"], experiment_ids=[target.ids["base"]])
        on_project = issues(await planned([task(evaluators=[{"evaluator": "Regex"}])], target))
        dataset = {"project": None, "dataset": "gold", "evaluators": [{"evaluator": "Regex"}]}
        others = issues(await planned([task(experiments=["tuned"], **dataset)], target))
        same = (await planned([task(experiments=["base"], **dataset)], target)).differs
        judge = {"name": "Regex", "type": "template", "versions": [{"template_config": {
            "name": "x", "template": "{output}", "include_explanations": False,
            "llm_config": {"ai_integration": "heuristic", "model_name": "heuristic-refusal"},
        }}]}  # fmt: skip
        taken = issues(await planned([EvaluatorFile.model_validate(judge)], target))
    assert on_project == ["project: a task with this name exists and differs in project, dataset, experiments"]
    assert others == ["experiments: a task with this name exists and differs in experiments"]
    assert not same
    assert taken == ["name: a code evaluator with this name exists"]


async def test_plan_validates_files_with_the_rules_of_tool_arguments() -> None:
    async with place() as target:
        plan = await planned(
            [
                evaluator_file(words("a"), words("b", label="x"), words("c", label="x")),
                task("both", dataset="gold", evaluators=[{"evaluator": "Words", "column_mappings": {"inptu": "a"}}]),
                task("pin", evaluators=[{"evaluator": "Words", "version": "y"}]),
                task("kind", type="template_evaluation", evaluators=[{"evaluator": "Words"}, {"evaluator": "No"}]),
                task("ids", project="TW9kZWw6MTphYmNk"),
                task("rate", project=None, dataset="gold", experiments=["base"], sampling_rate=0.5),
                task("empty", project=None, dataset="gold"),
            ],
            target,
        )
    assert issues(plan) == [
        "versions[0]: has no label, which only the last version (the latest) may omit",
        "versions[2].label: is the label of another version in this file",
        "dataset: project and dataset exclude each other",
        "evaluators[0].column_mappings.inptu: is not a variable of this evaluator",
        "evaluators[0].version: no version in the evaluator's file has the label 'y'",
        "evaluators[1].evaluator: there is no evaluator 'No' and no file for it",
        "evaluators[0].evaluator: is a code evaluator, and template_evaluation takes template evaluators",
        "project: is an id or a link",
        "sampling_rate: only for project tasks",
        "experiments: an evaluation task on a dataset needs at least one experiment on an engine",
    ]


async def test_continuous_task_needs_an_explicit_decision_and_can_be_applied_paused() -> None:
    files = [evaluator_file(), task(is_continuous=True)]
    async with place() as target:
        undecided = await planned(files, target, ContinuousPolicy.UNDECIDED)
        assert undecided.undecided == ["t"]
        assert "--allow-continuous" in plan_text(undecided)
        with pytest.raises(AssertionError):
            await apply_plan(undecided, lambda step: None)
        await applied(files, target, ContinuousPolicy.PAUSED)
        assert (await tasks_of(target))["t"]["is_continuous"] is False
        assert not (await planned(files, target, ContinuousPolicy.PAUSED)).changes
        assert (await planned(files, target, ContinuousPolicy.UNDECIDED)).undecided == ["t"]
        await applied(files, target, ContinuousPolicy.ALLOWED)
        assert (await tasks_of(target))["t"]["is_continuous"] is True
        # It is already enabled: no decision is needed, and it is not paused.
        for policy in ContinuousPolicy:
            later = await planned(files, target, policy)
            assert (later.undecided, later.changes) == ([], [])


async def test_plan_shows_a_changed_prompt_line_by_line_and_the_affected_tasks(tmp_path: Path) -> None:
    files = await exported(["tone-live"])
    async with world() as target:
        write_folder(tmp_path, files)
        file = tmp_path / "evaluators/tone.yaml"
        file.write_text(
            file.read_text("utf-8").replace("'yes': 1.0", "'yes': 0.5").replace("minimize", "none"), "utf-8"
        )
        plan = await planned(read_folder(tmp_path), target)
        before = len(target.network.writes)
        text, document = plan_text(plan), json.loads(plan_json(plan, applied=False))
        assert before == 0
    (step,) = [step for step in plan.steps if step.action is Action.UPDATE]
    assert {one.field: (one.before, one.after) for one in step.differences} == {
        "latest.template_config.classification_choices.yes": (1.0, 0.5),
        "latest.template_config.direction": ("minimize", "none"),
    }
    assert "note: its message is the same as that of the present version" in text
    assert document["differs"] is True
    assert [one["name"] for one in document["steps"] if one["action"] == "update"] == ["Tone"]


async def test_plan_names_affected_tasks_without_files() -> None:
    async with place() as target:
        await applied([evaluator_file(), task("mine"), task("theirs")], target)
        plan = await planned([evaluator_file(words("b")), task("mine")], target)
    (step,) = plan.changes
    assert step.notes[0] == "tasks without a file here also use its latest version: theirs"


async def test_pinned_version_is_identified_by_content_not_by_label() -> None:
    pin = [{"evaluator": "Words", "version": "by-hand"}]
    async with place() as target:
        await applied([evaluator_file(words("a", label="by-hand"), words("b")), task(evaluators=pin)], target)
        pinned = (await tasks_of(target))["t"]["evaluators"][0]["evaluator_version_id"]
        assert pinned["code_config"]["static_params"][0]["default_value"] == ["a"]
        renamed = [
            evaluator_file(words("a", label="other"), words("b")),
            task(evaluators=[{**pin[0], "version": "other"}]),
        ]
        assert not (await planned(renamed, target)).differs
        # The latest, pinned: one version on the service, not two.
        both = [evaluator_file(words("b", label="now")), task(evaluators=[{**pin[0], "version": "now"}])]
        assert [step.name for step in (await applied(both, target)).changes] == ["t"]
        versions = await target.it.ask(
            "GET", f"/v2/evaluators/{(await target.client.resolve.evaluator('Words')).id}/versions"
        )
    assert len(versions["evaluator_versions"]) == 2


async def test_applying_older_content_makes_it_the_latest_version_again() -> None:
    async with place() as target:
        for keyword in ("a", "b", "a"):
            await applied([evaluator_file(words(keyword))], target)
        latest = (await target.client.evaluators.get((await target.client.resolve.evaluator("Words")).id)).version
    assert latest.code_config is not None
    assert latest.code_config.static_values() == {"keywords": ["a"]}


async def test_plan_for_ax_reports_missing_integrations_and_creates_none() -> None:
    files = await exported()
    async with place(is_engine=False) as ax:
        ax.network.rewrite = without_heuristic
        plan = await planned(files, ax)
        text = plan_text(plan)
        assert ax.network.writes == []
    assert (
        "there is no AI integration 'openai' in this space of http://127.0.0.1:9; create it there with its key" in text
    )
    assert "http://127.0.0.1:9 has no heuristic judge" in text
    assert "agent integration 'bot'" in text


async def test_apply_over_tcp_to_ax_creates_tasks_and_keeps_integrations() -> None:
    files = await exported()
    async with (
        world() as source,
        place() as ax,
        served(ax.it.engine.app) as address,
        open_remote_client(address, KEY, is_engine=False) as client,
    ):
        integrations = await source.it.ask("GET", "/v2/ai-integrations")
        for one in integrations["ai_integrations"]:
            if not one["is_heuristic"]:
                body = {"name": one["name"], "provider": "OPEN_AI", "model_names": ["gpt-5"]}
                await ax.it.ask("POST", "/v2/ai-integrations", body)
        await ax.it.ask(
            "POST",
            "/v2/integrations",
            {"name": "bot", "type": "AGENT", "config": {"endpoint": "http://127.0.0.1:9/ask"}},
        )
        bundle = Bundle.from_files(files)
        plan = await make_plan(bundle, client, ax.space, ContinuousPolicy.ALLOWED)
        await apply_plan(plan, lambda step: None)
        again = await make_plan(bundle, client, ax.space, ContinuousPolicy.ALLOWED)
        assert await tasks_of(ax) == await tasks_of(source)
    # Resources that are kept on purpose are reported, but do not count as a difference.
    assert (again.changes, again.differs) == ([], False)
    assert "model_names" in plan_text(again)
    kept = {step.name: [one.field for one in step.differences] for step in again.steps if step.action is Action.KEPT}
    assert kept == {
        "local": ["provider", "base_url", "model_names"],
        "openai": ["model_names", "function_calling_enabled"],
        "bot": ["description", "input_schema", "output_path"],
    }


async def test_export_leaves_out_tasks_with_deleted_references() -> None:
    async with world() as source:
        await evaluator(source, "Once", managed("JSON_PARSEABLE", "once"))
        await source.it.seed_task(
            [source.ids["Json"]], name="lost", dataset_id=source.ids["gold"], experiment_ids=[source.ids["tuned"]]
        )
        await source.it.ask("DELETE", f"/v2/experiments/{source.ids['tuned']}")
        found = await export_space(source.client, source.space.id)
    assert sorted(found.left_out) == [
        "task 'lost': the experiment it refers to does not exist any more; fix the task.",
        "task 'tone-live': the experiment it refers to does not exist any more; fix the task.",
    ]
    assert len([file for file in found.files if file.kind == "task"]) == 10
    assert "Once" not in {file.name for file in found.files}
    assert any("the prompt version that" in note for note in found.notes)


async def test_bundle_select_keeps_tasks_with_the_resources_they_use() -> None:
    bundle = Bundle.from_files(await exported())
    async with place() as target:
        await applied(bundle.select(["Ask", "Exps"]), target)
        assert set(await tasks_of(target)) == {"Ask", "Exps"}
        page = await target.it.ask("GET", "/v2/evaluators")
    assert [one["name"] for one in page["evaluators"]] == ["Pattern"]
    with pytest.raises(BadFiles, match="hold no task 'Nope'; there are: Ask, Code monitor"):
        bundle.select(["Ask", "Nope"])


def test_file_models_have_every_request_field_except_secrets() -> None:
    """A new field of the API must not be lost by export and apply."""
    words = {"evaluator_id": "evaluator", "evaluator_version_id": "version", "project_id": "project",
             "dataset_id": "dataset", "experiment_ids": "experiments", "scopings": "this_space_only"}  # fmt: skip
    secrets = {"api_key", "headers", "request_presets"}
    for request, file in (
        (CreateTask, TaskFile),
        (EvaluatorAttachment, AttachmentFile),
        (CreateAiIntegration, AiIntegrationFile),
        (CreateAgentConfig, AgentIntegrationFile),
        (CreateEvaluatorVersion, VersionFile),
    ):
        fields = {words.get(name, name) for name in request.model_fields} - secrets
        missing = fields - file.model_fields.keys() - {"commit_message", "remote_config"}
        assert not missing, f"{file.__name__} has no {missing}"


async def test_export_leaves_out_tasks_with_values_of_a_newer_service() -> None:
    def newer(path: str, document: Any) -> Any:
        name = document.get("name") if path.startswith("/v2/tasks/") else None
        if name == "Ask":
            document["run_configuration"] = {"experiment_type": "SWARM", "bees": 3}
        if name == "Generate":
            document["run_configuration"]["messages"][0]["role"] = "ORACLE"
        if path.startswith("/v2/evaluators/") and document.get("name") == "Trace":
            document["version"]["template_config"]["direction"] = "SIDEWAYS"
        return document

    async with world() as source:
        source.network.rewrite = newer
        found = await export_space(source.client, source.space.id)
    assert found.left_out == [
        "task 'Ask': this version of evaltasks does not know the kind of its run configuration; update evaltasks.",
        "task 'Generate': it has values that these files cannot hold, at: run_configuration.LLM_GENERATION"
        ".messages[0].role.",
        "task 'Traces': it has values that these files cannot hold, at: template_config.direction.",
    ]
    assert len([file for file in found.files if file.kind == "task"]) == 8


async def test_plan_text_escapes_terminal_control_characters() -> None:
    async with place() as target:
        plan = await planned([evaluator_file(), task("t\x1b[2J\u202e")], target)
    assert "\x1b" not in plan_text(plan)
    assert "t\\x1b[2J\\x202e" in plan_text(plan)


@pytest.mark.parametrize(("characters", "shown"), [(200, "x" * 200), (201, "x" * 200 + "…")])
def test_plan_text_shows_values_of_up_to_200_characters(characters: int, shown: str) -> None:
    step = Step("task", "t", "tasks/t.yaml", Action.UPDATE, [Difference("query_filter", None, "x" * characters)])
    assert f"            query_filter: none → {shown}\n" in plan_text(Plan("here", "default", [step]))


@pytest.mark.parametrize(("num_lines", "rest"), [(198, []), (199, ["… 1 more line"]), (200, ["… 2 more lines"])])
def test_plan_text_shows_up_to_200_changed_lines(num_lines: int, rest: list[str]) -> None:
    text = "".join(f"\nline {number}" for number in range(num_lines))
    step = Step("evaluator", "e", "evaluators/e.yaml", Action.UPDATE, [Difference("template", "", f"first{text}")])
    lines = plan_text(Plan("here", "default", [step])).splitlines()
    first = lines.index("            template:") + 1
    assert [line.strip() for line in lines[first + 200 : -1]] == rest


def test_plan_text_shows_changed_lines_that_start_with_dashes_and_pluses() -> None:
    change = Difference("template", "-- old\n{output}", "++ new\n{output}")
    step = Step("evaluator", "e", "evaluators/e.yaml", Action.UPDATE, [change])
    lines = plan_text(Plan("here", "default", [step])).splitlines()
    first = lines.index("            template:") + 1
    assert [line[14:] for line in lines[first:-1]] == ["@@ -1,2 +1,2 @@", "--- old", "+++ new", " {output}"]


async def test_plan_shows_the_old_and_the_new_description_of_an_evaluator() -> None:
    def described(text: str | None) -> EvaluatorFile:
        return EvaluatorFile.model_validate(
            {"name": "Words", "type": "code", "versions": [words("a")], "description": text}
        )

    async with place() as target:
        await applied([described("old")], target)
        (changed,) = (await planned([described("new")], target)).changes
        (cleared,) = (await planned([described(None)], target)).changes
        same = await planned([described("old")], target)
        await applied([described("")], target)
        (added,) = (await planned([described("new")], target)).changes
    assert [(step.differences, step.action) for step in (changed, cleared, added)] == [
        ([Difference("description", "old", "new")], Action.UPDATE),
        ([Difference("description", "old", None)], Action.UPDATE),
        ([Difference("description", None, "new")], Action.UPDATE),
    ]
    assert not same.differs


async def test_plan_reports_integrations_that_only_another_space_can_use() -> None:
    model = AiIntegrationFile.model_validate({"name": "model", "provider": "open_ai"})
    agent = AgentIntegrationFile.model_validate({"name": "bot", "endpoint": "http://127.0.0.1:9/ask"})
    async with place() as target:
        other = (await target.it.ask("POST", "/v2/spaces", {"name": "other"}))["id"]
        scoped = {"scopings": [{"space_id": other}]}
        await post(target, "model", "/v2/ai-integrations", provider="OPEN_AI", **scoped)
        await post(
            target, "bot", "/v2/integrations", type="AGENT", config={"endpoint": "http://127.0.0.1:9/ask"}, **scoped
        )
        taken = issues(await planned([model, agent], target))
        # The names of AI integrations and of agent integrations are independent.
        free = await planned(
            [model.model_copy(update={"name": "bot"}), agent.model_copy(update={"name": "model"})], target
        )
    assert taken == [
        "name: an AI integration with this name exists, but this space cannot use it",
        "name: an agent integration with this name exists, but this space cannot use it",
    ]
    assert (free.issues, free.count(Action.CREATE)) == ([], 2)


@pytest.mark.parametrize(("count", "more"), [(0, "none"), (1, ""), (10, ""), (11, " and 1 more")])
async def test_plan_lists_up_to_ten_candidates_for_a_missing_evaluator_or_agent(count: int, more: str) -> None:
    async with place() as target:
        for number in reversed(range(count)):
            config = {"endpoint": "http://127.0.0.1:9/ask"}
            agent = {"type": "AGENT", "name": f"bot {number:02}", "config": config}
            await target.it.ask("POST", "/v2/integrations", agent)
            await target.it.seed_code_evaluator(f"code {number:02}")
        ask = {"experiment_type": "agent_call", "agent_integration": "none", "input_template": {}}
        experiment = task(type="run_experiment", project=None, dataset="gold", evaluators=None, run_configuration=ask)
        plans = [await planned([file], target) for file in (experiment, task())]
    (agent_issue,), (evaluator_issue,) = (plan.issues for plan in plans)
    shown = range(min(count, 10))
    assert agent_issue.issue.remedy == f"there are: {', '.join(f'bot {number:02}' for number in shown)}{more}"
    assert evaluator_issue.issue.remedy == f"there are: {', '.join(f'code {number:02}' for number in shown)}{more}"
