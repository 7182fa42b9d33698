"""`evaltasks load`: rows of a file into the embedded engine, through the very tools an agent would use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from evaltasks.app import open_client
from evaltasks.edge.clock import SystemClock
from evaltasks.settings import Settings
from evaltasks.tools.context import Declined, ToolContext, ToolSettings
from evaltasks.tools.create_dataset import SPEC as CREATE_DATASET
from evaltasks.tools.import_spans import SPEC as IMPORT_SPANS
from evaltasks.tools.spec import ToolSpec

BAR_CELLS = 30


class ProgressBar:
    """One line on stderr, redrawn where stderr is a terminal; plain lines of news elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._open = False

    async def report(self, done: float, total: float | None, message: str) -> None:
        share = min(1.0, done / total) if total else 0.0
        bar = "█" * round(share * BAR_CELLS)
        if self._live:
            sys.stderr.write(f"\r\x1b[2K  {bar:░<{BAR_CELLS}} {message}")
            self._open = True
        else:
            sys.stderr.write(f"  {message}\n")
        sys.stderr.flush()

    def close(self) -> None:
        if self._open:
            sys.stderr.write("\n")
            self._open = False


class NonInteractiveConfirm:
    async def ask(self, question: str, *, confirm_with: str) -> None:
        raise Declined(f"{question} No one can be asked here; confirm with {confirm_with}.")


async def load_spans(file: Path, project: str, store: str) -> int:
    return await _load(IMPORT_SPANS, {"project": project}, file, store)


async def load_examples(file: Path, dataset: str, store: str) -> int:
    return await _load(CREATE_DATASET, {"name": dataset}, file, store)


async def _load(spec: ToolSpec[Any, Any], arguments: dict[str, Any], file: Path, store: str) -> int:
    """Call one tool from the command line. The file named by the person is the only one it may read."""
    path = file.resolve()  # noqa: ASYNC240  once, before anything else runs
    bar = ProgressBar()
    async with open_client(Settings(store=store), os.environ) as client:
        context = ToolContext(
            client=client,
            settings=ToolSettings(allowed_dirs=(path.parent,)),
            progress=bar,
            confirm=NonInteractiveConfirm(),
            time=SystemClock(),
        )
        try:
            answer = await spec.call({**arguments, "file": str(path)}, context)
        finally:
            bar.close()
    print(answer.text())
    print(f"store: {store}")
    return 0
