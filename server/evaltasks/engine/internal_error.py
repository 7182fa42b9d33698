"""The message about an internal error of the engine, the same for every protocol."""

from __future__ import annotations

import logging

from evaltasks.edge.internal_error import log_internal_error


def report_internal_error(logger: logging.Logger, where: str) -> str:
    """Log the exception that is being handled, and return the message for the client, which has its reference number
    only."""
    reference = log_internal_error(logger, where)
    return f"Internal error of the engine. Its log has the details under reference {reference}."
