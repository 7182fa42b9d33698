"""The test judge closes all connections, whenever its block ends."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from tests.support.judges import judge_server


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_accepted_while_the_server_stops_is_closed(turns: int) -> None:
    async def connect_and_leave() -> None:
        async with judge_server() as judge:
            port = int(judge.base_url.removesuffix("/v1").rpartition(":")[2])
            client.connect(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)

    with socket.socket() as client, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(connect_and_leave())
        gc.collect()

    assert [str(it.message) for it in caught] == []
