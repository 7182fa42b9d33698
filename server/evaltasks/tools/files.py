"""Local files that an agent names: only below directories named at start-up, and only regular files.

`read_rows` returns a `RowFile`, which can be iterated more than once: tools validate a whole file first and send it
afterwards. The file is checked each time it is opened; one that changed in between is refused.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from evaltasks.tools.context import Refused, ToolSettings
from evaltasks.tools.import_formats import BadRow, ImportFormat, NumberedRow, format_of

FILE_BYTES_MAX = 512 * 1024 * 1024
ARGUMENT_BYTES_MAX = 4 * 1024 * 1024

# Interfaces of the kernel look like files. They are refused even if an allowed directory contains them.
_KERNEL_DIRS = (Path("/proc"), Path("/sys"), Path("/dev"))


@dataclass(frozen=True)
class AllowedFile:
    """A regular file below an allowed directory, as it was when its path was resolved."""

    path: Path
    fingerprint: tuple[int, int, int, int]

    def open(self) -> BinaryIO:
        """Open the file for reading.

        Raises:
            Refused: The file cannot be opened, or it is not the file that was resolved any more.
        """
        # O_NONBLOCK: a pipe that replaced the file must not block the server.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self.path, flags)
        except OSError as error:
            raise Refused(f"The file cannot be opened: {error.strerror}.") from None
        if _fingerprint(os.fstat(descriptor)) != self.fingerprint:
            os.close(descriptor)
            raise Refused("The file changed while it was being read. Call again when no process writes to it.")
        return os.fdopen(descriptor, "rb")


@dataclass(frozen=True)
class RowFile:
    """The rows of one file. Every iteration reads the file again from the start."""

    file: AllowedFile
    format: ImportFormat

    def __iter__(self) -> Iterator[NumberedRow]:
        with self.file.open() as handle:
            for number, row in self.format.read(handle):
                yield number, row if isinstance(row, (dict, BadRow)) else BadRow("is not an object")


def read_rows(text: str, settings: ToolSettings) -> RowFile:
    """Return the rows of a file, read in the format of its suffix.

    Args:
        text: The path, absolute or relative to an allowed directory.
        settings: Holds the allowed directories.

    Raises:
        Refused: The file is not below an allowed directory, is too large, or has an unknown suffix.
    """
    file = allowed_file(text, settings)
    return RowFile(file, format_of(file.path.name))


def read_json_argument(text: str, settings: ToolSettings) -> Any:
    """Return the parsed content of an `@file.json` argument.

    Raises:
        Refused: The file is not allowed, or is not valid JSON in UTF-8.
    """
    file = allowed_file(text.removeprefix("@"), settings, bytes_max=ARGUMENT_BYTES_MAX)
    with file.open() as handle:
        content = handle.read()
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Refused(f"The file is not UTF-8 text (line {line}). Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Refused(f"Invalid JSON in the file: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise Refused("The JSON in the file is nested too deeply.") from None


def allowed_file(text: str, settings: ToolSettings, *, bytes_max: int = FILE_BYTES_MAX) -> AllowedFile:
    """Resolve a path to a regular file below an allowed directory, after all links are followed.

    A file outside these directories and a missing file produce the same message, so that an agent cannot explore the
    disk.

    Args:
        text: The path. A relative one is tried in each allowed directory in turn.
        settings: Holds the allowed directories.
        bytes_max: The largest file size accepted.

    Raises:
        Refused: No directory is allowed, or the path is not a regular file below one, or the file is too large.
    """
    if not settings.allowed_dirs:
        raise Refused(
            "This server reads no files because no directory is allowed. Start it with --allow-dir DIRECTORY (or "
            "EVALTASKS_ALLOW_DIR), or pass the content in the call."
        )
    roots = [root.resolve() for root in settings.allowed_dirs]
    if not text.strip() or "\0" in text:
        raise Refused("The path is empty or invalid. Pass the path of a file.")
    for root in roots:
        try:
            # An absolute path replaces the root in this join. Whether it lies inside is checked below.
            path = (root / text).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            continue
        inside = any(path.is_relative_to(allowed) for allowed in roots)
        if inside and not any(path.is_relative_to(kernel) for kernel in _KERNEL_DIRS):
            return _regular_file(path, bytes_max)
    names = ", ".join(str(root) for root in settings.allowed_dirs[:3])
    raise Refused(f"There is no such file below the directories this server may read ({names}).")


def _regular_file(path: Path, bytes_max: int) -> AllowedFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Refused("The path is not a regular file (it is a directory, pipe or device). Pass the path of a file.")
    if status.st_size > bytes_max:
        raise Refused(
            f"The file has {status.st_size / 2**20:.0f} MB; the limit is {bytes_max // 2**20} MB. Split the file."
        )
    return AllowedFile(path, _fingerprint(status))


def _fingerprint(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
