"""The engine's REST API: a Starlette app made from the operations table.

One place parses requests (query and body into the operation's models; unknown fields are rejected), one place writes
responses, and one place turns errors into problem documents. An internal error is logged with a reference number, and
the response contains that number only.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from anyio import to_thread
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from evaltasks.api.operations import INGEST_SPANS, OPERATIONS, AnyOperation
from evaltasks.api.problems import (
    MEDIA_TYPE,
    BadRequest,
    Problem,
    RateLimited,
    ServerError,
    Unauthorized,
    Unavailable,
    UnknownMedia,
    Unprocessable,
    problem_from,
)
from evaltasks.api.wire import FurtherWords
from evaltasks.engine.call import Call, Handler, Services
from evaltasks.engine.internal_error import report_internal_error
from evaltasks.engine.providers.registry import is_plugin_word
from evaltasks.engine.request_body import read_body
from evaltasks.engine.store.store import StoreError
from evaltasks.engine.strict_json import require_strict_json

logger = logging.getLogger(__name__)

_STORE_RETRY_SECONDS = 5
# Larger bodies are parsed in a thread, so that the event loop stays free for judge calls.
_LARGE_BYTES = 128 * 1024
BODY_BYTES_MAX = 32 * 2**20
_TOO_SLOW = 408
_JSON = "application/json"
# Provider names added by installed plug-ins.
_FURTHER_WORDS = FurtherWords(is_plugin_word)
# What a JSON schema can express is a malformed request (400); what only a rule can express is unprocessable (422).
_RULE_ERRORS = frozenset({"value_error", "assertion_error"})


def make_app(
    services: Services,
    handlers: Mapping[str, Handler],
    further: Sequence[Route] = (),
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Starlette:
    """Make the ASGI app.

    Args:
        services: What the handlers work with.
        handlers: The handlers by operation name.
        further: Fallback routes, tried in order after the API operations, such as those of telemetry.
        body_bytes_max: The largest request body of an operation.

    Raises:
        KeyError: If an operation has no handler.
    """
    routes = [
        Route(row.path, _endpoint(row, handlers[row.name], services, body_bytes_max), methods=[row.method])
        for row in OPERATIONS
    ]
    app = Starlette(routes=[*routes, *further], exception_handlers={HTTPException: _http_problem})
    # A path that ends in an empty id must not be redirected to the list above it.
    app.router.redirect_slashes = False
    return app


def _endpoint(
    row: AnyOperation, handler: Handler, services: Services, body_bytes_max: int
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await read_body(request, body_bytes_max) if row.body is not None else b""
            if body:
                _require_json(request.headers.get("content-type", _JSON))
            parsed = await _run_in_thread(len(body) > _LARGE_BYTES, _parse_body, row, body)
            call = Call(services, request.path_params, _parse_query(row, request), parsed)
            reply = await handler(call)
        except Problem as problem:
            return problem_response(problem)
        except StoreError as error:
            logger.error("the store failed: %s", error)
            retry_after = _STORE_RETRY_SECONDS if error.may_pass else None
            return problem_response(Unavailable(str(error), retry_after_seconds=retry_after))
        except Exception:
            return problem_response(ServerError(report_internal_error(logger, row.name)))
        if reply is None:
            return Response(status_code=row.status)
        return Response(reply.model_dump_json(), status_code=row.status, media_type=_JSON)

    return endpoint


async def _run_in_thread(is_large: bool, work: Callable[..., BaseModel | None], *arguments: object) -> BaseModel | None:
    return await to_thread.run_sync(work, *arguments) if is_large else work(*arguments)


def _require_json(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != _JSON and not media_type.endswith("+json"):
        raise UnknownMedia(f"Content-Type {media_type[:80]!r} is not supported; send the body as {_JSON}.")


def _parse_query(row: AnyOperation, request: Request) -> BaseModel | None:
    parameters = {name: value for name, value in request.query_params.items() if value != ""}
    if repeated := sorted(name for name in parameters if len(request.query_params.getlist(name)) > 1):
        raise BadRequest(f"Repeated query parameters: {', '.join(repeated)}; send each one once.")
    if row.query is None:
        if parameters:
            raise BadRequest(f"{row.name} does not have query parameters; remove: {', '.join(sorted(parameters))}.")
        return None
    try:
        return row.query.model_validate(parameters)
    except ValidationError as error:
        raise _invalid(error, "query parameter") from None


def _parse_body(row: AnyOperation, body: bytes) -> BaseModel | None:
    if row.body is None:
        return None
    # NaN and infinities of an application must not lose its span; they are stored as null.
    require_strict_json(body, any_number=row is INGEST_SPANS)
    try:
        return row.body.model_validate_json(body or b"{}", strict=True, context=_FURTHER_WORDS)
    except ValidationError as error:
        raise _invalid(error, "field") from None


def _invalid(error: ValidationError, location: str) -> Problem:
    """Combine all validation errors of a request into one problem, without repeating values of the request."""
    messages = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        messages.append(f"{location} {where}: {message}" if where else message)
    only_rules = all(detail["type"] in _RULE_ERRORS for detail in error.errors(include_input=False))
    kind: type[Problem] = Unprocessable if only_rules else BadRequest
    return kind("; ".join(messages))


def problem_response(problem: Problem) -> Response:
    """Return a problem as `application/problem+json` (RFC 9457) with the headers of its status."""
    headers = {}
    if isinstance(problem, RateLimited | Unavailable) and problem.retry_after_seconds is not None:
        headers["Retry-After"] = str(math.ceil(problem.retry_after_seconds))
    if isinstance(problem, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == _TOO_SLOW:
        # The rest of the body is not read.
        headers["Connection"] = "close"
    body = json.dumps(problem.document(), ensure_ascii=False)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


async def _http_problem(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method with a problem document."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = f"There is no operation {request.method} at this path."
    response = problem_response(problem_from(status, {"detail": detail}))
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return response


def _methods_at(request: Request) -> set[str]:
    """Return the methods of this path; each of them is a route."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return methods
