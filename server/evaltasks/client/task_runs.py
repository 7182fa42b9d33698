"""Calls about task runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.task_runs import ListTaskRunRows, TaskRun, TaskRunRow, TaskRunRowPage
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class TaskRuns:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def get(self, run_id: str) -> TaskRun:
        return await self._call(ops.GET_TASK_RUN, {"run_id": run_id})

    async def cancel(self, run_id: str) -> TaskRun:
        return await self._call(ops.CANCEL_TASK_RUN, {"run_id": run_id})

    async def list_rows(self, run_id: str, query: ListTaskRunRows) -> TaskRunRowPage:
        """evaltasks engines only."""
        return await self._call(ops.LIST_TASK_RUN_ROWS, {"run_id": run_id}, query=query)

    def all_rows(self, run_id: str, query: ListTaskRunRows) -> AsyncIterator[TaskRunRow]:
        """Every row of the task run that the query selects; evaltasks engines only."""

        async def fetch(page_query: ListTaskRunRows) -> TaskRunRowPage:
            return await self.list_rows(run_id, page_query)

        return every_item(fetch, query, lambda page: page.task_run_rows)
