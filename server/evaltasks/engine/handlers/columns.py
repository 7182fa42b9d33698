"""Encodes the columns of users for the store."""

from __future__ import annotations

import json

from evaltasks.api.problems import BadRequest
from evaltasks.api.wire import JsonObject


def columns_text(columns: JsonObject, where: str) -> str:
    """Return the columns as JSON text.

    Raises:
        BadRequest: A value is NaN or infinite, which JSON cannot represent. The message begins with `where`.
    """
    try:
        return json.dumps(columns, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise BadRequest(
            f"{where} contains NaN or an infinite number, which JSON cannot represent; send null instead."
        ) from None
