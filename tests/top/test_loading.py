"""The progress of `evaltasks load` and `evaltasks demo` on stderr."""

from __future__ import annotations

import io
import sys

import pytest

from evaltasks.loading import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("done", "total", "cells"),
    [(0, 10, 0), (5, 10, 15), (10, 10, 30), (12, 10, 30), (3, None, 0), (0, 0, 0)],
)
async def test_progress_bar_shows_the_share_on_a_terminal(
    done: float, total: float | None, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = ProgressBar()
    await bar.report(done, total, "rows sent")
    assert shown.getvalue().endswith("█" * cells + "░" * (30 - cells) + " rows sent")
    assert shown.getvalue().count("█") == cells


async def test_progress_bar_redraws_one_line_and_ends_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = ProgressBar()
    bar.close()
    assert shown.getvalue() == ""
    for done in (1, 2):
        await bar.report(done, 2, "sent")
    bar.close()
    bar.close()
    assert (shown.getvalue().count("\r"), shown.getvalue().count("\n")) == (2, 1)


async def test_progress_bar_writes_a_line_for_each_message_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    bar = ProgressBar()
    await bar.report(1, 2, "1 of 2")
    await bar.report(2, 2, "2 of 2")
    bar.close()
    assert shown.getvalue() == "  1 of 2\n  2 of 2\n"
