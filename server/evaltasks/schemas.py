"""`evaltasks schemas`: the reviewed contract of the tools, one JSON file per tool in `tool_schemas/`.

The files are generated and committed; nothing reads them at run time. So every change of a tool shows in its review.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from evaltasks.face.definitions import tool_definition
from evaltasks.tools.catalog import TOOLS


def schema_files() -> dict[str, str]:
    """Return the text of each file by its name: name, title, description, schemas and annotations of a tool."""
    files = {}
    for spec in TOOLS:
        shown = tool_definition(spec).model_dump(mode="json", by_alias=True, exclude_none=True)
        files[f"{spec.name}.json"] = json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return files


def write_schemas(folder: Path) -> list[str]:
    """Update the folder; return the names of the files written or removed."""
    wanted = schema_files()
    changed = []
    for name, text in wanted.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    for orphan in sorted(set(_present(folder)) - set(wanted)):
        (folder / orphan).unlink()
        changed.append(orphan)
    return changed


def schema_differences(folder: Path) -> str:
    """Return the differences between the folder and the tools as a diff; empty if there are none."""
    wanted = schema_files()
    lines: list[str] = []
    for name in sorted(set(wanted) | set(_present(folder))):
        file = folder / name
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        after = wanted.get(name, "")
        lines += difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"tool_schemas/{name}", f"the tool {name}", lineterm=""
        )
    return "\n".join(lines)


def _present(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("*.json")]
