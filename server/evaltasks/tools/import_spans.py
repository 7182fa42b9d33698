"""`import_spans`: OpenInference spans from rows or a file into a project of the embedded engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field

from evaltasks.api.problems import Conflict, Problem
from evaltasks.api.projects import CreateProject
from evaltasks.api.spans import IncomingSpan, IngestSpans
from evaltasks.api.wire import JsonObject, Timestamp
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError, NotResolved
from evaltasks.client.references import PROJECT, id_in
from evaltasks.client.resolve import Named
from evaltasks.insight.span_rows import ignored_columns, incoming_span
from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import NameText, Text
from evaltasks.tools.rows import Rows, batches, json_row, open_source, source_issues, validate_rows
from evaltasks.tools.spec import Effect, Group, Input, Output, Provided, ToolSpec

KINDS_SHOWN_MAX = 15
# The longest window that a task run takes.
WINDOW_MAX = timedelta(days=30)


class ImportSpansInput(Input):
    project: NameText = Field(
        description="Name or id of the project. A project of a new name is made, and the answer says so."
    )
    rows: Rows | None = Field(
        None,
        description='The spans, 1-1000 objects, such as {"name": "answer", "start_time": "2026-11-01T10:00:00Z", '
        '"attributes.openinference.span.kind": "LLM", "attributes.input.value": "…", "attributes.output.value": "…"}; '
        "nested objects and the columns of AX exports are read too. start_time is required; missing ids are made.",
    )
    file: Text | None = Field(
        None,
        description="Instead of rows: path of a .jsonl, .csv or .parquet file below a directory the server may read.",
    )
    space: Text | None = Field(None, description="Name or id of the space. Default: the default space.")


class ImportSpansOutput(Output):
    project_id: str
    project: str
    project_was_made: bool
    num_rows: int
    num_added: int
    num_replaced: int = Field(description="Rows whose span the project already had; the new content stands.")
    data_start_time: Timestamp = Field(description="With data_end_time the window of a task run over these spans, UTC.")
    data_end_time: Timestamp
    span_kinds: dict[str, int]
    next_step: str

    def text(self) -> str:
        return (
            f"{self.num_added} spans added, {self.num_replaced} replaced in project {self.project} "
            f"({self.project_id}). {self.next_step}"
        )


class _Tally:
    """What is told about the rows besides their number."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self.ignored: set[str] = set()
        self.first = datetime.max.replace(tzinfo=UTC)
        self.last = datetime.min.replace(tzinfo=UTC)

    def convert(self, row: JsonObject, number: int) -> IncomingSpan:
        span = incoming_span(json_row(row, number), number)
        self.ignored |= ignored_columns(row)
        kind = span.kind or str(span.attributes.get("openinference.span.kind", "unknown"))[:40]
        self.kinds[kind.lower()] = self.kinds.get(kind.lower(), 0) + 1
        self.first = min(self.first, span.start_time)
        self.last = max(self.last, span.start_time)
        return span

    def window(self) -> tuple[datetime, datetime]:
        """Whole seconds around all spans; never empty, also for one span alone."""
        return self.first.replace(microsecond=0), self.last.replace(microsecond=0) + timedelta(seconds=1)


def _check(given: Provided) -> tuple[str, list[ValidationIssue]]:
    return "", source_issues(given)


async def _import(call: ImportSpansInput, context: ToolContext) -> ImportSpansOutput:
    client = context.client
    if not client.is_engine:
        raise Refused(
            "AX takes spans over OpenTelemetry (OTLP), not over its REST API, so they cannot be imported through here. "
            "Send them with the arize-otel package or an OTLP exporter, then use the project by name; or start this "
            "server with the embedded backend to work on a local copy."
        )
    source = open_source(call.rows, call.file, context)
    tally = _Tally()
    total = await validate_rows(SPEC.name, "file" if call.file else "rows", source, tally.convert)
    project, was_made = await _project(client, call.project, call.space or context.settings.default_space, context)
    added = replaced = 0
    async for batch in batches(source, incoming_span):
        try:
            answer = await client.spans.ingest(project.id, IngestSpans(spans=batch))
        except (Problem, ClientError):
            if not added + replaced:
                raise
            raise Refused(
                f"{added + replaced} of {total} spans are in the project; then a part failed. Call again with the same "
                "rows: spans that are there already are replaced, none is doubled."
            ) from None
        added += answer.num_added
        replaced += answer.num_replaced
        await context.progress.report(added + replaced, total, f"{added + replaced} of {total} spans")
    if tally.ignored:
        named = ", ".join(sorted(column[:60] for column in tally.ignored)[:10])
        context.note(
            f"{len(tally.ignored)} columns of evaluations or annotations were not imported ({named}): evaluations "
            "come from task runs."
        )
    start, end = tally.window()
    if end - start > WINDOW_MAX:
        context.note(
            f"The spans lie {(end - start).days} days apart; the window of a task run holds {WINDOW_MAX.days}."
        )
    name = project.name or call.project
    kinds = dict(sorted(tally.kinds.items(), key=lambda pair: -pair[1])[:KINDS_SHOWN_MAX])
    return ImportSpansOutput(
        project_id=project.id,
        project=name,
        project_was_made=was_made,
        num_rows=total,
        num_added=added,
        num_replaced=replaced,
        data_start_time=start,
        data_end_time=end,
        span_kinds=kinds,
        next_step=(
            f"Make an evaluator with create_evaluator, then create_evaluation_task(project={project.id!r}, …) and "
            "trigger_task_run with data_start_time and data_end_time as answered here."
        ),
    )


async def _project(client: Client, text: str, space: str | None, context: ToolContext) -> tuple[Named, bool]:
    """The project, made when nothing has its name. Raises NotResolved when several have, or for a wrong id or link."""
    try:
        return await client.resolve.project(text, space), False
    except NotResolved as error:
        is_name = not text.lower().startswith(("http://", "https://")) and _is_name(text)
        if not is_name or any(name == text for name, _ in error.candidates):
            raise
        near = ", ".join(f"'{name}'" for name, _ in error.candidates[:3])
    home = await client.resolve.space(space)
    try:
        made = await client.projects.create(CreateProject(name=text, space_id=home.id))
    except Conflict:
        # Somebody made it in between.
        return await client.resolve.project(text, home.id), False
    context.note(f"No project had this name, so it was made.{f' Names near to it: {near}.' if near else ''}")
    return Named(made.id, made.name), True


def _is_name(text: str) -> bool:
    try:
        return id_in(text, PROJECT) is None
    except NotResolved:
        return False


SPEC = ToolSpec(
    name="import_spans",
    title="Import spans",
    description=(
        "Import traces of an LLM application for evaluation: puts OpenInference spans into a project of the "
        "embedded engine, from rows (up to 1000) or a local JSONL, CSV or Parquet file of any length, with "
        "the columns of AX or Phoenix exports as they are. All rows are checked first; if one is bad nothing "
        "is sent and the bad rows are named. Importing the same rows again replaces them. On AX it is "
        "refused: there, spans arrive over OpenTelemetry. Use it when the traces are in a file or in the "
        "conversation."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=ImportSpansInput,
    output=ImportSpansOutput,
    handler=_import,
    validate=_check,
    example={
        "project": "support-bot",
        "rows": [
            {
                "name": "answer",
                "start_time": "2026-11-01T10:00:00Z",
                "attributes.openinference.span.kind": "LLM",
                "attributes.input.value": "Where is my order?",
                "attributes.output.value": "May I have the order number?",
            }
        ],
    },
    idempotent=True,
)
