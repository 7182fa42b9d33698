"""Traces and sessions for tests, seeded span by span through the REST API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from tests.support.engines import SPANS_START, EngineInTest


def span(
    trace: str,
    at: float,
    output: str | None = None,
    *,
    id: str | None = None,
    parent: str | None = None,
    session: str | None = None,
    kind: str = "LLM",
    input: str | None = None,
    **attributes: object,
) -> dict[str, Any]:
    """Return one span, `at` seconds after the common start; a root span unless it has a parent."""
    columns = {"input.value": input, "output.value": output, "session.id": session, **attributes}
    start = SPANS_START + timedelta(seconds=at)
    return {
        "name": "span",
        "trace_id": trace,
        "span_id": id or f"{trace}-{at}",
        "parent_id": parent,
        "kind": kind,
        "start_time": start.isoformat(),
        "end_time": start.isoformat(),
        "attributes": {key: value for key, value in columns.items() if value is not None},
    }


async def put(it: EngineInTest, project: str, spans: Iterable[Mapping[str, Any]]) -> None:
    await it.ask("POST", f"/evaltasks/v1/projects/{project}/spans", {"spans": list(spans)})


async def seed_group_task(
    it: EngineInTest, project: str, evaluators: Iterable[str | Mapping[str, Any]], **fields: object
) -> str:
    """Seed a template evaluation task; an evaluator is an id or a whole attachment."""
    attachments = [{"evaluator_id": one} if isinstance(one, str) else dict(one) for one in evaluators]
    body = {"name": f"task {fields!r}", "type": "TEMPLATE_EVALUATION", "project_id": project, "evaluators": attachments}
    return str((await it.ask("POST", "/v2/tasks", {**body, **fields}))["id"])


def mapped(evaluator: str, *mappings: tuple[str, str] | tuple[str, str, list[str]]) -> dict[str, Any]:
    """Return an attachment; a mapping is (variable, path) or (variable, path, query ids)."""
    return {
        "evaluator_id": evaluator,
        "query_mappings": [
            {"variable_name": one[0], "attribute_path": one[1], "query_ids": one[2] if len(one) > 2 else []}
            for one in mappings
        ],
    }


async def spans_of(it: EngineInTest, project: str, **body: object) -> list[dict[str, Any]]:
    """Return the listed spans of the project, newest first."""
    window = {"start_time": "2026-02-01T00:00:00Z", "end_time": "2026-04-30T00:00:00Z"}
    page = await it.ask("POST", "/v2/spans?limit=500", {"project_id": project, **window, **body})
    found: list[dict[str, Any]] = page["spans"]
    return found
