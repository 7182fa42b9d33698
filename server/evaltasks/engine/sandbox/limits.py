"""What a sandbox allows the code of one evaluator. Set at start-up only; no tool and no request changes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SandboxKind(StrEnum):
    """MONTY is an interpreter of its own in a worker process; PROCESS is CPython that locks itself (Linux only)."""

    MONTY = "monty"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    rows_per_feed: int = 250  # rows handed over at once; a row that breaks a limit costs its feed a second try
    feed_seconds: float = 2.0  # of computing, for one feed and for loading
    request_seconds: float = 5.0  # from outside: a worker that has not answered by then is killed
    start_seconds: float = 10.0  # until a new worker has loaded the code
    memory_bytes: int = 64 * 2**20  # monty: its heap
    process_memory_bytes: int = 256 * 2**20  # process: its whole address space, the interpreter included
    recursion_depth: int = 200  # monty: calls inside calls; CPython keeps its own 1000
    row_chars_max: int = 4_000_000  # the values of one row together; also of one feed
    printed_bytes_max: int = 2**20  # monty: in one feed, thrown away; CPython's prints go nowhere
    answer_bytes_max: int = 16 * 2**20  # process: the answer to one feed
    label_chars_max: int = 1_000
    explanation_chars_max: int = 10_000  # what is longer is cut
    detail_chars_max: int = 500  # of an exception's text
    rows_lost_max: int = 20  # rows in a row that broke a limit, after which the evaluator is given up
    sessions_max: int = 32  # evaluators in hand at once
    sessions_per_worker_max: int = 100  # monty: after which its worker is replaced
    worker_cpu_seconds: int = 3_600  # process: of one worker's whole life; a backstop
