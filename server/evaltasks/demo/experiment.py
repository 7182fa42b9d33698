"""The optional last part of the demo: a real small language model writes answers in a run_experiment task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaltasks.demo.agent import DemoAgent, say, step
from evaltasks.demo.children import child
from evaltasks.demo.second_act import examples_of

DATASET = "halueval-questions, short"
EXAMPLES = 20


async def run_experiment(
    agent: DemoAgent, spans: Sequence[Mapping[str, Any]], labels: Mapping[str, str], folder: Path
) -> None:
    """Run a prompt over a dataset of questions with context, and judge the answers for correctness."""
    rows = examples_of(spans, labels, EXAMPLES)
    async with child("evaltasks.demo.small_llm", folder) as model:
        step(10, f"run_experiment: {model['model_name']}, a real language model, answers {len(rows)} questions")
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
        answer = await agent.finish(
            "trigger_task_run", task="answer with context", experiment_name="small model, first prompt", wait=True
        )
    step(11, "create_evaluation_task on the new experiment: correctness against the reference answers")
    await agent.call("create_evaluator", name="correctness", from_template="correctness")
    await agent.call(
        "create_evaluation_task", name="correct answers of the model", task_type="template_evaluation",
        dataset=DATASET, experiment_ids=[answer["task_run"]["experiment"]["id"]],
        evaluators=[{
            "evaluator_id": "correctness",
            "column_mappings": {"input": "question", "output": "output", "expected": "reference"},
        }],
    )  # fmt: skip
    await agent.finish("trigger_task_run", task="correct answers of the model", wait=True)
    say("  A model of 135 million parameters makes real mistakes; that is what an experiment is for.")
