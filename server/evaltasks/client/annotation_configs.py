"""Calls about annotation configs."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, all_items, one_call


class AnnotationConfigs(Resource):
    """Operations on annotation configs."""

    list = one_call(ops.LIST_ANNOTATION_CONFIGS)
    all = all_items(ops.LIST_ANNOTATION_CONFIGS, lambda page: page.annotation_configs)
    create = one_call(ops.CREATE_ANNOTATION_CONFIG)
    get = one_call(ops.GET_ANNOTATION_CONFIG)
    update = one_call(ops.UPDATE_ANNOTATION_CONFIG)
    delete = one_call(ops.DELETE_ANNOTATION_CONFIG)
