"""Calls about the integrations of `/v2/integrations`."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class Integrations(Resource):
    """Operations on integrations: agents that run_experiment tasks call."""

    list = one_call(ops.LIST_INTEGRATIONS)
    all = all_items(ops.LIST_INTEGRATIONS, lambda page: page.integrations)
    create = one_call(ops.CREATE_INTEGRATION)
    get = one_call(ops.GET_INTEGRATION)
    update = one_call(ops.UPDATE_INTEGRATION)
    delete = one_call(ops.DELETE_INTEGRATION)
