"""Invalid requests get problems that say what is wrong, and never cause an internal error."""

from __future__ import annotations

import logging
import os
import random

import pytest

from evaltasks.api.operations import OPERATIONS
from evaltasks.engine.app import BODY_BYTES_MAX
from tests.support.documented import contract_violation
from tests.support.engines import WINDOW, engine
from tests.support.hostile import spoilt_requests
from tests.support.requests import address, one_request_each

ROWS = {row.name: row for row in OPERATIONS}
JSON = {"content-type": "application/json"}
# Of some hundreds for each operation; `tests/fuzz/check.sh` sends more.
SAMPLE = int(os.environ.get("FUZZ_SPOILT", "24"))


@pytest.mark.timeout(600)
async def test_every_operation_rejects_invalid_requests_as_documented(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A sample of them; which one is the same every time."""
    choice = random.Random(25)
    async with engine() as it:
        requests = await one_request_each(it)
        for name in sorted(requests, key=lambda name: name.startswith("delete")):
            row = ROWS[name.partition(",")[0]]
            spoilt = list(spoilt_requests(requests[name]))
            for what, sent, body in choice.sample(spoilt, min(SAMPLE, len(spoilt))):
                url = address(row.path, sent.path, sent.query)
                reply = await it.http.request(row.method, url, content=body, headers=JSON)
                assert contract_violation(row.name, reply) is None, f"{name}, {what}: {reply.text[:500]}"
        await it.idle()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"name": "a", "space_id": "x", "name": "b"}', "field name occurs twice in one object"),
        (b'{"name": "a", "space_id": "x", "examples": [{"n": {"a": 1, "a": 2}}]}', "field a occurs twice"),
        (
            b'{"name": "a", "space_id": "x", "examples": [{"n": NaN}]}',
            "field examples[0].n: JSON does not allow",
        ),
        (
            b'{"name": "a", "space_id": "x", "examples": [{"n": -Infinity}]}',
            "field examples[0].n: JSON does not allow",
        ),
        (
            b'{"name": "a", "space_id": "x", "examples": [{"n": 1e999}]}',
            "field examples[0].n: JSON does not allow",
        ),
        (b'{"name": "a", "space_id": "x", "examples": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"name": "a', "Invalid JSON"),
    ],
)
async def test_body_with_ambiguous_json_is_rejected(body: bytes, detail: str) -> None:
    async with engine() as it:
        reply = await it.http.post("/v2/datasets", content=body, headers=JSON)
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
    assert detail in reply.json()["detail"]


async def test_body_with_another_content_type_is_rejected_unless_it_is_empty() -> None:
    async with engine() as it:
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=await it.seed_project())
        form = {"content-type": "application/x-www-form-urlencoded"}
        refused = await it.http.post("/v2/projects", content=b"name=x", headers=form)
        empty = await it.http.patch(f"/v2/tasks/{task}", headers=form)
        charset = await it.http.post(
            "/v2/spaces", content=b'{"name": "x"}', headers={"content-type": "Application/JSON; charset=utf-8"}
        )
    assert (refused.status_code, refused.json()["title"]) == (415, "Unsupported Media Type")
    assert "application/json" in refused.json()["detail"]
    assert (empty.status_code, "No fields to update" in empty.json()["detail"]) == (400, True)
    assert charset.status_code == 201


async def test_repeated_query_parameter_is_rejected() -> None:
    async with engine() as it:
        reply = await it.http.get("/v2/tasks?limit=1&name=a&limit=2")
    assert reply.status_code == 400
    assert "limit" in reply.json()["detail"]


async def test_body_over_the_limit_is_a_413() -> None:
    async with engine() as it:
        reply = await it.http.post("/v2/projects", content=b" " * (BODY_BYTES_MAX + 1), headers=JSON)
    assert (reply.status_code, reply.json()["title"]) == (413, "Content Too Large")


async def test_empty_id_in_a_path_is_not_redirected_to_the_list() -> None:
    async with engine() as it:
        reply = await it.http.get("/v2/tasks/")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_time_outside_the_years_of_utc_is_rejected(moment: str) -> None:
    async with engine() as it:
        problem = await it.ask("POST", "/v2/spans", {"project_id": "x", "start_time": moment}, status=422)
    assert "start_time: in UTC this time is outside the years 1 to 9999" in problem["detail"]


async def test_name_with_a_null_character_is_rejected() -> None:
    async with engine() as it:
        problem = await it.ask("POST", "/v2/spaces", {"name": "a\0b"}, status=422)
        dataset = await it.seed_dataset()
        body = {"name": "a\0b", "dataset_id": dataset, "experiment_runs": [{"example_id": "x", "output": "y"}]}
        of_experiment = await it.ask("POST", "/v2/experiments", body, status=422)
    assert "name: must not contain the character NUL" in problem["detail"]
    assert "name: must not contain the character NUL" in of_experiment["detail"]


@pytest.mark.parametrize("field", ["max_spans", "max_examples"])
async def test_too_large_number_of_rows_is_rejected(field: str) -> None:
    async with engine() as it:
        task = await it.seed_task([await it.seed_code_evaluator()], project_id=await it.seed_project())
        problem = await it.ask("POST", f"/v2/tasks/{task}/trigger", {**WINDOW, field: 2**63}, status=400)
    assert field in problem["detail"]


async def test_invalid_filter_of_an_evaluator_is_rejected() -> None:
    code = {"type": "MANAGED", "name": "n", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"]}

    def body(name: str, own_filter: str) -> dict[str, object]:
        return {"name": name, "type": "CODE", "version": {
            "commit_message": "first", "code_config": {**code, "query_filter": own_filter},
        }}  # fmt: skip

    async with engine() as it:
        space = await it.space_id()
        broken = await it.ask("POST", "/v2/evaluators", {**body("a", "a = "), "space_id": space}, status=422)
        evaluator = await it.ask("POST", "/v2/evaluators", {**body("b", "no_column = 1"), "space_id": space})
        task = {
            "name": "t", "type": "CODE_EVALUATION", "project_id": await it.seed_project(),
            "evaluators": [{"evaluator_id": evaluator["id"]}],
        }  # fmt: skip
        unfit = await it.ask("POST", "/v2/tasks", task, status=422)
    assert "code_config.query_filter, column 5" in broken["detail"]
    assert "the evaluator's own query_filter" in unfit["detail"]
    assert "no_column" in unfit["detail"]
