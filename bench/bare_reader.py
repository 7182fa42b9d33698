"""The floor of `bench.load`: an app that reads one row of SQLite; prints its address and serves until killed."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def make_app(path: str) -> Starlette:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    connection.executemany("INSERT INTO rows VALUES (?, ?)", [(number, "text " * 20) for number in range(1000)])
    connection.commit()
    only_one = asyncio.Lock()

    def read(number: int) -> tuple[int, str]:
        row: tuple[int, str] = connection.execute("SELECT id, text FROM rows WHERE id = ?", (number,)).fetchone()
        return row

    async def get_row(request: Request) -> Response:
        # In a thread, one at a time, so that SQLite does not block the event loop. Every app has to do this.
        async with only_one:
            number, text = await to_thread.run_sync(read, int(request.path_params["number"]))
        return Response(json.dumps({"id": number, "text": text}), media_type="application/json")

    return Starlette(routes=[Route("/rows/{number}", get_row)])


def main() -> None:
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(make_app(sys.argv[1]), log_level="warning", access_log=False)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
