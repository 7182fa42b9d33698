"""A provider of another installed package: used end to end, and ignored with a log line when it cannot be used."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from evaltasks.api.ai_integrations import AiIntegration, CreateAiIntegration
from evaltasks.api.wire import READING
from evaltasks.engine.providers import plugins, registry
from evaltasks.engine.providers.plugins import ProviderPlugins
from tests.support.engines import WINDOW, engine
from tests.support.judges import judge_server

KEY = "plug-in-key-0123456789"
PATH = "/v2/ai-integrations"

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"

# The whole of a plug-in, as the recipe shows it.
MODULE = """
from evaltasks.engine.providers.openai_adapters import openai_compatible
from evaltasks.engine.providers.record import ProviderRecord

RECORD = ProviderRecord("{name}", openai_compatible, base_url="{base_url}")
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a throw-away distribution: one module and one entry point of the group."""
    monkeypatch.setattr(registry, "_plugins", ProviderPlugins(registry.PROVIDERS))

    def write(module: str, code: str, target: str = "RECORD") -> None:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        entry = f"[evaltasks.providers]\n{module} = {module}:{target}\n"
        (info / "entry_points.txt").write_text(entry, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def test_the_recipe_shows_the_plugin_that_is_tested_here() -> None:
    recipe = MODULE.format(name="MY_LLM", base_url="https://api.my-llm.example/v1")

    assert f"```python{recipe}```" in CONTRIBUTING.read_text(encoding="utf-8")


async def test_a_plugin_of_one_record_judges_a_task_run(install: Install) -> None:
    async with judge_server(key=KEY) as judge, engine(environment={"ECHO_API_KEY": KEY}) as it:
        install("plugin_end_to_end", MODULE.format(name="ECHO_AI", base_url=judge.base_url))
        body = {"name": "echo", "provider": "echo_ai", "api_key_env": "ECHO_API_KEY", "model_names": ["echo-1"]}
        integration = await it.ask("POST", PATH, body, status=201)
        template = {
            "name": "grounded",
            "template": "Is {output} grounded?",
            "classification_choices": {"yes": 1.0, "no": 0.0},
            "include_explanations": True,
            "llm_config": {"ai_integration_id": integration["id"], "model_name": "echo-1"},
        }
        version = {"commit_message": "first", "template_config": template}
        body = {"space_id": await it.space_id(), "name": "grounded", "type": "TEMPLATE", "version": version}
        evaluator = (await it.ask("POST", "/v2/evaluators", body))["id"]
        project = await it.seed_project()
        await it.seed_spans(project, 3)
        task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
        run = await it.finish(task, **WINDOW)
        rows = await it.rows(run["id"])

    assert (run["status"], run["num_successes"]) == ("COMPLETED", 3)
    assert {row["label"] for row in rows} <= {"yes", "no"}
    assert {(row["provenance"]["provider"], row["provenance"]["cost_usd"]) for row in rows} == {("ECHO_AI", "unknown")}
    assert len(judge.requests) == 3
    assert {request.headers["authorization"] for request in judge.requests} == {f"Bearer {KEY}"}


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
        monkeypatch.setattr(registry, "_plugins", ProviderPlugins(registry.PROVIDERS))
        monkeypatch.setattr(plugins, "entry_points", lambda group: ())
        shown = await it.ask("GET", f"{PATH}/{made['id']}")
        problem = await it.ask("PATCH", f"{PATH}/{made['id']}", {"model_names": ["m"]}, status=501)
        await it.ask("POST", PATH, {"name": "again", "provider": "GONE_AI"}, status=400)

    assert shown["provider_plugin"] == "GONE_AI"
    assert "cannot call GONE_AI" in problem["detail"]


BROKEN = [
    ("plugin_raises", "raise RuntimeError('no such library')", "RECORD", "RuntimeError: no such library"),
    ("plugin_exits", "raise SystemExit(3)", "RECORD", "SystemExit: 3"),
    ("plugin_imports", "import not_installed_anywhere", "RECORD", "ModuleNotFoundError"),
    ("plugin_misses", "", "RECORD", "AttributeError"),
    ("plugin_of_text", "RECORD = 'ECHO_AI'", "RECORD", "it is a str, not a ProviderRecord"),
    ("plugin_misnamed", MODULE.format(name="echo-ai", base_url="https://x"), "RECORD", "not UPPER_SNAKE"),
    ("plugin_takes", MODULE.format(name="OPEN_AI", base_url="https://x"), "RECORD", "the name of a built-in provider"),
]


@pytest.mark.parametrize(("module", "code", "target", "reason"), BROKEN, ids=[module for module, *_ in BROKEN])
async def test_a_broken_plugin_is_logged_by_name_and_ignored(
    module: str, code: str, target: str, reason: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(module, code, target)
    install(f"{module}_beside", MODULE.format(name="SOUND_AI", base_url="https://sound.example/v1"))
    async with engine() as it:
        with caplog.at_level(logging.ERROR):
            await it.ask("POST", PATH, {"name": "sound", "provider": "SOUND_AI"}, status=201)
            await it.ask("POST", PATH, {"name": "broken", "provider": "ECHO_AI"}, status=400)
        made = await it.ask("POST", PATH, {"name": "built in", "provider": "OPEN_AI"}, status=201)

    assert (made["provider"], made["provider_plugin"]) == ("OPEN_AI", None)
    assert str(registry.PROVIDERS["OPEN_AI"].base_url).startswith("https://api.openai.com")
    (line,) = [record.getMessage() for record in caplog.records if record.name == plugins.__name__]
    assert line.startswith(f"provider plug-in '{module}' of {module} ({module}:{target}) is ignored: ")
    assert reason in line


def test_two_plugins_of_one_name_leave_the_first(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("plugin_twin_a", MODULE.format(name="TWIN_AI", base_url="https://a.example/v1"))
    install("plugin_twin_b", MODULE.format(name="TWIN_AI", base_url="https://b.example/v1"))

    record = registry.find_provider("TWIN_AI")

    assert record is not None
    assert record.base_url == "https://a.example/v1"
    assert "'plugin_twin_b' of plugin_twin_b (plugin_twin_b:RECORD) is ignored: another plug-in" in caplog.text


async def test_plugins_are_looked_for_once_and_only_for_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[str] = []

    def no_entry_points(group: str) -> tuple[()]:
        groups.append(group)
        return ()

    monkeypatch.setattr(registry, "_plugins", ProviderPlugins(registry.PROVIDERS))
    monkeypatch.setattr(plugins, "entry_points", no_entry_points)
    async with engine() as it:
        await it.ask("POST", PATH, {"name": "known", "provider": "OPEN_AI"}, status=201)
        assert groups == []
        for _ in range(2):
            await it.ask("POST", PATH, {"name": "unknown", "provider": "UNKNOWN_AI"}, status=400)

    assert groups == ["evaltasks.providers"]
