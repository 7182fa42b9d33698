"""`import_spans`: import OpenInference spans from rows or a file into a project of the embedded engine."""

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
        description="Name or id of the project. If no project has this name, it is created with a note."
    )
    rows: Rows | None = Field(
        None,
        description='The spans, 1-1000 objects, such as {"name": "answer", "start_time": "2026-11-01T10:00:00Z", '
        '"attributes.openinference.span.kind": "LLM", "attributes.input.value": "…", "attributes.output.value": "…"}; '
        "nested objects and the columns of AX exports are accepted too. start_time is required; missing ids are "
        "created.",
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
    num_replaced: int = Field(description="Rows whose span the project already had; its content was replaced.")
    data_start_time: Timestamp = Field(
        description="Start (UTC) of the data window that contains these spans, for trigger_task_run."
    )
    data_end_time: Timestamp
    span_kinds: dict[str, int]
    next_step: str

    def text(self) -> str:
        return (
            f"{self.num_added} spans added, {self.num_replaced} replaced in project {self.project} "
            f"({self.project_id}). {self.next_step}"
        )


class _Tally:
    """Collects kinds, times and ignored columns of the rows while they are validated."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self.ignored: set[str] = set()
        self.first = datetime.max.replace(tzinfo=UTC)
        self.last = datetime.min.replace(tzinfo=UTC)

    def convert(self, row: JsonObject, number: int) -> IncomingSpan:
        """Return the span of a row. Raises RowError for a row that is not valid."""
        span = incoming_span(json_row(row, number), number)
        self.ignored |= ignored_columns(row)
        kind = span.kind or str(span.attributes.get("openinference.span.kind", "unknown"))[:40]
        self.kinds[kind.lower()] = self.kinds.get(kind.lower(), 0) + 1
        self.first = min(self.first, span.start_time)
        self.last = max(self.last, span.start_time)
        return span

    def window(self) -> tuple[datetime, datetime]:
        """Return start and end of all spans in whole seconds. The window of a single span is one second long."""
        return self.first.replace(microsecond=0), self.last.replace(microsecond=0) + timedelta(seconds=1)


def _validate(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    return "", source_issues(arguments)


async def _import(call: ImportSpansInput, context: ToolContext) -> ImportSpansOutput:
    client = context.client
    if not client.is_engine:
        raise Refused(
            "AX accepts spans over OpenTelemetry (OTLP) and not over its REST API, so this tool cannot import them. "
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
                f"{added + replaced} of {total} spans were imported; the next batch failed. Call again with the same "
                "rows: existing spans are replaced and not duplicated."
            ) from None
        added += answer.num_added
        replaced += answer.num_replaced
        await context.progress.report(added + replaced, total, f"{added + replaced} of {total} spans")
    if tally.ignored:
        named = ", ".join(sorted(column[:60] for column in tally.ignored)[:10])
        context.note(
            f"{len(tally.ignored)} columns of evaluations or annotations were not imported ({named}): task runs create "
            "evaluations."
        )
    start, end = tally.window()
    if end - start > WINDOW_MAX:
        context.note(
            f"The spans cover {(end - start).days} days; the data window of a task run covers at most "
            f"{WINDOW_MAX.days}."
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
            f"Create an evaluator with create_evaluator, then call create_evaluation_task(project={project.id!r}, …) "
            "and trigger_task_run with the data_start_time and data_end_time of this result."
        ),
    )


async def _project(client: Client, text: str, space: str | None, context: ToolContext) -> tuple[Named, bool]:
    """Return the project, and whether it was created because no project has the name.

    Raises:
        NotResolved: Several projects have the name, or the text is an id or link of no project.
    """
    try:
        return await client.resolve.project(text, space), False
    except NotResolved as error:
        is_name = not text.lower().startswith(("http://", "https://")) and _is_name(text)
        if not is_name or any(name == text for name, _ in error.candidates):
            raise
        similar = ", ".join(f"'{name}'" for name, _ in error.candidates[:3])
    space_ref = await client.resolve.space(space)
    try:
        made = await client.projects.create(CreateProject(name=text, space_id=space_ref.id))
    except Conflict:
        # Another client created it in the meantime.
        return await client.resolve.project(text, space_ref.id), False
    context.note(f"No project had this name, so it was created.{f' Similar names: {similar}.' if similar else ''}")
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
        "Import traces of an LLM application for evaluation: OpenInference spans, from rows (up to 1000) or a "
        "local JSONL, CSV or Parquet file of any length, into a project of the embedded engine. Columns of AX "
        "and Phoenix exports are accepted unchanged. All rows are validated first; if one is invalid, nothing "
        "is sent and the invalid rows are listed. Importing the same rows again replaces them. AX does not "
        "support it: send spans there over OpenTelemetry. Use it when the traces are in a file or in the "
        "conversation."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=ImportSpansInput,
    output=ImportSpansOutput,
    handler=_import,
    validate=_validate,
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
