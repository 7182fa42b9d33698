"""Calls about spaces."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class Spaces(Resource):
    """Operations on spaces. Deleting a space deletes everything in it."""

    list = one_call(ops.LIST_SPACES)
    all = all_items(ops.LIST_SPACES, lambda page: page.spaces)
    create = one_call(ops.CREATE_SPACE)
    get = one_call(ops.GET_SPACE)
    update = one_call(ops.UPDATE_SPACE)
    delete = one_call(ops.DELETE_SPACE)
