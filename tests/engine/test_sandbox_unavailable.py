"""A worker program of monty that is missing or broken is reported with the repair, at creation and in a task run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaltasks.api.problems import Unavailable
from evaltasks.engine.evaluators.custom import CustomCodeEvaluator, problems_of_custom
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.limits import SandboxKind
from evaltasks.engine.sandbox.sandbox import open_sandbox
from tests.support.custom_code import custom_config

REPAIR = "pip install --force-reinstall pydantic-monty pydantic-monty-runtime"


def _not_installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The package's own search finds the program nowhere, as when only its file was deleted."""
    monkeypatch.delenv("MONTY_BIN", raising=False)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("pydantic_monty._binary._script_dirs", lambda: [folder])


def _deleted_after_the_search(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("MONTY_BIN", str(folder / "monty"))


def _not_executable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "monty").write_text("not a program")
    monkeypatch.setenv("MONTY_BIN", str(folder / "monty"))


def _exits_at_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "monty").write_text("#!/bin/sh\nexit 3\n")
    (folder / "monty").chmod(0o700)
    monkeypatch.setenv("MONTY_BIN", str(folder / "monty"))


@pytest.fixture(params=[_not_installed, _deleted_after_the_search, _not_executable, _exits_at_once])
def _broken_worker_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    break_it: Callable[[pytest.MonkeyPatch, Path], None] = request.param
    break_it(monkeypatch, tmp_path)


@pytest.mark.usefixtures("_broken_worker_program")
async def test_making_an_evaluator_reports_the_missing_worker_program_and_the_repair() -> None:
    async with open_sandbox(SandboxKind.MONTY) as sandbox:
        with pytest.raises(Unavailable, match=REPAIR):
            await problems_of_custom(custom_config("return EvaluationResult(score=1)"), sandbox)


@pytest.mark.usefixtures("_broken_worker_program")
async def test_a_task_run_fails_with_the_missing_worker_program_and_the_repair() -> None:
    async with open_sandbox(SandboxKind.MONTY) as sandbox:
        evaluator = CustomCodeEvaluator(custom_config("return EvaluationResult(score=1)"), sandbox)
        with pytest.raises(PermanentFailure, match=REPAIR):
            await evaluator.evaluate({"output": "x"})
        await evaluator.close()
