"""The recipe "A run_experiment kind" of CONTRIBUTING.md, followed from outside: two files of a copy get a kind "echo".

The union of all kinds is made when the package is imported, so the copy is used by an interpreter of its own, which
runs `_use_echo` below.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from evaltasks.api.run_configurations import KINDS, Resource
from evaltasks.engine.runs.example_kinds import EXAMPLE_KINDS
from evaltasks.promote.export import export_space
from evaltasks.promote.plan import Action
from evaltasks.tools.task_inputs import RUN_CONFIGURATION_SCHEMA
from tests.support.agents import MODES, Agent, agent
from tests.support.engines import engine
from tests.support.promoting import applied, place, planned, post, tasks_of
from tests.support.recipes import copy_package, names_in, package_trees, run_with_copy

MODEL = '''class Echo(RunConfigurationBase):
    """Return the example's question after a word."""

    summary: ClassVar[str] = "the question itself, for tests"
    output_is_label: ClassVar[bool] = True

    experiment_type: Literal["ECHO"] = "ECHO"
    ai_integration_id: Annotated[NonBlank, RefersTo(Resource.AI_INTEGRATION)]
    word: str = Field(description="what comes first")


'''
WORK = '''class EchoWork:
    """The work of `echo`, without a call to a provider."""

    rate_limit_key: str | None = None

    def __init__(self, configuration: Echo) -> None:
        self._word = configuration.word

    @classmethod
    async def open(cls, services: Services, providers: Providers, configuration: Echo) -> EchoWork:
        return cls(configuration)

    async def process(self, columns: Columns) -> Outcome:
        values = values_for(["question"], {}, columns)
        return values if isinstance(values, Failed) else Evaluated(label=f"{self._word} {values['question']}")

    def extra_columns(self, outcome: Outcome) -> dict[str, object]:
        return {}


def echo_problems(tx: Transaction, configuration: Echo, space_id: str | None) -> Iterable[Problem]:
    if configuration.word == "silence":
        yield Unprocessable("run_configuration.word: silence cannot be echoed")


'''
# The two files to touch: the text that is inserted, and the text before which it is inserted.
EDITS = {
    "api/run_configurations.py": [
        (MODEL, "def experiment_type_of"),
        ("Echo, ", "LlmGeneration, TemplateEvaluation, AgentCall)"),
    ],
    "engine/runs/example_kinds.py": [
        ("from evaltasks.api.problems import Unprocessable\n", "from evaltasks.api.run_configurations"),
        ("Echo, ", "LlmGeneration, RunConfigurationBase"),
        (
            "from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome\n",
            "from evaltasks.engine.providers",
        ),
        ("from evaltasks.engine.runs.mapping import Columns, values_for\n", "from evaltasks.engine.store.store"),
        (WORK, "_ROWS"),
        ("    Echo: ExampleKind(EchoWork.open, echo_problems),\n", "    LlmGeneration: ExampleKind("),
    ],
}


def test_new_kind_works_over_rest_mcp_and_files_after_two_files_are_touched(tmp_path: Path) -> None:
    copy = copy_package(tmp_path, EDITS)
    assert run_with_copy(tmp_path, __spec__.name if __spec__ else __name__) == f"used {copy}\n"


async def _use_echo() -> None:
    examples = [{"question": "why"}, {"question": "how"}]
    async with engine() as it:
        dataset = await it.seed_dataset(examples)
        configuration = {
            "experiment_type": "echo",
            "ai_integration_id": await it.seed_ai_integration("http://127.0.0.1:9/v1"),
            "word": "again:",
        }
        body = {"name": "t", "type": "RUN_EXPERIMENT", "dataset_id": dataset, "run_configuration": configuration}
        task = await it.ask("POST", "/v2/tasks", body)
        assert task["run_configuration"] == configuration | {"experiment_type": "ECHO"}
        done = await it.finish(task["id"], experiment_name="first")
        assert (done["status"], done["num_successes"]) == ("COMPLETED", 2)
        page = await it.ask("GET", f"/v2/experiments/{done['experiment_id']}/runs")
        assert sorted(run["output"] for run in page["experiment_runs"]) == ["again: how", "again: why"]
        silent = body | {"name": "silent", "run_configuration": configuration | {"word": "silence"}}
        problem = await it.ask("POST", "/v2/tasks", silent, status=422)
        assert problem["detail"] == "run_configuration.word: silence cannot be echoed"
    for mode in MODES:
        async with agent(mode) as client:
            await _use_echo_as_an_agent(client, examples)
    await _move_echo()


async def _use_echo_as_an_agent(client: Agent, examples: list[dict[str, str]]) -> None:
    await client.seed.seed_dataset(examples, name="questions")
    await client.seed.ask(
        "POST", "/v2/ai-integrations", {"name": "local", "provider": "CUSTOM", "base_url": "http://127.0.0.1:9/v1"}
    )
    configuration = {"experiment_type": "echo", "ai_integration_id": "local", "word": "again:"}
    arguments = {"name": "echo", "dataset": "questions", "run_configuration": configuration}
    words = await client.refusal(
        "create_run_experiment_task", arguments | {"run_configuration": configuration | {"ai_integration_id": "lokal"}}
    )
    assert "run_configuration.ai_integration_id" in words and "local" in words
    await client.answer("create_run_experiment_task", arguments)
    ended = await client.answer("trigger_task_run", {"task": "echo", "experiment_name": "first", "wait": True})
    results = await client.answer(ended["next_call"]["tool"], ended["next_call"]["arguments"])
    assert "labels are the outputs" in results["next_step"]
    tools = {tool.name: tool for tool in (await client.mcp.list_tools()).tools}
    tool = tools["create_run_experiment_task"]
    assert "echo (the question itself, for tests)" in (tool.description or "")
    fields = tool.input_schema["properties"]["run_configuration"]["anyOf"][0]["properties"]
    assert "echo" in fields["experiment_type"]["enum"]
    assert fields["word"] == {"type": "string", "description": "echo: what comes first"}


async def _move_echo() -> None:
    async with place() as source, place() as target:
        await post(source, "local", "/v2/ai-integrations", provider="CUSTOM", base_url="http://127.0.0.1:9/v1")
        configuration = {"experiment_type": "ECHO", "ai_integration_id": source.ids["local"], "word": "again:"}
        await post(
            source, "Echo", "/v2/tasks",
            type="RUN_EXPERIMENT", dataset_id=source.ids["gold"], run_configuration=configuration,
        )  # fmt: skip
        exported = await export_space(source.client, source.space.id)
        assert not exported.left_out
        await applied(exported.files, target)
        assert await tasks_of(target) == await tasks_of(source)
        assert {step.action for step in (await planned(exported.files, target)).steps} == {Action.UNCHANGED}


def test_every_kind_has_rules_and_work_and_is_in_the_published_schema() -> None:
    assert EXAMPLE_KINDS.keys() == KINDS.keys()
    assert RUN_CONFIGURATION_SCHEMA["properties"]["experiment_type"]["enum"] == [tag.lower() for tag in KINDS]


def test_ids_of_integrations_are_in_the_fields_that_deletion_looks_at() -> None:
    """`task_names_using` of both kinds of integrations finds the tasks that use one by these names."""
    names = {Resource.AI_INTEGRATION: "ai_integration_id", Resource.AGENT_INTEGRATION: "integration_id"}
    for kind in KINDS.values():
        for field, mark in kind.reference_fields().items():
            assert field == names.get(mark.resource, field), f"{kind.__name__}.{field}"


# Modules that may name the class of a kind: where it is defined, and its work.
OWNERS = {
    "api/run_configurations.py": "defines the models and their table",
    "engine/runs/example_kinds.py": "the table of rules and work",
    "engine/runs/example_work.py": "what the two kinds with a model share",
    "engine/runs/llm_generation.py": "the work of llm_generation",
    "engine/runs/template_evaluation.py": "the work of template_evaluation",
    "engine/runs/agent_call.py": "the work of agent_call",
    "engine/evaluators/prompt.py": "renders the messages of llm_generation, in the evaluators' package of templates",
}


def test_no_other_module_distinguishes_the_kinds_by_their_classes() -> None:
    """A module that does not name a class cannot use isinstance or match on it."""
    classes = {kind.__name__ for kind in KINDS.values()}
    assert {name for name, tree in package_trees() if names_in(tree) & classes} == OWNERS.keys()


if __name__ == "__main__":
    import evaltasks

    sys.stdout.write(f"used {Path(evaltasks.__file__ or '').parent}\n")
    anyio.run(_use_echo)
