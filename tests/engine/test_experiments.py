"""Experiments and experiment runs over REST."""

from __future__ import annotations

import pytest

from tests.support.engines import EngineInTest, ManualClock, engine

NOWHERE = "RXhwZXJpbWVudDoxOm5vbmU="


async def _rows(it: EngineInTest, experiment_id: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await it.ask("GET", f"/v2/experiments/{experiment_id}/runs"))["experiment_runs"]
    return rows


async def test_create_experiment_uses_the_latest_version_and_keeps_all_columns() -> None:
    async with engine() as it:
        dataset_id = await it.seed_dataset()
        row = {
            "example_id": "never checked",
            "output": "Paris",
            "latency": 1.5,
            "nested": {"a": [1]},
            "eval.tone.label": "kind",
            "eval.tone.score": 1,
        }
        body = {"name": "first", "dataset_id": dataset_id, "experiment_runs": [row, {**row, "error": "too late"}]}
        made = await it.ask("POST", "/v2/experiments", body, status=201)
        rows = await _rows(it, made["id"])
        dataset = await it.ask("GET", f"/v2/datasets/{dataset_id}")
        assert made["dataset_id"] == dataset_id
        assert made["dataset_version_id"] == dataset["versions"][0]["id"]
        assert made["space_id"] == dataset["space_id"]
        assert [{**one, "id": ""} for one in rows] == [
            {**row, "id": "", "error": None},
            {**row, "id": "", "error": "too late"},
        ]


async def test_stand_alone_experiment_needs_no_example_ids() -> None:
    async with engine() as it:
        body = {"name": "alone", "space_id": await it.space_id(), "experiment_runs": [{"output": ""}]}
        made = await it.ask("POST", "/v2/experiments", body, status=201)
        (row,) = await _rows(it, made["id"])
        assert (made["dataset_id"], made["dataset_version_id"]) == (None, None)
        assert (row["output"], row["example_id"]) == ("", None)


async def test_experiment_names_are_unique_in_a_dataset_and_among_stand_alone_ones() -> None:
    async with engine() as it:
        space_id = await it.space_id()
        one, two = await it.seed_dataset(), await it.seed_dataset()
        homes = [{"dataset_id": one}, {"dataset_id": two}, {"space_id": space_id}]
        rows = [{"example_id": "e", "output": "o"}]
        for home in homes:
            await it.ask("POST", "/v2/experiments", {"name": "same", "experiment_runs": rows, **home}, status=201)
        for home in homes:
            body = {"name": "same", "experiment_runs": rows, **home}
            problem = await it.ask("POST", "/v2/experiments", body, status=409)
            assert problem["status"] == 409


@pytest.mark.parametrize(
    ("row", "status", "names"),
    [
        ({"example_id": "e"}, 422, "output"),
        ({"example_id": "e", "output": {"a": 1}}, 422, "output"),
        ({"output": "o"}, 422, "example_id"),
        ({"example_id": "e", "output": "o", "id": "x"}, 422, "id"),
        ({"example_id": "e", "output": "o", "error": 5}, 422, "error"),
    ],
)
async def test_create_experiment_refuses_invalid_rows_by_index_and_field(
    row: dict[str, object], status: int, names: str
) -> None:
    async with engine() as it:
        good = {"example_id": "e", "output": "o"}
        body = {"name": "bad", "dataset_id": await it.seed_dataset(), "experiment_runs": [good, row]}
        problem = await it.ask("POST", "/v2/experiments", body, status=status)
        assert "experiment_runs[1]" in problem["detail"]
        assert names in problem["detail"]
        assert (await it.ask("GET", "/v2/experiments"))["experiments"] == []


async def test_list_experiments_filters_and_an_unknown_dataset_or_space_is_a_404() -> None:
    async with engine() as it:
        dataset_id = await it.seed_dataset()
        first, second = await it.seed_experiment(dataset_id), await it.seed_experiment(dataset_id)
        other = await it.seed_experiment(await it.seed_dataset())
        of_dataset = await it.ask("GET", "/v2/experiments", dataset_id=dataset_id)
        of_space = await it.ask("GET", "/v2/experiments", space_id=await it.space_id())
        assert [one["id"] for one in of_dataset["experiments"]] == [second, first]
        assert [one["id"] for one in of_space["experiments"]] == [other, second, first]
        await it.ask("GET", "/v2/experiments", status=404, dataset_id=NOWHERE)
        await it.ask("GET", "/v2/experiments", status=404, space_id=NOWHERE)
        both = await it.ask("GET", "/v2/experiments", status=422, space_id=NOWHERE, dataset_id=dataset_id)
        assert both["status"] == 422


async def test_experiment_runs_are_listed_in_insertion_order_and_searched_by_id() -> None:
    async with engine() as it:
        dataset_id = await it.seed_dataset()
        experiment_id = await it.seed_experiment(dataset_id, ["c", "a", "b"])
        path = f"/v2/experiments/{experiment_id}/runs"
        listed = await it.ask("GET", path)
        searched = await it.ask("POST", f"{path}/search", {})
        found = await it.ask("POST", f"{path}/search", {"filter": "output IN ('a', 'c')"})
        assert [row["output"] for row in listed["experiment_runs"]] == ["c", "a", "b"]
        ids = [row["id"] for row in searched["experiment_runs"]]
        assert ids == sorted(row["id"] for row in listed["experiment_runs"])
        assert sorted(row["output"] for row in found["experiment_runs"]) == ["a", "c"]
        await it.ask("POST", f"{path}/search", {"filter": " "}, status=400)
        await it.ask("POST", f"{path}/search", {"filter": "output ="}, status=422)
        await it.ask("POST", f"{path}/search", {"where": "x"}, status=400)


async def test_search_experiment_runs_in_pages_of_one_is_complete() -> None:
    async with engine() as it:
        experiment_id = await it.seed_experiment(await it.seed_dataset([{"n": n} for n in range(7)]))
        path = f"/v2/experiments/{experiment_id}/runs"
        ids, cursor = [], None
        for _ in range(7):
            body = {"filter": "output LIKE 'out%'", "limit": 1, "cursor": cursor}
            page = await it.ask("POST", f"{path}/search", body)
            ids += [row["id"] for row in page["experiment_runs"]]
            cursor = page["pagination"].get("next_cursor")
        assert cursor is None
        assert ids == sorted(row["id"] for row in await _rows(it, experiment_id))


async def test_append_experiment_runs_returns_new_ids_and_changes_updated_at() -> None:
    async with engine(clock=ManualClock()) as it:
        experiment_id = await it.seed_experiment(await it.seed_dataset([{"n": 1}]))
        path = f"/v2/experiments/{experiment_id}"
        before = await it.ask("GET", path)
        rows = [{"example_id": "e1", "output": "one"}, {"example_id": "e2", "output": "two"}]
        answer = await it.ask("POST", f"{path}/runs", {"experiment_runs": rows}, status=201)
        assert answer["run_ids"] == [row["id"] for row in await _rows(it, experiment_id)][1:]
        assert (before["updated_at"][-7:], answer["updated_at"][-7:]) == ("00.000Z", "01.000Z")
        refused = await it.ask("POST", f"{path}/runs", {"experiment_runs": [{"output": "o"}]}, status=422)
        assert "example_id" in refused["detail"]


async def test_evaluations_in_uploaded_rows_can_be_filtered_by_their_shown_names() -> None:
    async with engine() as it:
        rows = [
            {"output": "a", "eval.tone.label": "kind", "eval.tone.score": 1, "eval.tone.metadata.model": "m"},
            {"output": "b", "eval.tone.label": "rude", "eval.tone.score": "high"},
            {"output": "c", "eval.tone.label": 7, "eval.tone.score": 0.5},
            {"output": "d"},
        ]
        body = {"name": "uploaded", "space_id": await it.space_id(), "experiment_runs": rows}
        experiment_id = (await it.ask("POST", "/v2/experiments", body))["id"]
        expected = {
            "eval.tone.label = 'kind'": ["a"],
            "eval.tone.label IS NULL": ["c", "d"],
            "eval.tone.score > 0.6": ["a"],
            "eval.tone.score <= 0.5": ["c"],
            "eval.tone.score IS NULL": ["b", "d"],
            "eval.tone.metadata.model = 'm'": ["a"],
        }
        for text, outputs in expected.items():
            body = {"filter": text}
            page = await it.ask("POST", f"/v2/experiments/{experiment_id}/runs/search", body)
            assert sorted(row["output"] for row in page["experiment_runs"]) == outputs, text


@pytest.mark.promise("record.experiment_runs")
async def test_recorded_evaluations_replace_uploaded_columns_of_the_same_name() -> None:
    async with engine() as it:
        dataset_id = await it.seed_dataset([{"n": 0}, {"n": 1}])
        ids = await it.example_ids(dataset_id)
        rows = [
            {
                "example_id": id_,
                "output": f"answer {i}",
                "eval.is_answer.label": "old",
                "eval.is_answer.by_hand": "kept",
            }
            for i, id_ in enumerate(ids)
        ]
        body = {"name": "judged", "dataset_id": dataset_id, "experiment_runs": rows}
        experiment_id = (await it.ask("POST", "/v2/experiments", body, status=201))["id"]
        evaluator_id = await it.seed_code_evaluator(
            static_params=[{"name": "pattern", "type": "REGEX", "default_value": "answer 1"}]
        )
        task_id = await it.seed_task([evaluator_id], dataset_id=dataset_id, experiment_ids=[experiment_id])
        task_run = await it.finish(task_id)
        judged = await _rows(it, experiment_id)
        assert (task_run["status"], task_run["num_successes"]) == ("COMPLETED", 2)
        assert [(row["eval.is_answer.label"], row["eval.is_answer.score"]) for row in judged] == [
            ("false", 0.0),
            ("true", 1.0),
        ]
        assert all(row["eval.is_answer.explanation"] for row in judged)
        assert {row["eval.is_answer.by_hand"] for row in judged} == {"kept"}
        found = await it.ask(
            "POST", f"/v2/experiments/{experiment_id}/runs/search", {"filter": "eval.is_answer.score = 1"}
        )
        assert [row["output"] for row in found["experiment_runs"]] == ["answer 1"]


async def test_delete_experiment_also_deletes_its_rows() -> None:
    async with engine() as it:
        experiment_id = await it.seed_experiment(await it.seed_dataset())
        await it.ask("DELETE", f"/v2/experiments/{experiment_id}", status=204)
        for method, suffix, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("GET", "/runs", None),
            ("POST", "/runs/search", {}),
            ("POST", "/runs", {"experiment_runs": [{"output": "o"}]}),
        ):
            problem = await it.ask(method, f"/v2/experiments/{experiment_id}{suffix}", body, status=404)
            assert problem["status"] == 404
