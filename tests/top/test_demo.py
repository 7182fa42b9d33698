"""The demo completes on its real data, and its figures are correct."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evaltasks.demo.agreement import Judged, agreement, area_under_curve


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
    assert str(store) in shown.stdout
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


def test_a_score_that_says_nothing_has_half_the_area() -> None:
    assert area_under_curve([(1, True), (1, False)]) == 0.5
    assert area_under_curve([(2, True), (1, False)]) == 1.0
    assert area_under_curve([]) == 0.5
