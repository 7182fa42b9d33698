"""Error responses of middleware, in the protocol of the request."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from evaltasks.api.problems import Problem
from evaltasks.engine.app import problem_response
from evaltasks.engine.ingest.routes import TRACES, encoding_of, status_response


async def send_problem(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a problem document or, on the OTLP route, a google.rpc.Status in the encoding of the request."""
    if scope["path"] == TRACES:
        headers = dict(scope["headers"])
        response = status_response(problem, encoding_of(headers.get(b"content-type", b"").decode("latin-1")))
    else:
        response = problem_response(problem)
    await response(scope, receive, send)
