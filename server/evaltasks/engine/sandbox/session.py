"""One evaluator in one sandbox, for one task run: rows in, an outcome for each out, whatever the code does.

How this works. Rows are fed `rows_per_feed` at a time, because crossing into a sandbox costs more than most
evaluators do. What a row raises is caught inside and is that row's answer. A row that breaks a limit (time, memory,
output) takes its whole feed with it: the cell is dropped, and the same rows are fed one by one into a new one, so a
bad row costs one error and not hundreds. A row that runs out of memory where others ran before it may suffer for what
they left behind, so it is tried again in a new cell. Code that is merely slow, so that no row by itself breaks a
limit, is fed fewer rows at a time from then on.

State that the code keeps on `self` or its class lives from row to row as on AX, but ends whenever a cell is dropped:
an evaluator must not count on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import anyio

from evaltasks.engine.evaluators.outcome import Failed, Outcome, Provenance
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox.answers import are_answers, ran_out_of_memory, read_answers
from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.program import Program
from evaltasks.engine.sandbox.worker import (
    TOO_MUCH_MEMORY,
    UNREADABLE,
    LoadFailed,
    SandboxBackend,
    SandboxUnavailable,
    SandboxWorker,
    Values,
    WorkerDied,
)

_CLOSE_SECONDS = 10.0
_SLACK = 2  # a feed is planned to take half the time it may


class Session:
    """Made by `Sandbox.session`. One feed at a time: the caller does not overlap calls."""

    def __init__(self, maker: SandboxBackend, program: Program, limits: SandboxLimits, provenance: Provenance) -> None:
        self._maker = maker
        self._program = program
        self._limits = limits
        self._provenance = provenance
        self._worker: SandboxWorker | None = None
        self._lost_in_a_row = 0
        self.rows_per_feed = limits.rows_per_feed

    async def evaluate(self, rows: Sequence[Values]) -> list[Outcome]:
        """An outcome for each row, in order.

        Raises PermanentFailure when the program does not load or the sandbox is not to be had, and when
        `rows_lost_max` rows in a row broke a limit.
        """
        outcomes: list[Outcome] = []
        for evaluate_batch in self._feeds(rows):
            outcomes += evaluate_batch if isinstance(evaluate_batch, list) else await self._try(evaluate_batch)
        return outcomes

    async def close(self) -> None:
        """Give the worker back; may be called twice, and while being cancelled."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await worker.close()

    def _feeds(self, rows: Sequence[Values]) -> Iterator[tuple[Values, ...] | list[Outcome]]:
        """The rows in feeds of bounded number and size; a row that is too large is an outcome already."""
        evaluate_batch: list[Values] = []
        size = 0
        for row in rows:
            chars = sum(_chars(value) for value in row.values())
            if evaluate_batch and (
                len(evaluate_batch) >= self.rows_per_feed or size + chars > self._limits.row_chars_max
            ):
                yield tuple(evaluate_batch)
                evaluate_batch, size = [], 0
            if chars > self._limits.row_chars_max:
                reason = f"the row's values are longer than {self._limits.row_chars_max} characters"
                yield [Failed(reason, provenance=self._provenance)]
                continue
            evaluate_batch.append(row)
            size += chars
        if evaluate_batch:
            yield tuple(evaluate_batch)

    async def _try(self, rows: tuple[Values, ...]) -> list[Outcome]:
        if len(rows) == 1:
            return [await self._try_one(rows[0])]
        try:
            raw = await self._feed(rows)
        except WorkerDied:
            return await self._one_by_one(rows)
        self._lost_in_a_row = 0
        return read_answers(raw, self._limits, self._provenance)

    async def _one_by_one(self, rows: tuple[Values, ...]) -> list[Outcome]:
        outcomes = []
        lost_before, began = self._lost_in_a_row, anyio.current_time()
        lost = False
        for row in rows:
            outcomes.append(await self._try_one(row))
            lost = lost or self._lost_in_a_row > lost_before
            lost_before = self._lost_in_a_row
        if not lost:
            seconds_a_row = (anyio.current_time() - began) / len(rows)
            affordable = int(self._limits.feed_seconds / _SLACK / max(seconds_a_row, 1e-6))
            self.rows_per_feed = max(1, min(affordable, self.rows_per_feed // 2))
        return outcomes

    async def _try_one(self, row: Values) -> Outcome:
        try:
            raw = await self._evaluate_alone(row)
        except WorkerDied as died:
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= self._limits.rows_lost_max:
                raise PermanentFailure(
                    f"Given up: with {self._lost_in_a_row} rows in a row {died.reason}. "
                    "Fix the evaluator (a new version) and trigger the task again."
                ) from died
            return Failed(died.reason, provenance=self._provenance)
        self._lost_in_a_row = 0
        return read_answers(raw, self._limits, self._provenance)[0]

    async def _evaluate_alone(self, row: Values) -> object:
        is_used = self._worker is not None
        try:
            return await self._feed((row,))
        except WorkerDied as died:
            if not is_used or died.reason != TOO_MUCH_MEMORY:
                raise
            return await self._feed((row,))

    async def _feed(self, rows: tuple[Values, ...]) -> object:
        """As many answers as rows. Raises WorkerDied, PermanentFailure."""
        worker = self._worker or await self._start()
        self._worker = worker
        try:
            raw = await worker.evaluate_batch(rows)
            if not are_answers(raw, len(rows)):
                raise WorkerDied(UNREADABLE)
            if ran_out_of_memory(raw):
                raise WorkerDied(TOO_MUCH_MEMORY)
        except BaseException:
            # Also when cancelled: what it would answer now belongs to no row that is waiting.
            await self.close()
            raise
        return raw

    async def _start(self) -> SandboxWorker:
        try:
            return await self._maker.start(self._program)
        except LoadFailed as failed:
            raise PermanentFailure(
                f"The evaluator does not load in this engine's sandbox: {'; '.join(failed.problems)}."
            ) from failed
        except SandboxUnavailable as missing:
            raise PermanentFailure(str(missing)) from missing


def _chars(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value, default=str)) if isinstance(value, (list, dict)) else 20
