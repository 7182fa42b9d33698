"""Rows of the tables, and their results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Client: TypeAlias = Literal["ax", "arize", "npm"]
World: TypeAlias = Mapping[str, str]

SHOWN_MAX = 48
# Every engine of this suite requires it, and every client sends it.
KEY = "compat-mX4vT8qL1zR6nW3bK9sD"

CLIENTS: dict[Client, str] = {
    "ax": "`ax` (PyPI `arize-ax-cli` 0.39.0)",
    "arize": "Python SDK (PyPI `arize` 8.61.0)",
    "npm": "TypeScript SDK (npm `@arizeai/ax-client` 1.28.0)",
}
Verdict: TypeAlias = Literal["works", "refused", "differs"]
# Why a call fails, by the word of its row. "refused" is expected; "differs" is where AX and the
# engine part on purpose.
WHY_NOT: dict[str, tuple[Verdict, str]] = {
    "refused": ("refused", "as documented"),
    "client": ("refused", "the client itself refuses it; nothing is sent"),
    "format": ("refused", "the client wants `input_variable_format`, which the vendor's page leaves out"),
    "sign": ("refused", "the client takes the path without the `@` of the vendor's page"),
    "window": ("refused", "AX allows 30 days; this example of the vendor's page is a day longer"),
    "keys": ("differs", "the engine takes no key; over REST `api_key_env` names an environment variable"),
    "outside": ("differs", "the engine keeps no such things"),
    "not built": ("differs", "the engine does not do this yet and says so (501)"),
    "in use": ("differs", "an evaluator judges with it, so it stays; AX has no such rule"),
}


@dataclass(frozen=True)
class Ended:
    """Exit code and output of an `ax` command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """Return the messages beside the data, without line breaks and colours."""
        return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", self.err))


Check: TypeAlias = Callable[[Ended, World], None]


@dataclass(frozen=True)
class AxRow:
    """An `ax` command. `arguments` may contain `{placeholders}` of the world; `why_not` is set if a refusal is
    expected."""

    arguments: tuple[str, ...]
    check: Check
    why_not: str | None = None
    stdin: str | None = None

    @property
    def call(self) -> str:
        return shown(self.arguments)


@dataclass(frozen=True)
class AxWalk:
    """A list read in pages of one item, which must equal one large page; `by` is the field that identifies items."""

    arguments: tuple[str, ...]
    resource: str
    by: str = "id"
    why_not: str | None = None

    @property
    def call(self) -> str:
        return f"{shown(self.arguments)} --limit 1 --cursor …"


def shown(arguments: Sequence[str]) -> str:
    """The command as the page shows it: placeholders in angle brackets, long values shortened."""
    parts = []
    for argument in arguments:
        part = " ".join(argument.split())
        if len(part) > SHOWN_MAX and part[0] in "[{":
            part = f"{part[0]}…{part[-1]}"
        elif len(part) > SHOWN_MAX:
            part = f"{part[: SHOWN_MAX - 1]}…"
        mark = '"' if "'" in part else "'"
        parts.append(f"{mark}{part}{mark}" if re.search(r"[\s\"'*]|^$", part) else part)
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", r"<\1>", " ".join(["ax", *parts]))


@dataclass(frozen=True)
class Outcome:
    """One line of docs/compatibility.md. `issue` is the problem, for the person who runs the suite."""

    client: Client
    call: str
    why_not: str | None
    issue: str | None = None


def filled(text: str, world: World) -> str:
    """Return the text with its placeholders replaced; braces of JSON are kept."""
    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda match: world.get(match[1], match[0]), text)
