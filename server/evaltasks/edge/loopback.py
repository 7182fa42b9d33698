"""Names and addresses that only this machine reaches."""

from __future__ import annotations

import ipaddress

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def is_ip_address(name: str) -> bool:
    """Whether `name` is an IPv4 or IPv6 address (without brackets)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
