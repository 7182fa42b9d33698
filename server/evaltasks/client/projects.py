"""Calls about projects."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class Projects(Resource):
    """Operations on projects."""

    list = one_call(ops.LIST_PROJECTS)
    all = all_items(ops.LIST_PROJECTS, lambda page: page.projects)
    create = one_call(ops.CREATE_PROJECT)
    get = one_call(ops.GET_PROJECT)
    rename = one_call(ops.RENAME_PROJECT)
    delete = one_call(ops.DELETE_PROJECT)
