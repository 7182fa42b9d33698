"""import_spans: all rows become spans, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from evaltasks.api.spans import ListSpans, Span
from evaltasks.tools.import_spans import SPEC
from tests.support.authoring import AuthoringTools, tools


def row(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "context.trace_id": f"t{number}",
        "context.span_id": f"s{number}",
        "name": "answer",
        "attributes.openinference.span.kind": "LLM",
        "start_time": f"2026-11-01T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "attributes.input.value": f"question {number}",
        **columns,
    }


async def stored(it: AuthoringTools, project_id: str) -> list[Span]:
    body = ListSpans.model_validate(
        {"project_id": project_id, "start_time": "2026-10-31T00:00:00Z", "end_time": "2026-11-30T00:00:00Z"}
    )
    return [span async for span in it.client.spans.all(body)]


async def test_rows_become_spans_of_a_created_project_with_a_note() -> None:
    async with tools() as it:
        answer = await it.call(SPEC, project="bot", rows=[row(1), row(2)])
        spans = await stored(it, answer.project_id)
    assert (answer.num_added, answer.num_replaced, answer.project_was_made) == (2, 0, True)
    assert answer.notes is not None
    assert "was created" in answer.notes[0]
    assert answer.span_kinds == {"llm": 2}
    assert {span.context.span_id: (span.kind, span.attributes["input.value"]) for span in spans} == {
        "s1": ("LLM", "question 1"),
        "s2": ("LLM", "question 2"),
    }


async def test_a_long_file_is_sent_in_batches_with_progress_and_without_duplicates(tmp_path: Path) -> None:
    (tmp_path / "spans.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(2300)))
    async with tools(tmp_path) as it:
        first = await it.call(SPEC, project="bot", file="spans.jsonl")
        assert [(done, total) for done, total, _ in it.progress] == [(1000, 2300), (2000, 2300), (2300, 2300)]
        again = await it.call(SPEC, project="bot", file=str(tmp_path / "spans.jsonl"))
        count = len(await stored(it, first.project_id))
    assert (first.num_added, first.num_replaced) == (2300, 0)
    assert (again.num_added, again.num_replaced, again.project_was_made) == (0, 2300, False)
    assert count == 2300


async def test_rows_without_ids_imported_again_are_replaced_and_not_duplicated() -> None:
    bare = [{"start_time": "2026-11-01T10:00:00Z", "input": "why?", "output": "so"}] * 2
    async with tools() as it:
        first = await it.call(SPEC, project="bot", rows=bare)
        again = await it.call(SPEC, project="bot", rows=bare)
    assert (first.num_added, again.num_added, again.num_replaced) == (2, 0, 2)


async def test_csv_and_parquet_give_the_same_spans_as_jsonl(tmp_path: Path) -> None:
    rows = [row(1, **{"attributes.llm.token_count.total": 12}), row(2, **{"attributes.llm.token_count.total": 7})]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    lines = [",".join(rows[0]), *(",".join(str(value) for value in one.values()) for one in rows)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    seen = []
    async with tools(tmp_path) as it:
        for ending in ("jsonl", "csv", "parquet"):
            answer = await it.call(SPEC, project=ending, file=f"a.{ending}")
            seen.append([span.model_dump() for span in await stored(it, answer.project_id)])
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][1]["attributes"]["llm.token_count.total"] == 12


async def test_one_bad_row_rejects_the_import_and_every_error_kind_lists_its_rows(tmp_path: Path) -> None:
    lines = [json.dumps(row(1)), "{broken", json.dumps({"name": "x"}), json.dumps({"name": "y"}), json.dumps(row(5))]
    (tmp_path / "spans.jsonl").write_text("\n".join(lines))
    async with tools(tmp_path) as it:
        words = await it.refused(SPEC, project="bot", file="spans.jsonl")
        projects = await it.client.projects.list(_all_projects())
    assert "row 2: is not valid JSON" in words
    assert "rows 3, 4: start_time is missing" in words
    assert "3 of 5 rows are invalid, so no row was sent" in words
    assert projects.projects == []


def _all_projects() -> Any:
    from evaltasks.api.projects import ListProjects

    return ListProjects()


async def test_evaluation_columns_of_an_export_are_skipped_with_a_note() -> None:
    async with tools() as it:
        answer = await it.call(SPEC, project="bot", rows=[row(1, **{"eval.tone.label": "kind"})])
    assert any("eval.tone.label" in note for note in answer.notes or [])


async def test_a_similar_project_name_creates_a_new_project_and_the_note_names_the_existing_one() -> None:
    async with tools() as it:
        await it.call(SPEC, project="support-bot", rows=[row(1)])
        answer = await it.call(SPEC, project="suport-bot", rows=[row(1)])
    assert answer.project_was_made
    assert any("'support-bot'" in note for note in answer.notes or [])


async def test_an_id_of_another_resource_does_not_create_a_project() -> None:
    async with tools() as it:
        words = await it.refused(SPEC, project=await it.seed.seed_dataset(), rows=[row(1)])
    assert "is the id of a dataset" in words


async def test_rows_and_file_exclude_each_other_and_one_is_needed() -> None:
    async with tools() as it:
        both = await it.refused(SPEC, project="p", rows=[row(1)], file="x.jsonl")
        none = await it.refused(SPEC, project="p")
    assert "file: excludes rows" in both
    assert "rows and file are both missing" in none


async def test_importing_on_ax_is_refused_and_the_message_names_the_alternative() -> None:
    async with tools(as_ax=True) as it:
        words = await it.refused(SPEC, project="p", rows=[row(1)])
    assert "OpenTelemetry" in words
