"""Calls each operation of AX through our client, with the values of an exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from evaltasks.api.operations import OPERATIONS, Operation
from evaltasks.client.client import Client
from evaltasks.client.methods import Method, Resource

BY_NAME: dict[str, Operation[..., Any]] = {row.name: row for row in OPERATIONS}


@dataclass(frozen=True)
class Given:
    """Path values in order, query and body as models of the operation (None if it has none)."""

    path: list[str]
    query: Any
    body: Any

    @classmethod
    def of(cls, operation: str, path: list[str], query: dict[str, Any] | None, body: Any) -> Given:
        row = BY_NAME[operation]
        return cls(
            path,
            None if row.query is None else row.query.model_validate(query or {}),
            None if row.body is None else row.body.model_validate(body),
        )

    @property
    def page(self) -> dict[str, Any]:
        """Return the page, for methods that take it in addition to a body."""
        return {"limit": self.query.limit, "cursor": self.query.cursor}


Calling = Callable[[Client, Given], Awaitable[Any]]

_BY_HAND: dict[str, Calling] = {
    "list_spans": lambda client, it: client.spans.list(it.body, **it.page),
    "list_traces": lambda client, it: client.traces.list(it.body, **it.page),
    "append_examples": lambda client, it: client.datasets.append_examples(
        *it.path, it.body, it.query.dataset_version_id
    ),
    "update_examples": lambda client, it: client.datasets.update_examples(
        *it.path, it.body, it.query.dataset_version_id
    ),
    "get_evaluator": lambda client, it: client.evaluators.get(*it.path, it.query.version_id),
}


def generated_methods() -> dict[str, tuple[str, str]]:
    """Return the resource and method of the client by operation, for methods made from the operations table."""

    async def unused(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is sent")

    caller: Any = SimpleNamespace(call=unused, where="nowhere")
    resources = vars(Client(caller, is_engine=True))
    return {
        method.operation.name: (resource_name, method_name)
        for resource_name, resource in resources.items()
        if isinstance(resource, Resource)
        for method_name, method in vars(type(resource)).items()
        if isinstance(method, Method) and not method.walks_pages
    }


def _generated_call(resource_name: str, method_name: str) -> Calling:
    def call(client: Client, it: Given) -> Awaitable[Any]:
        models = [model for model in (it.body, it.query) if model is not None]
        method: Callable[..., Awaitable[Any]] = getattr(getattr(client, resource_name), method_name)
        return method(*it.path, *models)

    return call


CALLS: dict[str, Calling] = {
    **{
        name: _generated_call(*names)
        for name, names in generated_methods().items()
        if not BY_NAME[name].path.startswith("/evaltasks/")
    },
    **_BY_HAND,
}
