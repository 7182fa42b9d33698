"""Strict JSON: rejects bodies that JSON parsers read differently.

A member name that occurs twice is read as the first or the last value; NaN is not JSON and becomes null or an error
elsewhere; a number like 1e999 becomes infinite. The sender did not intend any of these.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from evaltasks.api.problems import BadRequest

_NAME_SHOWN_MAX = 60


def require_strict_json(body: bytes, *, any_number: bool = False) -> None:
    """Reject JSON with repeated member names, numbers that are not finite, or too deep nesting.

    A body that is not JSON passes: the parser of the model reports the error better.

    Args:
        body: The JSON text.
        any_number: Whether numbers that are not finite pass.

    Raises:
        BadRequest: If the body is rejected; the message names the field.
    """
    non_finite: list[float] = []

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            non_finite.append(value)
        return value

    try:
        document = json.loads(body, object_pairs_hook=_unique_members, parse_constant=number, parse_float=number)
        if non_finite and not any_number:
            path = (_path_of_non_finite(document) or "").removeprefix(".")
            raise BadRequest(
                f"field {path}: JSON does not allow this number (NaN, infinite or too large); send null or omit it."
            )
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        return


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        repeated, _ = counted.most_common(1)[0]
        raise BadRequest(f"field {_shown(repeated)} occurs twice in one object; send it once.")
    return members


def _path_of_non_finite(value: Any) -> str | None:
    """Return the path of the first number that is not finite, such as `examples[1].score`."""
    if isinstance(value, float):
        return "" if not math.isfinite(value) else None
    if isinstance(value, dict):
        parts = ((f".{_shown(name)}", member) for name, member in value.items())
    elif isinstance(value, list):
        parts = ((f"[{nth}]", member) for nth, member in enumerate(value))
    else:
        return None
    for part, member in parts:
        if (rest := _path_of_non_finite(member)) is not None:
            return part + rest
    return None


def _shown(name: str) -> str:
    return name[:_NAME_SHOWN_MAX].encode("unicode_escape").decode()
