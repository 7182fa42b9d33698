"""Bodies of requests: read as they come, never more than is allowed; uploads unpacked, never to more than is allowed.

How long a body may take is watched elsewhere (`body_limits`), for every route at once.
"""

from __future__ import annotations

import zlib

from starlette.requests import ClientDisconnect, Request

from evaltasks.api.problems import BadRequest, TooLarge, UnknownMedia

# zlib's number for "gzip or zlib, whichever the header says".
_GZIP_OR_ZLIB = 47
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body as it was sent. Raises TooLarge, before anything is read where the request says its length."""
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > bytes_max:
        raise _too_large(bytes_max)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
    except ClientDisconnect:
        # No one reads this any more; it keeps a client that went away from being logged as a crash.
        raise BadRequest("The connection was closed before the body was whole.") from None
    return b"".join(parts)


def is_packed(request: Request) -> bool:
    """Whether `unpacked` is needed. Raises UnknownMedia for a packing that is not read here."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in _PACKED | {"identity"}:
        raise UnknownMedia("This content-encoding is not read here; send gzip, deflate, or nothing packed.")
    return encoding in _PACKED


def unpacked(body: bytes, bytes_max: int) -> bytes:
    """What was packed. Raises TooLarge as soon as it is more than `bytes_max`, BadRequest when it is damaged."""
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = unpacker.decompress(body, bytes_max + 1)
    except zlib.error:
        raise BadRequest("The body is not packed as its content-encoding says.") from None
    if len(content) > bytes_max:
        raise _too_large(bytes_max)
    if not unpacker.eof:
        raise BadRequest("The packed body ends early.")
    if unpacker.unused_data:
        raise BadRequest("Something follows the end of the packed body.")
    return content


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"The body is larger than {bytes_max // 2**20} MiB; send it in parts.")
