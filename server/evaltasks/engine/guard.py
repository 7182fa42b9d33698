"""Keeps web pages out of an engine on a port.

A page in a browser can reach loopback. Two checks stop it: the Host header must be an address we were told to serve
(so a name that was rebound to 127.0.0.1 does not pass), and an Origin, which only browsers send, must be ours.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.api.problems import Forbidden
from evaltasks.engine.app import problem_response

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Guard:
    """ASGI middleware: answers 403 to a foreign Host or Origin."""

    def __init__(self, app: ASGIApp, allowed_names: frozenset[str] = LOOPBACK_NAMES) -> None:
        self._app = app
        self._allowed_names = allowed_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._objection(scope)):
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> Forbidden | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if _host_name(f"//{headers.get(b'host', '')}") not in self._allowed_names:
            return Forbidden("This engine answers only under the address it was started on (Host header).")
        origin = headers.get(b"origin")
        if origin is not None and _host_name(origin) not in self._allowed_names:
            return Forbidden("This engine does not answer web pages of other origins.")
        return None


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
