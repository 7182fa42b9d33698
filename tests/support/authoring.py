"""Authoring tools, called with specific settings: allowed directories, environment, or as against AX.

async with tools(tmp_path) as it:
    answer = await it.call(IMPORT_SPANS, project="p", file="spans.jsonl")
    words = await it.refused(CREATE_DATASET, name="d")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evaltasks.api.problems import Problem
from evaltasks.client.errors import ClientError
from evaltasks.insight.validation import ValidationErrors
from evaltasks.tools.context import Refused, ToolSettings
from evaltasks.tools.spec import ToolSpec
from tests.support.tool_calls import ToolsInTest, tools_in_test


@dataclass
class AuthoringTools(ToolsInTest):
    async def refused(self, spec: ToolSpec[Any, Any], **arguments: Any) -> str:
        """Call a tool that must fail, and return the error text."""
        with pytest.raises((ValidationErrors, Refused, Problem, ClientError)) as caught:
            await self.call(spec, **arguments)
        return str(caught.value)


@asynccontextmanager
async def tools(
    *allowed_dirs: Path, environment: Mapping[str, str] | None = None, as_ax: bool = False
) -> AsyncIterator[AuthoringTools]:
    """Yield tools over an engine; with `as_ax` the client takes it for AX."""
    variables = dict(environment or {})
    async with tools_in_test(environment=variables) as opened:
        if as_ax:
            opened.client.is_engine = False
        settings = ToolSettings(allowed_dirs=allowed_dirs, environment=variables)
        yield AuthoringTools(opened.client, opened.seeds, settings=settings)
