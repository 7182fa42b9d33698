"""Files: only below allowed directories, row by row, and every bad row is reported."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from evaltasks.tools import import_formats
from evaltasks.tools.context import Refused, ToolSettings
from evaltasks.tools.files import allowed_file, read_json_argument, read_rows
from evaltasks.tools.import_formats import BadRow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside.jsonl").write_text('{"secret": 1}\n')
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "rows.jsonl").write_text('{"a": 1}\n')
    return inside


def settings(root: Path) -> ToolSettings:
    return ToolSettings(allowed_dirs=(root,))


@pytest.mark.parametrize("path", ["rows.jsonl", "./rows.jsonl", "../inside/rows.jsonl", "{root}/rows.jsonl"])
def test_a_file_below_an_allowed_directory_is_read(root: Path, path: str) -> None:
    assert list(read_rows(path.format(root=root), settings(root))) == [(1, {"a": 1})]


@pytest.mark.parametrize(
    "path",
    ["../outside.jsonl", "{root}/../outside.jsonl", "/etc/passwd", "/proc/self/environ", "~/x.jsonl", "gone.jsonl",
     "link.jsonl", "linked/outside.jsonl", "", " ", "rows.jsonl\0.txt", "a" * 5000, "."],
)  # fmt: skip
def test_no_path_escapes_the_allowed_directories(root: Path, path: str) -> None:
    (root / "link.jsonl").symlink_to(root.parent / "outside.jsonl")
    (root / "linked").symlink_to(root.parent)
    with pytest.raises(Refused) as caught:
        list(read_rows(path.format(root=root), settings(root)))
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_outside_and_a_missing_file_produce_the_same_message(root: Path) -> None:
    answers = set()
    for path in ("../outside.jsonl", "../gone.jsonl"):
        with pytest.raises(Refused) as caught:
            read_rows(path, settings(root))
        answers.add(str(caught.value))
    assert len(answers) == 1


def test_kernel_interfaces_are_refused_even_when_the_root_directory_is_allowed() -> None:
    with pytest.raises(Refused, match="no such file"):
        read_json_argument("@/proc/self/environ", settings(Path("/")))


def test_a_pipe_is_refused_and_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "pipe.jsonl")
    with pytest.raises(Refused, match="not a regular file"):
        read_rows("pipe.jsonl", settings(root))


def test_a_file_replaced_by_a_link_between_lookup_and_read_is_refused(root: Path) -> None:
    rows = read_rows("rows.jsonl", settings(root))
    (root / "rows.jsonl").unlink()
    (root / "rows.jsonl").symlink_to(root.parent / "outside.jsonl")
    with pytest.raises(Refused):
        list(rows)


def test_a_file_that_changed_between_two_passes_is_refused(root: Path) -> None:
    rows = read_rows("rows.jsonl", settings(root))
    assert len(list(rows)) == 1
    with (root / "rows.jsonl").open("a") as handle:
        handle.write('{"a": 2}\n')
    with pytest.raises(Refused, match="changed"):
        list(rows)


def test_without_an_allowed_directory_no_file_is_read_and_the_message_names_the_option(root: Path) -> None:
    with pytest.raises(Refused, match="--allow-dir"):
        read_rows(str(root / "rows.jsonl"), ToolSettings())


def test_a_file_with_an_unknown_suffix_is_refused_with_the_supported_suffixes(root: Path) -> None:
    (root / "rows.txt").write_text("x")
    with pytest.raises(Refused, match=r"\.jsonl, \.ndjson, \.csv, \.parquet"):
        read_rows("rows.txt", settings(root))


def test_a_file_larger_than_the_limit_is_refused_with_both_sizes(root: Path) -> None:
    size = (root / "rows.jsonl").stat().st_size
    assert allowed_file("rows.jsonl", settings(root), bytes_max=size).path == root / "rows.jsonl"
    with pytest.raises(Refused):
        allowed_file("rows.jsonl", settings(root), bytes_max=size - 1)
    with (root / "large.json").open("wb") as handle:
        handle.truncate(5 * 2**20)
    with pytest.raises(Refused, match=r"The file has 5 MB; the limit is 4 MB\."):
        read_json_argument("@large.json", settings(root))


def test_jsonl_refuses_a_line_longer_than_the_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_formats, "ROW_BYTES_MAX", 12)
    (root / "rows.jsonl").write_text('{"a": 12345}\n')
    with pytest.raises(Refused, match="Line 1 is longer than"):
        list(read_rows("rows.jsonl", settings(root)))
    for content in ('{"a": 1234}\n{"a": 5678}\n', '{"a": 1234}\n{"a": 56789}'):
        (root / "rows.jsonl").write_text(content)
        rows = [row for _, row in read_rows("rows.jsonl", settings(root))]
        assert rows == [{"a": 1234}, json.loads(content.splitlines()[1])]


def test_jsonl_reports_every_bad_line_by_number_and_keeps_the_good_ones(root: Path) -> None:
    content = (
        b'\xef\xbb\xbf{"a": 1}\n\n[1]\n{"a": \n\xff\xfe\n{"a": NaN, "b": 2}\n{"a": Infinity}\n{"a": "\\ud800"}\n7\n'
    )
    (root / "mixed.jsonl").write_bytes(content)
    rows = dict(read_rows("mixed.jsonl", settings(root)))
    assert {number: row for number, row in rows.items() if not isinstance(row, BadRow)} == {
        1: {"a": 1},
        6: {"a": None, "b": 2},
    }
    problems = {number: row.problem for number, row in rows.items() if isinstance(row, BadRow)}
    assert sorted(problems) == [3, 4, 5, 7, 8, 9]
    assert problems[5] == "is not UTF-8 text"


def test_csv_cells_are_text_and_an_empty_cell_is_omitted(root: Path) -> None:
    (root / "rows.csv").write_text('\ufeffq,a\n"two\nlines",007\n,x\n1,2,3\n', encoding="utf-8")
    assert list(read_rows("rows.csv", settings(root))) == [
        (1, {"q": "two\nlines", "a": "007"}),
        (2, {"a": "x"}),
        (3, BadRow("has 3 cells; the header has 2")),
    ]


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"a,a\n1,2\n", "repeated column"), (b"a,b\n1,\xff\n", "Line 2 is not UTF-8"), (b'a\n"open\n', "not valid CSV")],
)
def test_an_invalid_csv_file_is_refused_with_the_location(root: Path, content: bytes, match: str) -> None:
    (root / "rows.csv").write_bytes(content)
    with pytest.raises(Refused, match=match):
        list(read_rows("rows.csv", settings(root)))


def test_parquet_values_become_json_values(root: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([datetime(2026, 11, 21, 10, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "local": pa.array([datetime(2026, 11, 21, 10), None], pa.timestamp("us")),
            "score": [float("nan"), 0.5],
            "price": pa.array([Decimal("1.50"), Decimal("2.00")], pa.decimal128(5, 2)),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "list": [[{"role": "user"}], []],
        }
    )
    parquet.write_table(table, root / "rows.parquet")
    assert list(read_rows("rows.parquet", settings(root))) == [
        (1, {"when": "2026-11-21T10:00:00.000Z", "local": "2026-11-21T10:00:00Z", "price": 1.5, "map": {"k": 1},
             "list": [{"role": "user"}]}),
        (2, {"score": 0.5, "price": 2, "map": [], "list": []}),
    ]  # fmt: skip


def test_an_invalid_parquet_file_is_refused_without_the_librarys_message(root: Path) -> None:
    (root / "rows.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(Refused, match="not a valid Parquet file"):
        list(read_rows("rows.parquet", settings(root)))


def test_a_json_argument_is_read_from_a_file_and_invalid_json_is_located(root: Path) -> None:
    (root / "config.json").write_text('{"experiment_type": "LLM_GENERATION"}')
    (root / "broken.json").write_text('{\n "a": \n}')
    assert read_json_argument("@config.json", settings(root)) == {"experiment_type": "LLM_GENERATION"}
    with pytest.raises(Refused, match="line 3"):
        read_json_argument("@broken.json", settings(root))
    (root / "latin.json").write_bytes(b'{\n"a": "\xe9"}')
    with pytest.raises(Refused, match=r"not UTF-8 text \(line 2\)"):
        read_json_argument("@latin.json", settings(root))
