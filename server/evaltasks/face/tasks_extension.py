"""MCP's tasks extension (`io.modelcontextprotocol/tasks`, 2026-07-28): a long wait becomes a background task.

A client that declares the extension, and asks `trigger_task_run` (wait=true) or `wait_for_task_run` to wait longer
than one call may last, gets a task handle after a moment instead of `outcome=still_running`. The handle's id *is* the
task run's id. Nothing is kept here: every `tasks/get` reads the task run through the client, so any process on the
same service answers it, also after a restart and also for a task run that it never started.

`tasks/cancel` ends the client's interest, never the task run (docs/decisions/0011-tasks-extension.md says why);
`cancel_task_run` does that, and asks. Clients that declare nothing see no difference.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    RequestParams,
    SubscriptionsListenRequestParams,
)
from pydantic import Field

from evaltasks.api.problems import BadRequest, NotFound, Problem, Unprocessable
from evaltasks.api.task_runs import TaskRun, TaskRunStatus
from evaltasks.api.wire import rfc3339
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError, WrongValue
from evaltasks.edge.clock import Clock
from evaltasks.face.confirm import NonInteractiveConfirm
from evaltasks.face.errors import message_for
from evaltasks.face.progress import SilentProgress
from evaltasks.face.results import answer_result
from evaltasks.face.sdk import RequestContext
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools import trigger_task_run, wait_for_task_run
from evaltasks.tools.catalog import ALIASES
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.spec import ToolSpec
from evaltasks.tools.views import progress_sentence
from evaltasks.tools.waiting import POLL_SECONDS

log = logging.getLogger(__name__)

EXTENSION = "io.modelcontextprotocol/tasks"
ERA = frozenset({"2026-07-28"})

WAITING_TOOLS = frozenset({trigger_task_run.SPEC.name, wait_for_task_run.SPEC.name})
# What is over within this time is answered at once, as a plain result.
GRACE_SECONDS = 0.3
ENGINE_POLL_SECONDS = 1.0


class TaskParams(RequestParams):
    """Parameters of `tasks/get` and `tasks/cancel`."""

    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    """Parameters of `tasks/update`."""

    input_responses: dict[str, Any] = Field(alias="inputResponses")


class TasksExtension(Extension):
    """Answers for task runs as MCP background tasks. Holds no state of its own."""

    identifier = EXTENSION

    def __init__(self, client: Client, settings: ToolSettings, time: Clock) -> None:
        self._client = client
        self._settings = settings
        self._time = time

    def methods(self) -> Sequence[MethodBinding]:
        return (
            MethodBinding("tasks/get", TaskParams, self._get, ERA),
            MethodBinding("tasks/update", UpdateParams, self._update, ERA),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, ERA),
        )

    # --- calls that wait ---------------------------------------------------------------------------------------

    def settings_for(
        self, spec: ToolSpec[Any, Any], arguments: Mapping[str, Any], request: RequestContext
    ) -> ToolSettings:
        """The settings of one call: a wait that will go on in the background is given up after a moment.

        A time-out that one call can hold is kept as it is: such a wait needs no background.
        """
        if spec.name not in WAITING_TOOLS or not _declared(request):
            return self._settings
        try:
            timeout = spec.parse(arguments, self._context()).timeout
        except ValidationErrors:
            return self._settings
        if timeout <= self._settings.call_wait_seconds_max:
            return self._settings
        return dataclasses.replace(
            self._settings, call_wait_seconds_max=min(GRACE_SECONDS, self._settings.call_wait_seconds_max)
        )

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: RequestContext, call_next: CallNext
    ) -> HandlerResult:
        result = await call_next(ctx)
        if ALIASES.get(params.name, params.name) not in WAITING_TOOLS or not _declared(ctx):
            return result
        answer = result.structured_content if isinstance(result, CallToolResult) else None
        if not isinstance(answer, dict) or answer.get("outcome") != "still_running":
            return result
        try:
            task_run = await self._client.task_runs.get(answer["task_run"]["run_id"])
        except (Problem, ClientError) as error:
            # A handle is given only for what `tasks/get` finds; the plain answer says how to go on.
            log.info("no background task: %s", type(error).__name__)
            return result
        # The result of a task is the wait's; what the trigger alone had to say is said here.
        said = [progress_sentence(task_run, self._time.now()), *answer.get("notes", [])]
        return {
            **self._task(task_run),
            "resultType": "task",
            "status": "working",
            "statusMessage": ". ".join(part.rstrip(".") for part in said),
        }

    # --- tasks/… -----------------------------------------------------------------------------------------------

    async def _get(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        task_run = await self._task_run(ctx, params.task_id)
        task = self._task(task_run)
        if task["status"] == "completed":
            task["result"] = await self._result(task_run)
        return task

    async def _update(self, ctx: RequestContext, params: UpdateParams) -> HandlerResult:
        """Acknowledges: a task run never asks for anything, so no answer is one that is waited for."""
        await self._task_run(ctx, params.task_id)
        return {}

    async def _cancel(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        task_run = await self._task_run(ctx, params.task_id)
        if not task_run.finished:
            log.info("tasks/cancel: no one waits for task run %s from here any more; it goes on", task_run.id)
        return {}

    async def _task_run(self, ctx: RequestContext, task_id: str) -> TaskRun:
        """The task run behind a task. Raises MCPError."""
        require_client_extension(ctx, EXTENSION)
        headers = getattr(ctx.request, "headers", None)
        # The SDK compares this header for the methods it knows only.
        if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER)) != task_id:
            raise MCPError(HEADER_MISMATCH, f"The {MCP_NAME_HEADER} header is not the request's taskId")
        try:
            return await self._client.task_runs.get(task_id)
        except (NotFound, WrongValue, BadRequest, Unprocessable):
            raise MCPError(
                INVALID_PARAMS,
                "There is no task run with this id, or the key in use cannot see it",
                {"taskId": task_id},
            ) from None
        except (Problem, ClientError) as error:
            raise MCPError(INTERNAL_ERROR, message_for(error) or "The task run cannot be read now") from None

    def _task(self, task_run: TaskRun) -> dict[str, Any]:
        """A task run as a task, without its result.

        `failed` is the protocol's word for JSON-RPC errors and for nothing else: a failed task run is a completed
        task whose result says that it failed.
        """
        now = self._time.now()
        status = "working"
        if task_run.finished:
            status = "cancelled" if task_run.status == TaskRunStatus.CANCELLED else "completed"
        poll_seconds = ENGINE_POLL_SECONDS if self._client.is_engine else POLL_SECONDS
        return {
            "taskId": task_run.id,
            "status": status,
            "statusMessage": progress_sentence(task_run, now),
            "createdAt": rfc3339(task_run.created_at),
            # Counts move all the time and carry no date: what is not over is as of now.
            "lastUpdatedAt": rfc3339(task_run.run_finished_at or now),
            # As long as the service keeps the task run.
            "ttlMs": None,
            "pollIntervalMs": round(poll_seconds * 1000),
        }

    async def _result(self, task_run: TaskRun) -> dict[str, Any]:
        """What `wait_for_task_run` answers for a task run that is over. Raises MCPError."""
        try:
            answer = await wait_for_task_run.SPEC.call({"run_id": task_run.id}, self._context())
        except (Problem, ClientError) as error:
            raise MCPError(INTERNAL_ERROR, message_for(error) or "The task run cannot be read now") from None
        return answer_result(answer).model_dump(mode="json", by_alias=True, exclude_none=True)

    def _context(self) -> ToolContext:
        return ToolContext(self._client, self._settings, SilentProgress(), NonInteractiveConfirm(), self._time)

    # --- subscriptions/listen ----------------------------------------------------------------------------------

    def check_listen(self, ctx: RequestContext, params: SubscriptionsListenRequestParams) -> None:
        """Raises MCPError when a client asks for news of tasks without having declared the extension.

        Those who declared it are acknowledged without them: tasks are polled, and `ax://task-runs/{run_id}` tells
        of changes.
        """
        if (params.notifications.model_extra or {}).get("taskIds"):
            require_client_extension(ctx, EXTENSION)


def _declared(request: RequestContext) -> bool:
    capabilities = request.session.client_capabilities
    return request.protocol_version in ERA and capabilities is not None and EXTENSION in (capabilities.extensions or {})
