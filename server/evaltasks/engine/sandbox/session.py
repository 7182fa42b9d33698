"""A session evaluates the rows of one task run with one evaluator in a sandbox, one outcome for each row.

How this works. Rows are sent in batches of `rows_per_batch`, because a call into a sandbox costs more than most
evaluators. An exception of a row is caught inside and is that row's answer. A row that exceeds a limit (time, memory,
output) ends the worker and its whole batch. The same rows are then sent one by one to a new worker, so that one bad row
costs one error and not hundreds. A row that runs out of memory after other rows ran in the same worker is tried again
in a new one, because the others may have used the memory. If code is slow, but no row exceeds a limit alone, later
batches are smaller.

State that the code keeps on `self` or its class is kept from row to row, as on AX, but is lost when a worker is
replaced: an evaluator must not rely on it.
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
_PLANNED_SHARE = 2  # a batch is planned to take half of the time limit


class Session:
    """A session, made by `Sandbox.session`. Calls of `evaluate` must not overlap."""

    def __init__(
        self, backend: SandboxBackend, program: Program, limits: SandboxLimits, provenance: Provenance
    ) -> None:
        self._backend = backend
        self._program = program
        self._limits = limits
        self._provenance = provenance
        self._worker: SandboxWorker | None = None
        self._rows_lost_in_sequence = 0
        self.rows_per_batch = limits.rows_per_batch

    async def evaluate(self, rows: Sequence[Values]) -> list[Outcome]:
        """Return one outcome for each row, in order.

        Raises:
            PermanentFailure: The program does not load, the sandbox does not run here, or `rows_lost_max` consecutive
                rows exceeded a limit.
        """
        outcomes: list[Outcome] = []
        for batch in self._batches(rows):
            outcomes += batch if isinstance(batch, list) else await self._evaluate(batch)
        return outcomes

    async def close(self) -> None:
        """Release the worker; may be called twice, and while being cancelled."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await worker.close()

    def _batches(self, rows: Sequence[Values]) -> Iterator[tuple[Values, ...] | list[Outcome]]:
        """Split rows into batches of bounded number and size; for a row that is too large, yield its outcome."""
        batch: list[Values] = []
        size = 0
        for row in rows:
            chars = sum(_chars(value) for value in row.values())
            if batch and (len(batch) >= self.rows_per_batch or size + chars > self._limits.row_chars_max):
                yield tuple(batch)
                batch, size = [], 0
            if chars > self._limits.row_chars_max:
                reason = f"the row's values are longer than {self._limits.row_chars_max} characters"
                yield [Failed(reason, provenance=self._provenance)]
                continue
            batch.append(row)
            size += chars
        if batch:
            yield tuple(batch)

    async def _evaluate(self, rows: tuple[Values, ...]) -> list[Outcome]:
        if len(rows) == 1:
            return [await self._evaluate_row(rows[0])]
        try:
            raw = await self._answers(rows)
        except WorkerDied:
            return await self._one_by_one(rows)
        self._rows_lost_in_sequence = 0
        return read_answers(raw, self._limits, self._provenance)

    async def _one_by_one(self, rows: tuple[Values, ...]) -> list[Outcome]:
        outcomes = []
        lost_before, started_at = self._rows_lost_in_sequence, anyio.current_time()
        lost = False
        for row in rows:
            outcomes.append(await self._evaluate_row(row))
            lost = lost or self._rows_lost_in_sequence > lost_before
            lost_before = self._rows_lost_in_sequence
        if not lost:
            seconds_per_row = (anyio.current_time() - started_at) / len(rows)
            affordable = int(self._limits.batch_seconds / _PLANNED_SHARE / max(seconds_per_row, 1e-6))
            self.rows_per_batch = max(1, min(affordable, self.rows_per_batch // 2))
        return outcomes

    async def _evaluate_row(self, row: Values) -> Outcome:
        try:
            raw = await self._answer_of_row(row)
        except WorkerDied as died:
            self._rows_lost_in_sequence += 1
            if self._rows_lost_in_sequence >= self._limits.rows_lost_max:
                raise PermanentFailure(
                    f"Stopped: for {self._rows_lost_in_sequence} rows in a row {died.reason}. "
                    "Fix the evaluator (create a new version) and trigger the task again."
                ) from died
            return Failed(died.reason, provenance=self._provenance)
        self._rows_lost_in_sequence = 0
        return read_answers(raw, self._limits, self._provenance)[0]

    async def _answer_of_row(self, row: Values) -> object:
        is_used = self._worker is not None
        try:
            return await self._answers((row,))
        except WorkerDied as died:
            if not is_used or died.reason != TOO_MUCH_MEMORY:
                raise
            return await self._answers((row,))

    async def _answers(self, rows: tuple[Values, ...]) -> object:
        """Send one batch and return as many answers as rows. Raises WorkerDied or PermanentFailure."""
        worker = self._worker or await self._start()
        self._worker = worker
        try:
            raw = await worker.evaluate_batch(rows)
            if not are_answers(raw, len(rows)):
                raise WorkerDied(UNREADABLE)
            if ran_out_of_memory(raw):
                raise WorkerDied(TOO_MUCH_MEMORY)
        except BaseException:
            # Also when cancelled: the answer that it is still working on would be taken for that of other rows.
            await self.close()
            raise
        return raw

    async def _start(self) -> SandboxWorker:
        try:
            return await self._backend.start(self._program)
        except LoadFailed as failed:
            raise PermanentFailure(
                f"The evaluator cannot be loaded in this engine's sandbox: {'; '.join(failed.problems)}."
            ) from failed
        except SandboxUnavailable as missing:
            raise PermanentFailure(str(missing)) from missing


def _chars(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value, default=str)) if isinstance(value, (list, dict)) else 20
