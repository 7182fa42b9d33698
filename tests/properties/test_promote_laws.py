"""Laws of tasks as files: a file reads back as it was written, and what is exported and applied is the same again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaltasks.client.references import is_id
from evaltasks.promote.differences import differences
from evaltasks.promote.documents import canonical_json
from evaltasks.promote.export import export_space
from evaltasks.promote.folder import read_folder, write_folder
from evaltasks.promote.yaml_text import dump, load
from tests.support.promoting import (
    Place,
    applied,
    evaluator,
    experiment_task,
    managed,
    place,
    planned,
    tasks_of,
    template,
)

ODD = ["yes", "on", "null", "~", "1e5", "0x1F", "1_000", "2026-01-01", "12:30", "- a", "a: b", "#x", "!x", "&x", "*x",
       "{a}", " lead", "trail ", "a\n  b\n", "\n\na", "a \nb", "\ttab", "a\r\nb", "\u2028", "\x85", "\ufeff", "'", '"',
       "%x", "@x", "`x", "---", "...", "= ", "<<", "", "🙂"]  # fmt: skip
texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(document=st.dictionaries(texts, json_values, max_size=4))
def test_yaml_dump_and_load_round_trip(document: dict[str, Any]) -> None:
    written = dump(document)
    read = load(written).value
    assert canonical_json(read) == canonical_json(document)
    assert dump(read) == written
    assert not differences(document, read)


named = st.one_of(
    st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
).filter(lambda name: bool(name.strip()) and not is_id(name) and "\0" not in name)
prompts = texts.map(lambda text: text.replace("{", "(").replace("}", ")") + " {output}")


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    evaluators = draw(st.lists(named, min_size=2, max_size=3, unique=True))
    tasks = draw(st.lists(named, min_size=2, max_size=4, unique=True))
    return {
        "evaluators": [
            {"name": name, "kind": draw(st.sampled_from(["code", "template"])), "description": draw(texts)[:50],
             "versions": draw(st.lists(prompts, min_size=1, max_size=3)),
             "labels": draw(st.lists(named, min_size=1, max_size=3, unique_by=lambda label: label.strip().casefold()))}
            for name in evaluators
        ],
        "tasks": [
            {"name": name, "template": draw(st.dictionaries(texts, json_values, max_size=3)),
             "picks": draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)),
             "pin": draw(st.none() | st.integers(0, 2)),
             "shape": draw(st.sampled_from(["project", "dataset", "agent"])),
             "mapped": draw(st.none() | texts), "rate": draw(st.none() | st.floats(0, 1)),
             "continuous": draw(st.booleans()), "filter": draw(st.none() | st.just("name = 'it''s'"))}
            for name in tasks
        ],
    }  # fmt: skip


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=worlds())
def test_export_and_apply_round_trip_and_a_second_apply_changes_nothing(drawn: dict[str, Any]) -> None:
    anyio.run(_check, drawn)


async def _check(drawn: dict[str, Any]) -> None:
    async with place() as source, place() as target:
        await _build(source, drawn)
        with tempfile.TemporaryDirectory() as folder:
            exported = await export_space(source.client, source.space.id, allow_key_shaped=True)
            assert not exported.left_out
            write_folder(Path(folder), exported.files)
            bundle = read_folder(Path(folder))
            await applied(bundle, target)
            assert await tasks_of(target) == await tasks_of(source)
            assert not (await planned(bundle, target)).differs
            back = await export_space(target.client, target.space.id, allow_key_shaped=True)
            assert write_folder(Path(folder), back.files).changed == []


async def _build(made: Place, drawn: dict[str, Any]) -> None:
    body = {"name": "bot", "type": "AGENT", "config": {"endpoint": "http://127.0.0.1:9/ask"}}
    made.ids["bot"] = (await made.it.ask("POST", "/v2/integrations", body))["id"]
    integration = {"name": "openai", "provider": "OPEN_AI", "model_names": ["m"]}
    made.ids["openai"] = (await made.it.ask("POST", "/v2/ai-integrations", integration))["id"]
    for number, one in enumerate(drawn["evaluators"]):
        configs = [_config(made, one, f"e{number}", text) for text in one["versions"]]
        await evaluator(made, one["name"], configs[0], description=one["description"] or None)
        for later, config in enumerate(configs[1:], 2):
            message = {"commit_message": "later", f"{one['kind']}_config": config}
            answer = await made.it.ask("POST", f"/v2/evaluators/{made.ids[one['name']]}/versions", message)
            made.ids[f"{one['name']}@{later}"] = answer["id"]
    for one in drawn["tasks"]:
        await _task(made, one, drawn["evaluators"])


def _config(made: Place, one: dict[str, Any], evaluation: str, text: str) -> dict[str, Any]:
    if one["kind"] == "template":
        choices = {label: number / 3 for number, label in enumerate(one["labels"])}
        return template(made, text, evaluation=evaluation, classification_choices=choices)
    words = {"name": "keywords", "type": "STRING_ARRAY", "default_value": [text, *one["labels"]]}
    return managed("CONTAINS_ANY_KEYWORD", evaluation, words)


async def _task(made: Place, one: dict[str, Any], evaluators: list[dict[str, Any]]) -> None:
    if one["shape"] == "agent":
        await experiment_task(
            made, one["name"], experiment_type="AGENT_CALL", integration_id=made.ids["bot"],
            input_template={"q": "{{question}}", **one["template"]},
        )  # fmt: skip
        return
    first = evaluators[one["picks"][0] % len(evaluators)]
    picked = [each for nth, each in enumerate(evaluators) if nth in one["picks"] and each["kind"] == first["kind"]]
    attachments: list[dict[str, Any]] = []
    for each in picked or [first]:
        attachment: dict[str, Any] = {"evaluator_id": made.ids[each["name"]]}
        if one["pin"] is not None:
            number = one["pin"] % len(each["versions"]) + 1
            attachment["evaluator_version_id"] = made.ids[f"{each['name']}@{number}"]
        if one["mapped"]:
            attachment["column_mappings"] = {"output": one["mapped"]}
        attachments.append(attachment)
    fields: dict[str, Any] = {"dataset_id": made.ids["gold"], "experiment_ids": [made.ids["base"]]}
    if one["shape"] == "project":
        fields = {"project_id": made.ids["chat"], "sampling_rate": one["rate"], "is_continuous": one["continuous"],
                  "query_filter": one["filter"]}  # fmt: skip
    kind = f"{first['kind'].upper()}_EVALUATION"
    await made.it.seed_task([], kind, one["name"], evaluators=attachments, **fields)
