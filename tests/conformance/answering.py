"""Fixtures that end a call with questions and continue with the answers: `input_required` of 2026-07-28."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import Context
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from evaltasks.face.server import EvaltasksServer


def _form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(prompt: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


def _questions(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _field(ctx: Context[Any, Any], key: str, field: str) -> object | None:
    """Return the user's answer, or None if this question is not answered yet."""
    answer = (ctx.input_responses or {}).get(key)
    if not isinstance(answer, ElicitResult) or answer.action != "accept":
        return None
    return (answer.content or {}).get(field)


def add_to(server: EvaltasksServer) -> None:
    _add_single(server)
    _add_several(server)

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Context[Any, Any]) -> Any:
        """Asks for its context."""
        context = _field(ctx, "user_context", "context")
        if context is None:
            return _questions(user_context=_form("What context should the prompt use?", "context"))
        return f"Use this context: {context}"


def _add_single(server: EvaltasksServer) -> None:
    @server.tool(structured_output=False)
    async def test_input_required_result_elicitation(ctx: Context[Any, Any]) -> Any:
        """Asks for a name."""
        name = _field(ctx, "user_name", "name")
        if name is None:
            return _questions(user_name=_form("What is your name?", "name"))
        return f"Hello, {name}!"

    @server.tool(structured_output=False)
    async def test_streaming_elicitation(ctx: Context[Any, Any]) -> Any:
        """Asks after some progress."""
        await ctx.report_progress(1, 2, "half way")
        if _field(ctx, "user_name", "name") is None:
            return _questions(user_name=_form("What is your name?", "name"))
        return "done"

    @server.tool(structured_output=False)
    async def test_input_required_result_sampling(ctx: Context[Any, Any]) -> Any:
        """Asks the client's model."""
        reply = (ctx.input_responses or {}).get("capital_question")
        if reply is None:
            return _questions(capital_question=_sample("What is the capital of France?", 100))
        return f"The model says: {reply}"

    @server.tool(structured_output=False)
    async def test_input_required_result_list_roots(ctx: Context[Any, Any]) -> Any:
        """Asks for the roots."""
        roots = (ctx.input_responses or {}).get("client_roots")
        if roots is None:
            return _questions(client_roots=ListRootsRequest())
        return f"The roots are: {roots}"

    @server.tool(structured_output=False)
    async def test_input_required_result_request_state(ctx: Context[Any, Any]) -> Any:
        """Brings its state back."""
        if _field(ctx, "confirm", "ok") is None or ctx.request_state != "kept":
            return _questions("kept", confirm=_form("Please confirm", "ok", "boolean"))
        return "state-ok"

    @server.tool(structured_output=False)
    async def test_input_required_result_tampered_state(ctx: Context[Any, Any]) -> Any:
        """Refuses a state that was changed (the SDK's seal does)."""
        if _field(ctx, "confirm", "ok") is None:
            return _questions("sealed", confirm=_form("Please confirm", "ok", "boolean"))
        return "state-ok"


def _add_several(server: EvaltasksServer) -> None:
    @server.tool(structured_output=False)
    async def test_input_required_result_multiple_inputs(ctx: Context[Any, Any]) -> Any:
        """Asks three things at once."""
        answered = set(ctx.input_responses or {})
        if not {"user_name", "greeting", "client_roots"} <= answered:
            return _questions(
                "three",
                user_name=_form("What is your name?", "name"),
                greeting=_sample("Generate a greeting", 50),
                client_roots=ListRootsRequest(),
            )
        return "all three came"

    @server.tool(structured_output=False)
    async def test_input_required_result_multi_round(ctx: Context[Any, Any]) -> Any:
        """Asks one thing after the other."""
        name, color = _field(ctx, "step1", "name"), _field(ctx, "step2", "color")
        state = ctx.request_state or ""
        if color is not None and state.startswith("color for "):
            return f"{state.removeprefix('color for ')} likes {color}"
        if name is not None and state == "name":
            return _questions(f"color for {name}", step2=_form("Step 2: What is your favorite color?", "color"))
        return _questions("name", step1=_form("Step 1: What is your name?", "name"))

    @server.tool(structured_output=False)
    async def test_input_required_result_capabilities(ctx: Context[Any, Any]) -> Any:
        """Asks only what the client can answer."""
        capabilities = ctx.client_capabilities
        if ctx.input_responses:
            return "answered"
        questions: dict[str, InputRequest] = {}
        if capabilities is not None and capabilities.elicitation is not None:
            questions["user_name"] = _form("What is your name?", "name")
        if capabilities is not None and capabilities.sampling is not None:
            questions["greeting"] = _sample("Generate a greeting", 50)
        return _questions("asked", **questions)
