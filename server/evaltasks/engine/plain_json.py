"""Bodies that every reader of JSON reads alike.

What stands twice in an object is read as the first or as the last, NaN is no JSON at all and reaches others as null or
as a fault of theirs, a number like 1e999 becomes infinite. Whoever sent such a thing meant something else.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

from evaltasks.api.problems import BadRequest

_NAME_SHOWN_MAX = 60


def require_plain(body: bytes) -> None:
    """Raises BadRequest for names given twice, for NaN and infinite numbers, and for nesting beyond reading.

    What is no JSON at all passes: whoever reads it into a model says better what is wrong with it.
    """
    try:
        json.loads(body, object_pairs_hook=_each_once, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError:
        return


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice, _ = counted.most_common(1)[0]
        raise BadRequest(f"field {twice[:_NAME_SHOWN_MAX]!r} stands twice in one object; give it once.")
    return members


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is no number in JSON; send null, or leave it out.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest("A number in the body is too large to be read.")
    return number
