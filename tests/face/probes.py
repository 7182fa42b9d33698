"""Tools made for tests: each does one thing that the face must carry across."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from pydantic import Field

from evaltasks.tools.context import ToolContext
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec


class Word(Input):
    """Arguments of a probe."""

    word: str = Field(default="", description="Any word.")
    count: int = Field(default=1, description="How many.")
    confirm: str = Field(default="", description="The word again, to confirm.")


class RawReply(Output):
    """What a probe says."""

    said: str
    nothing: str | None = None
    rows: list[dict[str, Any]] | None = None

    def text(self) -> str:
        return f"said {self.said[:50]}"


def probe(
    handler: Callable[[Word, ToolContext], Awaitable[RawReply]],
    name: str = "say_word",
    effect: Effect = Effect.READS,
) -> ToolSpec[Word, RawReply]:
    return ToolSpec(
        name=name,
        title="Say a word",
        description="Says a word.",
        effect=effect,
        group=Group.TASKS,
        input=Word,
        output=RawReply,
        handler=handler,
        example={"word": "hello"},
    )


def saying(said: str = "", **fields: Any) -> ToolSpec[Word, RawReply]:
    async def handler(given: Word, _: ToolContext) -> RawReply:
        return RawReply(said=said or given.word, **fields)

    return probe(handler)


def raising(error: Exception) -> ToolSpec[Word, RawReply]:
    async def handler(_: Word, __: ToolContext) -> RawReply:
        raise error

    return probe(handler)


def reporting(*values: tuple[float, float | None]) -> ToolSpec[Word, RawReply]:
    async def handler(_: Word, context: ToolContext) -> RawReply:
        for done, total in values:
            await context.progress.report(done, total, f"{done} done")
        return RawReply(said="reported")

    return probe(handler)


def deleting(question: Callable[[], str] = lambda: "Delete 'word' and its 3 runs?") -> ToolSpec[Word, RawReply]:
    """Asks for confirmation first; the argument `confirm` replaces the question."""

    async def handler(given: Word, context: ToolContext) -> RawReply:
        if given.confirm != given.word:
            await context.confirm.ask(question(), confirm_with=given.word)
        return RawReply(said=f"deleted {given.word}")

    return probe(handler, "delete_word", Effect.DESTROYS)


def waiting(started: anyio.Event, ended: anyio.Event) -> ToolSpec[Word, RawReply]:
    """Works until it is cancelled."""

    async def handler(_: Word, __: ToolContext) -> RawReply:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    return probe(handler)
