"""Extension points: objects that installed packages register as entry points.

A package adds to one of our tables (evaluator kinds, providers, import formats) without a change of this repository:

    [project.entry-points."evaltasks.evaluator_kinds"]
    WORD_COUNT = "my_package.word_count:KIND"

An extension never stops the server: one that cannot be loaded, or that takes the place of another, is logged by name
and ignored. Entry points are read from disk at every call, so callers keep the result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import entry_points
from typing import TypeVar

T = TypeVar("T")

_logger = logging.getLogger(__name__)


def load_plugins(group: str, expected: type[T]) -> dict[str, T]:
    """Load the objects that installed packages register in an entry point group.

    Args:
        group: The name of the group, such as `evaltasks.providers`.
        expected: The class of which every object must be an instance.

    Returns:
        The objects by the names of their entry points, sorted by name. Entry points that fail to load, are not of the
        expected class or use a name twice are left out, each with a log line.
    """
    plugins: dict[str, T] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if entry.name in plugins:
            _logger.error("%s: '%s' (%s) is ignored: the name is already registered", group, entry.name, entry.value)
            continue
        try:
            plugin = entry.load()
        # SystemExit too: a module that ends the process when it is imported must not end the server.
        except (Exception, SystemExit):
            _logger.exception("%s: '%s' (%s) is ignored: loading it failed", group, entry.name, entry.value)
            continue
        if not isinstance(plugin, expected):
            _logger.error(
                "%s: '%s' (%s) is ignored: expected an instance of %s.%s, not of %s",
                group, entry.name, entry.value, expected.__module__, expected.__qualname__, type(plugin).__name__,
            )  # fmt: skip
            continue
        plugins[entry.name] = plugin
    return plugins


def add_plugins(
    table: Mapping[str, T], group: str, expected: type[T], keys: Callable[[T], Collection[str]] | None = None
) -> dict[str, T]:
    """Return a table with the plugins of a group added to the built-in rows.

    A plugin never replaces a row: one that has a key which is already in the table is ignored with a log line.

    Args:
        table: The built-in rows.
        group: The name of the entry point group.
        expected: The class of which every row must be an instance.
        keys: Returns the keys of a plugin; without it the entry point's name is the key.
    """
    rows = dict(table)
    for name, plugin in load_plugins(group, expected).items():
        row_keys = (name,) if keys is None else keys(plugin)
        if taken := [row_key for row_key in row_keys if row_key in rows]:
            _logger.error("%s: '%s' is ignored: '%s' is already taken", group, name, "', '".join(taken))
            continue
        rows |= dict.fromkeys(row_keys, plugin)
    return rows
