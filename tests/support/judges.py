"""An OpenAI-compatible test server on loopback TCP, fast enough for benchmarks.

`async with judge_server() as judge:` serves in this event loop; `judge.base_url` is what an AI integration names. As a
program, `python -m tests.support.judges --port 0 --latency-ms 50`, it prints `{"base_url": …}` and serves until killed.

It answers a forced tool call, a json_schema or plain text as it is asked. The label is the one a marker in the prompt
names (`[[label: supported]]`), else a hash of the prompt picks one of the schema's labels: the same prompt always gets
the same label. Without a schema it answers `[[text: …]]`, or a text made from the prompt's hash.

`script` replaces answers: a sequence is used up in order, one for each request; a function sees the request and may
return None for the usual answer.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_LABEL_MARKER = re.compile(r"\[\[label: ?(.*?)\]\]")
_TEXT_MARKER = re.compile(r"\[\[text: ?(.*?)\]\]", re.DOTALL)
_PROMISED_LABELS = re.compile(r"one of these labels: (\".*?\")\.")
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class SeenRequest:
    """A received request. `prompt` is the last user message, which was made from a row."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        users = [m for m in self.body.get("messages", []) if m.get("role") == "user"]
        content = users[-1].get("content") if users else ""
        return content if isinstance(content, str) else json.dumps(content)

    @property
    def first_prompt(self) -> str:
        """Return the first user message, which is the same when a judge is asked again."""
        users = [m for m in self.body.get("messages", []) if m.get("role") == "user"]
        return str(users[0].get("content")) if users else ""


@dataclass(frozen=True)
class Answer:
    """The response to send instead. `cut_after` closes the connection after that many bytes (0: without a word);
    `drip_seconds` is the pause between any two bytes of the body, so that each read goes well and the whole does not.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut_after: int | None = None
    drip_seconds: float | None = None

    @classmethod
    def error(cls, status: int, message: str = "", headers: dict[str, str] | None = None, **members: Any) -> Answer:
        """Return an error response of OpenAI; `members` are `code`, `type`, `param`."""
        document = {"error": {"message": message, "type": None, "param": None, "code": None, **members}}
        return cls(status, json.dumps(document).encode(), headers or {})

    @classmethod
    def rate_limited(cls, retry_after: str | None = "1") -> Answer:
        headers = {} if retry_after is None else {"retry-after": retry_after}
        return cls.error(429, "Rate limit reached", headers, code="rate_limit_exceeded")

    @classmethod
    def text(cls, text: str | None, **message: Any) -> Answer:
        """Return a successful response with this text."""
        return cls(body=json.dumps(completion({"role": "assistant", "content": text, **message})).encode())

    @classmethod
    def tool_call(cls, arguments: str, name: str = "record_answer") -> Answer:
        function = {"name": name, "arguments": arguments}
        return cls.text(None, tool_calls=[{"id": "call_1", "type": "function", "function": function}])

    @classmethod
    def page(cls, status: int = 200) -> Answer:
        return cls(status, b"<!DOCTYPE html><html><body>Welcome</body></html>", {"content-type": "text/html"})

    @classmethod
    def dripping(cls, seconds: float) -> Answer:
        content = json.dumps(completion({"role": "assistant", "content": "drop by drop"})).encode()
        return cls(body=content, drip_seconds=seconds)

    @classmethod
    def cut(cls, after_bytes: int = 0) -> Answer:
        return cls(body=json.dumps(completion({"role": "assistant", "content": "cut"})).encode(), cut_after=after_bytes)


Script = Callable[[SeenRequest], Answer | None]


class JudgeServer:
    """The running server. `requests` are all requests in order; `num_by_prompt` counts them by first user message."""

    def __init__(
        self,
        latency_seconds: float,
        script: Script | Sequence[Answer] | None,
        *,
        tools: str,
        json_schema: str,
        wants_max_completion_tokens: bool,
        key: str | None,
    ) -> None:
        self.base_url = ""
        self.latency_seconds = latency_seconds
        self.requests: list[SeenRequest] = []
        self.num_by_prompt: Counter[str] = Counter()
        self.num_connections = 0
        self.num_answered = 0
        self.num_in_flight_max = 0
        self._num_in_flight = 0
        self._script = script
        self._next_answers = list(script) if isinstance(script, Sequence) else []
        self._tools = tools
        self._json_schema = json_schema
        self._wants_max_completion_tokens = wants_max_completion_tokens
        self._key = key
        self._open = asyncio.Event()
        self._open.set()
        self._came = asyncio.Condition()

    def hold(self) -> None:
        """Accept requests without answering them until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def wait_for_requests(self, num: int) -> None:
        """Wait until that many requests were received, answered or not. The caller sets a timeout."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.requests) >= num)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one HTTP/1.1 connection, which stays open between requests."""
        self.num_connections += 1
        try:
            while (request := await _read(reader)) is not None:
                async with self._came:
                    self.requests.append(request)
                    self.num_by_prompt[request.first_prompt] += 1
                    self._came.notify_all()
                self._num_in_flight += 1
                self.num_in_flight_max = max(self.num_in_flight_max, self._num_in_flight)
                try:
                    await self._open.wait()
                    answer = self._answer(request)
                    delay = self.latency_seconds + answer.delay_seconds
                    if delay:
                        await asyncio.sleep(delay)
                finally:
                    self._num_in_flight -= 1
                content = _written(answer)
                if answer.cut_after is not None:
                    if answer.cut_after:
                        writer.write(content[: answer.cut_after])
                        await writer.drain()
                    break
                await _write(writer, content, answer)
                self.num_answered += 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, request: SeenRequest) -> Answer:
        if request.path.endswith("/models"):
            return _json({"object": "list", "data": [{"id": "test-judge", "object": "model"}]})
        if self._next_answers:
            return self._next_answers.pop(0)
        if callable(self._script) and (scripted := self._script(request)) is not None:
            return scripted
        body = request.body
        if self._key is not None and request.headers.get("authorization") != f"Bearer {self._key}":
            return Answer.error(401, "Incorrect API key provided", code="invalid_api_key")
        if self._wants_max_completion_tokens and "max_tokens" in body:
            return Answer.error(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        if "tools" in body and self._tools == "refuses":
            return Answer.error(400, "tools are not supported by this server", param="tools")
        if "response_format" in body and self._json_schema == "refuses":
            return Answer.error(400, "response_format json_schema is not supported", param="response_format")
        return _usual(body, request.first_prompt, self._tools == "has", self._json_schema == "has")


@asynccontextmanager
async def judge_server(
    latency_seconds: float = 0.0,
    script: Script | Sequence[Answer] | None = None,
    *,
    tools: str = "has",
    json_schema: str = "has",
    wants_max_completion_tokens: bool = False,
    key: str | None = None,
    port: int = 0,
) -> AsyncIterator[JudgeServer]:
    """Serve while the block lasts. `tools` and `json_schema` are "has", "ignores" or "refuses"; `key` is required."""
    judge = JudgeServer(
        latency_seconds,
        script,
        tools=tools,
        json_schema=json_schema,
        wants_max_completion_tokens=wants_max_completion_tokens,
        key=key,
    )
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(judge.serve(reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)
        # Needed if the task is cancelled before it starts: then `serve` never runs and closes nothing.
        connection.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=512)
    judge.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield judge
    finally:
        # A new connection needs two iterations of the loop to reach `accept`; a server closed in between loses it
        # (an assertion in asyncio 3.11), and its socket is closed by no one. So: take no more, wait, then close.
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        for connection in list(connections):
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)


def completion(message: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a chat completion of OpenAI with one message."""
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "test-judge",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        **members,
    }


def label_for(prompt: str, labels: Sequence[str]) -> str:
    """Return the label for a prompt: that of its marker, or one chosen by its hash."""
    marker = _LABEL_MARKER.search(prompt)
    if marker is not None:
        return marker[1]
    return labels[int.from_bytes(hashlib.sha256(prompt.encode("utf-8", "replace")).digest()[:4]) % len(labels)]


def text_for(prompt: str) -> str:
    """Return the text for a prompt without labels."""
    marker = _TEXT_MARKER.search(prompt)
    if marker is not None:
        return marker[1]
    return f"Answer {hashlib.sha256(prompt.encode('utf-8', 'replace')).hexdigest()[:8]}."


def _usual(body: dict[str, Any], prompt: str, has_tools: bool, has_json_schema: bool) -> Answer:
    choice = body.get("tool_choice")
    response_format = body.get("response_format") or {}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    members = {
        "model": body.get("model", "test-judge"),
        "usage": {
            "prompt_tokens": sum(len(str(m.get("content"))) for m in body.get("messages", [])) // 4,
            "completion_tokens": 20,
        },
    }
    if has_tools and isinstance(choice, dict):
        function = body["tools"][0]["function"]
        arguments = json.dumps(_object(function["parameters"], prompt))
        call = {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}
        message["tool_calls"] = [call]
    elif has_json_schema and response_format.get("type") == "json_schema":
        message["content"] = json.dumps(_object(response_format["json_schema"]["schema"], prompt))
    else:
        systems = " ".join(str(m.get("content")) for m in body.get("messages", []) if m.get("role") == "system")
        promised = _PROMISED_LABELS.search(systems)
        labels = json.loads(f"[{promised[1]}]") if promised else []
        message["content"] = f"Label: {label_for(prompt, labels)}" if labels else text_for(prompt)
    return _json(completion(message, **members))


def _object(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, property_ in schema["properties"].items():
        labels = property_.get("enum")
        made[name] = label_for(prompt, labels) if labels else "Because the test server says so."
    return made


def _json(document: dict[str, Any]) -> Answer:
    return Answer(body=json.dumps(document).encode())


async def _read(reader: asyncio.StreamReader) -> SeenRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return SeenRequest(start.split(" ")[1], headers, json.loads(content) if content else {})


async def _write(writer: asyncio.StreamWriter, content: bytes, answer: Answer) -> None:
    if answer.drip_seconds is None:
        writer.write(content)
        await writer.drain()
        return
    head = len(content) - len(answer.body)
    writer.write(content[:head])
    for byte in content[head:]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(answer.drip_seconds)


def _written(answer: Answer) -> bytes:
    headers = {"content-type": "application/json", "content-length": str(len(answer.body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + answer.body


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    async with judge_server(arguments.latency_ms / 1000, port=arguments.port) as judge:
        print(json.dumps({"base_url": judge.base_url}), flush=True)  # noqa: T201  a program's answer
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
