"""Calls about spans."""

from __future__ import annotations

from collections.abc import AsyncIterator

from evaltasks.api import operations as ops
from evaltasks.api.annotations import AnnotateSpans
from evaltasks.api.spans import (
    DeletedSpans,
    DeleteSpans,
    IngestedSpans,
    IngestSpans,
    ListSpans,
    ListSpansQuery,
    Span,
    SpanPage,
)
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item


class Spans:
    """Each method is one operation. Raises `Problem` and `ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def list(self, body: ListSpans, *, limit: int = 50, cursor: str | None = None) -> SpanPage:
        """One page, in an order of the service's own: never "the latest" without a window."""
        return await self._page(body, ListSpansQuery(limit=limit, cursor=cursor))

    def all(self, body: ListSpans) -> AsyncIterator[Span]:
        """Every span of every page."""

        async def fetch(query: ListSpansQuery) -> SpanPage:
            return await self._page(body, query)

        return every_item(fetch, ListSpansQuery(), lambda page: page.spans)

    async def ingest(self, project_id: str, body: IngestSpans) -> IngestedSpans:
        """evaltasks engines only; AX takes spans over OTLP. Sending the same spans again replaces them."""
        return await self._call(ops.INGEST_SPANS, {"project_id": project_id}, body=body)

    async def annotate(self, body: AnnotateSpans) -> None:
        """All of the records or none. Writing the same again changes nothing."""
        await self._call(ops.ANNOTATE_SPANS, body=body)

    async def delete(self, body: DeleteSpans) -> DeletedSpans:
        """For good. Deleting the same again is harmless."""
        return await self._call(ops.DELETE_SPANS, body=body)

    async def _page(self, body: ListSpans, query: ListSpansQuery) -> SpanPage:
        return await self._call(ops.LIST_SPANS, query=query, body=body)
