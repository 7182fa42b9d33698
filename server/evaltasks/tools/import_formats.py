"""File formats of rows: JSONL, CSV, Parquet, and those that installed packages add.

A format is one `ImportFormat`, chosen by the suffix of the file name. A package adds one as an entry point of the group
`evaltasks.import_formats` (CONTRIBUTING.md, "An import format"); it never replaces a format that is already there.

A reader yields (number, row) pairs. The number is what a person finds the row by: the line in JSONL, and the row
counted from 1 without the header in CSV and Parquet. A row that cannot be read is a `BadRow` in its place, so that no
row is lost without a message.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, TypeAlias

from evaltasks.api.plugins import add_plugins
from evaltasks.api.wire import JsonObject, json_time
from evaltasks.tools.context import Refused

PLUGIN_GROUP = "evaltasks.import_formats"
ROW_BYTES_MAX = 16 * 1024 * 1024
PARQUET_BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read. `problem` continues "row 7: …" and never quotes the content."""

    problem: str


NumberedRow: TypeAlias = tuple[int, JsonObject | BadRow]
# A reader may come from an installed package: `RowFile` checks what a row is.
RowReader: TypeAlias = Callable[[BinaryIO], Iterator[tuple[int, Any]]]


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """A file format of rows.

    Attributes:
        name: The display name, such as "CSV".
        suffixes: The ends of file names in this format, in lower case with the dot, such as (".csv",).
        read: Yields the rows of a file opened for reading bytes. It must read row by row, because files may be large,
            and raise `Refused` if the file as a whole cannot be read.
    """

    name: str
    suffixes: tuple[str, ...]
    read: RowReader

    def __post_init__(self) -> None:
        for suffix in self.suffixes:
            if not suffix.startswith(".") or suffix != suffix.lower():
                raise ValueError(f"suffix {suffix!r} of {self.name} must start with a dot and be in lower case")


@functools.cache
def import_formats() -> dict[str, ImportFormat]:
    """Return every format by file name suffix: the built-in ones, and those of installed packages, loaded once."""
    return add_plugins(BUILT_IN, PLUGIN_GROUP, ImportFormat, keys=lambda row_format: row_format.suffixes)


def format_of(file_name: str) -> ImportFormat:
    """Return the format of a file name, by its longest known suffix in any letter case.

    Raises:
        Refused: No format has such a suffix.
    """
    # Packages are loaded only for a suffix that is not built in.
    row_format = _format_in(BUILT_IN, file_name) or _format_in(import_formats(), file_name)
    if row_format is None:
        raise Refused(
            f"The name of a file of rows must end in one of {', '.join(import_formats())}; this one does not."
        )
    return row_format


def _format_in(formats: Mapping[str, ImportFormat], file_name: str) -> ImportFormat | None:
    matching = [suffix for suffix in formats if file_name.lower().endswith(suffix)]
    return formats[max(matching, key=len)] if matching else None


# --- JSONL --------------------------------------------------------------------------------------------------------
def _read_jsonl(handle: BinaryIO) -> Iterator[NumberedRow]:
    number = 0
    while line := handle.readline(ROW_BYTES_MAX + 1):
        number += 1
        if len(line) > ROW_BYTES_MAX:
            # The end of this line is unknown, so the numbers of all later lines would be wrong.
            raise Refused(
                f"Line {number} is longer than {ROW_BYTES_MAX // 2**20} MB. A JSONL file has one object per line."
            )
        if line.strip() and line != b"\xef\xbb\xbf\n":
            yield number, _json_row(line, "utf-8-sig" if number == 1 else "utf-8")


def _json_row(line: bytes, encoding: str) -> JsonObject | BadRow:
    try:
        text = line.decode(encoding)
        row = json.loads(text, parse_constant=_parse_constant)
        if "\\ud" in text.lower():
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except UnicodeEncodeError:
        problem = "contains half of a surrogate pair, which is not a character"
    except json.JSONDecodeError as error:
        problem = f"is not valid JSON ({error.msg}, column {error.colno})"
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:
        problem = f"is not valid JSON ({error})"
    else:
        if isinstance(row, dict):
            return row
        problem = "is a JSON list; write one object per line" if isinstance(row, list) else "is not a JSON object"
    return BadRow(problem)


def _parse_constant(name: str) -> None:
    """Read NaN as null, which is what data frames mean by it. Raises ValueError for infinities."""
    if name != "NaN":
        raise ValueError(f"{name} is not a JSON value")


# --- CSV ----------------------------------------------------------------------------------------------------------
def _read_csv(handle: BinaryIO) -> Iterator[NumberedRow]:
    """Every cell is text. An empty cell is a missing value: its column is left out of the row."""
    # The module's own limit of 128 KB is below an ordinary prompt with documents. The setting is global.
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
        raise Refused(f"The file is not valid CSV: {error} (line {reader.line_num}).") from None


def _lines(handle: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(handle, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise Refused(f"Line {number} is not UTF-8 text. Save the CSV file as UTF-8.") from None


# --- Parquet ------------------------------------------------------------------------------------------------------
def _parquet_library() -> Any:
    try:
        # Large (40 MB, a second to load) and optional, so it is imported only when a Parquet file is read.
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise Refused(
            "Parquet files need a library that is not installed. Install evaltasks[parquet], or use JSONL or CSV."
        ) from None
    return parquet


def _read_parquet(handle: BinaryIO) -> Iterator[NumberedRow]:
    number = 0
    parquet = _parquet_library()
    try:
        for batch in parquet.ParquetFile(handle).iter_batches(batch_size=PARQUET_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, _json_columns(row)
    # pyarrow's errors have no common base class: they derive from ValueError, OSError and others.
    except (ValueError, OSError, NotImplementedError) as error:
        raise Refused(f"The file is not a valid Parquet file ({type(error).__name__}).") from None


def _json_columns(row: JsonObject) -> JsonObject | BadRow:
    columns: JsonObject = {}
    for name, value in row.items():
        try:
            if (cell := _json_value(value)) is not None:
                columns[name] = cell
        except ValueError as error:
            return BadRow(f"column {name[:60]}: {error}")
    return columns


def _json_value(value: Any) -> Any:  # noqa: PLR0911  one return for each type of value
    """Convert a Parquet value to JSON. Raises ValueError for values that JSON cannot represent."""
    match value:
        case float():
            if value in (float("inf"), float("-inf")):
                raise ValueError("an infinite number")
            return None if value != value else value  # noqa: PLR0124  NaN is a missing value in data frames
        case None | bool() | int() | str():
            return value
        case date() | time() | timedelta():
            return json_time(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise ValueError("bytes that are not UTF-8 text") from None
        case dict():
            return {str(key): _json_value(part) for key, part in value.items()}
        case list():
            # A map column is a list of pairs; no other type produces tuples.
            if value and all(isinstance(part, tuple) for part in value):
                return {str(key): _json_value(part) for key, part in value}
            return [_json_value(part) for part in value]
    raise ValueError(f"a value of type {type(value).__name__}")


FORMATS = (
    ImportFormat("JSONL", (".jsonl", ".ndjson"), _read_jsonl),
    ImportFormat("CSV", (".csv",), _read_csv),
    ImportFormat("Parquet", (".parquet", ".pq"), _read_parquet),
)
BUILT_IN: dict[str, ImportFormat] = {suffix: row_format for row_format in FORMATS for suffix in row_format.suffixes}
