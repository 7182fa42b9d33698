"""Encodes protobuf messages with a few fields.

For responses whose published definitions would need a package each: google.rpc.Status and the messages that Arrow
Flight clients read. They contain only strings, integers and nested messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Field: TypeAlias = str | bytes | int | Sequence[str] | Sequence[bytes]

_VARINT = 0
_DELIMITED = 2


def message(fields: Mapping[int, Field]) -> bytes:
    """Encode a message.

    Args:
        fields: The values by field number. A list is a repeated field. Empty values are left out, as in proto3.
    """
    parts = []
    for number, value in fields.items():
        if isinstance(value, int):
            parts.append(_varint(number << 3 | _VARINT) + _varint(value) if value else b"")
            continue
        members = [value] if isinstance(value, str | bytes) else value
        is_single = isinstance(value, str | bytes)
        for member in members:
            content = member.encode() if isinstance(member, str) else member
            if content or not is_single:
                parts.append(_varint(number << 3 | _DELIMITED) + _varint(len(content)) + content)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    assert number >= 0, "negative numbers need another encoding"
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
