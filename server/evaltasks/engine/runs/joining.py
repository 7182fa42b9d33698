"""Join the values of a trace's or session's spans into the value of a variable, up to a number of characters.

Lengths are counted in characters (code points). `is_truncated` reports whether anything was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CHARACTERS_MAX = 100_000
SEPARATOR = ", "


class JoinedText:
    """Texts in the order they are added, joined by ", "; text beyond the limit is cut off."""

    def __init__(self, characters_max: int = CHARACTERS_MAX) -> None:
        self._characters_left = characters_max
        self._parts: list[str] = []
        self.is_truncated = False

    @property
    def is_full(self) -> bool:
        """True if any further text would be cut off completely."""
        return self._characters_left == 0

    @property
    def is_empty(self) -> bool:
        """True until the first text, which may be an empty one."""
        return not self._parts

    def add(self, text: str) -> None:
        part = SEPARATOR + text if self._parts else text
        self.is_truncated = self.is_truncated or len(part) > self._characters_left
        self._parts.append(part[: self._characters_left])
        self._characters_left -= len(self._parts[-1])

    def text(self, characters_max: int | None = None) -> str:
        """Return the joined text in at most that many characters (by default, the limit of this text)."""
        whole = "".join(self._parts)
        if characters_max is None or len(whole) <= characters_max:
            return whole
        self.is_truncated = True
        return whole[:characters_max]


@dataclass(frozen=True, slots=True)
class Turn:
    """The input and output of one turn; None for one without a value."""

    input: str | None
    output: str | None


class Conversation:
    """Turns as a JSON array of `{"input", "output"}`, which stays valid JSON when it is truncated.

    The texts of the first turn beyond the limit are shortened, and the later turns are left out.
    """

    def __init__(self, characters_max: int = CHARACTERS_MAX) -> None:
        self._characters_max = characters_max
        self._turns: list[Turn] = []
        self._length = 0
        self.is_truncated = False

    @property
    def is_full(self) -> bool:
        return self._length >= self._characters_max

    @property
    def is_empty(self) -> bool:
        return not self._turns

    def add(self, turn: Turn) -> None:
        if self.is_full:
            self.is_truncated = True
            return
        self._turns.append(turn)
        self._length += len(_turn_json(turn))

    def text(self, characters_max: int | None = None) -> str:
        """Return the array in at most that many characters (by default, the limit of this conversation)."""
        characters_max = self._characters_max if characters_max is None else characters_max
        parts: list[str] = []
        used = 2  # the array's brackets
        for turn in self._turns:
            part = _turn_json(turn)
            used_with = used + len(part) + (len(SEPARATOR) if parts else 0)
            if used_with > characters_max:
                self.is_truncated = True
                last = _truncated_json(turn, characters_max - used - (len(SEPARATOR) if parts else 0))
                parts += [last] if last is not None else []
                break
            parts.append(part)
            used = used_with
        return f"[{SEPARATOR.join(parts)}]"


def _turn_json(turn: Turn) -> str:
    return json.dumps({"input": turn.input, "output": turn.output}, ensure_ascii=False)


def _truncated_json(turn: Turn, characters_max: int) -> str | None:
    """The turn with the ends of its texts cut off, as JSON of at most `characters_max` characters; None when nothing
    is left."""
    if len(_turn_json(Turn(turn.input and "", turn.output and ""))) > characters_max:
        return None
    low, high = 0, max(len(turn.input or ""), len(turn.output or ""))
    while low < high:
        middle = (low + high + 1) // 2
        if len(_turn_json(_shortened(turn, middle))) <= characters_max:
            low = middle
        else:
            high = middle - 1
    return _turn_json(_shortened(turn, low)) if low else None


def _shortened(turn: Turn, characters: int) -> Turn:
    return Turn(turn.input and turn.input[:characters], turn.output and turn.output[:characters])


def allot_characters(lengths: Mapping[str, int], total: int) -> dict[str, int]:
    """Allot a number of characters to each text, so that the sum is at most `total`.

    Short texts keep all of their characters, and the long ones get equal parts of the rest.
    """
    kept: dict[str, int] = {}
    left = total
    ranked: Sequence[str] = sorted(lengths, key=lambda name: lengths[name])
    for nth, name in enumerate(ranked):
        kept[name] = min(lengths[name], left // (len(ranked) - nth))
        left -= kept[name]
    return kept
