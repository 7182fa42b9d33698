"""Many values as one text of a bounded length: how a trace's or session's spans become a variable's value.

Lengths are counted in characters (code points). Whoever joins is told whether anything was cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CHARACTERS_MAX = 100_000
SEPARATOR = ", "


class JoinedText:
    """Texts in the order they are added, joined by ", "; what goes beyond the limit is cut off."""

    def __init__(self, characters_max: int = CHARACTERS_MAX) -> None:
        self._room = characters_max
        self._parts: list[str] = []
        self.is_cut = False

    @property
    def is_full(self) -> bool:
        """True when whatever is added now is cut off whole."""
        return self._room == 0

    @property
    def is_empty(self) -> bool:
        """True until the first text, which may be an empty one."""
        return not self._parts

    def add(self, text: str) -> None:
        part = SEPARATOR + text if self._parts else text
        self.is_cut = self.is_cut or len(part) > self._room
        self._parts.append(part[: self._room])
        self._room -= len(self._parts[-1])

    def text(self, characters_max: int | None = None) -> str:
        """What there is, in at most that many characters (in its own limit by default)."""
        whole = "".join(self._parts)
        if characters_max is None or len(whole) <= characters_max:
            return whole
        self.is_cut = True
        return whole[:characters_max]


@dataclass(frozen=True, slots=True)
class Turn:
    """What was put in and what came out; None where there was nothing."""

    input: str | None
    output: str | None


class Conversation:
    """Turns as a JSON array of `{"input", "output"}`, which stays JSON when it is cut: the first turn beyond the limit
    loses the end of its texts, the ones after it are left out."""

    def __init__(self, characters_max: int = CHARACTERS_MAX) -> None:
        self._characters_max = characters_max
        self._turns: list[Turn] = []
        self._length = 0
        self.is_cut = False

    @property
    def is_full(self) -> bool:
        return self._length >= self._characters_max

    @property
    def is_empty(self) -> bool:
        return not self._turns

    def add(self, turn: Turn) -> None:
        if self.is_full:
            self.is_cut = True
            return
        self._turns.append(turn)
        self._length += len(_written(turn))

    def text(self, characters_max: int | None = None) -> str:
        """The array in at most that many characters (the conversation's own limit by default)."""
        room = self._characters_max if characters_max is None else characters_max
        written: list[str] = []
        used = 2  # the array's brackets
        for turn in self._turns:
            part = _written(turn)
            used_with = used + len(part) + (len(SEPARATOR) if written else 0)
            if used_with > room:
                self.is_cut = True
                last = _cut(turn, room - used - (len(SEPARATOR) if written else 0))
                written += [last] if last is not None else []
                break
            written.append(part)
            used = used_with
        return f"[{SEPARATOR.join(written)}]"


def _written(turn: Turn) -> str:
    return json.dumps({"input": turn.input, "output": turn.output}, ensure_ascii=False)


def _cut(turn: Turn, room: int) -> str | None:
    """The turn with the ends of its texts cut off, as JSON of at most `room` characters; None when nothing is left."""
    if len(_written(Turn(turn.input and "", turn.output and ""))) > room:
        return None
    low, high = 0, max(len(turn.input or ""), len(turn.output or ""))
    while low < high:
        middle = (low + high + 1) // 2
        if len(_written(_shortened(turn, middle))) <= room:
            low = middle
        else:
            high = middle - 1
    return _written(_shortened(turn, low)) if low else None


def _shortened(turn: Turn, characters: int) -> Turn:
    return Turn(turn.input and turn.input[:characters], turn.output and turn.output[:characters])


def shares(lengths: Mapping[str, int], total: int) -> dict[str, int]:
    """How many characters each text keeps so that all together are at most `total`: short ones are kept whole, and
    the long ones share what is left evenly."""
    kept: dict[str, int] = {}
    left = total
    ranked: Sequence[str] = sorted(lengths, key=lambda name: lengths[name])
    for nth, name in enumerate(ranked):
        kept[name] = min(lengths[name], left // (len(ranked) - nth))
        left -= kept[name]
    return kept
