"""Local files an agent may have read: only below directories named at start-up, only regular files, row by row.

`read_rows` answers a `RowFile` that can be gone through more than once: tools validate a whole file first and send
it afterwards. The file is checked each time it is opened; one that changed in between is refused. Rows come as
(number, row); what cannot be read as a row comes as `BadRow` in its place, so that nothing is lost silently. The
number is the line in JSONL and the row, counted from 1 without the header, in CSV and Parquet.
"""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from evaltasks.api.wire import JsonObject, rfc3339
from evaltasks.tools.context import Refused, ToolSettings

FILE_BYTES_MAX = 512 * 1024 * 1024
ROW_BYTES_MAX = 16 * 1024 * 1024
ARGUMENT_BYTES_MAX = 4 * 1024 * 1024
PARQUET_ROWS_AT_ONCE = 500

# Kernel interfaces look like files; an allowed directory above them is a mistake, never a wish.
_NEVER = (Path("/proc"), Path("/sys"), Path("/dev"))


class FileFormat(Enum):
    JSONL = "JSONL"
    CSV = "CSV"
    PARQUET = "Parquet"


_FORMATS = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """`problem` says what is wrong in our words, without the content."""

    problem: str


NumberedRow: TypeAlias = tuple[int, JsonObject | BadRow]


@dataclass(frozen=True)
class AllowedFile:
    """A regular file below an allowed directory, as it was when it was looked up."""

    path: Path
    stamp: tuple[int, int, int, int]

    def open(self) -> BinaryIO:
        """Open it for reading. Raises Refused when it is not the file that was looked up any more."""
        # O_NONBLOCK: a pipe put in the file's place must not hang the server.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.path, flags)
        except OSError as error:
            raise Refused(f"The file cannot be opened: {error.strerror}.") from None
        if _stamp(os.fstat(descriptor)) != self.stamp:
            os.close(descriptor)
            raise Refused("The file changed while it was being read. Call again when nothing writes to it any more.")
        return os.fdopen(descriptor, "rb")


@dataclass(frozen=True)
class RowFile:
    """The rows of one file; every iteration reads it again from the start."""

    file: AllowedFile
    format: FileFormat

    def __iter__(self) -> Iterator[NumberedRow]:
        with self.file.open() as handle:
            yield from _READERS[self.format](handle)


def read_rows(text: str, settings: ToolSettings) -> RowFile:
    """The rows of a JSONL, CSV or Parquet file, distinguished by its ending.

    Raises Refused when the file may not be read, cannot be, or is of another kind.
    """
    file = allowed_file(text, settings)
    file_format = _FORMATS.get(file.path.suffix.lower())
    if file_format is None:
        raise Refused(f"Files of rows must end in one of {', '.join(_FORMATS)}; this one does not.")
    if file_format is FileFormat.PARQUET:
        _parquet_reader()
    return RowFile(file, file_format)


def read_json_argument(text: str, settings: ToolSettings) -> Any:
    """The content of an `@file.json` argument. Raises Refused."""
    file = allowed_file(text.removeprefix("@"), settings, bytes_max=ARGUMENT_BYTES_MAX)
    with file.open() as handle:
        content = handle.read()
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refused(f"The file is not UTF-8 text (line {line}). Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Refused(f"The file is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise Refused("The file is nested too deep to be an argument.") from None


def allowed_file(text: str, settings: ToolSettings, *, bytes_max: int = FILE_BYTES_MAX) -> AllowedFile:
    """The file behind a path; relative paths are looked for in each allowed directory in turn.

    Raises Refused for anything that is not a regular file below an allowed directory after all links are followed.
    A file outside and a file that does not exist give the same words: the answer is no way to explore the disk.
    """
    if not settings.allowed_dirs:
        raise Refused(
            "No directory is open to this server, so it reads no files. Start it with --allow-dir DIRECTORY (or "
            "EVALTASKS_ALLOW_DIR), or give the content in the call."
        )
    roots = [root.resolve() for root in settings.allowed_dirs]
    if not text.strip() or "\0" in text:
        raise Refused("The path is empty or no path. Give the path of a file.")
    for root in roots:
        try:
            # An absolute path replaces the root in this join; whether it lies inside is judged below.
            path = (root / text).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            continue
        if any(path.is_relative_to(one) for one in roots) and not any(path.is_relative_to(one) for one in _NEVER):
            return _checked(path, bytes_max)
    names = ", ".join(str(root) for root in settings.allowed_dirs[:3])
    raise Refused(f"There is no such file below the directories this server may read ({names}).")


def _checked(path: Path, bytes_max: int) -> AllowedFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Refused("The path is not a regular file (a directory, pipe or device). Give a file.")
    if status.st_size > bytes_max:
        raise Refused(
            f"The file has {status.st_size / 2**20:.0f} MB; at most {bytes_max // 2**20} MB are read. Split it."
        )
    return AllowedFile(path, _stamp(status))


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _constant(name: str) -> None:
    """NaN is how data frames write "no value"; infinities stand for nothing in JSON."""
    if name != "NaN":
        raise ValueError(f"{name} is not a JSON value")


def _jsonl(handle: BinaryIO) -> Iterator[NumberedRow]:
    number = 0
    while line := handle.readline(ROW_BYTES_MAX + 1):
        number += 1
        if len(line) > ROW_BYTES_MAX:
            # Without its end the line cannot be skipped cheaply; what follows would be counted wrongly.
            raise Refused(
                f"Line {number} is longer than {ROW_BYTES_MAX // 2**20} MB. Is this JSONL, one object a line?"
            )
        if line.strip() and line != b"\xef\xbb\xbf\n":
            yield number, _json_row(line, "utf-8-sig" if number == 1 else "utf-8")


def _json_row(line: bytes, encoding: str) -> JsonObject | BadRow:
    try:
        text = line.decode(encoding)
        row = json.loads(text, parse_constant=_constant)
        if "\\ud" in text.lower():
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except UnicodeEncodeError:
        problem = "holds half of a surrogate pair, which is not a character"
    except json.JSONDecodeError as error:
        problem = f"is not JSON ({error.msg}, column {error.colno})"
    except RecursionError:
        problem = "is nested too deep"
    except ValueError as error:
        problem = f"is not JSON ({error})"
    else:
        if isinstance(row, dict):
            return row
        problem = "is a JSON list; write one object a line" if isinstance(row, list) else "is not a JSON object"
    return BadRow(problem)


def _lines(handle: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(handle, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise Refused(f"Line {number} is not UTF-8 text. Save the CSV file as UTF-8.") from None


def _csv(handle: BinaryIO) -> Iterator[NumberedRow]:
    """Every cell is text; an empty cell is not a value and its column is left out of the row."""
    # The module's own limit of 128 KB is below an ordinary prompt with documents; the setting is the process's.
    csv.field_size_limit(ROW_BYTES_MAX)
    reader = csv.reader(_lines(handle), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        blank = [number for number, name in enumerate(header, 1) if not name.strip()]
        if blank or len(set(header)) != len(header):
            raise Refused("The CSV header has an empty or repeated column name. Name each column once.")
        for number, cells in enumerate((cells for cells in reader if cells), 1):
            if len(cells) != len(header):
                yield number, BadRow(f"has {len(cells)} cells; the header has {len(header)}")
            else:
                yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
    except csv.Error as error:
        raise Refused(f"The file is not a CSV that can be read: {error} (line {reader.line_num}).") from None


def _parquet_reader() -> Any:
    try:
        # Heavy (40 MB, a second to load) and optional: only who reads Parquet pays for it.
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise Refused(
            "Parquet files need a library that is not installed. Install evaltasks[parquet], or use JSONL or CSV."
        ) from None
    return parquet


def _parquet(handle: BinaryIO) -> Iterator[NumberedRow]:
    number = 0
    try:
        file = _parquet_reader().ParquetFile(handle)
        for batch in file.iter_batches(batch_size=PARQUET_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                number += 1
                yield number, _plain_row(row)
    # pyarrow's errors have no base of their own: they derive from ValueError, OSError and others.
    except (ValueError, OSError, NotImplementedError) as error:
        raise Refused(f"The file is not a Parquet file that can be read ({type(error).__name__}).") from None


def _plain_row(row: JsonObject) -> JsonObject | BadRow:
    plain: JsonObject = {}
    for name, value in row.items():
        try:
            if (cell := _plain(value)) is not None:
                plain[name] = cell
        except ValueError as error:
            return BadRow(f"column {name[:60]}: {error}")
    return plain


def _plain(value: Any) -> Any:  # noqa: PLR0911  one answer for each kind of value
    """A Parquet value as JSON has it. Raises ValueError for what JSON has no word for."""
    match value:
        case float():
            if value in (float("inf"), float("-inf")):
                raise ValueError("an infinite number")
            return None if value != value else value  # noqa: PLR0124  NaN is how data frames write "no value"
        case None | bool() | int() | str():
            return value
        case datetime():
            return rfc3339(value) if value.tzinfo else value.isoformat() + "Z"
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise ValueError("bytes that are not UTF-8 text") from None
        case dict():
            return {str(key): _plain(part) for key, part in value.items()}
        case list():
            # A map column comes as a list of pairs; nothing else makes tuples.
            if value and all(isinstance(part, tuple) for part in value):
                return {str(key): _plain(part) for key, part in value}
            return [_plain(part) for part in value]
    raise ValueError(f"a value of type {type(value).__name__}")


_READERS: dict[FileFormat, Callable[[BinaryIO], Iterator[NumberedRow]]] = {
    FileFormat.JSONL: _jsonl,
    FileFormat.CSV: _csv,
    FileFormat.PARQUET: _parquet,
}
