"""Reading of request bodies within a size limit, before and after decompression.

`body_limits` limits the time of a body, for every route at once.
"""

from __future__ import annotations

import zlib

from starlette.requests import ClientDisconnect, Request

from evaltasks.api.problems import BadRequest, TooLarge, UnknownMedia

# zlib's number for "gzip or zlib, as the header of the data says".
_GZIP_OR_ZLIB = 47
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body as it was sent.

    Raises:
        TooLarge: If the body is larger than `bytes_max`; before it is read if the request has a Content-Length.
        BadRequest: If the client closed the connection.
    """
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
        # The client does not receive this; without it, a closed connection would be logged as an internal error.
        raise BadRequest("The connection was closed before the body was complete.") from None
    return b"".join(parts)


def is_compressed(request: Request) -> bool:
    """Whether the body needs `decompress`.

    Raises:
        UnknownMedia: If the Content-Encoding is not supported.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if encoding not in _COMPRESSED | {"identity"}:
        raise UnknownMedia(f"Content-Encoding {encoding[:40]!r} is not supported; use gzip or deflate, or omit it.")
    return encoding in _COMPRESSED


def decompress(body: bytes, bytes_max: int) -> bytes:
    """Return a gzip or zlib body decompressed.

    Raises:
        TooLarge: As soon as the result is larger than `bytes_max`.
        BadRequest: If the body is not compressed as declared, is truncated, or is followed by other data.
    """
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        content = decompressor.decompress(body, bytes_max + 1)
    except zlib.error:
        raise BadRequest("The body is not compressed as its Content-Encoding declares.") from None
    if len(content) > bytes_max:
        raise _too_large(bytes_max)
    if not decompressor.eof:
        raise BadRequest("The compressed body is truncated.")
    if decompressor.unused_data:
        raise BadRequest("The compressed body is followed by other data.")
    return content


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"The body is larger than {bytes_max // 2**20} MiB; send it in parts.")
