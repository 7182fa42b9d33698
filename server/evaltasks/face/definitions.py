"""MCP tool definitions made from tool specs. The four safety hints follow from the effect of a tool."""

from __future__ import annotations

from typing import Any

from mcp.types import Tool, ToolAnnotations

from evaltasks.tools.schema import input_schema, output_schema
from evaltasks.tools.spec import Effect, ToolSpec


def tool_definition(spec: ToolSpec[Any, Any]) -> Tool:
    """Return the tool as it is listed; deterministic, so that a file can pin it and clients can cache it."""
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=input_schema(spec),
        output_schema=output_schema(spec),
        annotations=safety_hints(spec),
    )


def safety_hints(spec: ToolSpec[Any, Any]) -> ToolAnnotations:
    """Return all four hints, because a host guesses missing ones.

    Every tool uses a service whose data others change and untrusted sources wrote (spans, judge outputs), so
    `open_world_hint` is true for all of them, even if the service is the embedded engine.
    """
    reads = spec.effect is Effect.READS
    return ToolAnnotations(
        title=spec.title,
        read_only_hint=reads,
        destructive_hint=spec.effect in {Effect.DESTROYS, Effect.CHANGES},
        idempotent_hint=reads or spec.idempotent,
        open_world_hint=True,
    )
