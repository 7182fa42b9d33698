"""Tool outputs and errors as MCP results, within a size limit.

The structured content has everything that a model needs (hosts that read it ignore the text); the text is a short
rendering for people and for other hosts. Nulls are omitted from both.
"""

from __future__ import annotations

import json
from typing import Any

from mcp.types import CallToolResult, TextContent

from evaltasks.face.errors import cut, internal_error_message, message_for
from evaltasks.tools.spec import Output

# About 20,000 tokens; hosts warn at 10,000 and reject 25,000.
ANSWER_CHARACTERS_MAX = 70_000
TEXT_CHARACTERS_MAX = 8_000
# The longest single text in a result that is over the limit.
STRING_CHARACTERS_MAX = 2_000


def answer_result(output: Output) -> CallToolResult:
    """Return the result of a tool output; if it is too large, the longest lists are shortened, and `notes` say so."""
    structured = truncated_to_fit(output.model_dump(mode="json", exclude_none=True))
    return CallToolResult(
        content=[TextContent(type="text", text=cut(output.text(), TEXT_CHARACTERS_MAX))],
        structured_content=structured,
    )


def error_result(error: BaseException, tool: str) -> CallToolResult:
    """Return the result of an error, with its message; for an internal error, with its reference number only."""
    return refusal(message_for(error) or internal_error_message(error, tool))


def refusal(text: str) -> CallToolResult:
    """Return an error result with a message."""
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def truncated_to_fit(answer: dict[str, Any]) -> dict[str, Any]:
    """Shorten a result until it fits; `notes` name each shortened list, with its numbers of entries."""
    size = _size(answer)
    if size <= ANSWER_CHARACTERS_MAX:
        return answer
    answer = _short_strings(answer, STRING_CHARACTERS_MAX)
    cuts: dict[str, tuple[int, int]] = {}
    while (size := _size(answer)) > ANSWER_CHARACTERS_MAX:
        largest = max(_lists(answer, ""), key=lambda entry: _size(entry[1]), default=None)
        if largest is None or len(largest[1]) == 0:
            break
        path, entries = largest
        whole = cuts.get(path, (0, len(entries)))[1]
        # Removes about as many entries as necessary, and at least one.
        kept = min(len(entries) - 1, int(len(entries) * ANSWER_CHARACTERS_MAX / size))
        del entries[kept:]
        cuts[path] = (kept, whole)
    if size > ANSWER_CHARACTERS_MAX:
        answer = _short_strings(answer, STRING_CHARACTERS_MAX // 10)
    cut_notes = [
        f"Truncated to fit one result: {path} shows {kept} of {whole}; call again with limit={max(kept, 1)} (and the "
        "cursor you used, if any) to page through all of them."
        for path, (kept, whole) in cuts.items()
    ]
    return {**answer, "notes": [*answer.get("notes", []), *cut_notes, "Long texts are truncated; '…' marks where."]}


def _lists(node: Any, path: str) -> list[tuple[str, list[Any]]]:
    """Return every list below a node with its path, except `notes`."""
    if isinstance(node, dict):
        return [
            found
            for key, child in node.items()
            if key != "notes"
            for found in _lists(child, f"{path}.{key}".lstrip("."))
        ]
    if isinstance(node, list):
        return [(path, node), *(found for at, child in enumerate(node) for found in _lists(child, f"{path}[{at}]"))]
    return []


def _short_strings(node: Any, characters_max: int) -> Any:
    if isinstance(node, str) and len(node) > characters_max:
        return f"{node[:characters_max]}…"
    if isinstance(node, dict):
        return {key: _short_strings(child, characters_max) for key, child in node.items()}
    return [_short_strings(child, characters_max) for child in node] if isinstance(node, list) else node


def _size(node: Any) -> int:
    return len(json.dumps(node, ensure_ascii=False))
