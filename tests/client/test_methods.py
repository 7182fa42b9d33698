"""Methods of the client that are made from the operations table."""

from __future__ import annotations

from typing import Any, assert_type

import pytest

from evaltasks.api.operations import OPERATIONS
from evaltasks.api.tasks import ListTasks, Task, TaskPage, UpdateTask
from evaltasks.client.methods import Method
from evaltasks.client.tasks import Tasks
from evaltasks.client.transport import open_remote_client
from tests.support.ax_calls import generated_methods
from tests.support.transports import MOMENT, Scripted, answers

TASK = {
    "id": "t", "name": "n", "type": "CODE_EVALUATION", "is_continuous": False, "evaluators": [],
    "created_at": MOMENT, "updated_at": MOMENT,
}  # fmt: skip
PAGE = {"tasks": [TASK], "pagination": {"has_more": False}}


async def test_generated_methods_are_typed_by_their_operation() -> None:
    """The types are checked by mypy, the values here."""
    network = Scripted(answers(200, TASK), answers(200, TASK), answers(200, PAGE), answers(200, PAGE))
    async with open_remote_client("https://ax.test", "key", is_engine=False, transport=network) as client:
        assert assert_type(await client.tasks.get("t"), Task).id == "t"
        assert assert_type(await client.tasks.update("t", UpdateTask(name="n")), Task).id == "t"
        assert len(assert_type(await client.tasks.list(ListTasks()), TaskPage).tasks) == 1
        assert [assert_type(task, Task).id async for task in client.tasks.all(ListTasks())] == ["t"]
    assert [sent.method for sent in network.sent] == ["GET", "PATCH", "GET", "GET"]


async def test_a_generated_method_rejects_a_wrong_number_of_arguments() -> None:
    network = Scripted(answers(200, TASK))
    async with open_remote_client("https://ax.test", "key", is_engine=False, transport=network) as client:
        wrong: Any = client.tasks.update
        with pytest.raises(TypeError, match=r"update_task takes the arguments \(task_id, body\), but 1 were passed"):
            await wrong("t")
    assert network.sent == []


def test_generated_methods_document_their_arguments_reply_and_errors() -> None:
    update = Tasks.update
    assert isinstance(update, Method)
    assert update.__doc__ == (
        "Send `update_task` (PATCH /v2/tasks/{task_id}).\n\n"
        "Args:\n    task_id: An id.\n    body: A `UpdateTask`.\n\n"
        "Returns:\n    A `Task`.\n\n"
        "Raises:\n    Problem: If the service answers with an error.\n    ClientError: If no valid response came."
    )


def test_most_operations_have_a_generated_method() -> None:
    generated = generated_methods()
    by_hand = {row.name for row in OPERATIONS} - set(generated)
    assert by_hand == {"list_spans", "list_traces", "get_evaluator", "append_examples", "update_examples"}
