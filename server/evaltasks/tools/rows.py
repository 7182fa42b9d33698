"""Rows that are in a call or in a file: all are validated before any is sent, then they are sent in batches.

Either every row is valid or nothing is sent. Problems are grouped by kind, with the numbers of their rows.
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
from evaltasks.tools.files import read_rows
from evaltasks.tools.import_formats import BadRow, NumberedRow
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
class InlineRows:
    """Rows written in the call, numbered from 1."""

    rows: list[JsonObject]

    def __iter__(self) -> Iterator[NumberedRow]:
        return iter(enumerate(self.rows, 1))


@dataclass
class _RowProblems:
    num_rows: int = 0
    # problem → (how many rows have it, the numbers of the first few)
    problems: dict[str, tuple[int, list[int]]] = field(default_factory=dict)

    def add(self, number: int, problem: str) -> None:
        count, numbers = self.problems.get(problem, (0, []))
        self.problems[problem] = (count + 1, [*numbers, number] if count < NUMBERS_SHOWN_MAX else numbers)


def source_issues(arguments: Provided) -> list[ValidationIssue]:
    """Return the problems of `rows` and `file`: exactly one of them is required."""
    if "rows" in arguments and "file" in arguments:
        return [ValidationIssue("file", "excludes rows", "pass one of the two")]
    if not arguments.get("rows") and "file" not in arguments:
        return [ValidationIssue("rows", "rows and file are both missing", "pass rows (up to 1000 objects) or file")]
    if len(arguments.get("rows", [])) > BATCH_ROWS_MAX:
        return [ValidationIssue("rows", f"has more than {BATCH_ROWS_MAX} rows", "pass a file, or make several calls")]
    return []


def open_source(rows: list[JsonObject] | None, file: str | None, context: ToolContext) -> Iterable[NumberedRow]:
    """Return the rows of a call in which `source_issues` found no problem.

    Raises:
        Refused: The file is not allowed or has an unknown suffix.
    """
    return read_rows(file, context.settings) if file is not None else InlineRows(rows or [])


async def validate_rows(
    subject: str, argument: str, source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], T]
) -> int:
    """Convert every row once, off the event loop, and return the number of rows.

    Args:
        subject: What the problems are about, such as the name of the tool.
        argument: The argument that the rows are from: `rows` or `file`.
        source: The numbered rows.
        convert: Converts a row. It raises RowError for a row that is not valid.

    Raises:
        ValidationErrors: A row is not valid, or there are no rows.
        Refused: The file cannot be read.
    """
    found = await to_thread.run_sync(_find_problems, source, convert)
    if found.problems:
        raise ValidationErrors(subject, _row_issues(argument, found))
    if found.num_rows == 0:
        raise ValidationErrors(subject, [ValidationIssue(argument, "has no rows", "pass at least one")])
    return found.num_rows


def _find_problems(source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], Any]) -> _RowProblems:
    found = _RowProblems()
    for number, row in source:
        found.num_rows += 1
        if isinstance(row, BadRow):
            found.add(number, row.problem)
            continue
        try:
            convert(row, number)
        except RowError as error:
            found.add(number, error.problem)
    return found


def _row_issues(argument: str, found: _RowProblems) -> list[ValidationIssue]:
    num_bad = sum(count for count, _ in found.problems.values())
    issues = []
    for problem, (count, numbers) in itertools.islice(found.problems.items(), ISSUES_SHOWN_MAX):
        rows = ("row " if count == 1 else "rows ") + ", ".join(map(str, numbers))
        if count > len(numbers):
            rows += f" and {count - len(numbers)} more"
        issues.append(ValidationIssue(argument, f"{rows}: {problem}", "correct the source"))
    more = len(found.problems) - len(issues)
    tail = f"; {more} further kinds of problem are not listed" if more else ""
    issues.append(
        ValidationIssue(
            argument,
            f"{num_bad} of {found.num_rows} rows are invalid, so no row was sent{tail}",
            "call again with valid rows only",
        )
    )
    return issues


async def batches(source: Iterable[NumberedRow], convert: Callable[[JsonObject, int], T]) -> AsyncIterator[list[T]]:
    """Yield the converted rows in batches that fit one request. Reading and converting run off the event loop."""
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
    """Return the row unchanged if it can be sent as JSON.

    Raises:
        RowError: The row has a value that JSON cannot represent, or is too large.
    """
    try:
        row_bytes = _json_bytes(row)
    except UnicodeEncodeError:
        raise RowError(number, "contains half of a surrogate pair, which is not a character") from None
    except (ValueError, TypeError, RecursionError):
        raise RowError(
            number, "has a value that JSON cannot represent (NaN, infinity), or is nested too deeply"
        ) from None
    if row_bytes > BATCH_BYTES_MAX:
        raise RowError(number, f"is larger than {BATCH_BYTES_MAX // 2**20} MB")
    return row


def _json_bytes(row: JsonObject) -> int:
    return len(json.dumps(row, ensure_ascii=False, allow_nan=False).encode())
