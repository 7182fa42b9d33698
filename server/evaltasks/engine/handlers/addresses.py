"""What an address and headers must be to be stored, shown and called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

HEADERS_BYTES_MAX = 8175
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


def address_problem(field: str, url: str) -> str | None:
    """What is wrong with the address given as `field`, in one sentence; None when nothing is."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  reading it is what checks it
    except ValueError:
        return f"{field} is not a web address"
    if not parts.hostname:
        return f"{field} names no host"
    if parts.username is not None or parts.password is not None:
        return f"{field} may not carry a user name or password, because it is stored and shown; use api_key_env"
    return None


def header_problems(headers: Mapping[str, str]) -> list[str]:
    problems = []
    if sum(len(name) + len(value.encode()) for name, value in headers.items()) > HEADERS_BYTES_MAX:
        problems.append(f"headers are larger than {HEADERS_BYTES_MAX} bytes")
    if any(not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value) for name, value in headers.items()):
        problems.append("headers: names are HTTP tokens and values printable ASCII on one line")
    return problems
