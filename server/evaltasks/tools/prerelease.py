"""The note that the task API of AX is pre-release. The embedded engine needs no such note."""

from __future__ import annotations

from weakref import WeakSet

from evaltasks.client.client import Client
from evaltasks.tools.context import ToolContext

_NOTE = "The AX task API is pre-release (alpha): it may change without notice. This note appears once."

# A client lives as long as the serving process, so the note appears once per process.
_NOTED: WeakSet[Client] = WeakSet()


def note_prerelease(context: ToolContext) -> None:
    """Add the note to the first result of any task tool on AX, as the published AX clients do."""
    if not context.client.is_engine and context.client not in _NOTED:
        _NOTED.add(context.client)
        context.note(_NOTE)
