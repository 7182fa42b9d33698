"""Calls about AI integrations."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class AiIntegrations(Resource):
    """Operations on AI integrations, the endpoints of judge models. Keys are sent and never returned."""

    list = one_call(ops.LIST_AI_INTEGRATIONS)
    all = all_items(ops.LIST_AI_INTEGRATIONS, lambda page: page.ai_integrations)
    create = one_call(ops.CREATE_AI_INTEGRATION)
    get = one_call(ops.GET_AI_INTEGRATION)
    update = one_call(ops.UPDATE_AI_INTEGRATION)
    delete = one_call(ops.DELETE_AI_INTEGRATION)
