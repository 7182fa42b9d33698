"""An answer to a request that does not reach its handler, in the words its sender reads."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from evaltasks.api.problems import Problem
from evaltasks.engine.app import problem_response
from evaltasks.engine.ingest.routes import TRACES, encoding_of, status_response


async def send_problem(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """A problem document; for telemetry a google.rpc.Status in the encoding of the request."""
    if scope["path"] == TRACES:
        headers = dict(scope["headers"])
        response = status_response(problem, encoding_of(headers.get(b"content-type", b"").decode("latin-1")))
    else:
        response = problem_response(problem)
    await response(scope, receive, send)
