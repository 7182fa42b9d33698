"""Calls about spans."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.spans import (
    ListSpans,
    ListSpansQuery,
    Span,
    SpanPage,
)
from evaltasks.client.methods import Resource, one_call
from evaltasks.client.pages import every_item


class Spans(Resource):
    """Operations on spans.

    Only evaltasks engines answer `ingest` (AX takes spans over OTLP); sending the same spans again replaces them. An
    annotation writes all of its records or none, and writing the same again changes nothing. A deletion is permanent,
    and deleting the same again is harmless.
    """

    async def list(self, body: ListSpans, *, limit: int = 50, cursor: str | None = None) -> SpanPage:
        """Return one page of spans.

        Args:
            body: The project, time window and filter. Without a window these are not the latest spans: the order of
                the service is undefined.
            limit: The size of the page, at most 500.
            cursor: Where the page starts; None for the first page.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        return await self._page(body, ListSpansQuery(limit=limit, cursor=cursor))

    def all(self, body: ListSpans) -> AsyncIterator[Span]:
        """Iterate over the spans of every page.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came, or the list does not end.
        """

        async def fetch(query: ListSpansQuery) -> SpanPage:
            return await self._page(body, query)

        return every_item(fetch, ListSpansQuery(), lambda page: page.spans)

    ingest = one_call(ops.INGEST_SPANS)
    annotate = one_call(ops.ANNOTATE_SPANS)
    delete = one_call(ops.DELETE_SPANS)

    async def _page(self, body: ListSpans, query: ListSpansQuery) -> SpanPage:
        return await self._call(ops.LIST_SPANS, query=query, body=body)
