"""Fixtures that ask while the call is open: sampling and elicitation of 2025-11-25."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ElicitResult,
    SamplingMessage,
    TextContent,
)

from evaltasks.face.server import EvaltasksServer

DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    },
    "required": [],
}


def _titled(**titles: str) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles.items()]


ENUMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": _titled(value1="First Option", value2="Second Option", value3="Third Option"),
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": _titled(value1="First Choice", value2="Second Choice", value3="Third Choice")},
        },
    },
    "required": [],
}


async def _ask(ctx: Context[Any, Any], message: str, schema: dict[str, Any]) -> ElicitResult:
    answer: ElicitResult = await ctx.session.elicit_form(
        message, schema, related_request_id=ctx.request_context.request_id
    )
    return answer


def add_to(server: EvaltasksServer) -> None:
    @server.tool()
    async def test_sampling(prompt: str, ctx: Context[Any, Any]) -> str:
        """Asks the client's model."""
        reply = await ctx.session.create_message(
            [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))],
            max_tokens=100,
            related_request_id=ctx.request_context.request_id,
        )
        content = reply.content
        return f"LLM response: {content.text if isinstance(content, TextContent) else 'none'}"

    @server.tool()
    async def test_elicitation(message: str, ctx: Context[Any, Any]) -> str:
        """Asks the person."""
        schema = {
            "type": "object",
            "properties": {"response": {"type": "string", "description": "User's response"}},
            "required": ["response"],
        }
        answer = await _ask(ctx, message, schema)
        return f"User response: action={answer.action}, content={answer.content}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context[Any, Any]) -> str:
        """Asks with a default for each type."""
        answer = await _ask(ctx, "Please review and update the form fields with defaults", DEFAULTS)
        return f"Elicitation completed: action={answer.action}, content={answer.content}"

    @server.tool()
    async def test_elicitation_sep1330_enums(ctx: Context[Any, Any]) -> str:
        """Asks with every way to write a choice."""
        answer = await _ask(ctx, "Please select options from the enum fields", ENUMS)
        return f"Elicitation completed: action={answer.action}, content={answer.content}"

    @server.tool()
    async def test_missing_capability(ctx: Context[Any, Any]) -> str:
        """Needs a client that samples."""
        capabilities = ctx.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                "This tool needs a client that samples",
                {"requiredCapabilities": {"sampling": {}}},
            )
        return "it samples"
