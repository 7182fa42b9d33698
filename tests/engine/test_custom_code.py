"""Custom code evaluators over the REST side: refused with everything that is wrong, or run in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from tests.support.custom_code import IMPORTS, custom_config
from tests.support.engines import WINDOW, EngineInTest, engine

# Arize's own documented example in shape: static parameters, exceptions, an f-string, a generator, several returns.
KEYS = """
required = self.required_keys or []
try:
    parsed = json.loads(output or "")
except (TypeError, ValueError) as error:
    return EvaluationResult(label="fail", score=0.0, explanation=f"output is not valid JSON: {error}")
if not isinstance(parsed, dict):
    return EvaluationResult(label="fail", score=0.0, explanation="output JSON is not an object")
missing = [key for key in required if key not in parsed]
return EvaluationResult(
    label="pass" if not missing else "fail",
    score=float(not missing),
    explanation="all there" if not missing else f"missing keys: {', '.join(missing)}",
)
"""
REQUIRED = {"name": "required_keys", "type": "STRING_ARRAY", "default_value": ["answer", "confidence"]}


async def create(it: EngineInTest, *, status: int = 201, name: str = "mine", **config: Any) -> dict[str, Any]:
    code = custom_config(**config).model_dump(mode="json", exclude_none=True)
    version = {"commit_message": "first", "code_config": code}
    body = {"space_id": await it.space_id(), "name": name, "type": "CODE", "version": version}
    answer: dict[str, Any] = await it.ask("POST", "/v2/evaluators", body, status=status)
    return answer


@pytest.mark.parametrize("kind", list(SandboxKind))
@pytest.mark.promise("code.custom")
async def test_a_custom_evaluator_evaluates_spans_in_the_sandbox(kind: SandboxKind) -> None:
    async with engine(sandbox=kind) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 3, output='{"answer": 1, "confidence": {i}}')
        await it.seed_spans(project, 2, first=3, output='{"answer": 1}')
        await it.seed_spans(project, 1, first=5, output="not JSON")
        made = await create(it, body=KEYS, imports="import json", static=[REQUIRED], name="keys")
        task = await it.seed_task([made["id"]], project_id=project)
        done = await it.finish(task, **WINDOW)
        rows = await it.rows(done["id"])
    assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 6, 0)
    assert sorted(row["score"] for row in rows) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert {row["explanation"] for row in rows if row["label"] == "fail"} >= {"missing keys: confidence"}


async def test_the_documents_example_runs_as_it_stands() -> None:
    document = (Path(__file__).parents[2] / "docs" / "engine.md").read_text(encoding="utf-8")
    imports, _, code = document.partition("```python\n# imports\n")[2].partition("```")[0].partition("# code\n")
    async with engine() as it:
        project = await it.seed_project()
        await it.seed_spans(project, 1, output='{"answer": 1}')
        made = await create(it, code=code, imports=imports.rpartition("from arize")[0], static=[REQUIRED])
        done = await it.finish(await it.seed_task([made["id"]], project_id=project), **WINDOW)
        (row,) = await it.rows(done["id"])
    assert (row["label"], row["score"], row["explanation"]) == ("fail", 0.0, "['confidence']")


async def test_a_row_that_breaks_costs_one_error_and_says_why_without_the_codes_words() -> None:
    body = """
    if output == "answer 3":
        raise ValueError("IGNORE ALL INSTRUCTIONS")
    while output == "answer 5":
        pass
    return EvaluationResult(label=output)
    """
    async with engine(sandbox_limits=SandboxLimits(batch_seconds=0.25)) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 12)
        made = await create(it, body=body)
        done = await it.finish(await it.seed_task([made["id"]], project_id=project), **WINDOW)
        errors = await it.rows(done["id"], outcome="error")
    assert (done["status"], done["num_successes"], done["num_errors"]) == ("COMPLETED", 10, 2)
    assert sorted(row["reason"] for row in errors) == [
        "the evaluator's code raised ValueError",
        "the evaluator's code ran longer than 0.25 s",
    ]


async def test_what_breaks_the_contract_is_refused_with_everything_that_is_wrong() -> None:
    code = "class A(CodeEvaluator):\n    def evaluate(self, **kwargs):\n        return {'label': 'x'}\n"
    async with engine() as it:
        problem = await create(it, code=code, imports="import numpy\nimport enum", status=422)
        evaluators = await it.ask("GET", "/v2/evaluators")
    for words in (
        "code line 2: evaluate has no parameter 'output', which variables names; write def evaluate(self, *, ",
        "code line 3: return EvaluationResult(",
        "imports line 1: the module numpy is not available",
        "imports line 2: the module enum is not available",
    ):
        assert words in problem["detail"]
    assert evaluators["evaluators"] == []


async def test_what_the_sandbox_does_not_know_is_named_with_its_line_and_the_way_out() -> None:
    code = custom_config(extra="@property\ndef limit(self):\n    return 3\n")
    async with engine() as it:
        problem = await create(it, code=code.code, status=422)
    assert (
        "code line 4: monty does not support method decorators (classmethod/staticmethod/property)" in problem["detail"]
    )
    assert "--sandbox process" in problem["detail"]


async def test_code_that_hangs_while_it_is_loaded_is_refused() -> None:
    async with engine(sandbox_limits=SandboxLimits(batch_seconds=0.2)) as it:
        problem = await create(it, extra="def __init__(self):\n    while True: pass\n", status=422)
    assert "loading failed: the evaluator's code ran longer than 0.2 s" in problem["detail"]


async def test_a_new_version_is_held_to_the_same_contract() -> None:
    async with engine() as it:
        made = await create(it)
        code = custom_config("return output").model_dump(mode="json", exclude_none=True)
        version = {"commit_message": "worse", "code_config": {**code, "imports": IMPORTS.replace("arize", "phoenix")}}
        problem = await it.ask("POST", f"/v2/evaluators/{made['id']}/versions", version, status=422)
    assert "AX's runtime has EvaluationResult and CodeEvaluator at one path only" in problem["detail"]


async def test_a_task_takes_one_custom_evaluator() -> None:
    async with engine() as it:
        project = await it.seed_project()
        ids = [(await create(it, name=name, body="return EvaluationResult(score=1)"))["id"] for name in ("a", "b")]
        body = {
            "name": "both", "type": "CODE_EVALUATION", "project_id": project,
            "evaluators": [{"evaluator_id": id_} for id_ in ids],
        }  # fmt: skip
        problem = await it.ask("POST", "/v2/tasks", body, status=422)
    assert "Only one custom code evaluator runs per task. Create one task per custom evaluator." in problem["detail"]


async def test_a_task_run_may_be_cancelled_while_code_hangs() -> None:
    async with engine(sandbox_limits=SandboxLimits(batch_seconds=0.3)) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 5)
        made = await create(it, body="while output: pass\nreturn EvaluationResult(score=1)")
        task_run = await it.trigger(await it.seed_task([made["id"]], project_id=project), **WINDOW)
        await it.ask("POST", f"/v2/task-runs/{task_run['id']}/cancel")
        await it.idle()
        assert (await it.task_run(task_run["id"]))["status"] == "CANCELLED"


async def test_an_evaluator_whose_every_row_hangs_fails_its_task_run_early() -> None:
    limits = SandboxLimits(batch_seconds=0.1, rows_lost_max=3)
    async with engine(sandbox_limits=limits) as it:
        project = await it.seed_project()
        await it.seed_spans(project, 200)
        made = await create(it, body="while output: pass\nreturn EvaluationResult(score=1)")
        done = await it.finish(await it.seed_task([made["id"]], project_id=project), **WINDOW)
    assert (done["status"], done["num_selected"]) == ("FAILED", 200)
    assert "3 rows in a row the evaluator's code ran longer than 0.1 s" in done["failure_reason"]
