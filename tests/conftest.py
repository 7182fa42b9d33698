"""Settings of all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The time of one example depends on the machine; pytest's timeout ends hanging tests.
settings.register_profile("evaltasks", deadline=None)
settings.load_profile("evaltasks")

TESTS = Path(__file__).parent
# What takes more than a second or two, longest first, as files or folders. These start before everything else, so that
# no process is left alone with a long test at the end; `-m fast` leaves them out, and most others of a package in.
SLOW = (
    "acceptance", "faults", "properties", "top/test_demo.py", "top/test_cli.py", "tools/test_inputs.py",
    "face/test_http.py", "contract", "engine/providers/test_library.py", "engine/providers/test_openai_compatible.py",
    "face/test_stdio.py", "face/test_tasks_extension.py", "face/test_errors.py", "engine/runs/test_executor.py",
    "engine/test_document.py", "tools/test_experiments_over_mcp.py", "tools/test_task_tools_over_mcp.py",
    "tools/test_task_run_tools.py", "support/test_starts.py", "engine/test_requests.py",
    "engine/runs/test_granularity.py", "top/test_access.py", "engine/runs/test_experiments_agents.py",
    "engine/runs/test_run_experiment_kind_recipe.py", "engine/test_custom_code.py", "engine/test_body_limits.py",
    "engine/test_flight.py", "engine/test_otlp.py", "engine/evaluators/test_input_template.py",
    "promote/test_cut_off.py", "promote/test_round_trip.py", "promote/test_plan.py", "promote/test_secrets.py",
    "top/test_ports.py", "top/test_promoting.py", "top/test_documents.py", "tools/test_custom_code_over_mcp.py",
    "engine/test_tasks.py", "tools/test_staged_failures_over_mcp.py", "engine/runs/test_schedule.py",
    "client/test_newer_service.py", "fuzz", "real", "compat", "conformance",
    "engine/evaluators/test_evaluator_kind_recipe.py", "api/test_task_field_recipe.py", "tools/test_tool_recipe.py",
    "promote/test_folder.py", "face/test_resources.py", "tools/test_import_spans.py",
    "tools/test_task_run_results.py", "tools/test_task_tools.py", "engine/providers/test_registry.py",
    "client/test_resolve.py", "engine/runs/test_query_filters.py", "tools/test_create_evaluator.py",
    "face/test_subscriptions.py", "engine/evaluators/test_template.py", "tools/test_granularity_over_mcp.py",
    "engine/runs/test_experiments_judging.py", "engine/runs/test_experiments_generation.py",
    "engine/evaluators/test_template_parameters.py", "engine/runs/test_refusing_judges.py",
    "engine/test_evaluators.py", "engine/test_task_runs.py", "engine/test_datasets.py", "engine/test_migrations.py",
    "face/test_confirm.py", "engine/test_ai_integrations.py",
)  # fmt: skip


def _slow_rank(path: Path) -> int:
    place = path.relative_to(TESTS).as_posix()
    return next((n for n, slow in enumerate(SLOW) if place == slow or place.startswith(f"{slow}/")), len(SLOW))


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: tests spend a quarter of their time waiting for other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the slow files out of `-m fast` unread: importing them would take as long as the fast tests."""
    wants_fast = config.option.markexpr == "fast" and collection_path != TESTS
    return True if wants_fast and _slow_rank(collection_path) < len(SLOW) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the fast tests, and put the slow ones first."""
    ranks = {path: _slow_rank(path) for path in {item.path for item in items}}
    for item in items:
        if ranks[item.path] == len(SLOW):
            item.add_marker(pytest.mark.fast)
    items.sort(key=lambda item: ranks[item.path])


# A hundred interpreters are started by these tests; without bytecode each of them compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
