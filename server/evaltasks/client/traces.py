"""Calls about traces."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.api.traces import ListTraces, ListTracesQuery, TracePage
from evaltasks.client.methods import Resource


class Traces(Resource):
    """Operations on traces."""

    async def list(self, body: ListTraces, *, limit: int = 25, cursor: str | None = None) -> TracePage:
        """One page of at most 50 traces, the newest root first, each with its spans."""
        return await self._call(ops.LIST_TRACES, query=ListTracesQuery(limit=limit, cursor=cursor), body=body)
