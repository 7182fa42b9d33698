"""Text of spans, outputs and judges, kept apart from ours.

Whatever a model or a stranger wrote reaches the agent only as `{"untrusted": "…"}`: to be read as data, never as
instruction. It is cut to a length, and never placed in errors, notes or suggested calls.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

CHARACTERS_MAX = 600


class Untrusted(BaseModel):
    model_config = ConfigDict(frozen=True)

    untrusted: str


def as_untrusted(text: str | None, characters_max: int = CHARACTERS_MAX) -> Untrusted | None:
    """The text in its fence, without control characters that could rewrite a terminal; None for no text.

    A longer text ends in `… (n more characters)`.
    """
    if not text:
        return None
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text[:characters_max])
    more = len(text) - characters_max
    return Untrusted(untrusted=f"{shown}… ({more} more characters)" if more > 0 else shown)
