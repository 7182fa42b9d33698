"""`evaltasks demo`: an agent's whole job on real data, without an account and without a key.

A real MCP client uses a real stdio server: it imports spans, creates evaluators and tasks, runs them with progress,
reads the results, and compares the judge's labels with the known labels, which are in a separate file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from evaltasks.demo.agent import DemoAgent, demo_agent, say, step
from evaltasks.demo.agreement import Agreement, Judged, agreement
from evaltasks.demo.experiment import run_experiment
from evaltasks.demo.second_act import second_act

PROJECT = "halueval-qa"
ANSWER_WORDS_MAX = 5
PAGE_ROWS = 50
# The label of the catalogue's faithfulness template for a right answer.
FAITHFUL = "faithful"
_SAMPLE = files("evaltasks.demo") / "sample"


async def play(store: str | None, with_llm: bool) -> int:
    """Run the demo and return 0. The store is kept, and its path is printed.

    Args:
        store: Path of the store; None for a new temporary file.
        with_llm: Whether to run the experiment with the small language model too.
    """
    folder = Path(tempfile.mkdtemp(prefix="evaltasks-demo-"))
    path = store or str(folder / "store.sqlite")
    spans = _spans()
    rows_file = folder / "spans.jsonl"
    rows_file.write_text("".join(json.dumps(row) + "\n" for row in spans), encoding="utf-8")

    say("An agent's whole job on real data: no account, no key.\n")
    async with demo_agent(["--store", path, "--allow-dir", str(folder)]) as agent:
        tools = await agent.tool_names()
        step(1, f"MCP server over stdio, protocol {agent.protocol}, {len(tools)} tools")
        await _prepare(agent, rows_file)
        await _evaluate_with_code(agent)
        verdicts = await _evaluate_faithfulness(agent)
        _compare(spans, verdicts)
        await second_act(agent, PROJECT, spans, _labels(), folder)
        if with_llm:
            await run_experiment(agent, spans, _labels(), folder)
    say(f"""
Everything is kept in {path}
Go on with it in Claude Desktop or an IDE:   evaltasks serve --store {path}
or ask again from here:                      evaltasks doctor --store {path}""")
    return 0


async def _prepare(agent: DemoAgent, rows_file: Path) -> None:
    step(2, f"import_spans: answers to HaluEval questions, as spans of the project '{PROJECT}'")
    imported = await agent.call("import_spans", project=PROJECT, file=str(rows_file))
    say(f"  {imported['num_added']} spans of yesterday and today; half of the answers are hallucinated")

    step(3, "create_evaluator twice: one that is code, one that judges")
    await agent.call(
        "create_evaluator", name="brief answer", managed="matches_regex",
        pattern=rf"^\s*\S+(\s+\S+){{0,{ANSWER_WORDS_MAX - 1}}}\s*$", variables=["output"],
    )  # fmt: skip
    judge = await agent.call("create_evaluator", name="faithfulness", from_template="faithfulness")
    say(f"  'brief answer': at most {ANSWER_WORDS_MAX} words, checked by a regular expression")
    say(f"  'faithfulness': judged by {judge['judge']}")


async def _evaluate_with_code(agent: DemoAgent) -> None:
    step(4, "create_evaluation_task, trigger_task_run: code")
    await agent.call(
        "create_evaluation_task", name="brief answers", task_type="code_evaluation", project=PROJECT,
        evaluators=[{"evaluator_id": "brief answer", "column_mappings": {"output": "attributes.output.value"}}],
    )  # fmt: skip
    await _results(agent, await _trigger(agent, "brief answers"))


async def _evaluate_faithfulness(agent: DemoAgent) -> dict[str, Mapping[str, Any]]:
    """Run the judge and return its evaluated rows by span id."""
    step(5, "create_evaluation_task, trigger_task_run: a judge")
    await agent.call(
        "create_evaluation_task", name="faithful answers", task_type="template_evaluation", project=PROJECT,
        query_filter="span_kind = 'LLM'",
        evaluators=[{
            "evaluator_id": "faithfulness",
            "column_mappings": {
                "input": "attributes.input.value",
                "output": "attributes.output.value",
                "context": "attributes.retrieval.documents.0.document.content",
            },
        }],
    )  # fmt: skip
    run_id = await _trigger(agent, "faithful answers")
    return await _results(agent, run_id)


async def _trigger(agent: DemoAgent, task: str) -> str:
    """Trigger a task, wait for the end of its run, and return the run's id."""
    start = datetime.now(UTC) - timedelta(days=2)
    answer = await agent.call("trigger_task_run", task=task, data_start_time=start.isoformat(), wait=True)
    while not answer["finished"]:
        answer = await agent.call("wait_for_task_run", run_id=answer["task_run"]["run_id"])
    run = answer["task_run"]
    say(f"  task run {run['status']}: {run['done']} rows in {run['duration_seconds']} s, {run['num_errors']} errors")
    return str(run["run_id"])


async def _results(agent: DemoAgent, run_id: str) -> dict[str, Mapping[str, Any]]:
    """Show the results of a task run, and return every evaluated row by its id."""
    rows: dict[str, Mapping[str, Any]] = {}
    cursor: dict[str, str] = {}
    first: dict[str, Any] = {}
    while True:
        page = await agent.call("task_run_results", run_id=run_id, rows=PAGE_ROWS, **cursor)
        first = first or page
        for evaluator in page["evaluators"]:
            rows.update({row["row_id"]: row for row in evaluator.get("worst_rows", [])})
        if not page.get("next_cursor"):
            break
        cursor = {"cursor": page["next_cursor"]}
    for evaluator in first["evaluators"]:
        labels = ", ".join(f"{item.get('label', 'no label')} {item['rows']}" for item in evaluator["labels"])
        say(f"  {evaluator['evaluator_name']}: {labels}")
    return rows


def _compare(spans: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    step(6, "What the judge got right and wrong, against the labels that were kept aside")
    labels = _labels()
    judged = []
    for span in spans:
        row = verdicts.get(span["span_id"], {})
        label = row.get("label")
        judged.append(
            Judged(
                is_right=labels[span["span_id"]] == "right",
                judged_right=None if label is None or label == "unsure" else label == FAITHFUL,
                score=row.get("score"),
                words=len(span["attributes"]["output.value"].split()),
            )
        )
    say(table(agreement(judged)))
    say("  The judge is a heuristic, not a language model: it compares words. It is good enough to try things with;")
    say("  for a release decision name an AI integration, and look at these same figures first.")


def table(found: Agreement) -> str:
    """Format the confusion matrix, and the figures of the judge and of the two trivial baselines."""
    return f"""
                         judged faithful   judged unfaithful
  answer is right              {found.right_called_right:>5}             {found.right_called_wrong:>5}
  answer is hallucinated       {found.wrong_called_right:>5}             {found.wrong_called_wrong:>5}
  unsure or skipped: {found.unsure} of {found.rows}

                                       accuracy    AUC
  faithfulness (heuristic)               {found.accuracy:.2f}      {found.auc:.2f}     kappa {found.kappa:.2f}
  baseline: always the commoner          {found.majority_accuracy:.2f}      0.50
  baseline: shorter is right                –      {found.length_auc:.2f}
"""


def _spans() -> list[dict[str, Any]]:
    """Return the sample as spans of the last day."""
    now = datetime.now(UTC)
    spans = []
    for line in (_SAMPLE / "halueval_qa.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        start = now - timedelta(days=1) + timedelta(seconds=row.pop("offset_seconds"))
        row["start_time"] = start.isoformat()
        row["end_time"] = (start + timedelta(seconds=row.pop("duration_seconds"))).isoformat()
        spans.append(row)
    return spans


def _labels() -> dict[str, str]:
    labels: dict[str, str] = json.loads((_SAMPLE / "halueval_qa.labels.json").read_text(encoding="utf-8"))
    return labels
