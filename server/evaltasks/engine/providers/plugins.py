"""Providers that other installed packages add.

A package declares a `ProviderRecord` under the entry-point group `evaltasks.providers`:

    [project.entry-points."evaltasks.providers"]
    my_provider = "my_package.provider:RECORD"

An entry point is code that the operator installed, and it runs inside the engine with all of the engine's rights.
Entry points are looked for at the first provider name that this package does not have, and loaded once per process.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from threading import Lock

from evaltasks.engine.providers.record import ProviderRecord

GROUP = "evaltasks.providers"

logger = logging.getLogger(__name__)


class ProviderPlugins:
    """The records of installed plug-ins, loaded at the first use.

    Args:
        reserved_names: Names that a plug-in must not take: the built-in providers'.
    """

    def __init__(self, reserved_names: Collection[str]) -> None:
        self._reserved_names = reserved_names
        self._records: Mapping[str, ProviderRecord] | None = None
        # A large request body is validated in a thread, so two threads may come first.
        self._loading = Lock()

    def records(self) -> Mapping[str, ProviderRecord]:
        """Return the records by provider name. A plug-in that cannot be used is logged and left out."""
        with self._loading:
            if self._records is None:
                self._records = self._load(entry_points(group=GROUP))
            return self._records

    def _load(self, found: Iterable[EntryPoint]) -> Mapping[str, ProviderRecord]:
        records: dict[str, ProviderRecord] = {}
        for entry_point in sorted(found, key=lambda entry_point: (entry_point.name, entry_point.value)):
            record = _load_record(entry_point)
            if record is None:
                continue
            if record.name in self._reserved_names:
                _log_ignored(entry_point, f"{record.name} is the name of a built-in provider; choose another name")
            elif record.name in records:
                _log_ignored(entry_point, f"another plug-in has already added {record.name}; uninstall one of them")
            else:
                records[record.name] = record
        return records


def _load_record(entry_point: EntryPoint) -> ProviderRecord | None:
    try:
        record = entry_point.load()
    # SystemExit too: a module that ends the process when it is imported must not end the engine.
    except (Exception, SystemExit) as error:
        _log_ignored(entry_point, f"loading it raised {type(error).__name__}: {error}", with_traceback=True)
        return None
    if not isinstance(record, ProviderRecord):
        _log_ignored(entry_point, f"it is a {type(record).__name__}, not a ProviderRecord")
        return None
    return record


def _log_ignored(entry_point: EntryPoint, reason: str, *, with_traceback: bool = False) -> None:
    package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
    logger.error(
        "provider plug-in '%s' of %s (%s) is ignored: %s",
        entry_point.name,
        package,
        entry_point.value,
        reason,
        exc_info=with_traceback,
    )
