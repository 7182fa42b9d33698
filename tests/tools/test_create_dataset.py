"""create_dataset: all rows become examples, or none."""

from __future__ import annotations

import json
from pathlib import Path

from evaltasks.api.datasets import ListDatasets
from evaltasks.tools.create_dataset import SPEC
from tests.support.authoring import tools


async def test_rows_become_examples_and_their_ids_are_returned_in_order() -> None:
    async with tools() as it:
        answer = await it.call(SPEC, name="faq", rows=[{"question": "a"}, {"question": "b", "expected": "c"}])
        examples = [one async for one in it.client.datasets.all_examples(answer.dataset_id)]
    assert [one.columns for one in examples] == [{"question": "a"}, {"question": "b", "expected": "c"}]
    assert answer.first_example_ids == [one.id for one in examples]
    assert (answer.num_examples, answer.columns) == (2, ["question", "expected"])


async def test_a_long_file_is_stored_completely(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(2100)))
    async with tools(tmp_path) as it:
        answer = await it.call(SPEC, name="long", file="rows.jsonl")
        examples = [one.columns["n"] async for one in it.client.datasets.all_examples(answer.dataset_id)]
    assert examples == list(range(2100))
    assert [(done, total) for done, total, _ in it.progress] == [(1000, 2100), (2000, 2100), (2100, 2100)]


async def test_bad_rows_are_listed_and_nothing_is_created() -> None:
    rows = [{"q": 1}, {}, {"id": "x"}, {"id": "y"}, {"q": float("nan")}]
    async with tools() as it:
        words = await it.refused(SPEC, name="faq", rows=rows)
        datasets = await it.client.datasets.list(ListDatasets())
    for part in ("row 2: is empty", "rows 3, 4: has id", "row 5: has a value", "4 of 5 rows are invalid"):
        assert part in words
    assert datasets.datasets == []


async def test_a_dataset_name_in_use_is_a_conflict() -> None:
    async with tools() as it:
        await it.call(SPEC, name="faq", rows=[{"q": 1}])
        words = await it.refused(SPEC, name="faq", rows=[{"q": 1}])
    assert "already" in words


async def test_json_text_and_a_single_row_are_accepted_with_a_note() -> None:
    async with tools() as it:
        answer = await it.call(SPEC, name="faq", rows='{"question": "a"}')
    assert answer.num_examples == 1
    assert len(answer.notes or []) == 2


async def test_a_call_takes_1000_rows_and_refuses_more() -> None:
    async with tools() as it:
        answer = await it.call(SPEC, name="most", rows=[{"n": n} for n in range(1000)])
        words = await it.refused(SPEC, name="more", rows=[{"n": n} for n in range(1001)])
    assert answer.num_examples == 1000
    assert "rows: has more than 1000 rows; pass a file" in words


async def test_problems_list_five_rows_each_and_the_number_of_the_others() -> None:
    async with tools() as it:
        five = await it.refused(SPEC, name="d", rows=[{}] * 5)
        seven = await it.refused(SPEC, name="d", rows=[{}] * 7)
    assert "rows 1, 2, 3, 4, 5: is empty" in five
    assert "rows 1, 2, 3, 4, 5 and 2 more: is empty" in seven


async def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n\n")
    async with tools(tmp_path) as it:
        assert "file: has no rows; pass at least one" in await it.refused(SPEC, name="d", file="rows.jsonl")


async def test_ten_kinds_of_problem_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    async with tools(tmp_path) as it:
        words = {}
        for kinds in (10, 12):
            # Each line is broken at another column.
            (tmp_path / "rows.jsonl").write_text("".join('{"a"' + " " * number + "x\n" for number in range(kinds)))
            words[kinds] = await it.refused(SPEC, name="d", file="rows.jsonl")
    assert "not listed" not in words[10]
    assert "row 10: is not valid JSON" in words[10]
    assert "12 of 12 rows are invalid, so no row was sent; 2 further kinds of problem are not listed" in words[12]
    assert "row 11:" not in words[12]
