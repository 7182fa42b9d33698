"""Extension points: what installed packages add, and what is ignored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from evaltasks.api.plugins import add_plugins, load_plugins
from tests.support.plugins import install_plugin

GROUP = "evaltasks.test_rows"


@dataclass(frozen=True)
class Row:
    key: str


MODULE = "from tests.api.test_plugins import Row\nROW = Row('A')\nOTHER = Row('B')\nWRONG = 'text'\n"


def test_load_plugins_returns_registered_objects_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"b": "throwaway_rows:OTHER", "a": "throwaway_rows:ROW"}
    install_plugin(tmp_path, monkeypatch, group=GROUP, entries=entries, modules={"throwaway_rows": MODULE})
    assert load_plugins(GROUP, Row) == {"a": Row("A"), "b": Row("B")}
    assert list(load_plugins(GROUP, Row)) == ["a", "b"]


def test_load_plugins_is_empty_without_installed_plugins() -> None:
    assert load_plugins(GROUP, Row) == {}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module_at_all:ROW", "loading it failed"),
        ("throwaway_broken:ROW", "loading it failed"),
        ("throwaway_rows:MISSING", "loading it failed"),
        ("throwaway_rows:WRONG", "expected an instance of tests.api.test_plugins.Row, not of str"),
    ],
)
def test_load_plugins_logs_and_ignores_a_broken_plugin(
    value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    modules = {"throwaway_rows": MODULE, "throwaway_broken": "raise RuntimeError('broken at import')\n"}
    entries = {"broken": value, "sound": "throwaway_rows:ROW"}
    install_plugin(tmp_path, monkeypatch, group=GROUP, entries=entries, modules=modules)
    with caplog.at_level(logging.ERROR):
        assert load_plugins(GROUP, Row) == {"sound": Row("A")}
    assert [record.getMessage() for record in caplog.records] == [f"{GROUP}: 'broken' ({value}) is ignored: {reason}"]


def test_load_plugins_ignores_the_second_of_two_equal_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for place, attribute in (("one", "ROW"), ("two", "OTHER")):
        install_plugin(
            tmp_path / place,
            monkeypatch,
            group=GROUP,
            entries={"same": f"throwaway_{place}:{attribute}"},
            modules={f"throwaway_{place}": MODULE},
            distribution=place,
        )
    with caplog.at_level(logging.ERROR):
        assert load_plugins(GROUP, Row) == {"same": Row("A")}
    assert "'same' (throwaway_two:OTHER) is ignored: the name is already registered" in caplog.text


def test_add_plugins_never_replaces_a_built_in_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entries = {"first": "throwaway_rows:ROW", "second": "throwaway_rows:OTHER"}
    install_plugin(tmp_path, monkeypatch, group=GROUP, entries=entries, modules={"throwaway_rows": MODULE})
    built_in = Row("A")
    with caplog.at_level(logging.ERROR):
        table = add_plugins({"A": built_in}, GROUP, Row, keys=lambda row: (row.key,))
    assert table == {"A": built_in, "B": Row("B")}
    assert table["A"] is built_in
    assert [record.getMessage() for record in caplog.records] == [f"{GROUP}: 'first' is ignored: 'A' is already taken"]


def test_add_plugins_uses_entry_point_names_as_default_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"first": "throwaway_rows:ROW"}
    install_plugin(tmp_path, monkeypatch, group=GROUP, entries=entries, modules={"throwaway_rows": MODULE})
    assert add_plugins({}, GROUP, Row) == {"first": Row("A")}
