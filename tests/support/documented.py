"""Checks that a response of the engine is described in its OpenAPI document."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NoReturn

import httpx2
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from evaltasks.api.operations import OPERATIONS
from evaltasks.engine.document import openapi_document

_NAME = "urn:document"
_PARTS = "#/components/"
PATHS = {row.name: (row.path, row.method.lower()) for row in OPERATIONS}
# The engine does not implement this intentionally; every other 5xx is a problem.
NOT_BUILT = 501


@cache
def _document() -> dict[str, Any]:
    """With references that are on their own, so that a part of it can be a schema."""
    text = json.dumps(openapi_document()).replace(f'"{_PARTS}', f'"{_NAME}{_PARTS}')
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _registry() -> Any:
    return Registry().with_resource(_NAME, Resource(contents=_document(), specification=DRAFT202012))


@cache
def _described(operation: str, status: int) -> tuple[str | None, Draft202012Validator | None] | None:
    """Return media type and schema of a response, (None, None) for an empty one, or None if it is not described."""
    path, method = PATHS[operation]
    response = _document()["paths"][path][method]["responses"].get(str(status))
    if response is None:
        return None
    if "$ref" in response:
        response = _document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if "content" not in response:
        return None, None
    ((media_type, content),) = response["content"].items()
    return media_type, Draft202012Validator(content["schema"], registry=_registry())


def contract_violation(operation: str, reply: httpx2.Response) -> str | None:
    """Return what is wrong with the response, or None."""
    if reply.status_code >= 500 and reply.status_code != NOT_BUILT:
        return f"a server problem, {reply.status_code}"
    described = _described(operation, reply.status_code)
    if described is None:
        return f"the status {reply.status_code} is not described"
    media_type, schema = described
    if media_type is None or schema is None:
        return "has a body" if reply.content else None
    if reply.headers["content-type"] != media_type:
        return f"is {reply.headers['content-type']}, not {media_type}"
    try:
        answer = json.loads(reply.content, parse_constant=_no_constant)
    except ValueError:
        return "is not JSON"
    issue = next(schema.iter_errors(answer), None)
    return None if issue is None else f"does not fit its schema at {list(issue.absolute_path)}: {issue.message[:200]}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
