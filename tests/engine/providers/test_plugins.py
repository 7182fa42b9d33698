"""A provider of an installed package: used end to end, and ignored with a log line when it cannot be used."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evaltasks.api import plugins
from evaltasks.api.ai_integrations import AiIntegration, CreateAiIntegration
from evaltasks.api.wire import READING
from evaltasks.engine.providers.registry import PLUGIN_GROUP, PROVIDERS, find_provider, providers_with_plugins
from tests.support.engines import WINDOW, EngineInTest, engine
from tests.support.judges import judge_server
from tests.support.plugins import install_plugin
from tests.support.recipes import code_blocks

KEY = "plug-in-key-0123456789"
PATH = "/v2/ai-integrations"
MODULE = """
from evaltasks.engine.providers.openai_adapters import openai_compatible
from evaltasks.engine.providers.record import ProviderRecord

RECORD = ProviderRecord("{name}", openai_compatible, base_url="{base_url}")
"""
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package of one module whose `RECORD` is an entry point of the group."""

    def add(module: str, source: str) -> None:
        install_plugin(
            tmp_path / module,
            monkeypatch,
            group=PLUGIN_GROUP,
            entries={module: f"{module}:RECORD"},
            modules={module: source},
            distribution=module,
        )

    providers_with_plugins.cache_clear()
    yield add
    providers_with_plugins.cache_clear()


async def judged_by(it: EngineInTest, **integration: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge three spans with a new AI integration; return the finished task run and its rows."""
    body = {"name": "mine", "model_names": ["my-model"], **integration}
    integration_id = (await it.ask("POST", PATH, body, status=201))["id"]
    evaluator = await it.seed_template_evaluator(
        integration_id=integration_id, model_name="my-model", template="Is {output} grounded?"
    )
    project_id = await it.seed_project()
    await it.seed_spans(project_id, 3)
    task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project_id)
    run = await it.finish(task, **WINDOW)
    return run, await it.rows(run["id"])


async def test_a_provider_made_by_the_recipe_judges_a_task_run(install: Install) -> None:
    (source,) = code_blocks("A provider", "python")
    (project,) = code_blocks("A provider", "toml")
    assert re.search(rf'entry-points."{PLUGIN_GROUP}"\]\nmy_llm = "[\w.]+:RECORD"', project)
    async with judge_server(key=KEY) as judge, engine(environment={"MY_LLM_API_KEY": KEY}) as it:
        install("my_llm", source.replace("https://api.my-llm.example/v1", judge.base_url))
        run, rows = await judged_by(it, provider="my_llm", api_key_env="MY_LLM_API_KEY")

    assert (run["status"], run["num_successes"]) == ("COMPLETED", 3)
    assert {row["label"] for row in rows} <= {"yes", "no"}
    assert {(row["provenance"]["provider"], row["provenance"]["cost_usd"]) for row in rows} == {("MY_LLM", "unknown")}
    assert len(judge.requests) == 3
    assert {request.headers["authorization"] for request in judge.requests} == {f"Bearer {KEY}"}


CRASHING = """
from evaltasks.engine.providers.record import ProviderRecord

class Crashing:
    async def complete(self, request):
        raise ValueError("a mistake of the plug-in")

def adapter(record, setup):
    {adapter}

RECORD = ProviderRecord("CRASHING_AI", adapter, needs_key=False)
"""


@pytest.mark.parametrize("adapter", ["raise ValueError('a mistake of the plug-in')", "return Crashing()"])
async def test_an_undeclared_error_of_a_plugin_fails_the_task_run_alone(
    adapter: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("plugin_crashes", CRASHING.format(adapter=adapter))
    async with judge_server() as judge, engine() as it:
        run, _ = await judged_by(it, provider="CRASHING_AI")
        evaluator = await it.seed_template_evaluator(judge.base_url)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=await it.seed_project())
        later = await it.finish(task, **WINDOW)

    assert run["status"] == "FAILED", run
    assert "a mistake of the plug-in" not in json.dumps(run)
    assert "ValueError: a mistake of the plug-in" in caplog.text
    assert later["status"] == "COMPLETED"


async def test_a_plugins_name_is_read_back_and_written_as_custom_for_published_clients(install: Install) -> None:
    install("plugin_on_the_wire", MODULE.format(name="WIRE_AI", base_url="http://127.0.0.1:9/v1"))
    async with engine() as it:
        made = await it.ask("POST", PATH, {"name": "wire", "provider": "WIRE_AI"}, status=201)
        changed = await it.ask("PATCH", f"{PATH}/{made['id']}", {"model_names": ["m"]}, status=200)
        listed = (await it.ask("GET", PATH))["ai_integrations"][0]

    assert changed == listed
    assert (listed["provider"], listed["provider_plugin"]) == ("CUSTOM", "WIRE_AI")
    for context in (None, READING):
        assert AiIntegration.model_validate_json(json.dumps(listed), context=context).provider == "WIRE_AI"
    with pytest.raises(ValidationError):
        CreateAiIntegration.model_validate({"name": "wire", "provider": "WIRE_AI"})


async def test_an_integration_whose_plugin_is_gone_says_so(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("plugin_uninstalled", MODULE.format(name="GONE_AI", base_url="http://127.0.0.1:9/v1"))
    async with engine() as it:
        made = await it.ask("POST", PATH, {"name": "gone", "provider": "GONE_AI"}, status=201)
        providers_with_plugins.cache_clear()
        monkeypatch.setattr(plugins, "entry_points", lambda group: ())
        shown = await it.ask("GET", f"{PATH}/{made['id']}")
        problem = await it.ask("PATCH", f"{PATH}/{made['id']}", {"model_names": ["m"]}, status=501)
        await it.ask("POST", PATH, {"name": "again", "provider": "GONE_AI"}, status=400)

    assert shown["provider_plugin"] == "GONE_AI"
    assert "cannot call GONE_AI" in problem["detail"]


BROKEN = [
    ("plugin_raises", "raise RuntimeError('no such library')", "loading it failed", "no such library"),
    ("plugin_exits", "raise SystemExit(3)", "loading it failed", "SystemExit: 3"),
    (
        "plugin_imports",
        "import not_installed_anywhere",
        "loading it failed",
        "No module named 'not_installed_anywhere'",
    ),
    ("plugin_misses", "", "loading it failed", "has no attribute 'RECORD'"),
    ("plugin_of_text", "RECORD = 'MY_LLM'", "expected an instance of", "record.ProviderRecord, not of str"),
    ("plugin_misnamed", MODULE.format(name="my-llm", base_url="https://x"), "loading it failed", "not UPPER_SNAKE"),
    ("plugin_takes", MODULE.format(name="OPEN_AI", base_url="https://x"), "'OPEN_AI' is already taken", ""),
]


@pytest.mark.parametrize(("module", "source", "reason", "detail"), BROKEN, ids=[module for module, *_ in BROKEN])
async def test_a_broken_plugin_is_logged_by_name_and_ignored(
    module: str, source: str, reason: str, detail: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(module, source)
    install("sound_plugin", MODULE.format(name="SOUND_AI", base_url="https://sound.example/v1"))
    async with engine() as it:
        with caplog.at_level(logging.ERROR):
            await it.ask("POST", PATH, {"name": "sound", "provider": "SOUND_AI"}, status=201)
            await it.ask("POST", PATH, {"name": "broken", "provider": "MY_LLM"}, status=400)
        made = await it.ask("POST", PATH, {"name": "built in", "provider": "OPEN_AI"}, status=201)

    assert (made["provider"], made["provider_plugin"]) == ("OPEN_AI", None)
    assert find_provider("OPEN_AI") is providers_with_plugins()["OPEN_AI"] is PROVIDERS["OPEN_AI"]
    (line,) = [record.getMessage() for record in caplog.records if record.name == plugins.__name__]
    assert line.startswith(f"{PLUGIN_GROUP}: '{module}' ")
    assert reason in line
    assert detail in caplog.text


def test_the_first_of_two_plugins_with_one_name_is_used(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("plugin_twin_a", MODULE.format(name="TWIN_AI", base_url="https://a.example/v1"))
    install("plugin_twin_b", MODULE.format(name="TWIN_AI", base_url="https://b.example/v1"))

    record = find_provider("TWIN_AI")

    assert record is not None
    assert record.base_url == "https://a.example/v1"
    assert "'plugin_twin_b' is ignored: 'TWIN_AI' is already taken" in caplog.text


async def test_plugins_are_loaded_once_and_only_for_an_unknown_name(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[str] = []

    def no_entry_points(group: str) -> tuple[()]:
        groups.append(group)
        return ()

    monkeypatch.setattr(plugins, "entry_points", no_entry_points)
    async with engine() as it:
        await it.ask("POST", PATH, {"name": "known", "provider": "OPEN_AI"}, status=201)
        assert groups == []
        for _ in range(2):
            await it.ask("POST", PATH, {"name": "unknown", "provider": "UNKNOWN_AI"}, status=400)

    assert groups == [PLUGIN_GROUP]
