"""Calls about tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.task_runs import ListTaskRuns, TaskRun, TaskRunPage, TriggerTaskRun
from evaltasks.api.tasks import CreateTask, ListTasks, Task, TaskPage, UpdateTask
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Tasks:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, query: ListTasks) -> TaskPage:
        return await self._call(ops.LIST_TASKS, query=query)

    def all(self, query: ListTasks) -> AsyncIterator[Task]:
        """Every task of every page."""
        return every_item(self.list, query, lambda page: page.tasks)

    async def create(self, body: CreateTask) -> Task:
        return await self._call(ops.CREATE_TASK, body=body)

    async def get(self, task_id: str) -> Task:
        return await self._call(ops.GET_TASK, {"task_id": task_id})

    async def update(self, task_id: str, body: UpdateTask) -> Task:
        """Changes exactly the fields set in `body`; one set to None is cleared."""
        return await self._call(ops.UPDATE_TASK, {"task_id": task_id}, body=body)

    async def delete(self, task_id: str) -> None:
        await self._call(ops.DELETE_TASK, {"task_id": task_id})

    async def trigger(self, task_id: str, body: TriggerTaskRun) -> TaskRun:
        """Starts a task run and returns it at once, pending."""
        return await self._call(ops.TRIGGER_TASK_RUN, {"task_id": task_id}, body=body)

    async def list_task_runs(self, task_id: str, query: ListTaskRuns) -> TaskRunPage:
        return await self._call(ops.LIST_TASK_RUNS, {"task_id": task_id}, query=query)

    def all_task_runs(self, task_id: str, query: ListTaskRuns) -> AsyncIterator[TaskRun]:
        """Every task run of the task, newest first."""

        async def fetch(page_query: ListTaskRuns) -> TaskRunPage:
            return await self.list_task_runs(task_id, page_query)

        return every_item(fetch, query, lambda page: page.task_runs)
