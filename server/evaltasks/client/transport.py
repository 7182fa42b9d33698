"""Opening of clients: over an ASGI app in this process, or over the network with an API key.

The key is in one header of the HTTP client and nowhere else. It is sent only to the configured address: redirects are
not followed, and plain HTTP is used only on this machine unless the user allows it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import httpx2

from evaltasks import __version__
from evaltasks.api.problems import Problem
from evaltasks.client.caller import Caller
from evaltasks.client.client import Client
from evaltasks.client.engine import EngineCalls
from evaltasks.client.errors import Unreadable, WrongValue
from evaltasks.client.retries import RetryBudget, Sleep

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

PRODUCT = "evaltasks"
CONNECTIONS_MAX = 20
# A read of the local store takes milliseconds; this timeout only prevents a stuck one from blocking a tool for ever.
LOCAL_TIMEOUT_SECONDS = 60.0


@asynccontextmanager
async def open_app_client(app: AsgiApp, *, default_space: str | None = None) -> AsyncIterator[Client]:
    """Open a client of an engine in this process.

    Args:
        app: The ASGI app of the engine.
        default_space: The space (name or id) in which names are resolved if a call names no space.
    """
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://engine.localhost", headers=_headers(None)
    ) as http:
        caller = Caller(http, "The embedded engine", LOCAL_TIMEOUT_SECONDS, RetryBudget())
        yield Client(caller, is_engine=True, default_space=default_space)


@asynccontextmanager
async def open_remote_client(
    base_url: str,
    api_key: str | None,
    *,
    default_space: str | None = None,
    timeout_seconds: float = 30,
    is_engine: bool | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    sleep: Sleep | None = None,
    retry_budget: RetryBudget | None = None,
    allow_plain_http: bool = False,
) -> AsyncIterator[Client]:
    """Open a client of AX or of an evaltasks engine at an address.

    Args:
        base_url: The address of the service.
        api_key: The API key, if the service requires one.
        default_space: The space (name or id) in which names are resolved if a call names no space.
        timeout_seconds: The timeout of one attempt of a call.
        is_engine: Whether the service is an evaltasks engine. None detects it: an address of arize.com is AX, and any
            other service is asked once when the client is opened.
        transport: Replaces the network in tests.
        sleep: Replaces the sleep between retries in tests.
        retry_budget: The limits of retries.
        allow_plain_http: Whether the key may be sent over plain HTTP to another machine.

    Raises:
        WrongValue: If the address or the key is not valid, or the key would be sent unencrypted over a network.
        Unreachable: If the service has to be asked what it is, and cannot be reached.
    """
    url = _checked_url(base_url)
    key = _checked_key(api_key)
    local = _is_loopback(url.host)
    if key and url.scheme == "http" and not local and not allow_plain_http:
        raise WrongValue(
            f"The API key would be sent to {url.host} unencrypted. Use https://, or allow plain HTTP explicitly "
            "(--allow-plain-http) if you trust the network in between."
        )
    bounds = retry_budget or RetryBudget()
    if sleep is not None:
        bounds = replace(bounds, sleep=sleep)
    connect_seconds = min(10.0, timeout_seconds / 2)
    async with httpx2.AsyncClient(
        base_url=url,
        headers=_headers(key),
        timeout=httpx2.Timeout(timeout_seconds, connect=connect_seconds, pool=connect_seconds),
        limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
        follow_redirects=False,
        transport=transport,
        # Proxies of the environment are for the network; local calls stay on this machine.
        trust_env=not local,
    ) as http:
        caller = Caller(http, _origin(url), timeout_seconds, bounds, key)
        engine = await _is_engine(caller, url) if is_engine is None else is_engine
        yield Client(caller, is_engine=engine, default_space=default_space)


async def _is_engine(caller: Caller, url: httpx2.URL) -> bool:
    if url.host == "arize.com" or url.host.endswith(".arize.com"):
        return False
    try:
        info = await EngineCalls(caller).info()
    except Unreadable:
        return False
    except Problem as problem:
        # A service that rejects an unknown path is not an engine; one that is down may be either.
        if problem.status < 500:
            return False
        raise
    return info.product == PRODUCT


def _headers(key: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"{PRODUCT}/{__version__}", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _checked_url(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise WrongValue("The address of the service must be a complete URL, such as https://api.arize.com.")
    if url.userinfo or url.query or url.fragment:
        raise WrongValue(
            "The address of the service must be scheme, host, port and path only, without user, query or '#'."
        )
    return url


def _checked_key(key: str | None) -> str | None:
    """Return the key if a header can contain it; otherwise the error of the HTTP library would quote it."""
    stripped = (key or "").strip()
    if any(not "!" <= character <= "~" for character in stripped):
        raise WrongValue("The API key contains blanks or other invalid characters; copy it again.")
    return stripped or None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: httpx2.URL) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
