"""The client's methods that are exactly one operation, made from the operations table.

A resource names its operations, and the table types each method:

    class Tasks(Resource):
        get = one_call(ops.GET_TASK)  # (task_id: str) -> Task
        update = one_call(ops.UPDATE_TASK)  # (task_id: str, body: UpdateTask) -> Task
        all = all_items(ops.LIST_TASKS, lambda page: page.tasks)  # (query: ListTasks) -> AsyncIterator[Task]

Arguments are positional: the ids of the path in their order, then the body or the query. Methods that take anything
else (a page beside a body, an optional version) are written by hand.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from pydantic import BaseModel

from evaltasks.api.operations import AnyOperation, Operation
from evaltasks.api.wire import ListQuery, Page, RowQuery
from evaltasks.client.caller import Caller
from evaltasks.client.pages import every_item

ArgumentsP = ParamSpec("ArgumentsP")
ReplyT = TypeVar("ReplyT", bound=BaseModel | None)
ResultT = TypeVar("ResultT")
PageT = TypeVar("PageT", bound=Page)
ItemT = TypeVar("ItemT")

# `Caller.call`.
Call: TypeAlias = Callable[..., Awaitable[Any]]


class Resource:
    """Base of the resources: their methods send operations through one `Caller`.

    Every method raises `Problem` if the service answers with an error and `ClientError` if no valid response came.
    """

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call


class Method(Generic[ArgumentsP, ResultT]):
    """A method of a `Resource` made from an operation; a descriptor, as functions are.

    Attributes:
        operation: The row of the operations table.
        walks_pages: Whether the method fetches every page; otherwise one call sends the operation once.
    """

    def __init__(self, operation: AnyOperation, send: Callable[..., ResultT], *, walks_pages: bool = False) -> None:
        self.operation = operation
        self.walks_pages = walks_pages
        self._send = send
        self.__doc__ = _documentation(operation, walks_pages)

    @overload
    def __get__(self, resource: None, owner: type[Resource]) -> Method[ArgumentsP, ResultT]: ...

    @overload
    def __get__(self, resource: Resource, owner: type[Resource]) -> Callable[ArgumentsP, ResultT]: ...

    def __get__(
        self, resource: Resource | None, owner: type[Resource]
    ) -> Method[ArgumentsP, ResultT] | Callable[ArgumentsP, ResultT]:
        if resource is None:
            return self
        method = functools.partial(self._send, resource._call)
        method.__doc__ = self.__doc__
        return method


def one_call(operation: Operation[ArgumentsP, ReplyT]) -> Method[ArgumentsP, Coroutine[Any, Any, ReplyT]]:
    """Make the method that sends an operation once and returns its reply."""

    async def send(call: Call, *arguments: Any) -> ReplyT:
        return cast(ReplyT, await call(operation, **_parts(operation, arguments)))

    return Method(cast(AnyOperation, operation), send)


def all_items(
    operation: Operation[ArgumentsP, PageT], items_of: Callable[[PageT], Sequence[ItemT]]
) -> Method[ArgumentsP, AsyncIterator[ItemT]]:
    """Make the method that iterates over the items of every page of a list operation (see `pages.every_item`)."""

    def send(call: Call, *arguments: Any) -> AsyncIterator[ItemT]:
        *ids, query = arguments

        async def fetch(page_query: ListQuery | RowQuery) -> PageT:
            return cast(PageT, await call(operation, **_parts(operation, [*ids, page_query])))

        return every_item(fetch, cast(ListQuery | RowQuery, query), items_of)

    return Method(cast(AnyOperation, operation), send, walks_pages=True)


def _parts(operation: Operation[..., Any], arguments: Sequence[Any]) -> dict[str, Any]:
    """Return the arguments of a method as those of `Caller.call`."""
    names = _argument_names(operation)
    if len(arguments) != len(names):
        raise TypeError(f"{operation.name} takes the arguments ({', '.join(names)}), but {len(arguments)} were passed")
    values = dict(zip(names, arguments, strict=True))
    path = {name: values.pop(name) for name in operation.parameters}
    return {"path": path, **values}


def _argument_names(operation: Operation[..., Any]) -> list[str]:
    models = [name for name in ("body", "query") if getattr(operation, name) is not None]
    return [*operation.parameters, *models]


def _documentation(operation: AnyOperation, walks_pages: bool) -> str:
    """Write the documentation of a method in the form of the other docstrings."""
    models = {"body": operation.body, "query": operation.query}
    lines = [f"Send `{operation.name}` ({operation.method} {operation.path}).", "", "Args:"]
    for name in _argument_names(operation):
        model = models.get(name)
        lines.append(f"    {name}: {'An id.' if model is None else f'A `{model.__name__}`.'}")
    if walks_pages:
        lines[0] = f"Iterate over the items of every page of `{operation.name}` ({operation.method} {operation.path})."
    elif operation.reply is not None:
        lines += ["", "Returns:", f"    A `{operation.reply.__name__}`."]
    lines += [
        "",
        "Raises:",
        "    Problem: If the service answers with an error.",
        "    ClientError: If no valid response came.",
    ]
    return "\n".join(lines)
