"""The ways in which a structured answer is requested, shared by all providers."""

from __future__ import annotations

import json

from evaltasks.api.wire import JsonObject

# The values of `ChatReply.answered_by`.
TOOL_CALL = "tool_call"
JSON_SCHEMA = "json_schema"
TEXT = "text"

# The tool that the model is forced to call.
ANSWER_TOOL = "record_answer"
ANSWER_TOOL_DESCRIPTION = "Record your answer."


def parse_json_object(content: object) -> JsonObject | None:
    """Return the JSON object in a text, or the object itself if it is parsed already; None for anything else."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return None
    return content if isinstance(content, dict) else None
