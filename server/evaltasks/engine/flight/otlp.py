"""OTLP over gRPC, which the published SDK's `experiments.run` uses for its traces.

Spans are stored as with OTLP over HTTP. gRPC serves in threads; a portal runs the ingestor on the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio
import grpc
from anyio import to_thread
from anyio.from_thread import BlockingPortal

from evaltasks.api.problems import Problem
from evaltasks.engine.ingest import otlp
from evaltasks.engine.ingest.ingestor import Ingestor
from evaltasks.engine.ingest.routes import OTLP_BYTES_MAX, PROJECT_HEADERS, SPACE_HEADERS
from evaltasks.engine.internal_error import report_internal_error
from evaltasks.engine.keys import INVALID_KEY, Keys

logger = logging.getLogger(__name__)

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_THREADS = 8
_GRACE_SECONDS = 5
_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}


@asynccontextmanager
async def open_otlp(
    ingestor: Ingestor, host: str, port: int, keys: Keys | None = None, body_bytes_max: int | None = None
) -> AsyncIterator[str]:
    """Serve OTLP over gRPC while the context is open.

    Args:
        ingestor: Stores the spans.
        host: The address to bind to.
        port: The port; 0 picks a free one.
        keys: If set, calls must send one of these keys as `authorization`, with or without "Bearer".
        body_bytes_max: The largest message in bytes.

    Yields:
        The endpoint for exporters, `http://host:port`.

    Raises:
        OSError: The address is in use.
    """
    shown = f"[{host}]" if ":" in host else host
    # Bind before entering the portal: inside it an error would be wrapped in an exception group.
    portal = BlockingPortal()
    handler = grpc.unary_unary_rpc_method_handler(_Listener(ingestor, portal, keys).export)
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="otlp"),
        options=[("grpc.max_receive_message_length", body_bytes_max or OTLP_BYTES_MAX), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler})])
    try:
        bound = server.add_insecure_port(f"{shown}:{port}")
    except RuntimeError as error:
        raise OSError(f"OTLP over gRPC cannot serve on {shown}:{port}") from error
    async with portal:
        server.start()
        try:
            yield f"http://{shown}:{bound}"
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(server.stop(_GRACE_SECONDS).wait, _GRACE_SECONDS)


class _Listener:
    def __init__(self, ingestor: Ingestor, portal: BlockingPortal, keys: Keys | None) -> None:
        self._ingestor = ingestor
        self._portal = portal
        self._keys = keys

    def export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        headers = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        if self._keys is not None and not self._keys.caller(headers.get("authorization", "").encode()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, INVALID_KEY)
        try:
            response: bytes = self._portal.call(self._ingest, body, headers)
            return response
        except Problem as problem:
            context.abort(_CODES.get(problem.status, grpc.StatusCode.INVALID_ARGUMENT), problem.detail)
        except Exception:
            context.abort(grpc.StatusCode.INTERNAL, report_internal_error(logger, "OTLP/gRPC"))
        raise AssertionError("abort raises")

    async def _ingest(self, body: bytes, headers: dict[str, str]) -> bytes:
        def first_header(names: tuple[str, ...]) -> str | None:
            return next((headers[name] for name in names if headers.get(name)), None)

        with self._ingestor.place():
            project = first_header(PROJECT_HEADERS)
            batch = await to_thread.run_sync(lambda: otlp.batch_from(otlp.request_from_protobuf(body), project))
            await self._ingestor.put(first_header(SPACE_HEADERS), batch.rows)
        encoded: bytes = otlp.response_from(batch).SerializeToString()
        return encoded
