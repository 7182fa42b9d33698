"""Installs a throw-away distribution with entry points, as `pip install` would."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def install_plugin(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    group: str,
    entries: dict[str, str],
    modules: dict[str, str],
    distribution: str = "throwaway",
) -> None:
    """Write modules and an entry point list below `directory`, and put it on `sys.path` until the test ends.

    Args:
        directory: Where the distribution is written, such as `tmp_path`.
        monkeypatch: Removes the directory and the modules again.
        group: The entry point group.
        entries: The value (`module:attribute`) of each entry point, by its name.
        modules: The source of each module, by its name.
        distribution: The name of the distribution.
    """
    info = directory / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}", encoding="utf-8")
    for name, source in modules.items():
        (directory / f"{name}.py").write_text(source, encoding="utf-8")
        # A module that one test imports must not be visible to the next.
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(directory))
