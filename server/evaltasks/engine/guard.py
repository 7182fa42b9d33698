"""Keeps web pages out of an engine on a port.

A page in a browser can reach loopback. Two checks stop it: the Host header must be an address we were told to serve
(so a name that was rebound to 127.0.0.1 does not pass), and an Origin, which only browsers send, must be ours.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.api.problems import Forbidden
from evaltasks.engine.app import problem_response

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  named to be treated apart, not bound here


@dataclass(frozen=True)
class OwnNames:
    """Under which names requests may come in. `any_address`: also under every IP address.

    A name can be rebound to an address of ours, an address cannot.
    """

    names: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False

    def has(self, name: str | None) -> bool:
        return name in self.names or (self.any_address and name is not None and _is_address(name))


LOOPBACK = OwnNames()


def own_names(host: str, allowed: Collection[str] = ()) -> OwnNames:
    """The names of an engine bound to `host`: that and `allowed`; bound to every address all of this machine's."""
    further = {name.lower() for name in allowed}
    if host in _EVERY_ADDRESS:
        return OwnNames(LOOPBACK_NAMES | further | {socket.gethostname().lower()}, any_address=True)
    own = LOOPBACK_NAMES if host in LOOPBACK_NAMES else frozenset({host.lower()})
    return OwnNames(own | further)


class Guard:
    """ASGI middleware: answers 403 to a foreign Host or Origin."""

    def __init__(self, app: ASGIApp, own: OwnNames = LOOPBACK) -> None:
        self._app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._objection(scope)):
            await problem_response(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> Forbidden | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self._own.has(_host_name(f"//{headers.get(b'host', '')}")):
            return Forbidden(
                "This engine does not answer under this name (Host header). If it is meant to, start it with "
                "--allow-host NAME."
            )
        origin = headers.get(b"origin")
        # Pages of any address are strangers' pages: only names that we were told are ours.
        if origin is not None and _host_name(origin) not in self._own.names:
            return Forbidden("This engine does not answer web pages of other origins.")
        return None


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
