"""Mapping variables to the values of spans and experiment runs."""

from __future__ import annotations

import pytest

from tests.support.engines import WINDOW, EngineInTest, engine


async def looked_into(it: EngineInTest, where: dict[str, object], variable: str, path: str | None) -> dict[str, object]:
    """Return the value of the variable that a regex evaluator matched."""
    static = [{"name": "pattern", "type": "REGEX", "default_value": "^found$"}]
    evaluator = await it.seed_code_evaluator(variables=[variable], static_params=static)
    mappings = {} if path is None else {variable: path}
    body = {
        "name": "t",
        "type": "CODE_EVALUATION",
        "evaluators": [{"evaluator_id": evaluator, "column_mappings": mappings}],
        **where,
    }
    task = (await it.ask("POST", "/v2/tasks", body))["id"]
    done = await it.finish(task, **(WINDOW if "project_id" in where else {}))
    (row,) = await it.rows(done["id"])
    return row


@pytest.mark.promise("map.columns", "map.unmapped")
@pytest.mark.parametrize(
    ("variable", "path", "attributes"),
    [
        ("x", "attributes.a.b", {"a.b": "found"}),
        ("x", "attributes.a.b", {"a": {"b": "found"}}),
        ("x", "a.b", {"a.b": "found"}),
        ("x", "attributes.llm.output_messages.0.message.content", {"llm.output_messages.0.message.content": "found"}),
        ("x", "attributes.docs[1].text", {"docs": [{"text": "no"}, {"text": "found"}]}),
        ("input", None, {"input.value": "found", "input.mime_type": "text/plain"}),
        ("output", None, {"output.value": "found"}),
        ("tone", None, {"tone": "found"}),
        ("attributes.tone", None, {"tone": "found"}),
    ],
)
async def test_span_value_is_found(variable: str, path: str | None, attributes: dict[str, object]) -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1, attributes=attributes)
        row = await looked_into(it, {"project_id": project}, variable, path)
        assert (row["outcome"], row["label"]) == ("SUCCESS", "true"), row


@pytest.mark.promise("map.columns")
@pytest.mark.parametrize("path", ["name", "span_kind", "status_code", "latency_ms", "context.span_id", "start_time"])
async def test_span_columns_can_be_mapped(path: str) -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1)
        assert (await looked_into(it, {"project_id": project}, "x", path))["outcome"] == "SUCCESS"


@pytest.mark.promise("map.experiment_runs")
@pytest.mark.parametrize(
    ("variable", "path", "outcome"),
    [
        ("output", None, "SUCCESS"),
        ("x", "output", "SUCCESS"),
        ("x", "expected", "SUCCESS"),
        ("expected", None, "SUCCESS"),
        ("x", "attributes.output.value", "ERROR"),
    ],
)
async def test_experiment_run_columns_come_before_those_of_its_example(
    variable: str, path: str | None, outcome: str
) -> None:
    async with engine() as it:
        dataset = await it.seed_dataset([{"expected": "found"}])
        experiment = await it.seed_experiment(dataset, ["found"])
        where = {"dataset_id": dataset, "experiment_ids": [experiment]}
        row = await looked_into(it, where, variable, path)
        assert row["outcome"] == outcome
        if outcome == "ERROR":
            assert "'x'" in str(row["reason"]) and "attributes.output.value" in str(row["reason"])


async def test_earlier_evaluation_can_be_mapped() -> None:
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1, output="answer")
        first = await it.seed_task([await it.seed_code_evaluator()], project_id=project)
        await it.finish(first, **WINDOW)
        static = [{"name": "pattern", "type": "REGEX", "default_value": "^true$"}]
        evaluator = await it.seed_code_evaluator(evaluation_name="second", variables=["x"], static_params=static)
        attachment = {"evaluator_id": evaluator, "column_mappings": {"x": "eval.is_answer.label"}}
        body = {"name": "t", "type": "CODE_EVALUATION", "project_id": project, "evaluators": [attachment]}
        done = await it.finish((await it.ask("POST", "/v2/tasks", body))["id"], **WINDOW)
        (row,) = await it.rows(done["id"])
        assert row["label"] == "true"
