"""The OpenAPI document of the engine agrees with its behaviour."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from evaltasks import __version__
from evaltasks.api.operations import OPERATIONS
from evaltasks.api.problems import NotFound, Problem, ProblemDocument
from evaltasks.engine.document import answer_model, openapi_document
from tests.support.documented import contract_violation
from tests.support.engines import engine
from tests.support.requests import address, one_request_each

DOCUMENT = openapi_document()
SCHEMAS = DOCUMENT["components"]["schemas"]


def _operation(name: str) -> dict[str, Any]:
    return next(
        operation
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        if operation["operationId"] == name
    )


def test_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


async def test_document_is_served_and_deterministic() -> None:
    async with engine() as it:
        served = [await it.http.get("/openapi.json") for _ in range(2)]
    assert served[0].headers["content-type"] == "application/json"
    assert served[0].json()["info"]["version"] == __version__
    assert served[0].json() == served[1].json() == json.loads(json.dumps(openapi_document()))


def test_document_has_path_method_and_status_of_every_operation() -> None:
    for row in OPERATIONS:
        operation = DOCUMENT["paths"][row.path][row.method.lower()]
        assert operation["operationId"] == row.name
        assert str(row.status) in operation["responses"]
        in_path = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
        assert in_path == row.parameters


def test_document_has_the_telemetry_routes() -> None:
    assert set(DOCUMENT["paths"]["/v1/traces"]["post"]["requestBody"]["content"]) == {
        "application/x-protobuf",
        "application/json",
    }
    assert "post" in DOCUMENT["paths"]["/v1/pandas_arrow"]


def test_document_query_parameters_have_limits_and_are_not_nullable() -> None:
    limit, cursor, *_ = _operation("list_tasks")["parameters"]
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}
    assert cursor["schema"] == {"type": "string"}
    assert not cursor["required"]


def test_document_requires_written_fields_in_responses_only() -> None:
    assert SCHEMAS["Pagination"]["required"] == ["has_more", "next_cursor"]
    assert set(SCHEMAS["Task"]["required"]) == set(SCHEMAS["Task"]["properties"])
    assert SCHEMAS["CreateTask"]["required"] == ["name", "type"]
    # Fields of one type only are not always there.
    assert SCHEMAS["AnnotationConfig"]["required"] == ["id", "name", "space_id", "created_at", "type"]
    assert SCHEMAS["AnnotationConfig"]["properties"].keys() >= {"values", "minimum_score"}


def test_document_requests_forbid_unknown_fields_and_may_omit_an_optional_body() -> None:
    assert SCHEMAS["CreateTask"]["additionalProperties"] is False
    assert _operation("create_task")["requestBody"]["required"]
    assert not _operation("trigger_task_run")["requestBody"]["required"]


def test_document_describes_responses_that_the_engine_extends() -> None:
    assert "use_function_calling_if_available" in SCHEMAS["TemplateConfigAnswer"]["required"]
    for row in OPERATIONS:
        model = answer_model(row)
        assert (model is None) == (row.reply is None)
        assert model is None or row.reply is None or row.reply.model_fields.keys() <= model.model_fields.keys()


def test_document_describes_every_error_as_a_problem_document() -> None:
    responses = _operation("create_task")["responses"]
    assert set(responses) >= {"400", "401", "404", "409", "413", "415", "422", "429", "500", "503"}
    for name, response in DOCUMENT["components"]["responses"].items():
        assert list(response["content"]) == ["application/problem+json"], name
    assert "Retry-After" in DOCUMENT["components"]["responses"]["RateLimited"]["headers"]
    kinds = {kind.__name__ for kind in Problem.__subclasses__()}
    assert kinds <= set(DOCUMENT["components"]["responses"])
    ProblemDocument.model_validate(NotFound("gone", extra={"corrected_template": "x"}).document())


async def test_valid_requests_of_every_operation_are_answered_as_documented() -> None:
    rows = {row.name: row for row in OPERATIONS}
    async with engine() as it:
        requests = await one_request_each(it)
        assert {name.partition(",")[0] for name in requests} == set(rows)
        done: list[str] = []
        # What deletes comes last: the others need what it deletes.
        for name in sorted(requests, key=lambda name: name.startswith("delete")):
            row, sent = rows[name.partition(",")[0]], requests[name]
            reply = await it.http.request(row.method, address(row.path, sent.path, sent.query), json=sent.body)
            assert contract_violation(row.name, reply) is None, f"{name}: {reply.text}"
            if reply.status_code == row.status:
                done.append(name)
    # Some come too late for others: an ended task run is not cancelled, a renamed thing is not found by its name.
    assert len(done) >= len(requests) - 12, sorted(set(requests) - set(done))


@pytest.mark.parametrize("path", ["/v2/tasks", "/v2/tasks/x"])
async def test_unsupported_method_is_a_405_with_the_allowed_methods(path: str) -> None:
    async with engine() as it:
        reply = await it.http.request("PUT", path)
    assert (reply.status_code, reply.headers["content-type"]) == (405, "application/problem+json")
    assert set(reply.headers["allow"].split(", ")) - {"HEAD"} == {
        method.upper() for method in DOCUMENT["paths"]["/v2/tasks" if path == "/v2/tasks" else "/v2/tasks/{task_id}"]
    }


def test_responses_that_ask_to_wait_describe_retry_after_as_whole_seconds_from_zero() -> None:
    described = {name: one["headers"] for name, one in DOCUMENT["components"]["responses"].items() if "headers" in one}
    header = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}
    assert described == {"RateLimited": {"Retry-After": header}, "Unavailable": {"Retry-After": header}}


def test_telemetry_routes_describe_every_problem_that_they_answer() -> None:
    statuses = {"200", "400", "401", "403", "404", "413", "415", "422", "429", "500", "501", "503"}
    for path in ("/v1/traces", "/v1/pandas_arrow"):
        assert set(DOCUMENT["paths"][path]["post"]["responses"]) == statuses
