"""One call through `pydantic_ai.direct.model_request`, with our request and reply converted to and from the library's.

The import takes half a second before any provider's own library: `library` loads this module at the first call, in a
thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_ai import messages as library
from pydantic_ai.direct import model_request
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.answer_modes import (
    ANSWER_TOOL,
    ANSWER_TOOL_DESCRIPTION,
    JSON_SCHEMA,
    TEXT,
    TOOL_CALL,
    parse_json_object,
)
from evaltasks.engine.providers.library_errors import error_for, error_reply
from evaltasks.engine.providers.provider import CallRejected, ChatMessage, ChatReply, ChatRequest, PermanentFailure

__all__ = ["ask", "error_for", "error_reply", "has_json_schema"]


def has_json_schema(model: Any) -> bool:
    """Return True if the provider's API can constrain this model's answer to a JSON schema."""
    return bool(model.profile.get("supports_json_schema_output"))


async def ask(model: Any, request: ChatRequest, settings: JsonObject, mode: str) -> ChatReply:
    """Send one request.

    Args:
        model: The library's model.
        request: The request.
        settings: The library's settings.
        mode: How the answer is requested: TOOL_CALL, JSON_SCHEMA or TEXT.

    Raises:
        CallRejected: The answer was withheld by a content filter, or the model declined.
        Exception: Any error of the library; `error_for` classifies it.
    """
    parameters, settings = _parameters(model, request, settings, mode)
    messages = list(_messages(request.messages))
    answer = await model_request(model, messages, model_settings=settings, model_request_parameters=parameters)
    return _reply(answer, mode)


def _parameters(
    model: Any, request: ChatRequest, settings: JsonObject, mode: str
) -> tuple[ModelRequestParameters, JsonObject]:
    if mode == TOOL_CALL:
        tool = _definition(ANSWER_TOOL, ANSWER_TOOL_DESCRIPTION, request.answer_schema, kind="output")
        return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False), settings
    if mode == JSON_SCHEMA:
        return _json_schema_output(request.answer_schema, None), settings
    if request.answer_schema is not None:
        return ModelRequestParameters(), settings
    tool_config = request.parameters.get("tool_config") or {}
    tools = [_tool(tool) for tool in request.tools or tool_config.get("tools") or ()]
    if tools:
        choice = _tool_choice(request.tool_choice or tool_config.get("tool_choice"))
        chosen = settings if choice is None else {**settings, "tool_choice": choice}
        return ModelRequestParameters(function_tools=tools), chosen
    return _response_format(model, request.parameters.get("response_format") or {}), settings


def _json_schema_output(schema: JsonObject | None, name: str | None) -> ModelRequestParameters:
    output = OutputObjectDefinition(json_schema=schema or {"type": "object"}, name=name, strict=True)
    return ModelRequestParameters(output_mode="native", output_object=output)


def _response_format(model: Any, wanted: Mapping[str, Any]) -> ModelRequestParameters:
    kind = str(wanted.get("type") or "TEXT").upper()
    if kind == "TEXT":
        return ModelRequestParameters()
    schema = (wanted.get("json_schema") or {}).get("schema")
    if kind == JSON_SCHEMA.upper() and isinstance(schema, dict) and has_json_schema(model):
        return _json_schema_output(schema, (wanted.get("json_schema") or {}).get("name"))
    raise PermanentFailure(
        f"response_format {kind[:40]} is not supported for this model; use JSON_SCHEMA with a schema and a model that "
        "supports it, or ask for JSON in the prompt"
    )


def _tool(tool: JsonObject) -> ToolDefinition:
    """Convert a tool in OpenAI's or Anthropic's form."""
    function = tool.get("function")
    described = function if isinstance(function, dict) else tool
    name = described.get("name")
    if not isinstance(name, str) or not name:
        raise PermanentFailure("a tool of tool_config has no name; set its name")
    schema = described.get("parameters") or described.get("input_schema")
    return _definition(name, described.get("description"), schema, kind="function")


def _definition(name: str, description: str | None, schema: JsonObject | None, *, kind: Any) -> ToolDefinition:
    parameters = schema or {"type": "object", "properties": {}}
    return ToolDefinition(name=name, description=description, parameters_json_schema=parameters, kind=kind)


def _tool_choice(choice: Any) -> Any:
    """Convert a tool choice: `auto`, `none`, `required`, or a list with the one tool that must be called."""
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else choice.get("name")
        return [name] if isinstance(name, str) else None
    return choice.lower() if isinstance(choice, str) else None


def _messages(messages: Sequence[ChatMessage]) -> Iterable[library.ModelMessage]:
    tool_names: dict[str, str] = {}
    parts: list[library.ModelRequestPart] = []
    for message in messages:
        text = message.content or ""
        match message.role:
            case "assistant":
                if parts:
                    yield library.ModelRequest(parts=parts)
                    parts = []
                calls = [_call(call) for call in message.tool_calls or ()]
                tool_names |= {call.tool_call_id: call.tool_name for call in calls}
                yield library.ModelResponse(parts=[*([library.TextPart(text)] if text else []), *calls])
            case "system" | "developer":
                parts.append(library.SystemPromptPart(text))
            case "tool":
                call_id = message.tool_call_id or ""
                parts.append(library.ToolReturnPart(tool_names.get(call_id, "tool"), text, tool_call_id=call_id))
            case _:
                parts.append(library.UserPromptPart(text))
    if parts:
        yield library.ModelRequest(parts=parts)


def _call(call: JsonObject) -> library.ToolCallPart:
    function = call.get("function") or {}
    return library.ToolCallPart(str(function.get("name")), function.get("arguments"), tool_call_id=str(call.get("id")))


def _reply(answer: library.ModelResponse, mode: str) -> ChatReply:
    finish_reason = (answer.provider_details or {}).get("finish_reason")
    if answer.finish_reason == "content_filter":
        if finish_reason == "refusal":
            raise CallRejected("the model declined to answer", _text(answer)[:500] or None)
        raise CallRejected("the provider's content filter withheld the answer")
    text = _text(answer)
    calls = [part for part in answer.parts if isinstance(part, library.ToolCallPart)]
    structured: JsonObject | None = None
    answered_by = TEXT
    if mode == TOOL_CALL and calls:
        structured = parse_json_object(calls[0].args)
        answered_by = TOOL_CALL if structured is not None else TEXT
        text = text or calls[0].args_as_json_str()
    elif mode == JSON_SCHEMA:
        structured = parse_json_object(text)
        answered_by = JSON_SCHEMA if structured is not None else TEXT
    if not text and not calls and not answer.usage.has_values():
        raise CallRejected("the provider's answer has no message; is base_url the address of its API?")
    usage = answer.usage
    has_usage = usage.has_values()
    return ChatReply(
        text=text,
        structured=structured,
        answered_by=answered_by,
        model_name=answer.model_name,
        prompt_tokens=usage.input_tokens if has_usage else None,
        completion_tokens=usage.output_tokens if has_usage else None,
        tool_calls=[_openai_tool_call(call) for call in calls] or None,
        cache_read_tokens=usage.cache_read_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
    )


def _text(answer: library.ModelResponse) -> str:
    return "".join(part.content for part in answer.parts if isinstance(part, library.TextPart))


def _openai_tool_call(call: library.ToolCallPart) -> JsonObject:
    """Convert a tool call to OpenAI's form, which all providers use here."""
    function = {"name": call.tool_name, "arguments": call.args_as_json_str()}
    return {"id": call.tool_call_id, "type": "function", "function": function}
