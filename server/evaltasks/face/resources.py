"""MCP resources: the content of the reading tools, under URIs that a user can attach.

A read calls the handler of the tool, so both always agree. Some hosts never show resources to the model, so every
resource is also available through a tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, Resource, ResourceTemplate

from evaltasks.api.evaluators import ListEvaluators
from evaltasks.api.problems import NotFound, Problem, Unprocessable
from evaltasks.api.task_runs import ListTaskRuns
from evaltasks.api.tasks import ListTasks, Task
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError, NotResolved, WrongValue
from evaltasks.edge.clock import Clock
from evaltasks.face.addresses import (
    EVALUATOR,
    PLACES,
    RESULTS,
    SPACES,
    TASK,
    TASK_RUN,
    TASK_RUNS,
    TASKS,
    Address,
    Place,
    parse_address,
)
from evaltasks.face.confirm import NonInteractiveConfirm
from evaltasks.face.errors import internal_error_message, message_for
from evaltasks.face.progress import SilentProgress
from evaltasks.face.results import truncated_to_fit
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools.catalog import BY_NAME
from evaltasks.tools.context import ToolContext, ToolSettings
from evaltasks.tools.find import FindOutput

JSON = "application/json"

# Tasks on one page of resources/list, each with its newest run.
TASKS_PER_PAGE = 20
TASKS_READ_AT_ONCE = 5
COMPLETIONS_MAX = 100

# kind of resource → the tool that reads it, and its arguments.
_READ_BY: Mapping[Place, tuple[str, Callable[[Address], dict[str, Any]]]] = {
    SPACES: ("find", lambda _: {"kind": "space", "limit": 100}),
    TASKS: ("list_tasks", lambda at: {"cursor": at.cursor} if at.cursor else {}),
    TASK: ("get_task", lambda at: {"task": at.values["task_id"]}),
    TASK_RUNS: ("list_task_runs", lambda at: {"task": at.values["task_id"]}),
    TASK_RUN: ("get_task_run", lambda at: {"run_id": at.values["run_id"]}),
    RESULTS: ("task_run_results", lambda at: {"run_id": at.values["run_id"]}),
    EVALUATOR: ("find", lambda at: {"kind": "evaluator", "text": at.values["evaluator_id"]}),
}

# Errors of a wrong URI; other errors do not say whether the resource exists.
_ABSENT = (NotFound, NotResolved, WrongValue, ValidationErrors, Unprocessable)


class Resources:
    """Lists, reads and completes the `ax://` URIs."""

    def __init__(self, client: Client, settings: ToolSettings, time: Clock) -> None:
        self._client = client
        self._settings = settings
        self._time = time

    def fixed(self) -> list[Resource]:
        """Return the resources that always exist."""
        return [
            Resource(uri=place.uri(), name=place.name, title=place.title, description=place.description, mime_type=JSON)
            for place in (SPACES, TASKS)
        ]

    def templates(self) -> list[ResourceTemplate]:
        return [
            ResourceTemplate(
                uri_template=place.template,
                name=place.name,
                title=place.title,
                description=place.description,
                mime_type=JSON,
            )
            for place in PLACES
            if "{" in place.template
        ]

    async def page(self, cursor: str | None) -> tuple[list[Resource], str | None]:
        """Return one page of tasks as resources, each with its newest run, and the cursor of the next page.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        found = await self._client.tasks.list(ListTasks(limit=TASKS_PER_PAGE, cursor=cursor))
        shown: dict[str, list[Resource]] = {}
        limit = anyio.CapacityLimiter(TASKS_READ_AT_ONCE)

        async def show(task: Task) -> None:
            async with limit:
                shown[task.id] = await self._shown(task)

        async with anyio.create_task_group() as tasks:
            for task in found.tasks:
                tasks.start_soon(show, task)
        listed = [resource for task in found.tasks for resource in shown[task.id]]
        return listed, found.pagination.next_cursor if found.pagination.has_more else None

    async def _shown(self, task: Task) -> list[Resource]:
        """Return a task and its newest run, if any; a task deleted in the meantime is returned without its run."""
        kind = str(task.type).lower().replace("_", " ")
        shown = [_resource(TASK, f"Task {task.name}", f"{kind}, id {task.id}", task_id=task.id)]
        if task.last_run_at is None:
            return shown
        try:
            newest = await self._client.tasks.list_task_runs(task.id, ListTaskRuns(limit=1))
        except (Problem, ClientError):
            return shown
        shown += [
            _resource(TASK_RUN, f"Newest run of {task.name}", f"id {task_run.id}", run_id=task_run.id)
            for task_run in newest.task_runs
        ]
        return shown

    async def read(self, uri: str) -> str:
        """Return a resource as JSON text.

        Raises:
            ResourceNotFoundError: If the resource does not exist.
            ResourceError: If it cannot be read.
        """
        address = parse_address(uri)
        if address is None:
            raise ResourceNotFoundError(
                f"Unknown resource URI. Valid URIs are: {', '.join(place.template for place in PLACES)}."
            )
        tool, arguments = _READ_BY[address.place]
        context = ToolContext(
            client=self._client,
            settings=self._settings,
            progress=SilentProgress(),
            confirm=NonInteractiveConfirm(),
            time=self._time,
        )
        try:
            output = await BY_NAME[tool].call(arguments(address), context)
        except _ABSENT as error:
            raise ResourceNotFoundError(message_for(error) or "Not found.") from None
        except Exception as error:
            message = message_for(error) or internal_error_message(error, f"reading {address.place.name}")
            raise ResourceError(message) from None
        if address.place is EVALUATOR and not _is_only_match(output, address.values["evaluator_id"]):
            raise ResourceNotFoundError("No evaluator has this id; use find to list evaluators.")
        return json.dumps(truncated_to_fit(output.model_dump(mode="json", exclude_none=True)), ensure_ascii=False)

    async def complete(self, argument: str, typed: str) -> Completion:
        """Complete a variable of a URI template with ids of existing resources.

        Args:
            argument: The name of the variable.
            typed: The start of an id, or any part of a name.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        if argument == "task_id":
            tasks = await self._client.tasks.list(ListTasks(limit=100))
            return _matching(typed, [(task.id, task.name) for task in tasks.tasks], tasks.pagination.has_more)
        if argument == "evaluator_id":
            page = await self._client.evaluators.list(ListEvaluators(limit=100))
            return _matching(
                typed, [(evaluator.id, evaluator.name) for evaluator in page.evaluators], page.pagination.has_more
            )
        if argument == "run_id":
            return _matching(typed, await self._recent_runs(), True)
        if argument == "cursor":
            tasks = await self._client.tasks.list(ListTasks())
            cursor = tasks.pagination.next_cursor
            return _matching(typed, [(cursor, "")] if cursor else [], False)
        return Completion(values=[], total=0, has_more=False)

    async def _recent_runs(self) -> list[tuple[str, str]]:
        """Return task runs of the tasks that ran last, as (id, name of the task)."""
        tasks = [task for task in (await self._client.tasks.list(ListTasks(limit=100))).tasks if task.last_run_at]
        tasks.sort(key=lambda task: task.last_run_at.timestamp() if task.last_run_at else 0.0, reverse=True)
        runs: list[tuple[str, str]] = []
        for task in tasks[:TASKS_READ_AT_ONCE]:
            page = await self._client.tasks.list_task_runs(task.id, ListTaskRuns(limit=20))
            runs += [(task_run.id, task.name) for task_run in page.task_runs]
        return runs


def _is_only_match(output: FindOutput, identifier: str) -> bool:
    """Whether a search found exactly this resource: a search without matches returns similar ones."""
    return [match.id for match in output.matches] == [identifier]


def _resource(place: Place, title: str, description: str, **values: str) -> Resource:
    uri = place.uri(**values)
    return Resource(uri=uri, name=uri.removeprefix("ax://"), title=title, description=description, mime_type=JSON)


def _matching(typed: str, known: list[tuple[str, str]], more: bool) -> Completion:
    wanted = typed.casefold()
    values = [id_ for id_, name in known if id_.casefold().startswith(wanted) or (wanted and wanted in name.casefold())]
    shown = values[:COMPLETIONS_MAX]
    return Completion(values=shown, total=None if more else len(values), has_more=more or len(values) > len(shown))
