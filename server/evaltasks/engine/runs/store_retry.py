"""Repeat a use of the store until the store is available again."""

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
    """Call `use` until it succeeds, however long the disk is full or the store is locked.

    Judge answers that were paid for stay in memory in the meantime. Their producers wait for this call, so no further
    judge calls are made while answers cannot be stored.

    Args:
        clock: The clock for the pauses between attempts.
        use: Reads or writes the store.

    Returns:
        What `use` returns.

    Raises:
        StoreError: An error that does not go away, such as a damaged file.
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
