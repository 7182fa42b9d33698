"""The call that distinguishes an evaltasks engine from AX."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.client.methods import Resource, one_call


class EngineCalls(Resource):
    """Operations of evaltasks engines only: AX answers NotFound."""

    info = one_call(ops.GET_ENGINE_INFO)
