"""The engine's own OpenAPI document, `GET /openapi.json`.

Only a few sentences of it are written by hand. Paths, methods, statuses and request bodies come from the operations
table, response models from the return types of the handlers (an engine may return more than the table asks for),
schemas from the models, and problems from their classes. A field that a model always writes is required in a response,
though it may be optional in a request.
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
under `/evaltasks/v1/`. Enumerations are accepted in any letter case and returned in upper case. An empty query
parameter counts as missing. Unknown query parameters and unknown fields are rejected, and so are repeated fields and
numbers that JSON does not have. Other resources of AX are answered with empty lists, 404 and 403."""

# The description of each class of problem; the keys are the errors that every operation may return.
_PROBLEMS: dict[type[Problem], str] = {
    BadRequest: "The request is malformed, or a field or parameter does not apply.",
    Unauthorized: "The API key is missing or not valid; only if the engine was started with keys.",
    Forbidden: "Not allowed on this engine, or the Host or Origin header is not allowed.",
    NotFound: "The resource does not exist.",
    Unprocessable: "The request is well formed, but violates a rule.",
    RateLimited: "Rate limit exceeded; `Retry-After` is the time to wait.",
    ServerError: "Internal error; the log of the engine has the details under the reference number.",
    NotBuilt: "The embedded engine does not support this.",
    Unavailable: "The store is temporarily unavailable; `Retry-After`, if present, is the time to wait.",
}
_PROBLEMS_OF_BODIES: dict[type[Problem], str] = {
    TooLarge: "The body is larger than the limit.",
    UnknownMedia: "The body is not JSON.",
}
_PROBLEMS_OF_CHANGES: dict[type[Problem], str] = {
    Conflict: "The name is taken, the resource is still in use, or its state does not allow this.",
}
_WITH_RETRY_AFTER = (RateLimited, Unavailable)


def document_route() -> Route:
    """Return the route of the document, which is made at the first request, in a thread, and then cached."""

    async def endpoint(request: Request) -> Response:  # noqa: ARG001  every endpoint takes the request
        return Response(await to_thread.run_sync(_document_bytes), media_type=JSON)

    return Route(PATH, endpoint, methods=["GET"])


@cache
def _document_bytes() -> bytes:
    return json.dumps(openapi_document(), ensure_ascii=False).encode()


def openapi_document() -> JsonObject:
    """Return the document as JSON; the same every time."""
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
        # Alternatives: an engine requires a key only if it was started with keys.
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
    """Marks the fields that are always in a response as required, and omits titles that only repeat a field's name."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the base class's signature
        return False


class _Schemas:
    """The JSON schemas of all models, as read from requests (validation) or written to responses (serialization)."""

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
        """Whether the request body may be missing: no field is required, so it is read as an empty object."""
        return not self.definitions[self._name(model)].get("required")

    def query_of(self, model: type[BaseModel]) -> JsonObject:
        """Return the object schema of a query model; its properties are the query parameters."""
        return self._queries[model]


def answer_model(row: AnyOperation) -> type[BaseModel] | None:
    """Return the model of the engine's response: the operation's reply, or the handler's extension of it."""
    returned: type[BaseModel] | type[None] = get_type_hints(HANDLERS[row.name])["return"]
    return None if row.reply is None or not issubclass(returned, BaseModel) else returned


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
    done: JsonObject = {"description": "Success without a body." if answer is None else "Success."}
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
    """Remove null from the schema of a query parameter, which can be missing but not null."""
    kept = [alternative for alternative in schema.get("anyOf", []) if alternative != {"type": "null"}]
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
    if kind in _WITH_RETRY_AFTER:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}
    return response


def _ingest_paths() -> dict[str, JsonObject]:
    """Return the two telemetry routes without schemas of their bodies, which other specifications define."""
    refused = _problem_refs(kind for kind in _all_problems() if kind.status in PROBLEM_STATUSES)
    traces = {
        "operationId": "export_traces",
        "tags": ["telemetry"],
        "summary": "Store spans sent over OTLP",
        "description": "OpenTelemetry's ExportTraceServiceRequest, optionally compressed (gzip, deflate). Errors are "
        "returned as a google.rpc.Status in the encoding of the request.",
        "parameters": _header_parameters((*SPACE_HEADERS, *PROJECT_HEADERS)),
        "requestBody": {"content": {PROTOBUF: {}, JSON: {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "Stored, except the spans counted in `partialSuccess`.", "content": _otlp_content()},
            **{status: {"description": "A google.rpc.Status.", "content": _otlp_content()} for status in refused},
        },
    }
    arrow = {
        "operationId": "upload_arrow",
        "tags": ["telemetry"],
        "summary": "Store a table of spans or evaluations",
        "description": "An Arrow IPC stream as the published SDK's `spans.log` and `spans.update_evaluations` send it; "
        "optionally compressed (gzip, deflate). The engine needs the extra `flight`.",
        "parameters": _header_parameters(SPACE_HEADERS),
        "requestBody": {"content": {"application/octet-stream": {}}},
        "responses": {
            "200": {"description": "The whole table is stored.", "content": {JSON: {"schema": {"type": "object"}}}},
            **refused,
        },
    }
    return {"/v1/traces": {"post": traces}, "/v1/pandas_arrow": {"post": arrow}}


def _otlp_content() -> JsonObject:
    return {PROTOBUF: {}, JSON: {"schema": {"type": "object"}}}


def _header_parameters(names: Iterable[str]) -> list[JsonObject]:
    """Describe headers with a name or id, of which the first present one counts."""
    text = {"type": "string", "pattern": "^[ -~]*$"}
    return [{"name": name, "in": "header", "required": False, "schema": text} for name in names]
