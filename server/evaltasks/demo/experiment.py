"""The demo's second part: a real small language model writes answers in a run_experiment task, and they are judged."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from evaltasks.demo.agent import DemoAgent
from evaltasks.tools.context import ToolFailed

DATASET = "halueval-questions"
EXAMPLES = 20
SHOWN = 3
LINE_BYTES_MAX = 10_000


@asynccontextmanager
async def small_model(folder: Path) -> AsyncIterator[dict[str, str]]:
    """The small model's server as a child process that logs into `folder`: its base_url and model_name.

    Raises ToolFailed when it does not start.
    """
    command = [sys.executable, "-m", "evaltasks.demo.small_llm"]
    log = folder / "small_llm.log"
    # What the model's server logs would drown the demo.
    with log.open("wb") as errors:
        process = await anyio.open_process(command, stderr=errors)
    async with process:
        try:
            assert process.stdout is not None
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", LINE_BYTES_MAX)
        except (anyio.IncompleteRead, anyio.EndOfStream):
            last_words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ToolFailed(f"The small language model did not start. {' '.join(last_words)}") from None
        try:
            yield json.loads(line)
        finally:
            process.terminate()


async def run_experiment(
    agent: DemoAgent, spans: Sequence[Mapping[str, Any]], labels: Mapping[str, str], folder: Path
) -> None:
    """Questions with context as a dataset, a prompt as a run_experiment task, its answers judged for correctness."""
    right = [span for span in spans if labels[span["span_id"]] == "right"][:EXAMPLES]
    rows = [
        {
            "question": span["attributes"]["input.value"],
            "context": span["attributes"]["retrieval.documents.0.document.content"],
            "reference": span["attributes"]["output.value"],
        }
        for span in right
    ]
    async with small_model(folder) as model:
        _say(f"\n[7] run_experiment: {model['model_name']}, a real language model, answers {len(rows)} questions")
        await agent.call("create_ai_integration", name="small model", provider="custom", base_url=model["base_url"])
        await agent.call("create_dataset", name=DATASET, rows=rows)
        await agent.call(
            "create_run_experiment_task", name="answer with context", dataset=DATASET,
            run_configuration={
                "experiment_type": "llm_generation",
                "ai_integration_id": "small model",
                "model_name": model["model_name"],
                "messages": [
                    {"role": "system", "content": "Answer with a few words, from the context alone."},
                    {"role": "user", "content": "Context: {{context}}\nQuestion: {{question}}\nShort answer:"},
                ],
                "invocation_parameters": {"temperature": 0, "max_tokens": 48},
            },
        )  # fmt: skip
        answer = await agent.call(
            "trigger_task_run", task="answer with context", experiment_name="small model, first prompt", wait=True
        )
        while not answer["finished"]:
            answer = await agent.call("wait_for_task_run", run_id=answer["task_run"]["run_id"])
        run = answer["task_run"]
        _say(f"  task run {run['status']}: {run['done']} examples in {run['duration_seconds']} s")
    await _judge(agent, run["experiment"]["id"])


async def _judge(agent: DemoAgent, experiment_id: str) -> None:
    """Evaluate the new experiment against the reference answers."""
    _say("\n[8] create_evaluation_task on the experiment: correctness against the reference answers")
    await agent.call("create_evaluator", name="correctness", from_template="correctness")
    await agent.call(
        "create_evaluation_task", name="correct answers", task_type="template_evaluation", dataset=DATASET,
        experiment_ids=[experiment_id],
        evaluators=[{
            "evaluator_id": "correctness",
            "column_mappings": {"input": "question", "output": "output", "expected": "reference"},
        }],
    )  # fmt: skip
    answer = await agent.call("trigger_task_run", task="correct answers", wait=True)
    while not answer["finished"]:
        answer = await agent.call("wait_for_task_run", run_id=answer["task_run"]["run_id"])
    results = await agent.call("task_run_results", run_id=answer["task_run"]["run_id"], rows=SHOWN)
    run = answer["task_run"]
    _say(f"  task run {run['status']}: {run['done']} rows. {run.get('failure_reason', '')}")
    for evaluator in results["evaluators"]:
        labels = ", ".join(f"{item.get('label', 'no label')} {item['rows']}" for item in evaluator["labels"])
        overlap = evaluator["score"]["mean"]
        _say(f"  {evaluator['evaluator_name']}: {labels}; mean word overlap with the reference {overlap:.2f}")
    _say("  A model of 135 million parameters makes real mistakes; that is what an experiment is for.")


def _say(text: str) -> None:
    print(text, flush=True)
