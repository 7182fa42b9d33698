"""Tools that make what tasks refer to, called with settings of their own: directories, environment, the AX face.

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
        """The words of the refusal; fails the test when the call succeeds."""
        with pytest.raises((ValidationErrors, Refused, Problem, ClientError)) as caught:
            await self.call(spec, **arguments)
        return str(caught.value)


@asynccontextmanager
async def tools(
    *allowed_dirs: Path, environment: Mapping[str, str] | None = None, as_ax: bool = False
) -> AsyncIterator[AuthoringTools]:
    """`as_ax` makes the client believe that the other side is not an evaltasks engine."""
    given = dict(environment or {})
    async with tools_in_test(environment=given) as opened:
        if as_ax:
            opened.client.is_engine = False
        settings = ToolSettings(allowed_dirs=allowed_dirs, environment=given)
        yield AuthoringTools(opened.client, opened.seeds, settings=settings)
