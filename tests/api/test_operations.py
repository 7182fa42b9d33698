"""The table of operations is complete, and path values stay in their segments."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.operations import GET_TASK, LIST_TASK_RUNS, OPERATIONS
from evaltasks.engine.handlers.table import HANDLERS


def test_operations_and_handlers_are_the_same() -> None:
    assert {row.name for row in OPERATIONS} == set(HANDLERS)


def test_operation_names_and_routes_are_unique() -> None:
    assert len({row.name for row in OPERATIONS}) == len(OPERATIONS)
    assert len({(row.method, row.path) for row in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_path_for_refuses_values_that_leave_their_segment(value: str) -> None:
    with pytest.raises(ValueError, match="task_id"):
        GET_TASK.path_for({"task_id": value})


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_path_for_encodes_any_other_value_reversibly(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    path = LIST_TASK_RUNS.path_for({"task_id": value})
    before, middle, after = path.rpartition("/runs")[0], path.removeprefix("/v2/tasks/").removesuffix("/runs"), "runs"
    assert "/" not in middle and "?" not in middle and "#" not in middle
    assert unquote(middle) == value
    assert before.startswith("/v2/tasks/") and after


def test_operations_that_get_list_or_search_only_read_even_if_they_are_posts() -> None:
    reading = {row.name for row in OPERATIONS if row.reads}
    assert reading == {row.name for row in OPERATIONS if row.name.startswith(("get_", "list_", "search_"))}
    assert {row.name for row in OPERATIONS if row.method == "GET"} <= reading
