"""Internal errors: logged with their stack, and shown to the client as a reference number only."""

from __future__ import annotations

import logging
import secrets


def log_internal_error(logger: logging.Logger, where: str, error: BaseException | None = None) -> str:
    """Log an unexpected exception with its stack under a new reference number, and return that number.

    Args:
        logger: The logger of the module that caught the exception.
        where: What was running, such as the name of an operation.
        error: The exception; None for the one that is being handled.
    """
    reference = secrets.token_hex(4)
    logger.error("internal error %s in %s", reference, where, exc_info=error or True)
    return reference
