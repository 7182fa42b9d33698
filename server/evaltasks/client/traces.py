"""Calls about traces."""

from __future__ import annotations

from evaltasks.api import operations as ops
from evaltasks.api.traces import ListTraces, ListTracesQuery, TracePage
from evaltasks.client.methods import Resource


class Traces(Resource):
    """Operations on traces."""

    async def list(self, body: ListTraces, *, limit: int = 25, cursor: str | None = None) -> TracePage:
        """Return one page of traces, from the newest root span to the oldest, each with its spans.

        Args:
            body: The project, time window and filter.
            limit: The size of the page, at most 50.
            cursor: Where the page starts; None for the first page.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        return await self._call(ops.LIST_TRACES, query=ListTracesQuery(limit=limit, cursor=cursor), body=body)
