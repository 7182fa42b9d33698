"""A server on loopback TCP that sends given bytes, then closes, resets or stalls the connection.

async with raw_server(RawReply(b"HTTP/1.1 200 OK\r\n..."), ...) as it:   # one for each request, the last one forever
    ...open_remote_client(it.address, key)...
    it.requests                                                       # request lines, in order
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import Literal

import anyio

# A linger time of zero sends a reset instead of a FIN.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class RawReply:
    """Bytes to send. `then`: close the connection, reset it, keep it for the next request, or stall until the client
    leaves."""

    bytes_: bytes
    then: Literal["close", "reset", "keep", "silence"] = "close"


def answer(
    status: int, body: bytes | object = b"", *, then: Literal["close", "keep", "reset", "silence"] = "close",
    length: int | None = None, **headers: str,
) -> RawReply:  # fmt: skip
    """Return a complete response; `length` may be wrong. A body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reported = {
        "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    reported["content-length"] = str(len(content) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in reported.items())
    return RawReply(f"HTTP/1.1 {status} RawReply\r\n{head}\r\n".encode("latin-1") + content, then)


@dataclass
class RawServer:
    address: str
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def raw_server(*said: RawReply) -> AsyncIterator[RawServer]:
    it = RawServer("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n")
                               if line.startswith("content-length:")), 0)  # fmt: skip
                it.bodies.append(await reader.readexactly(length))
                it.requests.append(head.split("\r\n", 1)[0].removesuffix(" HTTP/1.1"))
                step = said[min(len(it.requests), len(said)) - 1]
                writer.write(step.bytes_)
                await writer.drain()
                if step.then == "silence":
                    await reader.read()
                if step.then == "reset":
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                if step.then != "keep":
                    return

    calls: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        calls.add(task)
        task.add_done_callback(calls.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        it.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield it
    finally:
        server.close()
        await server.wait_closed()
        with anyio.CancelScope(shield=True):
            for task in list(calls):
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            # A transport closes one iteration of the loop after close() was called.
            await asyncio.sleep(0)
