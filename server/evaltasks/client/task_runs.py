"""Calls about task runs."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class TaskRuns(Resource):
    """Operations on task runs. Only evaltasks engines answer the operations on rows."""

    get = one_call(ops.GET_TASK_RUN)
    cancel = one_call(ops.CANCEL_TASK_RUN)
    list_rows = one_call(ops.LIST_TASK_RUN_ROWS)
    all_rows = all_items(ops.LIST_TASK_RUN_ROWS, lambda page: page.task_run_rows)
