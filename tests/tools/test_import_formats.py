"""Import formats: which formats an installed package adds, and which are ignored."""

from __future__ import annotations

import configparser
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaltasks.tools.context import Refused, ToolSettings
from evaltasks.tools.files import read_rows
from evaltasks.tools.import_formats import BUILT_IN, PLUGIN_GROUP, BadRow, ImportFormat, import_formats
from tests.support.agents import MODES, agent
from tests.support.plugins import install_plugin
from tests.support.recipes import code_blocks

ROWS = "name\tstart_time\tattributes.input.value\nanswer\t2026-11-01T10:00:00Z\tWhere is my order?\n"
MODULE = """
from evaltasks.tools.import_formats import ImportFormat

def read(handle):
    yield 1, {"a": 1}
    yield 2, "text"

FORMAT = ImportFormat("Throw-away", (".throw",), read)
OTHER = ImportFormat("Other", (".other", ".throw"), read)
CSV = ImportFormat("Another CSV", (".csv",), read)
GZIP = ImportFormat("Packed", (".jsonl.gz",), read)
"""


@pytest.fixture(autouse=True)
def _fresh_formats() -> Iterator[None]:
    """Clear the cache of plugin formats, because these tests install their own."""
    import_formats.cache_clear()
    yield
    import_formats.cache_clear()


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, str]) -> None:
    install_plugin(directory, monkeypatch, group=PLUGIN_GROUP, entries=entries, modules={"throwaway_formats": MODULE})


@pytest.mark.parametrize("mode", MODES)
async def test_import_spans_reads_a_format_of_an_installed_package(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (module,) = code_blocks("An import format", "python")
    (project,) = code_blocks("An import format", "toml")
    table = configparser.ConfigParser()
    table.read_string(project.replace('project.entry-points."evaltasks.import_formats"', PLUGIN_GROUP))
    entries = {name: value.strip('"') for name, value in table[PLUGIN_GROUP].items()}
    modules = {"my_tsv": module}
    install_plugin(tmp_path / "package", monkeypatch, group=PLUGIN_GROUP, entries=entries, modules=modules)
    (tmp_path / "spans.tsv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "short.tsv").write_text(ROWS + "answer\n", encoding="utf-8")
    async with agent(mode, allowed_dirs=(tmp_path,)) as it:
        answer = await it.answer("import_spans", {"project": "support-bot", "file": "spans.tsv"})
        refusal = await it.refusal("import_spans", {"project": "support-bot", "file": "short.tsv"})
    assert (answer["num_added"], answer["data_start_time"]) == (1, "2026-11-01T10:00:00.000Z")
    assert "row 2: has too few cells" in refusal


def test_a_format_of_a_package_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "package", monkeypatch, {"a": "throwaway_formats:FORMAT", "z": "throwaway_formats:GZIP"})
    for name in ("rows.THROW", "rows.jsonl.gz"):
        (tmp_path / name).write_bytes(b"")
        rows = list(read_rows(name, ToolSettings(allowed_dirs=(tmp_path,))))
        assert rows == [(1, {"a": 1}), (2, BadRow("is not an object"))]


def test_a_format_whose_suffix_is_taken_is_logged_and_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entries = {"a": "throwaway_formats:FORMAT", "b": "throwaway_formats:OTHER", "c": "throwaway_formats:CSV"}
    install(tmp_path, monkeypatch, entries)
    with caplog.at_level(logging.ERROR):
        formats = import_formats()
    assert formats[".csv"] is BUILT_IN[".csv"]
    assert (formats[".throw"].name, set(formats) - set(BUILT_IN)) == ("Throw-away", {".throw"})
    assert [record.getMessage() for record in caplog.records] == [
        "evaltasks.import_formats: 'b' is ignored: '.throw' is already taken",
        "evaltasks.import_formats: 'c' is ignored: '.csv' is already taken",
    ]


def test_a_broken_format_is_logged_and_the_built_in_ones_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path / "package", monkeypatch, {"broken": "throwaway_formats:MISSING"})
    (tmp_path / "rows.broken").write_bytes(b"")
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n')
    settings = ToolSettings(allowed_dirs=(tmp_path,))
    with caplog.at_level(logging.ERROR), pytest.raises(Refused, match=r"must end in one of \.jsonl"):
        read_rows("rows.broken", settings)
    assert "'broken' (throwaway_formats:MISSING) is ignored" in caplog.text
    assert list(read_rows("rows.jsonl", settings)) == [(1, {"a": 1})]


@pytest.mark.parametrize("suffix", ["tsv", ".TSV", ""])
def test_a_suffix_must_be_lower_case_with_a_dot(suffix: str) -> None:
    with pytest.raises(ValueError, match="must start with a dot"):
        ImportFormat("TSV", (suffix,), lambda _: iter(()))
