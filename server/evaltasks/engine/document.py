"""The engine's own OpenAPI document, `GET /openapi.json`.

Nothing of it is written by hand but a few sentences: paths, methods, statuses and bodies come from the table of
operations, answers from what the handlers say they return (an engine may answer more than the table asks for),
schemas from the models, problems from their classes. What a model always writes is required in an answer, though it
may be left out of a request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, get_type_hints

from anyio import to_thread
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evaltasks import __version__
from evaltasks.api.operations import OPERATIONS, AnyOperation
from evaltasks.api.problems import (
    MEDIA_TYPE,
    BadRequest,
    Conflict,
    Forbidden,
    NotBuilt,
    NotFound,
    Problem,
    ProblemDocument,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownMedia,
    Unprocessable,
)
from evaltasks.api.wire import JsonObject
from evaltasks.engine.handlers.table import HANDLERS
from evaltasks.engine.ingest.routes import JSON, PROBLEM_STATUSES, PROJECT_HEADERS, PROTOBUF, SPACE_HEADERS

PATH = "/openapi.json"
_REF = "#/components/schemas/"
_OURS = "/evaltasks/"

_DESCRIPTION = """\
The embedded engine of evaltasks: the operations of Arize AX's REST API that evaluation tasks need, and three of its own
under `/evaltasks/v1/`. Enumerations are taken in any letter case and written in upper case. A query parameter that is
empty counts as absent. Unknown query parameters and unknown fields are refused, and so are a field given twice and
numbers that JSON does not have. What AX has beyond these operations is answered by empty lists, 404 and 403."""

# What each class of problem means to whoever reads the document; the keys are the answers every operation may give.
_PROBLEMS: dict[type[Problem], str] = {
    BadRequest: "The request cannot be read, or a field or parameter does not apply.",
    Unauthorized: "No key, or a wrong one, where the engine was started with keys.",
    Forbidden: "Not allowed here, or the request came from a web page of another origin.",
    NotFound: "There is no such thing.",
    Unprocessable: "Well formed, but it cannot be right.",
    RateLimited: "Too many requests; `Retry-After` says when to come back.",
    ServerError: "The engine failed; its log has more under the reference number of the detail.",
    NotBuilt: "The embedded engine does not do this.",
    Unavailable: "The store cannot be used for now; `Retry-After`, where there is one, says when to come back.",
}
_PROBLEMS_OF_BODIES: dict[type[Problem], str] = {
    TooLarge: "The body is larger than is taken at once.",
    UnknownMedia: "The body is not JSON.",
}
_PROBLEMS_OF_CHANGES: dict[type[Problem], str] = {
    Conflict: "A name is taken, something still uses it, or its state does not allow this.",
}
_WAITING = (RateLimited, Unavailable)


def document_route() -> Route:
    """Answers the document; it is made at the first request, in a thread, and kept."""

    async def endpoint(request: Request) -> Response:  # noqa: ARG001  every endpoint takes the request
        return Response(await to_thread.run_sync(_document_bytes), media_type=JSON)

    return Route(PATH, endpoint, methods=["GET"])


@cache
def _document_bytes() -> bytes:
    return json.dumps(openapi_document(), ensure_ascii=False).encode()


def openapi_document() -> JsonObject:
    """The document as JSON; the same every time."""
    schemas = _Schemas()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "evaltasks engine",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        # Either: an engine asks for a key only when it was started with some.
        "security": [{}, {"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, OPERATIONS))] + [{"name": "telemetry"}],
        "paths": {**_operation_paths(schemas), **_ingest_paths()},
        "components": {
            "schemas": dict(sorted(schemas.definitions.items())),
            "responses": {kind.__name__: _problem_response(kind, text) for kind, text in _all_problems().items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Writer(GenerateJsonSchema):
    """Says of an answer what is always in it, and leaves out the titles that only repeat a field's name."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the base class's signature
        return False


class _Schemas:
    """Every model of the operations, in the mode it travels in: read from requests, written to answers."""

    def __init__(self) -> None:
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDocument, "serialization")]
        for row in OPERATIONS:
            wanted += [(model, "validation") for model in (row.query, row.body) if model is not None]
            wanted += [(answer, "serialization")] if (answer := answer_model(row)) is not None else []
        refs, whole = models_json_schema(
            list(dict.fromkeys(wanted)), ref_template=_REF + "{model}", schema_generator=_Writer
        )
        self._refs: Mapping[tuple[Any, JsonSchemaMode], JsonObject] = refs
        self.definitions: dict[str, JsonObject] = whole["$defs"]
        queries = dict.fromkeys(row.query for row in OPERATIONS if row.query is not None)
        self._queries: dict[type[BaseModel], JsonObject] = {
            query: self.definitions.pop(self._name(query)) for query in queries
        }

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._refs[model, "validation"]["$ref"]).removeprefix(_REF)

    def request_ref(self, model: type[BaseModel]) -> JsonObject:
        return self._refs[model, "validation"]

    def response_ref(self, model: type[BaseModel]) -> JsonObject:
        return self._refs[model, "serialization"]

    def is_optional(self, model: type[BaseModel]) -> bool:
        """True for a body that needs no field: none sent is read as an empty object."""
        return not self.definitions[self._name(model)].get("required")

    def query_of(self, model: type[BaseModel]) -> JsonObject:
        """The object schema of a query model; its properties are the parameters."""
        return self._queries[model]


def answer_model(row: AnyOperation) -> type[BaseModel] | None:
    """What the engine answers: the operation's reply, or the handler's own extension of it."""
    found: type[BaseModel] | type[None] = get_type_hints(HANDLERS[row.name])["return"]
    return None if row.reply is None or not issubclass(found, BaseModel) else found


def _tag(row: AnyOperation) -> str:
    return "evaltasks" if row.path.startswith(_OURS) else row.path.split("/")[2]


def _operation_paths(schemas: _Schemas) -> dict[str, JsonObject]:
    paths: dict[str, JsonObject] = {}
    for row in OPERATIONS:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return paths


def _operation(row: AnyOperation, schemas: _Schemas) -> JsonObject:
    described = (HANDLERS[row.name].__doc__ or "").strip()
    described_operation: JsonObject = {
        "operationId": row.name,
        "tags": [_tag(row)],
        "summary": row.name.replace("_", " ").capitalize(),
    }
    if described:
        described_operation["description"] = " ".join(described.split())
    if parameters := [*_path_parameters(row), *_query_parameters(row, schemas)]:
        described_operation["parameters"] = parameters
    if row.body is not None:
        described_operation["requestBody"] = {
            "required": not schemas.is_optional(row.body),
            "content": {JSON: {"schema": schemas.request_ref(row.body)}},
        }
    answer = answer_model(row)
    done: JsonObject = {"description": "Done." if answer is None else "The answer."}
    if answer is not None:
        done["content"] = {JSON: {"schema": schemas.response_ref(answer)}}
    described_operation["responses"] = {str(row.status): done, **_problem_refs(_problems_of(row))}
    return described_operation


def _path_parameters(row: AnyOperation) -> list[JsonObject]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in row.parameters
    ]


def _query_parameters(row: AnyOperation, schemas: _Schemas) -> list[JsonObject]:
    if row.query is None:
        return []
    query = schemas.query_of(row.query)
    required = query.get("required", [])
    return [
        {
            "name": name, "in": "query", "required": name in required, "allowEmptyValue": name not in required,
            "schema": _without_null(schema),
        }
        for name, schema in query["properties"].items()
    ]  # fmt: skip


def _without_null(schema: JsonObject) -> JsonObject:
    """A query parameter is there or not; it cannot be null."""
    kept = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if not kept:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}


def _problems_of(row: AnyOperation) -> Iterable[type[Problem]]:
    yield from _PROBLEMS
    if row.body is not None:
        yield from _PROBLEMS_OF_BODIES
    if not row.reads:
        yield from _PROBLEMS_OF_CHANGES


def _all_problems() -> dict[type[Problem], str]:
    return {**_PROBLEMS, **_PROBLEMS_OF_BODIES, **_PROBLEMS_OF_CHANGES}


def _problem_refs(kinds: Iterable[type[Problem]]) -> JsonObject:
    ordered = sorted(kinds, key=lambda kind: kind.status)
    return {str(kind.status): {"$ref": f"#/components/responses/{kind.__name__}"} for kind in ordered}


def _problem_response(kind: type[Problem], description: str) -> JsonObject:
    response: JsonObject = {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF + ProblemDocument.__name__}}},
    }
    if kind in _WAITING:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}
    return response


def _ingest_paths() -> dict[str, JsonObject]:
    """The two addresses of telemetry, shortly: their bodies are protocols that others wrote down."""
    refused = _problem_refs(kind for kind in _all_problems() if kind.status in PROBLEM_STATUSES)
    traces = {
        "operationId": "export_traces",
        "tags": ["telemetry"],
        "summary": "Take in spans over OTLP",
        "description": "OpenTelemetry's ExportTraceServiceRequest, also packed (gzip, deflate). What fails is answered "
        "as a google.rpc.Status in the encoding of the request.",
        "parameters": _header_parameters((*SPACE_HEADERS, *PROJECT_HEADERS)),
        "requestBody": {"content": {PROTOBUF: {}, JSON: {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "Stored, but for the spans of `partialSuccess`.", "content": _otlp_content()},
            **{status: {"description": "A google.rpc.Status.", "content": _otlp_content()} for status in refused},
        },
    }
    arrow = {
        "operationId": "upload_arrow",
        "tags": ["telemetry"],
        "summary": "Take in a table of spans or evaluations",
        "description": "An Arrow IPC stream as the published SDK's `spans.log` and `spans.update_evaluations` send it; "
        "also packed (gzip, deflate). Needs the extra `flight` where the engine runs.",
        "parameters": _header_parameters(SPACE_HEADERS),
        "requestBody": {"content": {"application/octet-stream": {}}},
        "responses": {
            "200": {"description": "Stored, all of it.", "content": {JSON: {"schema": {"type": "object"}}}},
            **refused,
        },
    }
    return {"/v1/traces": {"post": traces}, "/v1/pandas_arrow": {"post": arrow}}


def _otlp_content() -> JsonObject:
    return {PROTOBUF: {}, JSON: {"schema": {"type": "object"}}}


def _header_parameters(names: Iterable[str]) -> list[JsonObject]:
    """By name or id; the first that is there counts."""
    text = {"type": "string", "pattern": "^[ -~]*$"}
    return [{"name": name, "in": "header", "required": False, "schema": text} for name in names]
