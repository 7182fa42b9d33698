"""The note that AX may change its task API; the embedded engine does not change under anybody's feet."""

from __future__ import annotations

from weakref import WeakSet

from evaltasks.client.client import Client
from evaltasks.tools.context import ToolContext

_NOTE = "The AX task API is pre-release (alpha): it may change without notice. This is said once."

# One client lives as long as the process that serves; so this is once per process.
_REPORTED: WeakSet[Client] = WeakSet()


def note_prerelease(context: ToolContext) -> None:
    """Said with the first answer of any task tool, as the published clients do, and never again."""
    if not context.client.is_engine and context.client not in _REPORTED:
        _REPORTED.add(context.client)
        context.note(_NOTE)
