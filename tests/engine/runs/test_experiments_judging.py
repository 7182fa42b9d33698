"""run_experiment with template_evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engines import EngineInTest, engine
from tests.support.judges import Answer, SeenRequest, judge_server

CHOICES = {"good": 1.0, "bad": 0.0}


async def judging_task(it: EngineInTest, dataset: str, base_url: str, **configuration: Any) -> str:
    body = {
        "name": "judge",
        "type": "RUN_EXPERIMENT",
        "dataset_id": dataset,
        "run_configuration": {
            "experiment_type": "TEMPLATE_EVALUATION",
            "ai_integration_id": await it.seed_ai_integration(base_url, ["small"]),
            "template": "Judge {{answer}} to {{ question }}",
            "classification_choices": CHOICES,
            "provide_explanation": True,
            **configuration,
        },
    }
    return str((await it.ask("POST", "/v2/tasks", body))["id"])


async def runs_of(it: EngineInTest, experiment_id: str) -> list[dict[str, Any]]:
    page = await it.ask("GET", f"/v2/experiments/{experiment_id}/runs", limit=500)
    ids = await it.example_ids((await it.ask("GET", f"/v2/experiments/{experiment_id}"))["dataset_id"])
    runs: list[dict[str, Any]] = sorted(page["experiment_runs"], key=lambda run: ids.index(run["example_id"]))
    return runs


@pytest.mark.promise("experiment.each")
async def test_template_evaluation_stores_the_label_as_output() -> None:
    async with engine() as it, judge_server() as judge:
        dataset = await it.seed_dataset(
            [{"question": "{{answer}} {q}", "answer": f"[[label: {label}]]"} for label in CHOICES]
        )
        task = await judging_task(it, dataset, judge.base_url, invocation_parameters={"temperature": 0, "seed": 7})
        done = await it.finish(task, experiment_name="first", tracing_metadata={"team": "blue"})
        assert (done["status"], done["num_successes"], done["num_selected"]) == ("COMPLETED", 2, 2)
        good, bad = await runs_of(it, done["experiment_id"])
        assert (good["output"], good["score"], good["error"]) == ("good", 1.0, None)
        assert (bad["output"], bad["score"]) == ("bad", 0.0)
        assert good["explanation"] and good["metadata.team"] == "blue"
        assert (good["model"], good["judge"], good["answered_by"]) == ("small", "llm", "tool_call")
        assert good["prompt_tokens"] > 0 and good["latency_ms"] >= 0
        assert not [name for name in good if name.startswith("eval.")]
        # The text of an example is data: placeholders in it, in either notation, are not filled.
        assert judge.requests[0].prompt.endswith(" to {{answer}} {q}")
        assert (judge.requests[0].body["temperature"], judge.requests[0].body["seed"]) == (0, 7)
        rows = await it.rows(done["id"])
        assert [(row["label"], row["score"]) for row in rows] == [("good", 1.0), ("bad", 0.0)]


async def test_template_evaluation_maps_columns_and_fails_examples_without_one() -> None:
    async with engine() as it, judge_server() as judge:
        rows = [{"q": "a", "meta": {"reply": "[[label: good]]"}}, {"q": "b"}]
        mapping = {"question": "q", "answer": "meta.reply"}
        task = await judging_task(it, await it.seed_dataset(rows), judge.base_url, column_mapping=mapping)
        done = await it.finish(task, experiment_name="first")
        assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 1, 1)
        judged, failed = await runs_of(it, done["experiment_id"])
        assert judged["output"] == "good" and judge.requests[0].prompt == "Judge [[label: good]] to a"
        assert failed["output"] is None and "'meta.reply'" in failed["error"]
        assert len(judge.requests) == 1


async def test_template_evaluation_uses_the_name_of_its_evaluator_version() -> None:
    async with engine() as it, judge_server() as judge:
        evaluator = await it.seed_template_evaluator(judge.base_url, evaluation_name="is it good")
        version = (await it.ask("GET", f"/v2/evaluators/{evaluator}"))["version"]["id"]
        dataset = await it.seed_dataset([{"question": "q", "answer": "[[label: good]]"}])
        task = await judging_task(it, dataset, judge.base_url, evaluator_version_id=version)
        done = await it.finish(task, experiment_name="first")
        (run,) = await runs_of(it, done["experiment_id"])
        assert (run["output"], run["eval.is it good.label"], run["eval.is it good.score"]) == ("good", "good", 1.0)
        assert run["eval.is it good.explanation"] == run["explanation"] and run["evaluator_version_id"] == version
        (row,) = await it.rows(done["id"])
        assert row["provenance"]["evaluator_version_id"] == version
        path = f"/v2/experiments/{done['experiment_id']}/runs/search"
        for filter_ in ("eval.is it good.label = 'good'", "score > 0.5", "output = 'good'"):
            written = filter_.replace("eval.is it good.label", '"eval.is it good.label"')
            found = await it.ask("POST", path, {"filter": written})
            assert [one["id"] for one in found["experiment_runs"]] == [run["id"]]


async def test_template_evaluation_without_choices_stores_the_text_without_a_score() -> None:
    async with engine() as it, judge_server() as judge:
        dataset = await it.seed_dataset([{"question": "q", "answer": "[[text: Rather short, but true.]]"}])
        task = await judging_task(it, dataset, judge.base_url, classification_choices=None)
        done = await it.finish(task, experiment_name="first")
        (run,) = await runs_of(it, done["experiment_id"])
        assert run["output"] == "Rather short, but true." and "score" not in run
        (row,) = await it.rows(done["id"])
        assert (row["label"], row["score"], row["explanation"]) == (None, None, "Rather short, but true.")


async def test_reply_outside_the_labels_is_retried_once_and_then_an_error() -> None:
    def script(request: SeenRequest) -> Answer | None:
        if "stubborn" in request.first_prompt:
            return Answer.text("excellent")
        if "slow" in request.first_prompt:
            reminded = any("names none of the labels" in str(m["content"]) for m in request.body["messages"])
            return Answer.text("Label: good" if reminded else "excellent")
        return None

    async with engine() as it, judge_server(script=script) as judge:
        dataset = await it.seed_dataset(
            [{"question": "q", "answer": "stubborn"}, {"question": "q", "answer": "slow to learn"}]
        )
        task = await judging_task(it, dataset, judge.base_url)
        done = await it.finish(task, experiment_name="first")
        stubborn, slow = await runs_of(it, done["experiment_id"])
        assert stubborn["output"] is None and stubborn["error"] == "the judge's answer names none of the labels"
        assert stubborn["error_detail"] == "excellent" and stubborn["asked_by"] == "tool_call"
        assert (slow["output"], slow["reminders"]) == ("good", 1)
        assert (slow["asked_by"], slow["answered_by"]) == ("tool_call", "label_in_text")


async def test_heuristic_judge_evaluates_examples_and_reports_its_kind() -> None:
    async with engine() as it:
        page = await it.ask("GET", "/v2/ai-integrations")
        heuristic = next(one["id"] for one in page["ai_integrations"] if one["name"] == "heuristic")
        configuration = {
            "experiment_type": "TEMPLATE_EVALUATION",
            "ai_integration_id": heuristic,
            "model_name": "heuristic-correctness",
            "template": "{{question}} {{expected}} {{answer}}",
            "classification_choices": {"right": 1, "wrong": 0},
        }
        rows = [{"question": "Where?", "expected": "in Paris", "answer": "in Paris"}]
        body = {"name": "t", "type": "RUN_EXPERIMENT", "dataset_id": await it.seed_dataset(rows)}
        task = (await it.ask("POST", "/v2/tasks", {**body, "run_configuration": configuration}))["id"]
        done = await it.finish(task, experiment_name="first")
        (run,) = await runs_of(it, done["experiment_id"])
        assert (run["output"], run["judge"]) == ("right", "heuristic, not a language model")
        unfit = {**configuration, "template": "{{anything}}"}
        said = await it.ask("PATCH", f"/v2/tasks/{task}", {"run_configuration": unfit}, status=422)
        assert "heuristic-correctness" in said["detail"] or "answer" in said["detail"]
