"""Names in the messages of handlers."""

from __future__ import annotations

from collections.abc import Sequence


def quoted_names(names: Sequence[str], *, shown_max: int = 10, characters_max: int | None = None) -> str:
    """Return the first names in quotes, for a sentence, with the number of further ones.

    Args:
        names: The names.
        shown_max: How many are shown.
        characters_max: The length to which each is cut; for names of which only the client knows that they exist.
    """
    shown = ", ".join(f"'{name[:characters_max]}'" for name in names[:shown_max])
    return shown if len(names) <= shown_max else f"{shown} and {len(names) - shown_max} more"
