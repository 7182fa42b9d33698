"""Secrets are never in files or in printed text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.promote.export import SecretsFound, export_space
from evaltasks.promote.folder import write_folder
from evaltasks.promote.integration_files import ai_integration_file, notes_of_ai
from evaltasks.promote.report import export_text, plan_json, plan_text
from tests.support.promoting import KEY, SECRET_HEADER, evaluator, managed, place, planned, tasks_of, template, world


def files_below(folder: Path) -> list[str]:
    return [file.read_text("utf-8") for file in folder.rglob("*") if file.is_file()]


async def test_export_and_plan_contain_no_key_and_no_header(tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": KEY, "BOT_K": KEY}
    async with world(environment=environment) as source, place() as target:
        exported = await export_space(source.client, source.space.id)
        report = export_text(exported, write_folder(tmp_path, exported.files), str(tmp_path))
        plan = await planned(exported.files, target)
        everything = [*files_below(tmp_path), report, plan_text(plan), plan_json(plan, applied=False)]
        assert await tasks_of(source)
    assert len(everything) > 20
    for secret in (KEY, SECRET_HEADER, "***"):
        assert not [text for text in everything if secret in text]
    assert "api_key_env: OPENAI_API_KEY" in "".join(everything)
    assert "AI integration 'openai': its headers (x-team) were left out" in report


@pytest.mark.parametrize("where", ["filter", "keyword", "template", "label"])
async def test_export_refuses_text_that_looks_like_a_key_without_quoting_it(where: str) -> None:
    def key_in(place_: str) -> str:
        return KEY if where == place_ else "a"

    async with world() as source:
        words = {"name": "keywords", "type": "STRING_ARRAY", "default_value": [key_in("keyword")]}
        await evaluator(source, "W", managed("CONTAINS_ANY_KEYWORD", "w", words))
        choices = {key_in("label"): 1, "b": 0}
        judge = template(source, f"{{output}} {key_in('template')}", evaluation="j", classification_choices=choices)
        await evaluator(source, "J", judge)
        chat = source.ids["chat"]
        filter_ = f"attributes.k = '{key_in('filter')}'"
        await source.it.seed_task([source.ids["W"]], name="one", project_id=chat, query_filter=filter_)
        await source.it.seed_task([source.ids["J"]], "TEMPLATE_EVALUATION", "two", project_id=chat)
        with pytest.raises(SecretsFound) as refused:
            await export_space(source.client, source.space.id)
        assert KEY not in str(refused.value)
        assert "--allow-key-shaped" in str(refused.value)
        # A person who knows that it is not a secret can allow it.
        assert (await export_space(source.client, source.space.id, allow_key_shaped=True)).files


async def test_url_with_a_password_is_never_in_a_file_or_a_plan() -> None:
    """An engine refuses such an address; AX may hold one."""
    address = f"https://proxy.test/v1?token={KEY}"

    def with_password(path: str, document: Any) -> Any:
        for one in document.get("ai_integrations", []) if path == "/v2/ai-integrations" else []:
            one["base_url"] = address if one["name"] == "openai" else one["base_url"]
        return document

    async with world() as source, world(is_engine=False) as target:
        files = (await export_space(source.client, source.space.id)).files
        target.network.rewrite = with_password
        plan = await planned(files, target)
        with pytest.raises(SecretsFound, match="ai integration 'openai', base_url") as held:
            await export_space(target.client, target.space.id)
    assert not [text for text in (plan_text(plan), plan_json(plan, applied=False), str(held.value)) if KEY in text]
    assert "base_url: [not shown: it looks like a key] → none" in plan_text(plan)


@pytest.mark.parametrize("num_spaces", [0, 1, 2])
def test_export_notes_an_integration_of_several_spaces_because_its_file_says_one(num_spaces: int) -> None:
    integration = AiIntegration.model_validate(
        {
            "id": "a",
            "name": "judge",
            "provider": "OPEN_AI",
            "scopings": [{"space_id": f"s{n}"} for n in range(num_spaces)],
        }
        | {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    )
    note = "AI integration 'judge': its file says this_space_only, but other spaces see it too."
    assert notes_of_ai(integration) == ([note] if num_spaces > 1 else [])
    assert ai_integration_file(integration).this_space_only is (num_spaces > 0)
