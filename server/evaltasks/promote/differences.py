"""Differences between two documents, field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaltasks.promote.documents import canonical_json

# Lists whose order has no meaning, with the field that identifies an item.
_KEYED = {"evaluators": "evaluator", "filters": "id", "query_mappings": "variable_name", "static_params": "name"}
_SETS = frozenset({"experiments", "model_names", "variables", "query_ids"})


@dataclass(frozen=True, slots=True)
class Difference:
    """A changed field, such as `evaluators[Tone].column_mappings.input`. None means that the value is absent."""

    field: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """List changed fields in the order of `after`, then removed ones. Empty if nothing changed."""
    return _mappings(before, after, "")


def _compared(before: Any, after: Any, path: str, name: str) -> list[Difference]:
    if canonical_json(before) == canonical_json(after):
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _mappings(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        if name in _SETS:
            same = sorted(map(canonical_json, before)) == sorted(map(canonical_json, after))
            return [] if same else [Difference(path, before, after)]
        if (old := _keyed(before, name)) is not None and (new := _keyed(after, name)) is not None:
            return [
                found for key in dict.fromkeys([*new, *old])
                for found in _compared(old.get(key), new.get(key), f"{path}[{key}]", "")
            ]  # fmt: skip
        if len(before) == len(after):
            pairs = enumerate(zip(before, after, strict=True))
            return [found for nth, (old, new) in pairs for found in _compared(old, new, f"{path}[{nth}]", "")]
    return [Difference(path, before, after)]


def _mappings(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> list[Difference]:
    return [
        found
        for name in dict.fromkeys([*after, *before])
        for found in _compared(before.get(name), after.get(name), f"{path}.{name}" if path else name, name)
    ]


def _keyed(items: Sequence[Any], name: str) -> dict[str, Any] | None:
    """Return the items by their identifying field, or None if the list has none or its values are not unique."""
    key = _KEYED.get(name)
    if key is None or not all(isinstance(item, Mapping) and isinstance(item.get(key), str) for item in items):
        return None
    found = {str(item[key]): item for item in items}
    return found if len(found) == len(items) else None
