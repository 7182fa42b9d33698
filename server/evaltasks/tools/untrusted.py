"""Text of spans, outputs and judges, marked as untrusted.

Text that a model or a third party wrote reaches the agent only as `{"untrusted": "…"}`: it is data, not instructions.
It is truncated, and never part of errors, notes or suggested calls.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

CHARACTERS_MAX = 600


class Untrusted(BaseModel):
    """Text of a third party."""

    model_config = ConfigDict(frozen=True)

    untrusted: str


def as_untrusted(text: str | None, characters_max: int = CHARACTERS_MAX) -> Untrusted | None:
    """Wrap a text as untrusted, without control characters that could rewrite a terminal.

    Args:
        text: The text; None or an empty text gives None.
        characters_max: The length after which the text is cut and ends in `… (n more characters)`.
    """
    if not text:
        return None
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text[:characters_max])
    more = len(text) - characters_max
    return Untrusted(untrusted=f"{shown}… ({more} more characters)" if more > 0 else shown)
