"""What a host sees of a tool: the spec as a protocol tool. The four safety hints follow from the effect alone."""

from __future__ import annotations

from typing import Any

from mcp.types import Tool, ToolAnnotations

from evaltasks.tools.schema import input_schema, output_schema
from evaltasks.tools.spec import Effect, ToolSpec


def tool_definition(spec: ToolSpec[Any, Any]) -> Tool:
    """The tool as listed; deterministic, so that it can be frozen in a file and cached by clients."""
    return Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        input_schema=input_schema(spec),
        output_schema=output_schema(spec),
        annotations=safety_hints(spec),
    )


def safety_hints(spec: ToolSpec[Any, Any]) -> ToolAnnotations:
    """All four hints, always: what a host finds missing it guesses.

    Every tool reaches into a service whose contents others change and strangers wrote (spans, outputs of judges),
    so the world is open for all of them, also when the service is the embedded one.
    """
    reads = spec.effect is Effect.READS
    return ToolAnnotations(
        title=spec.title,
        read_only_hint=reads,
        destructive_hint=spec.effect in {Effect.DESTROYS, Effect.CHANGES},
        idempotent_hint=reads or spec.idempotent,
        open_world_hint=True,
    )
