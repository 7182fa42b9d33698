"""The second part of the demo: custom code on whole sessions, in the sandbox, and an agent run over a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evaltasks.demo.agent import DemoAgent, say, step
from evaltasks.demo.children import child

DATASET = "halueval-questions"
EXAMPLES = 60

IMPORTS = """\
import json
from arize.experimental.datasets.experiments.evaluators.base import EvaluationResult, CodeEvaluator
"""
# Written to AX's contract, so the same source runs on AX.
PARROTS = '''\
class Parrots(CodeEvaluator):
    """How far the answers of a conversation only repeat the words of their questions."""

    def evaluate(self, *, conversation=None, **kwargs):
        turns = json.loads(conversation)
        parroted = 0
        for turn in turns:
            asked = set(turn["input"].lower().split())
            said = turn["output"].lower().strip(".").split()
            parroted += sum(word in asked for word in said) > len(said) * 0.7
        return EvaluationResult(
            label="parrots" if parroted > len(turns) / 2 else "own words",
            score=1 - parroted / len(turns),
            explanation=f"{parroted} of {len(turns)} answers repeat their question",
        )
'''


def examples_of(spans: Sequence[Mapping[str, Any]], labels: Mapping[str, str], count: int) -> list[dict[str, str]]:
    """Return questions with their context and right answer, one for each pair of spans."""
    return [
        {
            "question": span["attributes"]["input.value"],
            "context": span["attributes"]["retrieval.documents.0.document.content"],
            "reference": span["attributes"]["output.value"],
        }
        for span in spans
        if labels[span["span_id"]] == "right"
    ][:count]


async def second_act(
    agent: DemoAgent, project: str, spans: Sequence[Mapping[str, Any]], labels: Mapping[str, str], folder: Path
) -> None:
    await _judge_sessions(agent, project)
    await agent.call("create_dataset", name=DATASET, rows=examples_of(spans, labels, EXAMPLES))
    await _prepare_chain(agent, spans, labels)
    await _try_an_agent(agent, folder)


async def _judge_sessions(agent: DemoAgent, project: str) -> None:
    step(7, "create_evaluator with code of one's own, for whole sessions; it runs in a sandbox")
    await agent.call(
        "create_evaluator", name="parrots", kind="custom_code", imports=IMPORTS, code=PARROTS,
        variables=["conversation"], data_granularity="session",
    )  # fmt: skip
    await agent.call(
        "create_evaluation_task", name="conversations", task_type="code_evaluation", project=project,
        evaluators=[{"evaluator_id": "parrots"}],
    )  # fmt: skip
    start = datetime.now(UTC) - timedelta(days=2)
    await agent.finish("trigger_task_run", task="conversations", data_start_time=start.isoformat(), wait=True)


async def _prepare_chain(agent: DemoAgent, spans: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> None:
    """Create a first experiment to compare with, and the evaluation task that later experiments are chained to."""
    step(8, "create_experiment, create_evaluation_task: a baseline, judged for relevance to its question")
    first_sentences = [
        {"question": example["question"], "output": example["context"].split(". ")[0]}
        for example in examples_of(spans, labels, EXAMPLES)
    ]
    await agent.call(
        "create_experiment", name="first sentence", dataset=DATASET, rows=first_sentences, match_column="question"
    )
    await agent.call("create_evaluator", name="relevance", from_template="relevance")
    await agent.call(
        "create_evaluation_task", name="relevant answers", task_type="template_evaluation", dataset=DATASET,
        experiment_ids=["first sentence"],
        evaluators=[{
            "evaluator_id": "relevance",
            "column_mappings": {"input": "question", "context": "output"},
        }],
    )  # fmt: skip
    await agent.finish("trigger_task_run", task="relevant answers", wait=True)


async def _try_an_agent(agent: DemoAgent, folder: Path) -> None:
    step(9, "create_agent_integration, create_run_experiment_task: an agent behind HTTP, its evaluation chained to it")
    async with child("evaltasks.demo.small_agent", folder) as started:
        await agent.call("create_agent_integration", name="small agent", endpoint=started["endpoint"])
        await agent.call(
            "create_run_experiment_task", name="ask the agent", dataset=DATASET,
            run_configuration={
                "experiment_type": "agent_call",
                "integration_id": "small agent",
                "input_template": {"question": "{{question}}", "context": "{{context}}"},
            },
        )  # fmt: skip
        await agent.finish(
            "trigger_task_run", task="ask the agent", experiment_name="agent, first version", wait=True,
            evaluation_task_ids=["relevant answers"],
        )  # fmt: skip
    say("  One call waited for both: the experiment, and its evaluation.")
