"""Host and Origin check of every HTTP server here, against DNS rebinding and requests from web pages.

A page in a browser can send requests to any address of this machine and, by rebinding a name, read the responses.
Two checks prevent it: the Host header must name this server (a rebound name does not), and an Origin, which only
browsers send, must be one of the same names.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.edge.loopback import LOOPBACK_NAMES, is_ip_address

# Binding to one of these accepts connections to every address of the machine.
WILDCARD_ADDRESSES = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  compared with, not bound here
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::(\d{1,5}))?", re.IGNORECASE)
_SHOWN_CHARACTERS_MAX = 100


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts under which a server answers.

    Attributes:
        authorities: Pairs of a name in lower case and a port, or None for every port.
        any_ip_address: Whether every IP address is allowed as a Host too: a name can be rebound to an address of this
            machine, an address cannot. Origins are never allowed by it, because any machine has an address.
    """

    authorities: frozenset[tuple[str, int | None]]
    any_ip_address: bool = False

    @classmethod
    def bound_to(cls, host: str, further: Collection[str] = (), *, port: int | None = None) -> AllowedHosts:
        """Return the hosts allowed at a server that is bound to `host`.

        Args:
            host: The address the server is bound to. For a loopback name all of them are allowed; for a wildcard
                address the loopback names, this machine's name and every IP address, on every port, because a
                container's port is another one outside.
            further: More names (`--allow-host`), on every port, because a proxy in front of the server has its own.
            port: The port that must follow the bound host; None allows every port.
        """
        names: set[tuple[str, int | None]] = {(name.lower(), None) for name in further}
        if host in WILDCARD_ADDRESSES:
            names |= {(name.lower(), None) for name in (*LOOPBACK_NAMES, socket.gethostname())}
            return cls(frozenset(names), any_ip_address=True)
        names |= {(name.lower(), port) for name in (LOOPBACK_NAMES if host in LOOPBACK_NAMES else (host,))}
        return cls(frozenset(names))

    def allow_host(self, authority: str) -> bool:
        """Whether the value of a Host header is allowed."""
        host = _split_authority(authority, _DEFAULT_PORTS["http"])
        return host is not None and (self._has(*host) or (self.any_ip_address and is_ip_address(host[0])))

    def allow_origin(self, origin: str) -> bool:
        """Whether the value of an Origin header is allowed."""
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS:
            return False
        host = _split_authority(authority, _DEFAULT_PORTS[scheme])
        return host is not None and self._has(*host)

    def _has(self, name: str, port: int) -> bool:
        return not self.authorities.isdisjoint({(name, port), (name, None)})


@dataclass(frozen=True)
class HostOriginError:
    """Why a request is refused: the header that is not allowed, and a message for its sender."""

    header: Literal["Host", "Origin"]
    message: str


class HostOriginMiddleware:
    """ASGI middleware that passes on only requests whose Host and Origin are allowed.

    Args:
        app: The app behind the check.
        hosts: What is allowed.
        refuse: Makes the response to a refused request, in the protocol of the server.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, refuse: Callable[[HostOriginError], ASGIApp]) -> None:
        self._app = app
        self._hosts = hosts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and (error := self._check(Headers(scope=scope))):
            await self._refuse(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> HostOriginError | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._hosts.allow_host(hosts[0]):
            return HostOriginError(
                "Host",
                f"Host header not allowed: {_shown(hosts)}. To allow it, start the server with --allow-host NAME.",
            )
        if len(origins) > 1 or not all(self._hosts.allow_origin(origin) for origin in origins):
            return HostOriginError(
                "Origin", f"Origin not allowed: {_shown(origins)}. Web pages of other origins cannot use this server."
            )
        return None


def _split_authority(authority: str, default_port: int) -> tuple[str, int] | None:
    """Return the name in lower case and the port of `host[:port]`; None if it has another form."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    return (match[1] or match[2]).lower(), int(match[3]) if match[3] else default_port


def _shown(values: list[str]) -> str:
    """Quote what the sender wrote, without control characters and not longer than a line."""
    return ", ".join(repr(value[:_SHOWN_CHARACTERS_MAX]) for value in values[:3]) or "missing"
