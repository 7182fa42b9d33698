"""The table of operations is whole, and its paths cannot be walked out of."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.api.operations import GET_TASK, LIST_TASK_RUNS, OPERATIONS
from evaltasks.engine.handlers.table import HANDLERS


def test_every_operation_has_a_handler_and_every_handler_an_operation() -> None:
    assert {row.name for row in OPERATIONS} == set(HANDLERS)


def test_names_and_routes_are_unique() -> None:
    assert len({row.name for row in OPERATIONS}) == len(OPERATIONS)
    assert len({(row.method, row.path) for row in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_walk_out_of_its_segment_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="task_id"):
        GET_TASK.path_for({"task_id": value})


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_any_other_value_stays_in_its_segment_and_comes_back_whole(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    path = LIST_TASK_RUNS.path_for({"task_id": value})
    before, middle, after = path.rpartition("/runs")[0], path.removeprefix("/v2/tasks/").removesuffix("/runs"), "runs"
    assert "/" not in middle and "?" not in middle and "#" not in middle
    assert unquote(middle) == value
    assert before.startswith("/v2/tasks/") and after
