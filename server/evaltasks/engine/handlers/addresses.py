"""Validates the URLs and headers of integrations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

HEADERS_BYTES_MAX = 8175
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


def address_problem(field: str, url: str) -> str | None:
    """Return what is wrong with the URL in `field`, or None if it is valid."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError for an invalid port
    except ValueError:
        return f"{field} is not a valid URL"
    if not parts.hostname:
        return f"{field} has no host"
    if parts.username is not None or parts.password is not None:
        return f"{field} must not contain a user name or password, because it is stored and shown; use api_key_env"
    return None


def header_problems(headers: Mapping[str, str]) -> list[str]:
    """Return what is wrong with HTTP headers; empty if they are valid."""
    problems = []
    if sum(len(name) + len(value.encode()) for name, value in headers.items()) > HEADERS_BYTES_MAX:
        problems.append(f"headers are larger than {HEADERS_BYTES_MAX} bytes")
    if any(not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value) for name, value in headers.items()):
        problems.append("headers: names must be HTTP tokens, and values printable ASCII on one line")
    return problems
