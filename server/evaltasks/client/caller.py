"""Caller of operations: builds the request of an operation, sends it, and parses the response.

How it works:

1. **Path.** Values are inserted by `Operation.path_for`, which encodes each into its own segment and rejects values
   that would leave it (empty, `.`, `..`) with `WrongValue`, before anything is sent.
2. **Query.** The query model without its nulls.
3. **Body.** POST and DELETE send the model without its nulls: on creation, null means "not set". PATCH sends exactly
   the fields that were set, including nulls, because there null *clears* a field; nulls inside a field's value are
   omitted. Values that JSON cannot represent are never sent.
4. **Sending.** A timeout bounds each attempt as a whole, including the body: a service that sends a byte now and then
   times out. Redirects are never followed, because the API key would be sent along.
5. **Errors.** Network errors become `Unreachable` or `TimedOut`. Both say whether *the call may have taken effect*: not
   if it only reads, nor if no connection was made; otherwise yes, and then the call is never repeated automatically.
   A status of 400 and above becomes its `Problem`, the class that the engine raised. Of a body that is not a problem
   document (a proxy's HTML), only the status is reported, and the API key is removed from every body first.
6. **Parsing.** Any 2xx is accepted if its body is the operation's reply: unknown fields are dropped, except in models
   that keep them. Anything else is `Unreadable`; messages name fields, never values. If the operation has no reply, a
   body must still be JSON: a proxy's sign-in page after a deletion is not a deletion.
7. **Retries** are in `retries`.
"""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar, cast

import anyio
import httpx2
from anyio import to_thread
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from evaltasks.api.operations import Operation
from evaltasks.api.problems import NotBuilt, Problem, problem_from
from evaltasks.api.wire import READING
from evaltasks.client.errors import ClientError, TimedOut, Unreachable, Unreadable, WrongValue
from evaltasks.client.retries import RetryBudget
from evaltasks.edge.retry_after import parse_http_date, parse_retry_after

logger = logging.getLogger(__name__)

ReplyT = TypeVar("ReplyT", bound=BaseModel | None)
WorkT = TypeVar("WorkT")

REPLY_BYTES_MAX = 128 * 2**20
_LARGE_BYTES = 128 * 2**10
_LARGE_LIST = 50
_DETAIL_CHARACTERS_MAX = 2000
_LOOK_FIRST = "It may have taken effect: look before repeating it."

# Raised before the first byte of the request can have been sent.
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
_PLAIN_WORD = re.compile(r"[A-Za-z_]\w{0,60}")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    params: Mapping[str, Any] | None
    content: bytes | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx2.Headers
    body: bytes


@dataclass(frozen=True)
class Caller:
    """Calls operations of one service.

    Attributes:
        http: The HTTP client, with the address of the service and the API key.
        where: The name of the service in error messages.
        timeout_seconds: The timeout of one attempt.
        retry_budget: How often and how long failed calls are retried.
        secret: The API key, kept only to remove it from responses.
    """

    http: httpx2.AsyncClient = field(repr=False)
    where: str
    timeout_seconds: float
    retry_budget: RetryBudget
    secret: str | None = field(default=None, repr=False)

    async def call(
        self,
        operation: Operation[..., ReplyT],
        path: Mapping[str, str] | None = None,
        *,
        query: BaseModel | None = None,
        body: BaseModel | None = None,
    ) -> ReplyT:
        """Send an operation and return its reply, with retries.

        Args:
            operation: The row of the operations table.
            path: The values of its path parameters.
            query: Its query parameters.
            body: Its request body.

        Raises:
            Problem: If the service answers with an error.
            ClientError: If no valid response came.
        """
        where, params = _path(operation, path or {}), _params(query)
        content = await _run_in_thread(_is_large(body), lambda: _content(operation, body))
        request = _Request(operation.method, where, params, content)

        async def attempt() -> ReplyT:
            answer = await self._exchange(operation, request)
            return await _run_in_thread(len(answer.body) > _LARGE_BYTES, lambda: self._read(operation, answer))

        return await self.retry_budget.call(attempt, name=operation.name, reads=operation.reads)

    async def _exchange(self, operation: Operation[..., ReplyT], request: _Request) -> _Answer:
        try:
            with anyio.move_on_after(self.timeout_seconds):
                return await self._send(operation, request)
        except _NEVER_SENT as error:
            raise self._never_sent(error) from error
        except httpx2.TimeoutException as error:
            raise self._broken(operation, TimedOut, "did not answer in time") from error
        except httpx2.InvalidURL:
            self._too_long(operation)
        except httpx2.DecodingError as error:
            raise self._unreadable(operation, "its compressed body is corrupt") from error
        except httpx2.TransportError as error:
            raise self._broken(operation, Unreachable, "closed the connection before the response ended") from error
        raise self._broken(operation, TimedOut, f"did not send a complete response within {self.timeout_seconds:g} s")

    async def _send(self, operation: Operation[..., ReplyT], request: _Request) -> _Answer:
        headers = {"Content-Type": "application/json"} if request.content is not None else None
        async with self.http.stream(
            request.method, request.path, params=request.params, content=request.content, headers=headers
        ) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > REPLY_BYTES_MAX:
                    raise self._unreadable(operation, f"it is larger than {REPLY_BYTES_MAX // 2**20} MiB")
                parts.append(part)
            logger.debug("%s answered %d with %d bytes", operation.name, response.status_code, size)
            return _Answer(response.status_code, response.headers, b"".join(parts))

    def _read(self, operation: Operation[..., ReplyT], answer: _Answer) -> ReplyT:
        if answer.status >= 400:
            raise self._problem(operation, answer)
        if not 200 <= answer.status < 300:
            raise self._redirect(operation, answer)
        body = answer.body.removeprefix(codecs.BOM_UTF8)
        if operation.reply is None:
            if body.strip() and not _is_json(body):
                raise self._unreadable(operation, "it must be empty or JSON")
            return cast(ReplyT, None)
        try:
            reply = cast(type[BaseModel], operation.reply).model_validate_json(body, extra="ignore", context=READING)
        except ValidationError as error:
            reason = _where_unreadable(error)
        else:
            return cast(ReplyT, reply)
        # Outside the except block: the cause contains the body and must not be attached to the raised error.
        raise self._unreadable(operation, reason)

    def _problem(self, operation: Operation[..., ReplyT], answer: _Answer) -> Problem:
        # A date is counted from the service's own clock, which may differ from ours.
        now = parse_http_date(answer.headers.get("Date")) or datetime.now(UTC)
        retry_after = parse_retry_after(answer.headers.get("Retry-After"), now)
        problem = problem_from(answer.status, self._document(answer), retry_after_seconds=retry_after)
        if not operation.reads and answer.status >= 500 and not isinstance(problem, NotBuilt):
            problem.detail = f"{problem.detail} {_LOOK_FIRST}"
            problem.args = (problem.detail,)
        return problem

    def _document(self, answer: _Answer) -> dict[str, Any] | None:
        """Return the problem document of an error response; None if its body is not one."""
        try:
            document = json.loads(answer.body)
            if self.secret:
                escaped = json.dumps(self.secret)[1:-1]
                document = json.loads(json.dumps(document).replace(escaped, "[key]"))
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        for name in ("detail", "title"):
            text = document.pop(name, None)
            if isinstance(text, str) and text.strip():
                document[name] = text[:_DETAIL_CHARACTERS_MAX]
        return document

    def _redirect(self, operation: Operation[..., ReplyT], answer: _Answer) -> ClientError:
        return Unreadable(
            f"{self.where} answered {operation.name} with a redirect ({answer.status}), which is not followed "
            "because the API key would be sent along. Set the final address of the service (scheme, host, port)."
        )

    def _unreadable(self, operation: Operation[..., ReplyT], reason: str) -> Unreadable:
        after = "" if operation.reads else f" {_LOOK_FIRST}"
        return Unreadable(
            f"{self.where} sent an invalid response to {operation.name}: {reason}. "
            f"Check that the address is that of the API and not of a web page or proxy.{after}"
        )

    def _never_sent(self, error: httpx2.TransportError) -> Unreachable:
        if isinstance(error, httpx2.PoolTimeout):
            return TimedOut(f"Too many calls to {self.where} are in progress; nothing was sent. Try again later.")
        kind = TimedOut if isinstance(error, httpx2.ConnectTimeout) else Unreachable
        return kind(
            f"Cannot connect to {self.where}; nothing was sent. "
            "Check the address, that the service is running, and the network or proxy in between."
        )

    def _broken(self, operation: Operation[..., ReplyT], kind: type[Unreachable], what: str) -> Unreachable:
        after = "Nothing was changed; try again." if operation.reads else _LOOK_FIRST
        return kind(f"{self.where} {what} ({operation.name}). {after}", may_have_taken_effect=not operation.reads)

    def _too_long(self, operation: Operation[..., ReplyT]) -> NoReturn:
        raise WrongValue(f"A value for {operation.name} is too long for a URL. Use the id instead.")


def _path(operation: Operation[..., ReplyT], values: Mapping[str, str]) -> str:
    try:
        return operation.path_for(values)
    except UnicodeEncodeError:
        reason = "an id contains half a surrogate pair, which cannot be sent"
    except ValueError as error:
        reason = str(error)
    raise WrongValue(f"{operation.name}: {reason}. Use the id as it was listed.")


def _is_large(body: BaseModel | None) -> bool:
    return body is not None and any(isinstance(value, list) and len(value) > _LARGE_LIST for _, value in body)


async def _run_in_thread(is_large: bool, work: Callable[[], WorkT]) -> WorkT:
    """Run `work`, in a thread if the body is large, so that the event loop stays free."""
    return await to_thread.run_sync(work) if is_large else work()


def _params(query: BaseModel | None) -> dict[str, Any] | None:
    return None if query is None else query.model_dump(mode="json", exclude_none=True)


def _content(operation: Operation[..., ReplyT], body: BaseModel | None) -> bytes | None:
    if body is None:
        return None
    try:
        fields = body.model_dump(mode="json", exclude_none=True)
        if operation.method == "PATCH":
            fields = {name: fields.get(name) for name in sorted(body.model_fields_set)}
        return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, PydanticSerializationError):
        reason = "it contains a value that JSON cannot represent (NaN, an infinity, half a surrogate pair)"
    raise WrongValue(f"{operation.name} cannot be sent: {reason}.")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _where_unreadable(error: ValidationError) -> str:
    """Return the paths of the first invalid fields of a response, without any of its values."""
    issues = error.errors(include_url=False, include_input=False, include_context=False)
    if issues[0]["type"] == "json_invalid":
        return "it is not JSON, or is truncated"
    places = []
    for issue in issues[:3]:
        parts = [str(part) for part in issue["loc"]]
        where = ".".join(part if part.isdigit() or _PLAIN_WORD.fullmatch(part) else "…" for part in parts)
        places.append(f"{where or 'the whole body'} ({issue['type']})")
    more = f" and {len(issues) - 3} more" if len(issues) > 3 else ""
    return f"invalid at {', '.join(places)}{more}"
