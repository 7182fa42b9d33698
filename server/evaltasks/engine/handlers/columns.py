"""User columns on their way into the store: any JSON value, kept as JSON text."""

from __future__ import annotations

import json

from evaltasks.api.problems import BadRequest
from evaltasks.api.wire import JsonObject


def columns_text(columns: JsonObject, where: str) -> str:
    """The columns as JSON text. Raises BadRequest, naming `where`, for NaN and infinity, which JSON does not know."""
    try:
        return json.dumps(columns, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise BadRequest(f"{where} holds NaN or an infinite number, which JSON does not know; send null.") from None
