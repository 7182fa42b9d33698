"""create_experiment: outputs are stored for examples; a row without an example is an error."""

from __future__ import annotations

import json
from pathlib import Path

from evaltasks.tools.create_dataset import SPEC as CREATE_DATASET
from evaltasks.tools.create_experiment import SPEC
from tests.support.authoring import AuthoringTools, tools


async def dataset(it: AuthoringTools, count: int = 3) -> list[str]:
    rows = [{"question": f"q{n}"} for n in range(count)]
    answer = await it.call(CREATE_DATASET, name="faq", rows=rows)
    return answer.first_example_ids


async def outputs(it: AuthoringTools, experiment_id: str) -> list[tuple[str | None, str | None]]:
    return [(run.example_id, run.output) async for run in it.client.experiments.all_experiment_runs(experiment_id)]


async def test_outputs_are_stored_with_their_examples() -> None:
    async with tools() as it:
        ids = await dataset(it)
        rows = [{"example_id": ids[1], "output": "b"}, {"example_id": ids[0], "output": {"answer": 1}}]
        answer = await it.call(SPEC, name="v1", dataset="faq", rows=rows)
        stored = await outputs(it, answer.experiment_id)
    assert stored == [(ids[1], "b"), (ids[0], '{"answer": 1}')]
    assert answer.examples_covered == "2 of 3"
    assert any("JSON text" in note for note in answer.notes or [])


async def test_a_match_column_replaces_the_example_id(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"q{n}", "output": f"out {n}"}) for n in (2, 0)]
    (tmp_path / "out.jsonl").write_text("\n".join(lines))
    async with tools(tmp_path) as it:
        ids = await dataset(it)
        answer = await it.call(SPEC, name="v1", dataset="faq", file="out.jsonl", match_column="question")
        stored = await outputs(it, answer.experiment_id)
    assert stored == [(ids[2], "out 2"), (ids[0], "out 0")]


async def test_every_row_without_a_matching_example_is_listed() -> None:
    async with tools() as it:
        ids = await dataset(it)
        rows = [
            {"example_id": ids[0], "output": "fine"},
            {"example_id": "of another dataset", "output": "x"},
            {"output": "x"},
            {"example_id": ids[0]},
            {"example_id": ids[0], "output": "x", "eval.tone.label": "kind"},
            {"example_id": ids[0], "output": "x", "evaluations": []},
        ]
        words = await it.refused(SPEC, name="v1", dataset="faq", rows=rows)
        wrong_column = await it.refused(
            SPEC, name="v1", dataset="faq", rows=[{"output": "x", "q": 1}], match_column="q"
        )
    for part in (
        "row 2: has an example_id that is not", "row 3: has no example_id", "row 4: has no output",
        "row 5: has evaluations", "row 6: has evaluations", "5 of 6 rows are invalid",
    ):  # fmt: skip
        assert part in words
    assert "of another dataset" not in words
    assert "The columns are: question" in wrong_column


async def test_a_wrong_match_column_is_refused_with_20_columns_of_the_first_100_examples() -> None:
    names = [f"column-{number:02}" for number in range(21)]
    async with tools() as it:
        few = [{"q": n} for n in range(99)] + [{"last": 1}, {"later": 1}]
        await it.call(CREATE_DATASET, name="few", rows=few)
        await it.call(CREATE_DATASET, name="many", rows=[dict.fromkeys(names, 1)])
        rows = [{"output": "x", "wrong": 1}]
        of_few = await it.refused(SPEC, name="v", dataset="few", rows=rows, match_column="wrong")
        of_many = await it.refused(SPEC, name="v", dataset="many", rows=rows, match_column="wrong")
    assert "The columns are: last, q." in of_few
    assert f"The columns are: {', '.join(names[:20])}." in of_many


async def test_a_match_column_with_repeated_values_is_refused() -> None:
    async with tools() as it:
        await it.call(CREATE_DATASET, name="twins", rows=[{"q": "same"}, {"q": "same"}])
        words = await it.refused(SPEC, name="v", dataset="twins", rows=[{"q": "same", "output": "x"}], match_column="q")
    assert "does not identify the examples" in words


async def test_an_unknown_dataset_is_reported_with_the_nearest_names() -> None:
    async with tools() as it:
        await dataset(it)
        words = await it.refused(SPEC, name="v1", dataset="faqs", rows=[{"example_id": "x", "output": "y"}])
    assert "'faqs'" in words


async def test_examples_with_several_outputs_are_counted_once_and_noted() -> None:
    async with tools() as it:
        ids = await dataset(it)
        rows = [{"example_id": id_, "output": "x"} for id_ in (ids[0], ids[0], ids[1], ids[1], ids[2])]
        answer = await it.call(SPEC, name="v1", dataset="faq", rows=rows)
        once = await it.call(SPEC, name="v2", dataset="faq", rows=rows[3:])
    assert (answer.examples_covered, answer.num_experiment_runs) == ("3 of 3", 5)
    assert answer.notes == ["2 examples have more than one output; each is evaluated."]
    assert (once.examples_covered, once.notes) == ("2 of 3", None)
