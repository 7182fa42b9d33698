"""One call of one operation: how a row of the table becomes a request, and an answer becomes a model.

How it works:

1. **Path.** Values go in through `Operation.path_for`, which encodes each into its own segment and refuses what
   would walk out of it (empty, `.`, `..`): a `WrongValue`, before anything is sent.
2. **Query.** The query model without its nulls.
3. **Body.** POST and DELETE send the model without its nulls: on creation a null means "not given". PATCH sends
   exactly the fields that were set, a null among them, because there a null *clears*; inside a field's value nulls
   are left out again. Nothing is sent that JSON cannot carry.
4. **Sending.** One attempt is bounded as a whole, body included: a service that drips bytes is a time-out. Redirects
   are never followed, for the key would go along.
5. **Failure, named once.** What the network did becomes `Unreachable` or `TimedOut`. The question that decides
   everything later is answered here: *could the call have taken effect?* Not when it only reads, nor when the
   connection was never made; else yes, and then no one repeats it for the caller.
   An answer of 400 and above becomes its `Problem`, the same class the engine raised. Bodies of strangers (a proxy's
   HTML) give their status alone, and a body that holds the key is scrubbed first.
6. **Reading.** Any 2xx will do if its body reads as the operation's reply: unknown fields are dropped, except in
   models that keep them. Anything else is `Unreadable`; messages name fields, never values. Where nothing is replied,
   a body must at least be JSON: a proxy's sign-in page after a deletion is not a deletion.
7. **Repeating** is left to `retries`.
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
_LOOK_FIRST = "It may have taken effect all the same: look before repeating it."

# Raised before the first byte of the request can have left.
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
    """Calls operations over one HTTP client that is bound to one service.

    `where` names that service in errors. `timeout_seconds` bounds one attempt. `secret` is kept only to scrub it
    from what the service says.
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
        """The operation's reply. Raises `Problem` for an error answer, `ClientError` for no readable answer."""
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
            raise self._unreadable(operation, "its compressed body is damaged") from error
        except httpx2.TransportError as error:
            raise self._broken(operation, Unreachable, "broke the connection before its answer was whole") from error
        raise self._broken(operation, TimedOut, f"gave no whole answer within {self.timeout_seconds:g} s")

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
                raise self._unreadable(operation, "it should be empty, and is neither that nor JSON")
            return cast(ReplyT, None)
        try:
            reply = cast(type[BaseModel], operation.reply).model_validate_json(body, extra="ignore", context=READING)
        except ValidationError as error:
            reason = _where_unreadable(error)
        else:
            return cast(ReplyT, reply)
        # Outside the except block: the cause holds the body, and must not travel with the raised error.
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
        """The problem document of an error answer; None when its body is none."""
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
            "because the API key would go along. Set the service's final address (scheme, host, port)."
        )

    def _unreadable(self, operation: Operation[..., ReplyT], reason: str) -> Unreadable:
        after = "" if operation.reads else f" {_LOOK_FIRST}"
        return Unreadable(
            f"{self.where} gave {operation.name} an answer that cannot be read: {reason}. "
            f"Check that the address is that of the API and not of a web page or proxy.{after}"
        )

    def _never_sent(self, error: httpx2.TransportError) -> Unreachable:
        if isinstance(error, httpx2.PoolTimeout):
            return TimedOut(f"Too many calls to {self.where} are under way; nothing was sent. Try again later.")
        kind = TimedOut if isinstance(error, httpx2.ConnectTimeout) else Unreachable
        return kind(
            f"No connection to {self.where} could be made; nothing was sent. "
            "Check the address, that the service is up, and the network or proxy between."
        )

    def _broken(self, operation: Operation[..., ReplyT], kind: type[Unreachable], what: str) -> Unreachable:
        after = "Nothing was changed; try again." if operation.reads else _LOOK_FIRST
        return kind(f"{self.where} {what} ({operation.name}). {after}", may_have_taken_effect=not operation.reads)

    def _too_long(self, operation: Operation[..., ReplyT]) -> NoReturn:
        raise WrongValue(f"A value for {operation.name} is too long to be part of an address. Give the id instead.")


def _path(operation: Operation[..., ReplyT], values: Mapping[str, str]) -> str:
    try:
        return operation.path_for(values)
    except UnicodeEncodeError:
        reason = "an id holds half a character, which cannot be sent"
    except ValueError as error:
        reason = str(error)
    raise WrongValue(f"{operation.name}: {reason}. Give the id as it was listed.")


def _is_large(body: BaseModel | None) -> bool:
    return body is not None and any(isinstance(value, list) and len(value) > _LARGE_LIST for _, value in body)


async def _run_in_thread(is_large: bool, work: Callable[[], WorkT]) -> WorkT:
    """Large bodies are written and read in a thread, so that the event loop stays free."""
    return await to_thread.run_sync(work) if is_large else work()


def _params(query: BaseModel | None) -> dict[str, Any] | None:
    return None if query is None else query.model_dump(mode="json", exclude_none=True)


def _content(operation: Operation[..., ReplyT], body: BaseModel | None) -> bytes | None:
    if body is None:
        return None
    try:
        given = body.model_dump(mode="json", exclude_none=True)
        if operation.method == "PATCH":
            given = {name: given.get(name) for name in sorted(body.model_fields_set)}
        return json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, PydanticSerializationError):
        reason = "it holds a number or a character that JSON cannot carry (NaN, an infinity, half a character)"
    raise WrongValue(f"{operation.name} cannot be sent: {reason}.")


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _where_unreadable(error: ValidationError) -> str:
    """The first places at which an answer is not what was expected, without a word of its contents."""
    issues = error.errors(include_url=False, include_input=False, include_context=False)
    if issues[0]["type"] == "json_invalid":
        return "it is not JSON, or only a part of it"
    places = []
    for issue in issues[:3]:
        parts = [str(part) for part in issue["loc"]]
        where = ".".join(part if part.isdigit() or _PLAIN_WORD.fullmatch(part) else "…" for part in parts)
        places.append(f"{where or 'the whole'} ({issue['type']})")
    more = f" and {len(issues) - 3} more" if len(issues) > 3 else ""
    return f"not as expected at {', '.join(places)}{more}"
