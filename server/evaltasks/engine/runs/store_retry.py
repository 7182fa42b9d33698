"""Work that must not be thrown away waits until the store can be used again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from evaltasks.edge.clock import Clock
from evaltasks.engine.store.store import StoreError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5
_PAUSE_SECONDS_MAX = 15.0


async def retry_until_store_available(clock: Clock, use: Callable[[], Awaitable[T]]) -> T:
    """What `use` returns, however long the disk is full or the store locked. Raises StoreError for what lasts.

    Answers that were paid for are kept in memory meanwhile, and whoever makes more of them is held up by this one
    not going on: no further calls are made while their answers could not be stored.
    """
    pause, last_logged_error = _PAUSE_SECONDS, ""
    while True:
        try:
            return await use()
        except StoreError as error:
            if not error.may_pass:
                raise
            if str(error) != last_logged_error:
                logger.error("waiting for the store: %s", error)
                last_logged_error = str(error)
        await clock.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)
