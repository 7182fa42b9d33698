"""The command `evaltasks load`: imports rows of a file into the embedded engine, with the tools that agents use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from evaltasks.app import open_client
from evaltasks.edge.clock import SystemClock
from evaltasks.face.confirm import NonInteractiveConfirm
from evaltasks.settings import Settings
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.create_dataset import SPEC as CREATE_DATASET
from evaltasks.tools.import_spans import SPEC as IMPORT_SPANS
from evaltasks.tools.spec import ToolSpec

BAR_CELLS = 30


class ProgressBar:
    """Progress on stderr: one line that is redrawn on a terminal, otherwise a line for each message."""

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


async def load_spans(file: Path, project: str, store: str) -> int:
    """Import spans from a file into a project of the store. Returns the exit code."""
    return await _load(IMPORT_SPANS, {"project": project}, file, store)


async def load_examples(file: Path, dataset: str, store: str) -> int:
    """Create a dataset in the store from the examples of a file. Returns the exit code."""
    return await _load(CREATE_DATASET, {"name": dataset}, file, store)


async def _load(spec: ToolSpec[Any, Any], arguments: dict[str, Any], file: Path, store: str) -> int:
    """Call one tool. It may read files of the file's directory only.

    Returns:
        The exit code, 0.
    """
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
