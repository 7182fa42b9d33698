"""Calls about tasks."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class Tasks(Resource):
    """Operations on tasks, and those on the task runs of one task.

    An update changes exactly the fields that are set in its body; a field set to None is cleared. A trigger starts a
    task run and returns it at once, pending. Task runs are listed from newest to oldest.
    """

    list = one_call(ops.LIST_TASKS)
    all = all_items(ops.LIST_TASKS, lambda page: page.tasks)
    create = one_call(ops.CREATE_TASK)
    get = one_call(ops.GET_TASK)
    update = one_call(ops.UPDATE_TASK)
    delete = one_call(ops.DELETE_TASK)
    trigger = one_call(ops.TRIGGER_TASK_RUN)
    list_task_runs = one_call(ops.LIST_TASK_RUNS)
    all_task_runs = all_items(ops.LIST_TASK_RUNS, lambda page: page.task_runs)
