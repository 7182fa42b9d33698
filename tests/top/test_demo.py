"""The demo completes on its real data, and its figures are correct."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mcp import Client

from evaltasks.demo import small_llm
from evaltasks.demo.agent import DemoAgent
from evaltasks.demo.agreement import Judged, agreement, area_under_curve
from evaltasks.tools.context import ToolFailed


def test_the_demo_completes_and_keeps_its_store(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    shown = subprocess.run(
        [sys.executable, "-m", "evaltasks", "demo", "--store", str(store)],
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "task run completed: 300 of 300 rows" in shown.stdout
    assert "heuristic, not a language model" in shown.stdout
    assert "baseline: always the commoner" in shown.stdout
    counts = re.search(
        r"answer is right +(\d+) +(\d+)\n +answer is hallucinated +(\d+) +(\d+)\n +unsure or skipped: (\d+) of 300\n",
        shown.stdout,
    )
    assert counts is not None, shown.stdout
    right_faithful, right_not, wrong_faithful, wrong_not, unsure = map(int, counts.groups())
    assert (right_faithful + right_not + wrong_faithful + wrong_not + unsure, right_faithful + right_not) == (300, 150)
    assert unsure > 0, "the rows without a label are not counted as a verdict"
    assert str(store) in shown.stdout
    # Exactly the answers with at most as many words as the demo says are brief.
    (most,) = re.findall(r"'brief answer': at most (\d+) words", shown.stdout)
    lines = (files("evaltasks.demo") / "sample" / "halueval_qa.jsonl").read_text(encoding="utf-8").splitlines()
    num_words = [len(json.loads(line)["attributes"]["output.value"].split()) for line in lines]
    assert f"brief answer: true {sum(number <= int(most) for number in num_words)} of 300" in shown.stdout
    assert int(most) in num_words
    # The comparison with the known labels counts every row of the results, those without a label as unsure.
    (labels,) = re.findall(r"faithfulness: (.*)", shown.stdout)
    of = {label: int(count) for label, count in re.findall(r"([a-z ]+?) (\d+) of 300", labels)}
    of = {label.strip(): count for label, count in of.items()}
    right, hallucinated = re.findall(r"answer is (?:right|hallucinated) +(\d+) +(\d+)", shown.stdout)
    faithful, unfaithful = (sum(map(int, pair)) for pair in zip(right, hallucinated, strict=True))
    (unsure,) = re.findall(r"unsure or skipped: (\d+) of 300", shown.stdout)
    assert (faithful, unfaithful) == (of["faithful"], of["unfaithful"])
    assert int(unsure) == 300 - faithful - unfaithful > 0
    assert store.exists()


def test_agreement_counts_what_the_judge_said_against_what_is_true() -> None:
    rows = [
        Judged(is_right=True, judged_right=True, score=0.9, words=3),
        Judged(is_right=True, judged_right=False, score=0.2, words=3),
        Judged(is_right=False, judged_right=False, score=0.1, words=9),
        Judged(is_right=False, judged_right=None, score=0.5, words=9),
    ]
    found = agreement(rows)
    assert (found.right_called_right, found.right_called_wrong) == (1, 1)
    assert (found.wrong_called_right, found.wrong_called_wrong, found.unsure) == (0, 1, 1)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.kappa == pytest.approx(0.4)
    assert found.auc == pytest.approx(0.75)
    assert found.length_auc == 1.0
    assert found.majority_accuracy == 0.5


def test_agreement_puts_each_verdict_into_its_own_count() -> None:
    def judged(count: int, is_right: bool, said_right: bool | None) -> list[Judged]:
        return [Judged(is_right, said_right, None, 1)] * count

    found = agreement(
        judged(5, True, True) + judged(4, True, False) + judged(3, False, True) + judged(2, False, False)
        + judged(1, True, None)
    )  # fmt: skip
    assert (found.right_called_right, found.right_called_wrong) == (5, 4)
    assert (found.wrong_called_right, found.wrong_called_wrong) == (3, 2)
    assert (found.rows, found.unsure, found.auc) == (15, 1, 0.5)
    assert found.accuracy == pytest.approx(7 / 14)
    # By chance: (9 * 8 + 5 * 6) of 14 * 14.
    assert found.kappa == pytest.approx((7 / 14 - 102 / 196) / (1 - 102 / 196))
    assert found.majority_accuracy == pytest.approx(10 / 15)


def test_agreement_without_a_verdict_has_no_accuracy() -> None:
    found = agreement([Judged(True, None, None, 1), Judged(False, None, None, 1)])
    assert (found.unsure, found.accuracy, found.kappa) == (2, 0, 0)


def test_the_small_model_names_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "weights_of_test").mkdir()
    (tmp_path / "weights_of_test" / "__init__.py").touch()
    for package in ("no_such_package_of_test", "weights_of_test"):
        monkeypatch.setattr(small_llm, "_WEIGHTS_PACKAGE", package)
        with pytest.raises(small_llm.NotInstalled, match="python scripts/install_llm"):
            small_llm.weights()
    file = tmp_path / "weights_of_test" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.touch()
    assert small_llm.weights() == file


async def test_the_demo_waits_until_a_run_is_finished_and_shows_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = {"run_id": "r1", "task_name": "tone", "status": "running", "done": "1 of 2", "num_errors": 0}
    ended = {**run, "status": "completed", "done": "2 of 2"}
    chained = {"run_id": "r2", "status": "failed", "done": "0", "num_errors": 3}
    results = {
        "evaluators": [
            {"evaluator_name": "kind", "labels": [{"label": "yes", "rows": "1 of 2"}], "score": {"mean": 0.5}},
            {
                "evaluation_name": "open",
                "labels": [{"other_label": {"untrusted": "oh"}, "rows": "1 of 2"}, {"rows": "1"}],
            },
            {"evaluator_name": "empty", "labels": []},
        ]
    }
    script = [
        {"finished": False, "task_run": run},
        {"finished": False, "task_run": run},
        {"finished": True, "task_run": ended, "chained_task_runs": [chained]},
        results,
        {"evaluators": []},
    ]
    calls: list[tuple[str, str | None]] = []

    class Server:
        async def call_tool(self, tool: str, arguments: dict[str, Any], **_: Any) -> Any:
            calls.append((tool, arguments.get("run_id")))
            return SimpleNamespace(is_error=False, structured_content=script.pop(0))

    answer = await DemoAgent(cast(Client, Server())).finish("trigger_task_run", task="tone", wait=True)
    assert answer["task_run"] == ended
    assert calls == [
        ("trigger_task_run", None), ("wait_for_task_run", "r1"), ("wait_for_task_run", "r1"),
        ("task_run_results", "r1"), ("task_run_results", "r2"),
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "  task run 'tone' completed: 2 of 2 rows, 0 errors",
        "  kind: yes 1 of 2; mean score 0.50",
        "  open: oh 1 of 2, no label 1",
        "  task run failed: 0 rows, 3 errors",
    ]


async def test_the_demo_stops_at_a_tool_error() -> None:
    class Server:
        async def call_tool(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(is_error=True, content=[SimpleNamespace(text="no such task")])

    with pytest.raises(ToolFailed, match="get_task: no such task"):
        await DemoAgent(cast(Client, Server())).call("get_task", task="x")


def test_a_score_that_says_nothing_has_half_the_area() -> None:
    assert area_under_curve([(1, True), (1, False)]) == 0.5
    assert area_under_curve([(2, True), (1, False)]) == 1.0
    assert area_under_curve([]) == 0.5
