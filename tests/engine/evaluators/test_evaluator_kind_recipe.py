"""The recipe "An evaluator kind" of CONTRIBUTING.md: WORD_COUNT, from an installed package and in a copy of ours."""

from __future__ import annotations

import ast
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import evaltasks
from evaltasks.api.evaluator_kinds import BUILT_IN, PLUGINS, kinds
from evaltasks.engine.document import openapi_document
from evaltasks.engine.evaluators.kinds import RUNNERS
from evaltasks.promote.export import export_space
from evaltasks.promote.plan import Action
from evaltasks.tools.create_evaluator import SPEC as CREATE_EVALUATOR
from tests.support.agents import MODES, agent
from tests.support.authoring import tools
from tests.support.engines import WINDOW, engine
from tests.support.plugins import install_plugin
from tests.support.promoting import applied, place, planned, tasks_of
from tests.support.promoting import evaluator as seed_evaluator
from tests.support.recipes import copy_package, names_in, package_trees, run_with_copy

WORD_COUNT = """
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from evaltasks.api.evaluator_kinds import CodeConfig
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Outcome
from evaltasks.engine.evaluators.runner import Resources, RunnableKind, Runner
from evaltasks.engine.sandbox.sandbox import Sandbox


class WordCountConfig(CodeConfig):
    type: Literal["WORD_COUNT"] = "WORD_COUNT"
    words_max: int = Field(default=2, ge=1)


class WordCounter(Evaluator):
    def __init__(self, config: WordCountConfig) -> None:
        self.variables = tuple(config.variables)
        self._words_max = config.words_max

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        words = len(str(values[self.variables[0]]).split())
        return Evaluated(label="short" if words <= self._words_max else "long", score=float(words))


async def problems(config: WordCountConfig, sandbox: Sandbox) -> list[str]:
    return [] if len(config.variables) == 1 else [f"WORD_COUNT takes 1 variable, not {len(config.variables)}"]


def make(config: WordCountConfig, resources: Resources) -> Evaluator:
    return WordCounter(config)


KIND = RunnableKind(
    config=WordCountConfig, labels=frozenset({"short", "long"}), runner=Runner(problems=problems, make=make)
)
"""
CONFIG: dict[str, Any] = {"type": "WORD_COUNT", "name": "length", "variables": ["output"], "words_max": 1}


@contextmanager
def installed(
    directory: Path, entries: dict[str, str] | None = None, module: str = WORD_COUNT
) -> Iterator[pytest.MonkeyPatch]:
    """Install the package for the time of the block."""
    with pytest.MonkeyPatch.context() as patch:
        entries = entries or {"word_count": "throwaway_word_count:KIND"}
        install_plugin(directory, patch, group=PLUGINS, entries=entries, modules={"throwaway_word_count": module})
        kinds.cache_clear()
        yield patch
    kinds.cache_clear()


def body(space_id: str, **config: Any) -> dict[str, Any]:
    version = {"commit_message": "first", "code_config": CONFIG | config}
    return {"space_id": space_id, "name": "Length", "type": "CODE", "version": version}


async def test_an_installed_kind_is_created_run_and_read_over_rest(tmp_path: Path) -> None:
    with installed(tmp_path):
        async with engine() as it:
            space_id = await it.space_id()
            made = await it.ask("POST", "/v2/evaluators", body(space_id, type="word_count"))
            assert made["version"]["code_config"] == {**CONFIG, "static_params": []} | {
                name: made["version"]["code_config"][name] for name in ("data_granularity", "query_filter")
            }
            project = await it.seed_project()
            await it.seed_spans(project, 2)
            task = await it.seed_task([made["id"]], project_id=project)
            run = await it.finish(task, **WINDOW)
            assert (run["status"], run["num_successes"]) == ("COMPLETED", 2)
            assert {(row["label"], row["score"]) for row in await it.rows(run["id"])} == {("long", 2.0)}
            for config, words in (
                ({"variables": ["a", "b"]}, "WORD_COUNT takes 1 variable, not 2"),
                ({"words_max": 0}, "code_config.words_max"),
                ({"colour": "red"}, "code_config.colour"),
                ({"type": "WORDS"}, "code_config.type must be MANAGED, CUSTOM or WORD_COUNT"),
            ):
                refused = await it.http.post("/v2/evaluators", json=body(space_id, **config) | {"name": "other"})
                assert refused.status_code in {400, 422} and words in refused.text


@pytest.mark.parametrize("mode", MODES)
async def test_an_installed_kind_is_created_and_its_results_are_read_over_mcp(mode: str, tmp_path: Path) -> None:
    with installed(tmp_path):
        async with agent(mode) as client:
            await client.seed.seed_spans(await client.seed.seed_project("chat"), 2)
            await client.answer("create_evaluator", {"name": "Length", "kind": "word_count_code"})
            await client.answer(
                "create_evaluation_task",
                {"name": "t", "task_type": "code_evaluation", "evaluators": ["Length"], "project": "chat"},
            )
            ended = await client.answer("trigger_task_run", {"task": "t", **WINDOW, "wait": True})
            results = await client.answer(ended["next_call"]["tool"], ended["next_call"]["arguments"])
            [one] = results["evaluators"]
            assert one["labels"] == [{"label": "short", "rows": "2 of 2"}]


async def test_the_tool_takes_the_arguments_that_are_fields_of_the_kind(tmp_path: Path) -> None:
    with installed(tmp_path):
        async with tools() as it:
            made = await it.call(CREATE_EVALUATOR, name="n", kind="Word-Count-Code", query_filter="span_kind = 'LLM'")
            stored = (await it.client.evaluators.get(made.evaluator_id)).version
            assert stored.query_filter == "span_kind = 'LLM'" and made.variables == ["output"]
            second = await it.call(CREATE_EVALUATOR, name="n", kind="word_count_code", new_version=True)
            assert second.is_new_version and second.evaluation_name == "n"
            words = await it.refused(CREATE_EVALUATOR, name="m", kind="word_count_code", pattern="x", code="y")
            assert "pattern: is only for managed_code" in words and "code: is only for custom_code" in words
            words = await it.refused(CREATE_EVALUATOR, name="m", kind="word_count_code", variables=["a", "b"])
            assert "WORD_COUNT takes 1 variable, not 2" in words
            kind = CREATE_EVALUATOR.input.model_json_schema()["properties"]["kind"]["anyOf"][0]
            assert kind["enum"] == ["template", "managed_code", "custom_code", "word_count_code"]


def test_the_openapi_document_describes_an_installed_kind(tmp_path: Path) -> None:
    with installed(tmp_path):
        schemas = openapi_document()["components"]["schemas"]
    for name in ("CreateEvaluatorVersion", "VersionAnswer"):
        code_config = json.dumps(schemas[name]["properties"]["code_config"])
        assert '"const": "WORD_COUNT"' in code_config and "ManagedCodeConfig" in code_config


async def test_an_installed_kind_is_exported_and_applied(tmp_path: Path) -> None:
    with installed(tmp_path):
        async with place() as source, place() as target:
            await seed_evaluator(source, "Length", CONFIG)
            await source.it.seed_task([source.ids["Length"]], name="t", project_id=source.ids["chat"])
            exported = await export_space(source.client, source.space.id)
            assert not exported.left_out
            await applied(exported.files, target)
            assert await tasks_of(target) == await tasks_of(source)
            assert {step.action for step in (await planned(exported.files, target)).steps} == {Action.UNCHANGED}


async def test_evaluators_stay_readable_when_their_package_is_uninstalled(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with installed(tmp_path / "package"):
        async with engine(store) as it:
            made = await it.ask("POST", "/v2/evaluators", body(await it.space_id()))
            project = await it.seed_project()
            await it.seed_spans(project, 1)
            task = await it.seed_task([made["id"]], project_id=project)
    async with engine(store) as it:
        assert await it.ask("GET", f"/v2/evaluators/{made['id']}") == made
        page = await it.ask("GET", f"/v2/evaluators/{made['id']}/versions")
        assert page["evaluator_versions"] == [made["version"]]
        run = await it.finish(task, **WINDOW)
        assert run["status"] == "FAILED"
        assert "does not run evaluators of type 'WORD_COUNT'" in (await it.task_run(run["id"]))["failure_reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('"WORD_COUNT"', '"MANAGED"'), "'word_count' is ignored: 'MANAGED' is already taken"),
        (('Literal["WORD_COUNT"] = "WORD_COUNT"', "str"), "'word_count' (throwaway_word_count:KIND) is ignored: load"),
        (("KIND = ", "raise RuntimeError\nKIND = "), "'word_count' (throwaway_word_count:KIND) is ignored: loading"),
    ],
)
async def test_a_broken_or_colliding_kind_is_logged_and_ignored(
    change: tuple[str, str], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), installed(tmp_path, module=WORD_COUNT.replace(*change)):
        assert kinds() == BUILT_IN
        assert kinds() == BUILT_IN
    assert sum(reason in record.getMessage() for record in caplog.records) == 1


def test_every_built_in_kind_has_a_runner() -> None:
    assert RUNNERS.keys() == BUILT_IN.keys()


MODEL = """class WordCountConfig(CodeConfig):
    type: Literal["WORD_COUNT"] = "WORD_COUNT"
    words_max: int = Field(default=2, ge=1)


"""
ROW = """    "WORD_COUNT": Runner(problems=no_problems, make=lambda config, _resources: WordCounter(config)),
"""
WORK = """class WordCounter(Evaluator):
    def __init__(self, config):
        self.variables = tuple(config.variables)
        self._words_max = config.words_max

    async def evaluate(self, values):
        words = len(str(values[self.variables[0]]).split())
        return Evaluated(label="short" if words <= self._words_max else "long", score=float(words))


async def no_problems(config, sandbox):
    return []


"""
# The two files to touch for a kind of this repository: what is added, and before what.
EDITS = {
    "api/evaluator_kinds.py": [
        (MODEL, "class OtherCodeConfig("),
        ("WORD_COUNT = EvaluatorKind(config=WordCountConfig)\n", "\nBUILT_IN"),
        ("WORD_COUNT, ", "MANAGED, CUSTOM)}"),
    ],
    "engine/evaluators/kinds.py": [
        ("from evaltasks.engine.evaluators.outcome import Evaluated\n", "from evaltasks.engine.evaluators.outcome"),
        (WORK, "RUNNERS: "),
        (ROW, "    CUSTOM.tag: Runner("),
    ],
}


def test_a_built_in_kind_needs_changes_in_two_files(tmp_path: Path) -> None:
    """The table is made when the package is imported, so an interpreter of its own uses the changed copy."""
    copy = copy_package(tmp_path, EDITS)
    assert run_with_copy(tmp_path, __spec__.name if __spec__ else __name__) == f"used {copy}\n"


async def _use_the_built_in_kind() -> None:
    async with tools() as it:
        await it.seed.seed_spans(await it.seed.seed_project("chat"), 2)
        made = await it.call(CREATE_EVALUATOR, name="Length", kind="word_count_code")
        projects = await it.seed.ask("GET", "/v2/projects")
        task = await it.seed.seed_task([made.evaluator_id], project_id=projects["projects"][0]["id"])
        run = await it.seed.finish(task, **WINDOW)
        assert {(row["label"], row["score"]) for row in await it.seed.rows(run["id"])} == {("short", 2.0)}
    async with place() as source, place() as target:
        await seed_evaluator(source, "Length", CONFIG)
        await source.it.seed_task([source.ids["Length"]], name="t", project_id=source.ids["chat"])
        await applied((await export_space(source.client, source.space.id)).files, target)
        assert await tasks_of(target) == await tasks_of(source)


# Modules that may name the configuration class of a kind: where it is defined or made, and the work of the kind.
OWNERS = {
    "api/evaluator_kinds.py": "defines the classes and their table",
    "api/evaluators.py": "the field template_config of the wire",
    "engine/evaluators/kinds.py": "the table of the engine's part",
    "engine/evaluators/template.py": "the work of template",
    "engine/evaluators/template_judge.py": "the work of template",
    "engine/evaluators/template_rules.py": "the rules of template",
    "engine/evaluators/heuristic.py": "the work of template without a language model",
    "engine/evaluators/managed.py": "the work of MANAGED",
    "engine/evaluators/custom.py": "the work of CUSTOM",
    "engine/sandbox/contract.py": "the rules of CUSTOM",
    "engine/sandbox/contract_class.py": "the rules of CUSTOM",
    "engine/handlers/evaluator_answers.py": "writes a flag of template_config under both of its names",
    "engine/runs/template_evaluation.py": "makes a template of a run configuration",
    "promote/documents.py": "template_config in files, with the name of the integration for its id",
    "tools/evaluator_configs.py": "makes template and MANAGED from arguments that have other names",
}


CLASSES = {kind.config.__name__ for kind in BUILT_IN.values()} | {"OtherCodeConfig"}


def test_no_module_but_the_listed_ones_names_the_configuration_of_a_kind() -> None:
    """A module that does not name a class cannot distinguish kinds by it."""
    assert {name for name, tree in package_trees() if names_in(tree) & CLASSES} == OWNERS.keys()


def test_no_module_distinguishes_kinds_by_isinstance_or_match() -> None:
    for name, tree in package_trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                assert not names_in(node.args[1]) & CLASSES, f"{name}:{node.lineno}"
            elif isinstance(node, ast.MatchClass):
                assert not names_in(node.cls) & CLASSES, f"{name}:{node.lineno}"


if __name__ == "__main__":
    sys.stdout.write(f"used {Path(evaltasks.__file__ or '').parent}\n")
    anyio.run(_use_the_built_in_kind)
