"""HTTP endpoints for telemetry: `/v1/traces` (OTLP) and `/v1/pandas_arrow` (bulk upload of the SDK).

Errors are sent in the protocol of the client: for OTLP as google.rpc.Status in the encoding of the request. A header
names the space (name or id), as the published SDKs send it; without one it is the default space.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evaltasks.api.problems import NotBuilt, Problem, ServerError, Unavailable, UnknownMedia
from evaltasks.engine.app import problem_response
from evaltasks.engine.ingest.ingestor import STORE_RETRY_AFTER_SECONDS, Ingestor
from evaltasks.engine.ingest.messages import message
from evaltasks.engine.internal_error import report_internal_error
from evaltasks.engine.request_body import decompress, is_compressed, read_body
from evaltasks.engine.store.store import StoreError

logger = logging.getLogger(__name__)

TRACES = "/v1/traces"
ARROW = "/v1/pandas_arrow"
OTLP_BYTES_MAX = 20 * 2**20
ARROW_BYTES_MAX = 128 * 2**20
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
SPACE_HEADERS = ("arize-space-id", "space_id", "space-id", "arize-space")
PROJECT_HEADERS = ("x-project-name", "arize-project-name", "project_name")
# google.rpc.Code by HTTP status; any other 4xx is INVALID_ARGUMENT.
_RPC_CODES = {401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}
_INVALID_ARGUMENT = 3
_KEPT_HEADERS = frozenset({"retry-after", "www-authenticate", "connection"})
# The statuses of both endpoints besides 200.
PROBLEM_STATUSES = frozenset({400, 401, 403, 404, 413, 415, 422, 429, 500, 501, 503})


def ingest_routes(ingestor: Ingestor, body_bytes_max: int | None = None) -> list[Route]:
    """Return the routes for the engine's app.

    Args:
        ingestor: Stores the spans.
        body_bytes_max: The largest body in bytes, both as sent and decompressed. If None, each endpoint has its own.
    """

    async def traces(request: Request) -> Response:
        return await _export_traces(request, ingestor, body_bytes_max or OTLP_BYTES_MAX)

    async def arrow(request: Request) -> Response:
        return await _upload_arrow(request, ingestor, body_bytes_max or ARROW_BYTES_MAX)

    return [Route(TRACES, traces, methods=["POST"]), Route(ARROW, arrow, methods=["POST"])]


def encoding_of(content_type: str) -> str:
    """Return the media type of error responses to a request with this content type."""
    return PROTOBUF if _media_type(content_type) in (PROTOBUF, "application/protobuf") else JSON


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


async def _export_traces(request: Request, ingestor: Ingestor, bytes_max: int) -> Response:
    content_type = request.headers.get("content-type", "")
    encoding = encoding_of(content_type)

    async def work() -> Response:
        if _media_type(content_type) != JSON and encoding != PROTOBUF:
            raise UnknownMedia(f"OTLP is read as {PROTOBUF} or {JSON}; set content-type to one of them.")
        # Importing protobuf takes 30 ms, and an engine inside `serve` never receives such a request.
        from evaltasks.engine.ingest import otlp  # noqa: PLC0415  see above

        decode = otlp.request_from_protobuf if encoding == PROTOBUF else otlp.request_from_json
        project = _first_header(request, PROJECT_HEADERS)

        content = await _received(request, ingestor, bytes_max)
        with ingestor.place():
            batch = await to_thread.run_sync(lambda: otlp.batch_from(decode(content()), project))
            await ingestor.put(_first_header(request, SPACE_HEADERS), batch.rows)
        response = otlp.response_from(batch)
        encoded = response.SerializeToString() if encoding == PROTOBUF else otlp.json_from(response)
        return Response(encoded, media_type=encoding)

    return await _respond(work, TRACES, lambda problem: status_response(problem, encoding))


async def _upload_arrow(request: Request, ingestor: Ingestor, bytes_max: int) -> Response:
    async def work() -> Response:
        try:
            # pyarrow is in an optional extra: 170 MB that OTLP does not need.
            from evaltasks.engine.ingest import uploads  # noqa: PLC0415  see above
        except ImportError:
            raise NotBuilt(
                "Arrow uploads need pyarrow, which is not installed in the environment of this engine: "
                "install evaltasks[flight] there, or send spans over OTLP to /v1/traces."
            ) from None
        content = await _received(request, ingestor, bytes_max)
        with ingestor.place():
            upload = await to_thread.run_sync(lambda: uploads.upload_from(content()))
            stored = await uploads.put_upload(ingestor, _first_header(request, SPACE_HEADERS), upload)
        return JSONResponse(stored)

    return await _respond(work, ARROW, problem_response)


async def _received(request: Request, ingestor: Ingestor, bytes_max: int) -> Callable[[], bytes]:
    """Receive the body and return a function that decompresses it, for a worker thread.

    No place is held while a body is being received: a few slow clients would block all others.
    """
    packed = is_compressed(request)
    ingestor.refuse_when_full()
    body = await read_body(request, bytes_max)
    return lambda: decompress(body, bytes_max) if packed else body


async def _respond(
    work: Callable[[], Awaitable[Response]], path: str, error_response: Callable[[Problem], Response]
) -> Response:
    """Return the response of `work`, or a response for its error.

    An unexpected error is logged with its traceback; the response contains only its reference number.
    """
    try:
        return await work()
    except Problem as problem:
        return error_response(problem)
    except StoreError as error:
        logger.error("the store failed: %s", error)
        return error_response(Unavailable(str(error), retry_after_seconds=STORE_RETRY_AFTER_SECONDS))
    except Exception:
        return error_response(ServerError(report_internal_error(logger, path)))


def status_response(problem: Problem, encoding: str) -> Response:
    """Return a google.rpc.Status, the form of errors in OTLP."""
    response = problem_response(problem)  # its headers are kept
    code = _RPC_CODES.get(problem.status, _INVALID_ARGUMENT)
    if encoding == PROTOBUF:
        content = message({1: code, 2: problem.detail})
    else:
        content = json.dumps({"code": code, "message": problem.detail}, ensure_ascii=False).encode()
    kept = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
    return Response(content, status_code=problem.status, media_type=encoding, headers=kept)


def _first_header(request: Request, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := request.headers.get(name, "").strip())), None)
