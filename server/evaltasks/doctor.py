"""`evaltasks doctor`: checks everything that must work, and says what is wrong and how to fix it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaltasks import __version__
from evaltasks.api.ai_integrations import ListAiIntegrations
from evaltasks.api.spaces import ListSpaces
from evaltasks.app import open_client
from evaltasks.client.client import Client
from evaltasks.edge.clock import SystemClock
from evaltasks.face.confirm import NonInteractiveConfirm
from evaltasks.face.progress import SilentProgress
from evaltasks.settings import Settings
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolContext, ToolSettings

DOCTOR_ROWS = 8


class CheckFailed(Exception):
    """A check failed; the message says what is wrong and how to fix it."""


async def run_checks(settings: Settings) -> int:
    """Run every check and print its result; return the exit code, 0 if all passed."""
    checks: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [
        ("python and libraries", _libraries),
        ("settings", _settings),
        (f"backend '{settings.backend}'", _backend),
        ("keys of AI integrations", _keys),
        ("one evaluation from spans to scores", _evaluation),
    ]
    num_failed = 0
    for name, check in checks:
        try:
            finding, mark = await check(settings), "ok  "
        except Exception as error:
            finding, mark = _reason(error), "FAIL"
            num_failed += 1
        print(f"{mark} {name}: {finding}")
    print("All checks passed." if not num_failed else f"{num_failed} of {len(checks)} need fixing.")
    return 1 if num_failed else 0


def _reason(error: BaseException) -> str:
    """Describe an error. The task group of the embedded engine wraps what is raised inside it in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"


async def _libraries(_: Settings) -> str:
    shown = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx2", "pydantic", "starlette"))
    return f"evaltasks {__version__}, Python {sys.version.split()[0]}, {shown}"


async def _settings(settings: Settings) -> str:
    directories = ", ".join(str(path) for path in settings.allow_dir) or "none (to let tools read files: --allow-dir)"
    return f"space {settings.space or 'default'}, wait up to {settings.patience_seconds:g} s, files in: {directories}"


async def _backend(settings: Settings) -> str:
    async with open_client(settings, os.environ) as client:
        spaces = (await client.spaces.list(ListSpaces())).spaces
        where = settings.store_path if settings.backend == "embedded" else settings.backend
        names = ", ".join(space.name for space in spaces) or "none"
        return f"{where} is reachable; spaces: {names}"


async def _keys(settings: Settings) -> str:
    async with open_client(settings, os.environ) as client:
        found = [item async for item in client.ai_integrations.all(ListAiIntegrations())]
    missing = [
        f"'{item.name}' requires {item.api_key_env}" for item in found if item.api_key_env and not item.has_api_key
    ]
    if missing:
        raise CheckFailed(f"{'; '.join(missing)}: set the variable in the environment of the server")
    return f"{len(found)} integrations, all with their keys"


async def _evaluation(_: Settings) -> str:
    """Run one task from creation to scores through the tools, in a temporary store."""
    with tempfile.TemporaryDirectory() as folder:
        throwaway = Settings(store=str(Path(folder) / "doctor.sqlite"))
        async with open_client(throwaway, os.environ) as client:
            return await _evaluate_once(client)


async def _evaluate_once(client: Client) -> str:
    async def tool(name: str, /, **arguments: Any) -> Any:
        spec = next(spec for spec in TOOLS if spec.name == name)
        return await spec.call(arguments, _context(client))

    moment = datetime.now(UTC) - timedelta(minutes=5)
    rows = [
        {"name": "answer", "start_time": moment.isoformat(), "attributes": {"output.value": text}}
        for text in ["sorry, I cannot", "42"] * (DOCTOR_ROWS // 2)
    ]
    await tool("import_spans", project="doctor", rows=rows)
    await tool(
        "create_evaluator", name="apology", kind="managed_code", managed="contains_any_keyword", keywords=["sorry"],
        variables=["output"],
    )  # fmt: skip
    await tool(
        "create_evaluation_task", name="check", task_type="code_evaluation", project="doctor",
        evaluators=[{"evaluator_id": "apology"}],
    )  # fmt: skip
    waited = await tool("trigger_task_run", task="check", wait=True, timeout=30)
    run = waited.model_dump(mode="json")["task_run"]
    if run["status"] != "completed":
        raise CheckFailed(f"the task run ended {run['status']}: {run.get('failure_reason') or 'without a reason'}")
    results = await tool("task_run_results", run_id=run["run_id"])
    return str(results.text().splitlines()[0])


def _context(client: Client) -> ToolContext:
    return ToolContext(
        client=client,
        settings=ToolSettings(),
        progress=SilentProgress(),
        confirm=NonInteractiveConfirm(),
        time=SystemClock(),
    )
