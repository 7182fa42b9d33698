"""Resources of AX that this engine does not have: prompts, tags, users, roles, queues, monitors, webhooks.

Lists of them are empty, a single one is not found (404), and creating or changing one is forbidden (403): responses
that every client can read, with the reason. There is one organization, because a client needs the id of one to create
a space.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evaltasks.api.problems import Forbidden, NotFound
from evaltasks.engine.app import problem_response
from evaltasks.engine.ids import ORGANIZATION_ID

# Path → the member of the list response (None without a list), and the plural for messages.
_UNSUPPORTED = {
    "/v2/prompts": ("prompts", "prompts"),
    "/v2/prompt-versions": (None, "prompts"),
    "/v2/tags": ("tags", "tags"),
    "/v2/users": ("users", "users"),
    "/v2/roles": ("roles", "roles"),
    "/v2/role-bindings": ("role_bindings", "role bindings"),
    "/v2/resource-restrictions": ("resource_restrictions", "resource restrictions"),
    "/v2/api-keys": ("api_keys", "API keys"),
    "/v2/annotation-queues": ("annotation_queues", "annotation queues"),
    "/v2/monitors": ("monitors", "monitors"),
    "/v2/dashboards": (None, "dashboards"),
    "/v2/webhooks": ("webhooks", "webhooks"),
    "/v2/webhook-subscriptions": ("webhook_subscriptions", "webhook subscriptions"),
    "/v2/audit-logs": ("logs", "audit logs"),
}
# Parts of resources that the engine has.
_TAGS = "/v2/{resource}/{resource_id}/tags"
_MEMBERS = "/v2/spaces/{space_id}/users"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_END = {"has_more": False}

Endpoint = Callable[[Request], Awaitable[Response]]


@functools.cache
def unsupported_routes() -> tuple[Route, ...]:
    """Fallback routes, tried in order after the API operations."""
    routes = [
        Route("/v2/organizations", _list("organizations", [_ORGANIZATION]), methods=["GET"]),
        Route("/v2/organizations/{org_id}", _organization, methods=["GET"]),
        *_refusals("/v2/organizations", "further organizations"),
        Route(_TAGS, _list("tags", []), methods=["GET"]),
        *_refusals(_TAGS, "tags"),
        *_refusals(_MEMBERS, "members of spaces"),
    ]
    for path, (list_name, resource) in _UNSUPPORTED.items():
        if list_name is not None:
            routes.append(Route(path, _list(list_name, []), methods=["GET"]))
        routes += _refusals(path, resource)
    return tuple(routes)


_ORGANIZATION = {
    "id": ORGANIZATION_ID,
    "name": "evaltasks",
    "description": "The one organization of an embedded engine.",
    "created_at": "2026-01-01T00:00:00.000Z",
}


def _list(name: str, items: list[dict[str, str]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:  # noqa: ARG001  every endpoint takes the request
        return JSONResponse({name: items, "pagination": _END})

    return endpoint


async def _organization(request: Request) -> Response:
    if request.path_params["org_id"] != ORGANIZATION_ID:
        return problem_response(NotFound("There is no organization with this id."))
    return JSONResponse(_ORGANIZATION)


def _refusals(path: str, resource: str) -> list[Route]:
    """Routes that refuse the path itself and everything below it."""

    async def endpoint(request: Request) -> Response:
        if request.method == "GET":
            return problem_response(NotFound(f"The embedded engine does not have {resource}, so none has this id."))
        return problem_response(Forbidden(f"The embedded engine does not have {resource}; nothing was changed."))

    return [Route(path, endpoint, methods=_METHODS), Route(f"{path}/{{rest:path}}", endpoint, methods=_METHODS)]
