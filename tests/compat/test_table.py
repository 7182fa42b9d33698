"""Checks of the compat suite without the clients: its coverage, and the generated page."""

from __future__ import annotations

import pytest

from evaltasks.api.operations import OPERATIONS
from tests.compat.page import PAGE, calls_in_tables, calls_on_page
from tests.compat.rows import CLIENTS

TASK_COMMANDS = (
    "list", "create", "create-evaluation", "create-run-experiment", "get", "update", "delete", "trigger-run",
    "list-runs", "get-run", "cancel-run", "wait-for-run",
)  # fmt: skip


def test_the_compatibility_page_shows_every_row_of_every_table_in_order() -> None:
    assert calls_on_page(PAGE.read_text(encoding="utf-8")) == calls_in_tables(), (
        "run tests/compat/check.sh with --write"
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_no_call_is_listed_twice(client: str) -> None:
    calls = calls_in_tables()[client]  # type: ignore[index]
    assert sorted(calls) == sorted(set(calls))


@pytest.mark.parametrize("command", TASK_COMMANDS)
def test_every_task_command_of_the_vendors_page_is_run(command: str) -> None:
    assert any(call.split()[:3] == ["ax", "tasks", command] for call in calls_in_tables()["ax"])


def test_every_list_of_the_engine_is_read_in_pages_of_one() -> None:
    walked = [call for call in calls_in_tables()["arize"] if "pages of one" in call]
    lists = [
        row for row in OPERATIONS
        if row.path.startswith("/v2/") and row.reply is not None and "pagination" in row.reply.model_fields
    ]  # fmt: skip
    # The SDK reads examples and experiment runs over their search routes; npm reads the two others.
    assert len(walked) == len(lists) - 2
    assert {"listDatasetExamples, pages of one", "listExperimentRuns, pages of one"} <= set(calls_in_tables()["npm"])
