"""The client side of MCP's tasks extension, as a host with background tasks implements it.

tasks = BackgroundTasks()
async with agent(extensions=[tasks]) as it:
    handle = await started(it, "wait_for_task_run", {"run_id": …})    # the handle, nothing followed
    task = await task_of(it, handle.task_id)                        # one tasks/get
    answer = await it.answer("wait_for_task_run", {"run_id": …})    # followed to its end, as a host does
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import anyio
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.types import CallToolResult, Request, RequestParams, Result
from pydantic import BaseModel, ConfigDict, Field

from tests.support.agents import Agent

EXTENSION = "io.modelcontextprotocol/tasks"


class Handle(Result):
    """The task that a tool call returns instead of a result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    input_responses: dict[str, Any] = Field(alias="inputResponses")


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class CancelTask(Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class UpdateTask(Request[UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams
    name_param = "taskId"


class Raw(BaseModel):
    """A result as received."""

    model_config = ConfigDict(extra="allow")


class BackgroundTasks(ClientExtension):
    """Declares the extension and follows each task to its end. `handles` are all that came; `came` is set by each."""

    identifier = EXTENSION

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.came = anyio.Event()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=Handle, resolve=self._follow),)

    async def _follow(self, handle: Handle, context: ClaimContext) -> CallToolResult:
        self.handles.append(handle)
        self.came.set()
        task = await _ended(context.session, handle.task_id)
        assert task["status"] == "completed", task
        return CallToolResult.model_validate(task["result"], by_name=False)


async def started(it: Agent, tool: str, arguments: dict[str, Any]) -> Handle:
    """Call a tool and return the task handle. Fails the test if the call returns a result."""
    answer = await it.mcp.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(answer, Handle), answer
    return answer


async def task_of(it: Agent, task_id: str) -> dict[str, Any]:
    return await _sent(it.mcp.session, GetTask(params=TaskParams(task_id=task_id)))


async def cancelled(it: Agent, task_id: str) -> dict[str, Any]:
    """Cancel a task and return the response."""
    return await _sent(it.mcp.session, CancelTask(params=TaskParams(task_id=task_id)))


async def updated(it: Agent, task_id: str, **responses: Any) -> dict[str, Any]:
    """Update a task and return the response."""
    return await _sent(it.mcp.session, UpdateTask(params=UpdateParams(task_id=task_id, input_responses=responses)))


async def ended_task(it: Agent, task_id: str) -> dict[str, Any]:
    """Return the task once it has ended."""
    return await _ended(it.mcp.session, task_id)


async def _ended(session: ClientSession, task_id: str) -> dict[str, Any]:
    with anyio.fail_after(20):
        while True:
            task = await _sent(session, GetTask(params=TaskParams(task_id=task_id)))
            if task["status"] != "working":
                return task
            await anyio.sleep(0.005)  # a poll, as in every client of a task; the timeout is above


async def _sent(session: ClientSession, request: Request[Any, Any]) -> dict[str, Any]:
    return (await session.send_request(request, Raw)).model_dump()
