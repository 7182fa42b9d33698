"""Bodies of uploads: read as they come, unpacked as they come, never more than is allowed."""

from __future__ import annotations

import zlib

from starlette.requests import Request

from evaltasks.api.problems import BadRequest, TooLarge, UnknownMedia

# zlib's number for "gzip or zlib, whichever the header says".
_GZIP_OR_ZLIB = 47
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_upload(request: Request, bytes_max: int) -> bytes:
    """The body, unpacked. Raises TooLarge for more than `bytes_max` bytes, packed or not, UnknownMedia, BadRequest."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in _PACKED | {"identity"}:
        raise UnknownMedia("This content-encoding is not read here; send gzip, deflate, or nothing packed.")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in _PACKED else None
    parts: list[bytes] = []
    size = 0
    async for packed in request.stream():
        part = packed if unpacker is None else _unpacked(unpacker, packed, bytes_max - size + 1)
        size += len(part)
        if size > bytes_max:
            raise TooLarge(f"The body is larger than {bytes_max // 2**20} MiB; send it in parts.")
        parts.append(part)
    if unpacker is not None and not unpacker.eof:
        raise BadRequest("The packed body ends early.")
    return b"".join(parts)


def _unpacked(unpacker: zlib._Decompress, packed: bytes, length_max: int) -> bytes:
    """At most `length_max` bytes: that many mean the body is too big, so nothing that follows is missed."""
    try:
        part = unpacker.decompress(packed, length_max)
    except zlib.error:
        raise BadRequest("The body is not packed as its content-encoding says.") from None
    if unpacker.unused_data:
        raise BadRequest("Something follows the end of the packed body.")
    return part
