"""Bodies that every reader of JSON reads alike.

What stands twice in an object is read as the first or as the last, NaN is not JSON at all and reaches others as null or
as a problem of theirs, a number like 1e999 becomes infinite. Whoever sent such a thing meant something else.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from evaltasks.api.problems import BadRequest

_NAME_SHOWN_MAX = 60


def require_strict_json(body: bytes, *, any_number: bool = False) -> None:
    """Raises BadRequest for names given twice, for nesting beyond reading and for numbers that are not finite.

    With `any_number` the last may pass. What is not JSON at all passes too: whoever reads it into a model says better
    what is wrong with it.
    """
    strange: list[float] = []

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            strange.append(value)
        return value

    try:
        document = json.loads(body, object_pairs_hook=_each_once, parse_constant=number, parse_float=number)
        if strange and not any_number:
            place = (_place_of_strange(document) or "").removeprefix(".")
            raise BadRequest(
                f"field {place}: no number that JSON knows (NaN, infinite or too large); send null, or leave it out."
            )
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        return


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice, _ = counted.most_common(1)[0]
        raise BadRequest(f"field {_shown(twice)} stands twice in one object; give it once.")
    return members


def _place_of_strange(value: Any) -> str | None:
    """Where the first number that is not finite stands: `examples[1].score`."""
    if isinstance(value, float):
        return "" if not math.isfinite(value) else None
    if isinstance(value, dict):
        parts = ((f".{_shown(name)}", member) for name, member in value.items())
    elif isinstance(value, list):
        parts = ((f"[{nth}]", member) for nth, member in enumerate(value))
    else:
        return None
    for part, member in parts:
        if (rest := _place_of_strange(member)) is not None:
            return part + rest
    return None


def _shown(name: str) -> str:
    return name[:_NAME_SHOWN_MAX].encode("unicode_escape").decode()
