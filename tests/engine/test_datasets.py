"""Datasets and examples over REST."""

from __future__ import annotations

import uuid

import pytest

from tests.support.engines import EngineInTest, ManualClock, engine

NOWHERE = "RGF0YXNldDoxOm5vbmU="


async def _create(it: EngineInTest, name: str, examples: list[dict[str, object]] | None = None) -> dict[str, object]:
    body = {"name": name, "space_id": await it.space_id(), "examples": examples or [{"question": "q"}]}
    answer: dict[str, object] = await it.ask("POST", "/v2/datasets", body, status=201)
    return answer


async def test_create_dataset_returns_its_version_and_keeps_the_order_of_examples() -> None:
    async with engine() as it:
        rows = [{"question": f"q{i}", "nested": {"tags": ["a", None, 1.5]}} for i in range(5)]
        made = await _create(it, "golden", rows)
        page = await it.ask("GET", f"/v2/datasets/{made['id']}/examples")
        assert [version["dataset_id"] for version in made["versions"]] == [made["id"]]
        assert [example["question"] for example in page["examples"]] == ["q0", "q1", "q2", "q3", "q4"]
        assert page["examples"][0]["nested"] == {"tags": ["a", None, 1.5]}
        assert uuid.UUID(page["examples"][0]["id"]).version == 4
        assert page["pagination"]["has_more"] is False


async def test_columns_with_names_of_model_fields_are_columns_of_the_user() -> None:
    async with engine() as it:
        row = {"columns": 1, "model_config": {"a": 2}, "self": "s", "": None, "ünïcode \u0000 \n": "✓", "versions": []}
        made = await _create(it, "odd", [row])
        (example,) = (await it.ask("GET", f"/v2/datasets/{made['id']}/examples"))["examples"]
        assert {name: example[name] for name in row} == row
        assert example.keys() - row.keys() == {"id", "created_at", "updated_at"}


async def test_list_datasets_is_newest_first_and_finds_names_in_any_letter_case() -> None:
    async with engine() as it:
        for name in ("Über alles", "plain", "ÜBERMUT"):
            await _create(it, name)
        listed = await it.ask("GET", "/v2/datasets")
        found = await it.ask("GET", "/v2/datasets", name="über")
        assert [one["name"] for one in listed["datasets"]] == ["ÜBERMUT", "plain", "Über alles"]
        assert all(one.get("versions") is None for one in listed["datasets"])
        assert [one["name"] for one in found["datasets"]] == ["ÜBERMUT", "Über alles"]


async def test_list_datasets_of_an_unknown_space_is_a_404() -> None:
    async with engine() as it:
        problem = await it.ask("GET", "/v2/datasets", status=404, space_id="U3BhY2U6MTpub25l")
        assert (problem["status"], problem["title"]) == (404, "Resource not found")


async def test_dataset_names_are_unique_in_a_space_when_created_or_renamed() -> None:
    async with engine() as it:
        first, second = await _create(it, "one"), await _create(it, "two")
        again = await it.ask(
            "POST",
            "/v2/datasets",
            {"name": "one", "space_id": await it.space_id(), "examples": [{"a": 1}]},
            status=409,
        )
        clash = await it.ask("PATCH", f"/v2/datasets/{second['id']}", {"name": "one"}, status=409)
        same = await it.ask("PATCH", f"/v2/datasets/{first['id']}", {"name": "one"}, status=200)
        renamed = await it.ask("PATCH", f"/v2/datasets/{second['id']}", {"name": "a/b %2F ..?"}, status=200)
        assert (again["status"], clash["status"]) == (409, 409)
        assert (same["name"], renamed["name"]) == ("one", "a/b %2F ..?")


@pytest.mark.parametrize(
    ("examples", "status"),
    [([], 400), ([{}], 422), ([{"id": "x"}], 422), ([{"created_at": "x"}], 422), (["text"], 400)],
)
async def test_create_dataset_refuses_examples_that_cannot_be_stored(examples: list[object], status: int) -> None:
    async with engine() as it:
        body = {"name": "d", "space_id": await it.space_id(), "examples": examples}
        reply = await it.http.post("/v2/datasets", json=body)
        assert reply.status_code == status
        assert reply.headers["content-type"].startswith("application/problem+json")
        assert reply.json()["status"] == status
        assert "examples" in reply.json()["detail"]


async def test_create_dataset_refuses_nan_and_infinity_and_names_the_example() -> None:
    async with engine() as it:
        text = '{"name": "d", "space_id": "%s", "examples": [{"a": 1}, {"a": NaN}]}' % await it.space_id()
        reply = await it.http.post("/v2/datasets", content=text)
        assert reply.status_code == 400
        assert "examples[1]" in reply.json()["detail"]
        assert (await it.ask("GET", "/v2/datasets"))["datasets"] == []


async def test_append_examples_changes_the_latest_version_and_updated_at() -> None:
    async with engine(clock=ManualClock()) as it:
        made = await _create(it, "growing", [{"n": 0}])
        path = f"/v2/datasets/{made['id']}/examples"
        first = await it.ask("POST", path, {"examples": [{"n": 1}, {"n": 2}]}, status=201)
        second = await it.ask("POST", path, {"examples": [{"n": 3}]}, status=201, dataset_version_id="")
        page = await it.ask("GET", path)
        assert [example["n"] for example in page["examples"]] == [0, 1, 2, 3]
        assert [example["id"] for example in page["examples"]][1:] == [*first["example_ids"], *second["example_ids"]]
        assert first["dataset_version_id"] == made["versions"][0]["id"]
        times = [answer["updated_at"] for answer in (made, first, second)]
        assert times == ["2026-04-01T12:00:00.000Z", "2026-04-01T12:00:01.000Z", "2026-04-01T12:00:02.000Z"]


async def test_version_of_another_dataset_is_a_404_for_reading_and_appending() -> None:
    async with engine() as it:
        one, two = await _create(it, "one"), await _create(it, "two")
        foreign = two["versions"][0]["id"]
        path = f"/v2/datasets/{one['id']}/examples"
        await it.ask("GET", path, status=404, dataset_version_id=foreign)
        await it.ask("POST", f"{path}/search", {"dataset_version_id": foreign}, status=404)
        await it.ask("POST", path, {"examples": [{"a": 1}]}, status=404, dataset_version_id=foreign)
        own = await it.ask("GET", path, dataset_version_id=one["versions"][0]["id"])
        assert len(own["examples"]) == 1


async def test_search_examples_filters_by_columns_and_refuses_invalid_filters() -> None:
    async with engine() as it:
        made = await _create(it, "searched", [{"topic": topic, "n": n} for n, topic in enumerate("abcab")])
        path = f"/v2/datasets/{made['id']}/examples/search"
        found = await it.ask("POST", path, {"filter": "topic = 'a' AND n > 0"})
        everything = await it.ask("POST", path, {})
        blank = await it.ask("POST", path, {"filter": "  "}, status=400)
        broken = await it.ask("POST", path, {"filter": "topic = = 'a'"}, status=422)
        assert [example["n"] for example in found["examples"]] == [3]
        assert [example["n"] for example in everything["examples"]] == [0, 1, 2, 3, 4]
        assert (blank["status"], broken["status"]) == (400, 422)


async def test_cursor_is_valid_only_for_its_list() -> None:
    async with engine() as it:
        made = await _create(it, "d", [{"n": n} for n in range(3)])
        path = f"/v2/datasets/{made['id']}/examples"
        cursor = (await it.ask("GET", path, limit=1))["pagination"]["next_cursor"]
        await it.ask("GET", path, limit=2, cursor=cursor)
        problem = await it.ask("POST", f"{path}/search", {"filter": "n = 1", "cursor": cursor}, status=400)
        assert "cursor" in problem["detail"]


async def test_delete_dataset_also_deletes_its_experiments() -> None:
    async with engine() as it:
        dataset = await it.seed_dataset()
        experiment = await it.seed_experiment(dataset)
        reply = await it.http.delete(f"/v2/datasets/{dataset}")
        assert (reply.status_code, reply.content) == (204, b"")
        await it.ask("GET", f"/v2/datasets/{dataset}", status=404)
        await it.ask("GET", f"/v2/experiments/{experiment}", status=404)
        await it.ask("DELETE", f"/v2/datasets/{dataset}", status=404)


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/examples", None),
        ("POST", "/examples", {"examples": [{"a": 1}]}),
        ("POST", "/examples/search", {}),
    ],
)
async def test_unknown_dataset_is_a_404_for_every_operation(method: str, suffix: str, body: object) -> None:
    async with engine() as it:
        problem = await it.ask(method, f"/v2/datasets/{NOWHERE}{suffix}", body, status=404)
        assert problem["status"] == 404


async def test_update_examples_changes_columns_and_ignores_unknown_ids() -> None:
    async with engine() as it:
        made = await _create(it, "golden", [{"question": f"q{i}", "answer": "old"} for i in range(3)])
        path = f"/v2/datasets/{made['id']}/examples"
        ids = [example["id"] for example in (await it.ask("GET", path))["examples"]]
        changes = [{"id": ids[2], "answer": "new", "extra": {"n": 1}}, {"id": "unknown", "answer": "x"},
                   {"id": ids[0], "question": None}]  # fmt: skip
        changed = await it.ask("PATCH", path, {"examples": changes}, status=200)
        after = (await it.ask("GET", path))["examples"]
    assert changed["example_ids"] == [ids[2], ids[0]]
    assert (changed["dataset_version_id"], changed["updated_at"] > str(made["updated_at"])) == (
        made["versions"][0]["id"], True,  # type: ignore[index]
    )  # fmt: skip
    assert [(e["id"], e["question"], e["answer"]) for e in after] == [
        (ids[0], None, "old"), (ids[1], "q1", "old"), (ids[2], "q2", "new"),
    ]  # fmt: skip
    assert after[2]["extra"] == {"n": 1}
    assert after[1]["updated_at"] == after[1]["created_at"] < after[2]["updated_at"]


async def test_update_examples_into_a_new_version_keeps_the_old_one() -> None:
    async with engine() as it:
        made = await _create(it, "golden", [{"question": f"q{i}"} for i in range(3)])
        path = f"/v2/datasets/{made['id']}/examples"
        ids = [example["id"] for example in (await it.ask("GET", path))["examples"]]
        body = {"examples": [{"id": ids[1], "question": "changed"}], "new_version": "cleaned"}
        changed = await it.ask("PATCH", f"{path}?dataset_version_id=", body, status=200)
        clash = await it.ask("PATCH", path, body, status=409)
        versions = (await it.ask("GET", f"/v2/datasets/{made['id']}"))["versions"]
        latest = (await it.ask("GET", path))["examples"]
        first = (await it.ask("GET", path, dataset_version_id=versions[1]["id"]))["examples"]
    assert [version["name"] for version in versions] == ["cleaned", "v1"]
    assert changed["dataset_version_id"] == versions[0]["id"]
    assert [(e["id"], e["question"]) for e in latest] == [(ids[0], "q0"), (ids[1], "changed"), (ids[2], "q2")]
    assert [e["question"] for e in first] == ["q0", "q1", "q2"]
    assert "version with this name" in clash["detail"]


async def test_delete_examples_changes_one_version_only() -> None:
    async with engine() as it:
        made = await _create(it, "golden", [{"question": f"q{i}"} for i in range(3)])
        path = f"/v2/datasets/{made['id']}/examples"
        ids = [example["id"] for example in (await it.ask("GET", path))["examples"]]
        changed = await it.ask("PATCH", path, {"examples": [{"id": ids[0], "question": "x"}], "new_version": "second"})
        body = {"dataset_version_id": changed["dataset_version_id"], "example_ids": [ids[1], "unknown"]}
        deleted = await it.ask("DELETE", path, body, status=200)
        again = await it.ask("DELETE", path, body, status=200)
        latest = (await it.ask("GET", path))["examples"]
        first = await it.ask("GET", path, dataset_version_id=made["versions"][0]["id"])  # type: ignore[index]
    assert deleted == {"completed": True, "deleted_example_ids": [ids[1]], "not_deleted_example_ids": ["unknown"]}
    assert again["deleted_example_ids"] == []
    assert ([example["id"] for example in latest], len(first["examples"])) == ([ids[0], ids[2]], 3)


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("PATCH", {"examples": [{"question": "x"}]}, 422),
        ("PATCH", {"examples": [{"id": "x", "created_at": "y"}]}, 422),
        ("PATCH", {"examples": []}, 400),
        ("PATCH", {"examples": [{"id": "x"}], "version": "y"}, 400),
        ("DELETE", {"example_ids": ["x"]}, 400),
        ("DELETE", {"dataset_version_id": "x", "example_ids": ["y"]}, 404),
        ("DELETE", {"dataset_version_id": "x", "example_ids": ["y", "y"]}, 422),
        ("DELETE", {"dataset_version_id": "x", "example_ids": [" "]}, 400),
    ],
)
async def test_change_of_examples_refuses_invalid_bodies(method: str, body: object, status: int) -> None:
    async with engine() as it:
        made = await _create(it, "golden")
        problem = await it.ask(method, f"/v2/datasets/{made['id']}/examples", body, status=status)
    assert problem["status"] == status
