"""MCP's tasks extension (`io.modelcontextprotocol/tasks`, 2026-07-28): a long wait becomes a background task.

If a client declares the extension, and calls `trigger_task_run` (wait=true) or `wait_for_task_run` with a longer wait
than one call may take, it gets an MCP task after a moment instead of `outcome=still_running`. The id of the MCP task
*is* the id of the task run. No state is kept: every `tasks/get` reads the task run through the client, so any process
on the same service answers it, even after a restart and for a task run that another process triggered.

`tasks/cancel` never cancels the task run (see docs/decisions/0011-tasks-extension.md); the tool `cancel_task_run` does,
after a confirmation. Nothing changes for clients without the extension.
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
# A task run that ends within this time is returned as a normal result.
GRACE_SECONDS = 0.3
ENGINE_POLL_SECONDS = 1.0


class TaskParams(RequestParams):
    """Parameters of `tasks/get` and `tasks/cancel`."""

    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    """Parameters of `tasks/update`."""

    input_responses: dict[str, Any] = Field(alias="inputResponses")


class TasksExtension(Extension):
    """Serves task runs as MCP tasks. It has no state."""

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
        """Return the settings of one call: a wait that continues as an MCP task ends after a moment.

        A timeout that one call can wait for is not changed.
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
            # An MCP task is returned only if `tasks/get` finds it; the normal result says how to continue.
            log.info("no MCP task: %s", type(error).__name__)
            return result
        # The result of the MCP task is that of the wait, so notes of the trigger are sent here.
        messages = [progress_sentence(task_run, self._time.now()), *answer.get("notes", [])]
        return {
            **self._task(task_run),
            "resultType": "task",
            "status": "working",
            "statusMessage": ". ".join(message.rstrip(".") for message in messages),
        }

    # --- tasks/… -----------------------------------------------------------------------------------------------

    async def _get(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        task_run = await self._task_run(ctx, params.task_id)
        task = self._task(task_run)
        if task["status"] == "completed":
            task["result"] = await self._result(task_run)
        return task

    async def _update(self, ctx: RequestContext, params: UpdateParams) -> HandlerResult:
        """Acknowledge and ignore input: a task run never requests any."""
        await self._task_run(ctx, params.task_id)
        return {}

    async def _cancel(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        task_run = await self._task_run(ctx, params.task_id)
        if not task_run.finished:
            log.info("tasks/cancel: the wait for task run %s ended; the task run continues", task_run.id)
        return {}

    async def _task_run(self, ctx: RequestContext, task_id: str) -> TaskRun:
        """Return the task run of an MCP task.

        Raises:
            MCPError: If the client did not declare the extension, or the task run cannot be read.
        """
        require_client_extension(ctx, EXTENSION)
        headers = getattr(ctx.request, "headers", None)
        # The SDK compares this header only for the methods that it knows.
        if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER)) != task_id:
            raise MCPError(HEADER_MISMATCH, f"The {MCP_NAME_HEADER} header must be the taskId of the request")
        try:
            return await self._client.task_runs.get(task_id)
        except (NotFound, WrongValue, BadRequest, Unprocessable):
            raise MCPError(
                INVALID_PARAMS,
                "No task run has this id, or the key in use cannot see it",
                {"taskId": task_id},
            ) from None
        except (Problem, ClientError) as error:
            raise MCPError(INTERNAL_ERROR, message_for(error) or "The task run cannot be read at the moment") from None

    def _task(self, task_run: TaskRun) -> dict[str, Any]:
        """Return a task run as an MCP task, without its result.

        In the protocol `failed` means a JSON-RPC error only: a failed task run is a completed MCP task whose result
        says that it failed.
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
            # Counts change constantly and have no date, so an unfinished task run is as of now.
            "lastUpdatedAt": rfc3339(task_run.run_finished_at or now),
            # The MCP task exists as long as the service keeps the task run.
            "ttlMs": None,
            "pollIntervalMs": round(poll_seconds * 1000),
        }

    async def _result(self, task_run: TaskRun) -> dict[str, Any]:
        """Return the result of `wait_for_task_run` for a finished task run.

        Raises:
            MCPError: If the task run cannot be read.
        """
        try:
            answer = await wait_for_task_run.SPEC.call({"run_id": task_run.id}, self._context())
        except (Problem, ClientError) as error:
            raise MCPError(INTERNAL_ERROR, message_for(error) or "The task run cannot be read at the moment") from None
        return answer_result(answer).model_dump(mode="json", by_alias=True, exclude_none=True)

    def _context(self) -> ToolContext:
        return ToolContext(self._client, self._settings, SilentProgress(), NonInteractiveConfirm(), self._time)

    # --- subscriptions/listen ----------------------------------------------------------------------------------

    def check_listen(self, ctx: RequestContext, params: SubscriptionsListenRequestParams) -> None:
        """Check that a client that subscribes to MCP tasks declared the extension.

        Its subscription is then acknowledged without them: MCP tasks are polled, and `ax://task-runs/{run_id}` notifies
        of changes.

        Raises:
            MCPError: If the client did not declare the extension.
        """
        if (params.notifications.model_extra or {}).get("taskIds"):
            require_client_extension(ctx, EXTENSION)


def _declared(request: RequestContext) -> bool:
    capabilities = request.session.client_capabilities
    return request.protocol_version in ERA and capabilities is not None and EXTENSION in (capabilities.extensions or {})
