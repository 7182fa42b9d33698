"""Resources: the same content as the tool that reads the same thing, under an address a person can attach.

Reading calls that tool's own handler, so the two cannot drift apart. Some hosts never show resources to the model;
therefore nothing is here that a tool does not also give.
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

# Tasks on one page of resources/list; each brings its newest run along.
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

# What a wrong address leads to; every other failure says nothing about whether the resource exists.
_ABSENT = (NotFound, NotResolved, WrongValue, ValidationErrors, Unprocessable)


class Resources:
    """Lists, reads and completes the `ax://` addresses."""

    def __init__(self, client: Client, settings: ToolSettings, time: Clock) -> None:
        self._client = client
        self._settings = settings
        self._time = time

    def fixed(self) -> list[Resource]:
        """The resources that always exist."""
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
        """One page of concrete tasks, each with its newest run, and the cursor of the next page.

        Raises Problem and ClientError.
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
        """The task and, if it ever ran, its newest run. A task that went away meanwhile is shown without runs."""
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
        """The resource as JSON text. Raises ResourceNotFoundError, and ResourceError for everything else."""
        address = parse_address(uri)
        if address is None:
            raise ResourceNotFoundError(
                f"There is no resource under this address. Addresses are: {', '.join(p.template for p in PLACES)}."
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
            words = message_for(error) or internal_error_message(error, f"reading {address.place.name}")
            raise ResourceError(words) from None
        if address.place is EVALUATOR and not _is_it(output, address.values["evaluator_id"]):
            raise ResourceNotFoundError("There is no evaluator with this id; use find to see which there are.")
        return json.dumps(truncated_to_fit(output.model_dump(mode="json", exclude_none=True)), ensure_ascii=False)

    async def complete(self, argument: str, typed: str) -> Completion:
        """Ids of what really exists, by the beginning of the id or any part of the name.

        Raises Problem and ClientError.
        """
        if argument == "task_id":
            tasks = await self._client.tasks.list(ListTasks(limit=100))
            return _matching(typed, [(task.id, task.name) for task in tasks.tasks], tasks.pagination.has_more)
        if argument == "evaluator_id":
            page = await self._client.evaluators.list(ListEvaluators(limit=100))
            return _matching(typed, [(one.id, one.name) for one in page.evaluators], page.pagination.has_more)
        if argument == "run_id":
            return _matching(typed, await self._recent_runs(), True)
        if argument == "cursor":
            tasks = await self._client.tasks.list(ListTasks())
            cursor = tasks.pagination.next_cursor
            return _matching(typed, [(cursor, "")] if cursor else [], False)
        return Completion(values=[], total=0, has_more=False)

    async def _recent_runs(self) -> list[tuple[str, str]]:
        """Some runs of each of the tasks that ran last, as (id, task's name)."""
        tasks = [task for task in (await self._client.tasks.list(ListTasks(limit=100))).tasks if task.last_run_at]
        tasks.sort(key=lambda task: task.last_run_at.timestamp() if task.last_run_at else 0.0, reverse=True)
        runs: list[tuple[str, str]] = []
        for task in tasks[:TASKS_READ_AT_ONCE]:
            page = await self._client.tasks.list_task_runs(task.id, ListTaskRuns(limit=20))
            runs += [(task_run.id, task.name) for task_run in page.task_runs]
        return runs


def _is_it(output: FindOutput, identifier: str) -> bool:
    """A search that finds nothing answers with what is similar; an address stands for one thing."""
    return [match.id for match in output.matches] == [identifier]


def _resource(place: Place, title: str, description: str, **values: str) -> Resource:
    uri = place.uri(**values)
    return Resource(uri=uri, name=uri.removeprefix("ax://"), title=title, description=description, mime_type=JSON)


def _matching(typed: str, known: list[tuple[str, str]], more: bool) -> Completion:
    wanted = typed.casefold()
    values = [one for one, name in known if one.casefold().startswith(wanted) or (wanted and wanted in name.casefold())]
    shown = values[:COMPLETIONS_MAX]
    return Completion(values=shown, total=None if more else len(values), has_more=more or len(values) > len(shown))
