"""Annotation configs and annotations over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.engines import EngineInTest, ManualClock, engine

# A day after the seeded spans, so that they are in every default window.
SOON = datetime(2026, 3, 2, tzinfo=UTC)
NOWHERE = "QW5ub3RhdGlvbkNvbmZpZzoxOm5vbmU="


async def _config(it: EngineInTest, name: str = "tone", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "space_id": await it.space_id(), "annotation_config_type": "FREEFORM", **fields}
    made: dict[str, Any] = await it.ask("POST", "/v2/annotation-configs", body, status=201)
    return made


def _records(ids: list[str], **value: Any) -> list[dict[str, Any]]:
    return [{"record_id": id_, "values": [{"name": "tone", **value}]} for id_ in ids]


async def _spans(it: EngineInTest, project: str, **body: Any) -> dict[str, dict[str, Any]]:
    found = await it.ask("POST", "/v2/spans", {"project_id": project, **body})
    return {span["context"]["span_id"]: span for span in found["spans"]}


async def test_create_annotation_config_returns_only_the_fields_of_its_type() -> None:
    async with engine() as it:
        categorical = await _config(
            it, "tone", annotation_config_type="categorical", values=[{"label": "good", "score": 1}, {"label": "bad"}]
        )
        continuous = await _config(
            it, "length", annotation_config_type="CONTINUOUS", minimum_score=0, maximum_score=1.5,
            optimization_direction="maximize",
        )  # fmt: skip
        freeform = await _config(it, "note")
        listed = await it.ask("GET", "/v2/annotation-configs", name="TON")
        read = await it.ask("GET", f"/v2/annotation-configs/{continuous['id']}")
    common = {"id", "name", "space_id", "created_at", "type"}
    assert (categorical["type"], continuous["type"], freeform["type"]) == ("CATEGORICAL", "CONTINUOUS", "FREEFORM")
    assert categorical.keys() == common | {"values", "optimization_direction"}
    assert continuous.keys() == common | {"minimum_score", "maximum_score", "optimization_direction"}
    assert freeform.keys() == common
    assert categorical["values"] == [{"label": "good", "score": 1.0}, {"label": "bad", "score": None}]
    assert (categorical["optimization_direction"], continuous["optimization_direction"]) == ("NONE", "MAXIMIZE")
    assert [config["name"] for config in listed["annotation_configs"]] == ["tone"]
    assert read == continuous


async def test_annotation_config_is_updated_but_not_its_type_and_deleted() -> None:
    async with engine() as it:
        made = await _config(it, "length", annotation_config_type="CONTINUOUS", minimum_score=0, maximum_score=1)
        await _config(it, "taken")
        path = f"/v2/annotation-configs/{made['id']}"
        changed = await it.ask("PATCH", path, {"annotation_config_type": "CONTINUOUS", "maximum_score": 5}, status=200)
        for body, status in (
            ({"maximum_score": 5}, 400),
            ({"annotation_config_type": "CONTINUOUS"}, 400),
            ({"annotation_config_type": "FREEFORM", "name": "x"}, 422),
            ({"annotation_config_type": "CONTINUOUS", "minimum_score": 9}, 422),
            ({"annotation_config_type": "CONTINUOUS", "values": [{"label": "a"}]}, 422),
            ({"annotation_config_type": "CONTINUOUS", "name": "taken"}, 409),
            ({"annotation_config_type": "CONTINUOUS", "space_id": "x"}, 400),
        ):
            assert (await it.ask("PATCH", path, body, status=status))["status"] == status, body
        await it.ask("DELETE", path, status=204)
        for method, body in (
            ("GET", None),
            ("DELETE", None),
            ("PATCH", {"annotation_config_type": "FREEFORM", "name": "x"}),
        ):
            await it.ask(method, path, body, status=404)
    assert (changed["minimum_score"], changed["maximum_score"], changed["name"]) == (0, 5, "length")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"annotation_config_type": "CATEGORICAL"}, 422),
        ({"annotation_config_type": "CATEGORICAL", "values": []}, 400),
        ({"annotation_config_type": "CATEGORICAL", "values": [{"label": "a"}, {"label": "a"}]}, 422),
        ({"annotation_config_type": "CONTINUOUS", "minimum_score": 2, "maximum_score": 1}, 422),
        ({"annotation_config_type": "CONTINUOUS", "minimum_score": 2}, 422),
        ({"annotation_config_type": "FREEFORM", "values": [{"label": "a"}]}, 422),
        ({"annotation_config_type": "STARS"}, 400),
        ({"type": "FREEFORM"}, 400),
        ({"space_id": NOWHERE, "annotation_config_type": "FREEFORM"}, 404),
    ],
)
async def test_create_annotation_config_refuses_invalid_fields(fields: dict[str, Any], status: int) -> None:
    async with engine() as it:
        body = {"name": "tone", "space_id": await it.space_id(), **fields}
        problem = await it.ask("POST", "/v2/annotation-configs", body, status=status)
    assert problem["status"] == status


async def test_annotate_spans_stores_each_field_and_filters_find_it() -> None:
    async with engine(clock=ManualClock(SOON)) as it:
        project = await it.seed_project()
        ids = await it.seed_spans(project, 3)
        await _config(it)
        body = {"project_id": project, "annotations": _records(ids[:2], label="good", score=1)}
        reply = await it.http.post("/v2/spans/annotate", json=body)
        await it.ask(
            "POST", "/v2/spans/annotate", {"project_id": project, "annotations": _records(ids[:1], text="why not")}
        )
        spans = await _spans(it, project)
        found = await _spans(it, project, filter="annotation.tone.label = 'good' AND annotation.tone.text IS NULL")
        hidden = await _spans(it, project, included_columns=["attributes.input.value"])
        shown = await _spans(it, project, included_columns=["annotations"])
    assert (reply.status_code, reply.content, reply.headers["content-length"]) == (202, b"", "0")
    (annotation,) = spans[ids[0]]["annotations"]
    assert annotation == {
        "name": "tone", "label": "good", "score": 1.0, "text": "why not",
        "updated_at": "2026-03-02T00:00:00.000Z", "annotator": None,
    }  # fmt: skip
    assert (spans[ids[2]]["annotations"], list(found)) == ([], [ids[1]])
    assert hidden[ids[0]]["annotations"] == []
    assert (shown[ids[0]]["annotations"], shown[ids[0]]["attributes"]) == ([annotation], {})


async def test_annotate_spans_stores_all_records_or_none() -> None:
    async with engine(clock=ManualClock(SOON)) as it:
        project = await it.seed_project()
        ids = await it.seed_spans(project, 2)
        await _config(it)

        async def refused(status: int, records: list[dict[str, Any]], **fields: Any) -> str:
            body = {"project_id": project, "annotations": records, **fields}
            return str((await it.ask("POST", "/v2/spans/annotate", body, status=status))["detail"])

        assert "'gone'" in await refused(404, _records([*ids, "gone"], label="x"))
        assert "annotation config" in await refused(422, [{"record_id": ids[0], "values": [{"name": "other"}]}])
        assert "Duplicate record_id" in await refused(400, _records([ids[0], ids[0]]))
        assert "two values" in await refused(400, [{"record_id": ids[0], "values": [{"name": "tone"}] * 2}])
        assert "future" in await refused(422, _records(ids), end_time="2026-03-03T00:00:00Z")
        assert "31 days" in await refused(422, _records(ids), start_time="2026-01-01T00:00:00Z")
        assert "window" in await refused(404, _records(ids), end_time="2026-02-27T00:00:00Z")
        assert "at most 100" in await refused(422, _records([str(i) for i in range(101)]), granularity="session")
        assert await refused(404, _records(ids), project_id=NOWHERE)
        spans = await _spans(it, project)
    assert all(span["annotations"] == [] for span in spans.values())


async def test_annotate_traces_and_sessions_on_their_root_span() -> None:
    def span(id_: str, second: int, **fields: Any) -> dict[str, Any]:
        return {"span_id": id_, "trace_id": "t", "start_time": f"2026-03-01T00:00:{second:02}Z", **fields}

    async with engine(clock=ManualClock(SOON)) as it:
        project = await it.seed_project()
        await _config(it)
        session = {"session.id": "talk"}
        spans = [span("child", 0, parent_id="root", attributes=session), span("root", 1, attributes=session)]
        await it.ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": spans})
        body = {"project_id": project, "granularity": "trace", "annotations": _records(["root"], label="long")}
        await it.ask("POST", "/v2/spans/annotate", body, status=202)
        inner = await it.ask("POST", "/v2/spans/annotate", {**body, "annotations": _records(["child"])}, status=422)
        body = {"project_id": project, "granularity": "SESSION", "annotations": _records(["talk"], label="kind")}
        await it.ask("POST", "/v2/spans/annotate", body, status=202)
        await it.ask("POST", "/v2/spans/annotate", {**body, "annotations": _records(["silence"])}, status=404)
        shown = await _spans(it, project)
    assert [(each["name"], each["label"]) for each in shown["root"]["trace_annotations"]] == [("tone", "long")]
    assert (shown["root"]["annotations"], shown["child"]["trace_annotations"]) == ([], [])
    assert "'child'" in inner["detail"]


async def test_annotate_examples_in_every_version_and_copies_to_new_ones() -> None:
    async with engine() as it:
        dataset = await it.seed_dataset()
        ids = await it.example_ids(dataset)
        await _config(it)
        path = f"/v2/datasets/{dataset}/examples"
        await it.ask("PATCH", path, {"examples": [{"id": ids[0], "question": "new"}], "new_version": "second"})
        records = _records([ids[0], "unknown"], label="good", score=0.5)
        await it.ask("POST", f"{path}/annotate", {"annotations": records}, status=202)
        await it.ask("PATCH", path, {"examples": [{"id": ids[1], "question": "newer"}], "new_version": "third"})
        versions = (await it.ask("GET", f"/v2/datasets/{dataset}"))["versions"]
        pages = [await it.ask("GET", path, dataset_version_id=version["id"]) for version in versions]
        found = await it.ask("POST", f"{path}/search", {"filter": "annotation.tone.score > 0.1"})
        problem = await it.ask(
            "POST", f"{path}/annotate", {"annotations": [{"record_id": "x", "values": [{"name": "other"}]}]}, status=422
        )
    assert [version["name"] for version in versions] == ["third", "second", "v1"]
    assert [page["examples"][0]["annotations"][0]["label"] for page in pages] == ["good"] * 3
    assert all("annotations" not in page["examples"][1] for page in pages)
    assert [example["id"] for example in found["examples"]] == [ids[0]]
    assert "'other'" in problem["detail"]


async def test_annotate_experiment_runs_and_filters_find_it() -> None:
    async with engine() as it:
        experiment = await it.seed_experiment(await it.seed_dataset())
        path = f"/v2/experiments/{experiment}/runs"
        ids = [run["id"] for run in (await it.ask("GET", path))["experiment_runs"]]
        await _config(it)
        await it.ask(
            "POST", f"{path}/annotate", {"annotations": _records([ids[1], "unknown"], text="so so")}, status=202
        )
        listed = (await it.ask("GET", path))["experiment_runs"]
        found = (await it.ask("POST", f"{path}/search", {"filter": "annotation.tone.text LIKE 'so%'"}))[
            "experiment_runs"
        ]
        await it.ask("POST", "/v2/experiments/RXhwOjE6eA==/runs/annotate", {"annotations": _records(ids)}, status=404)
    assert [run.get("annotations", [{}])[0].get("text") for run in listed] == [None, "so so", None]
    assert [run["id"] for run in found] == [ids[1]]
    assert found[0]["annotations"][0]["name"] == "tone"


async def test_annotations_are_deleted_with_their_rows_but_not_with_their_config() -> None:
    async with engine(clock=ManualClock(SOON)) as it:
        project = await it.seed_project()
        ids = await it.seed_spans(project, 2)
        config = await _config(it)
        await it.ask("POST", "/v2/spans/annotate", {"project_id": project, "annotations": _records(ids, label="x")})
        await it.ask("DELETE", f"/v2/annotation-configs/{config['id']}", status=204)
        await it.ask("DELETE", "/v2/spans", {"project_id": project, "span_ids": [ids[0]]}, status=200)
        await it.seed_spans(project, 1)
        spans = await _spans(it, project)
    assert [len(spans[id_]["annotations"]) for id_ in ids] == [0, 1]


@pytest.mark.parametrize(("granularity", "days"), [("span", 31), ("trace", 31), ("session", 7)])
async def test_annotate_window_may_be_as_long_as_its_granularity_allows(granularity: str, days: int) -> None:
    async with engine(clock=ManualClock(SOON)) as it:
        body: dict[str, Any] = {"project_id": await it.seed_project(), "annotations": _records(["gone"], label="x")}
        await _config(it)

        async def refused(status: int, start: timedelta) -> str:
            window = {"start_time": (SOON - start).isoformat(), "granularity": granularity}
            return str((await it.ask("POST", "/v2/spans/annotate", {**body, **window}, status=status))["detail"])

        longest = timedelta(days=days)
        too_long = f"The window must not be longer than {days} days; change start_time or end_time."
        assert await refused(422, longest + timedelta(milliseconds=1)) == too_long
        assert f"the window is the last {days} days" in await refused(404, longest)


@pytest.mark.parametrize(("num_names", "rest"), [(5, "'t4'."), (6, "'t4' and 1 more.")])
async def test_annotate_names_up_to_five_unknown_configs(num_names: int, rest: str) -> None:
    async with engine(clock=ManualClock(SOON)) as it:
        values = [{"name": f"t{n}", "label": "x"} for n in range(num_names)]
        body = {"project_id": await it.seed_project(), "annotations": [{"record_id": "s", "values": values}]}
        problem = await it.ask("POST", "/v2/spans/annotate", body, status=422)
    names = f"'t0', 't1', 't2', 't3', {rest}"
    assert problem["detail"] == f"The space has no annotation config with these names: {names} Create one first."
