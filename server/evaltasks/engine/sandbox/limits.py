"""Limits of a sandbox for the code of one evaluator. They are set at start-up; no tool and no request changes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SandboxKind(StrEnum):
    """MONTY is a separate interpreter in a worker process; PROCESS is CPython that restricts itself (Linux only)."""

    MONTY = "monty"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits with their units. Those marked monty or process apply to one sandbox only."""

    rows_per_batch: int = 250  # rows sent at once; a row that exceeds a limit costs its batch a second try
    batch_seconds: float = 2.0  # CPU time of one batch, and of loading
    request_seconds: float = 5.0  # elapsed time: a worker that has not answered by then is killed
    start_seconds: float = 10.0  # until a new worker is ready to load the code
    memory_bytes: int = 64 * 2**20  # monty: its heap
    process_memory_bytes: int = 256 * 2**20  # process: its whole address space, the interpreter included
    recursion_depth: int = 200  # monty: nested calls; CPython has its own limit of 1000
    row_chars_max: int = 4_000_000  # the values of one row together; also of one batch
    printed_bytes_max: int = 2**20  # monty: in one batch, discarded; process discards output without a limit
    answer_bytes_max: int = 16 * 2**20  # process: the answer to one batch
    label_chars_max: int = 1_000
    explanation_chars_max: int = 10_000  # a longer one is cut
    detail_chars_max: int = 500  # of an exception's text
    rows_lost_max: int = 20  # consecutive rows that exceeded a limit, after which the task run fails
    sessions_max: int = 32  # evaluators in use at once
    sessions_per_worker_max: int = 100  # monty: after which its worker is replaced
    worker_cpu_seconds: int = 3_600  # process: of one worker's whole life
