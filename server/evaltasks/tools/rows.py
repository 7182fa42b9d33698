"""Rows that come with a call or in a file: judged whole before anything is sent, then sent in batches.

Either every row is good or nothing is sent. What is wrong is told by kind of problem, with the numbers of the rows.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from pydantic import BeforeValidator, ValidationInfo

from evaltasks.api.wire import JsonObject
from evaltasks.insight.span_rows import RowError
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.tools.context import ToolContext
from evaltasks.tools.files import BadRow, NumberedRow, read_rows
from evaltasks.tools.inputs import note, read_json_text
from evaltasks.tools.spec import Provided

T = TypeVar("T")

BATCH_ROWS_MAX = 1000
BATCH_BYTES_MAX = 8 * 1024 * 1024
ISSUES_SHOWN_MAX = 10
NUMBERS_SHOWN_MAX = 5


def _read_rows_argument(value: object, info: ValidationInfo) -> object:
    value = read_json_text(value, info)
    if isinstance(value, dict):
        note(info, "was a single object and was read as a list of one.")
        return [value]
    return value


Rows = Annotated[list[dict[str, Any]], BeforeValidator(_read_rows_argument)]


@dataclass(frozen=True)
class GivenRows:
    """Rows written in the call, numbered from 1."""

    rows: list[JsonObject]

    def __iter__(self) -> Iterator[NumberedRow]:
        return iter(enumerate(self.rows, 1))


@dataclass
class _Seen:
    count: int = 0
    # problem → (how many rows have it, the numbers of the first few)
    problems: dict[str, tuple[int, list[int]]] = field(default_factory=dict)

    def add(self, number: int, problem: str) -> None:
        count, numbers = self.problems.get(problem, (0, []))
        self.problems[problem] = (count + 1, [*numbers, number] if count < NUMBERS_SHOWN_MAX else numbers)


def one_source(given: Provided) -> list[ValidationIssue]:
    """Exactly one of `rows` and `file` is needed."""
    if "rows" in given and "file" in given:
        return [ValidationIssue("file", "rows and file exclude each other", "give one of them")]
    if not given.get("rows") and "file" not in given:
        return [ValidationIssue("rows", "there is nothing to send", "give rows (up to 1000 objects) or file")]
    if len(given.get("rows", [])) > BATCH_ROWS_MAX:
        return [ValidationIssue("rows", f"has more than {BATCH_ROWS_MAX} rows", "give a file, or several calls")]
    return []


def source_of(rows: list[JsonObject] | None, file: str | None, context: ToolContext) -> Iterable[NumberedRow]:
    """The rows of a call in which `one_source` found no problem. Raises Refused for a file that may not be read."""
    return read_rows(file, context.settings) if file is not None else GivenRows(rows or [])


async def checked(
    subject: str, argument: str, source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], T]
) -> int:
    """How many rows there are, when all of them are good. Raises ValidationErrors when one is not or there is none.

    `convert` raises RowError for a row it cannot take.
    """
    seen = await to_thread.run_sync(_judge, source, convert)
    if seen.problems:
        raise ValidationErrors(subject, _row_issues(argument, seen))
    if seen.count == 0:
        raise ValidationErrors(subject, [ValidationIssue(argument, "holds no rows", "give at least one")])
    return seen.count


def _judge(source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], Any]) -> _Seen:
    seen = _Seen()
    for number, row in source:
        seen.count += 1
        if isinstance(row, BadRow):
            seen.add(number, row.problem)
            continue
        try:
            convert(row, number)
        except RowError as error:
            seen.add(number, error.problem)
    return seen


def _row_issues(argument: str, seen: _Seen) -> list[ValidationIssue]:
    bad = sum(count for count, _ in seen.problems.values())
    issues = []
    for problem, (count, numbers) in itertools.islice(seen.problems.items(), ISSUES_SHOWN_MAX):
        rows = ("row " if count == 1 else "rows ") + ", ".join(map(str, numbers))
        if count > len(numbers):
            rows += f" and {count - len(numbers)} more"
        issues.append(ValidationIssue(argument, f"{rows}: {problem}", "correct the source"))
    more = len(seen.problems) - len(issues)
    tail = f"; {more} further kinds of problem are not listed" if more else ""
    issues.append(
        ValidationIssue(
            argument, f"{bad} of {seen.count} rows are bad, so none was sent{tail}", "call again with good rows only"
        )
    )
    return issues


async def batches(source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], T]) -> AsyncIterator[list[T]]:
    """The converted rows in batches that fit one request; reading and converting happen off the event loop."""
    rows = ((_json_bytes(row), convert(row, number)) for number, row in source if not isinstance(row, BadRow))
    batch: list[T] = []
    size = 0
    while pairs := await to_thread.run_sync(lambda: list(itertools.islice(rows, BATCH_ROWS_MAX))):
        for row_bytes, row in pairs:
            if batch and (len(batch) == BATCH_ROWS_MAX or size + row_bytes > BATCH_BYTES_MAX):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row_bytes
    if batch:
        yield batch


def json_row(row: JsonObject, number: int) -> JsonObject:
    """The row, when it can be sent. Raises RowError for what JSON has no word for and for a row too large."""
    try:
        row_bytes = _json_bytes(row)
    except UnicodeEncodeError:
        raise RowError(number, "holds half of a surrogate pair, which is not a character") from None
    except (ValueError, TypeError, RecursionError):
        raise RowError(number, "holds a value that JSON has no word for (NaN, an infinity) or is too deep") from None
    if row_bytes > BATCH_BYTES_MAX:
        raise RowError(number, f"is larger than {BATCH_BYTES_MAX // 2**20} MB")
    return row


def _json_bytes(row: JsonObject) -> int:
    return len(json.dumps(row, ensure_ascii=False, allow_nan=False).encode())
