"""The columns that a filter may name, by target, and how each is read in SQL.

The tables are closed: no part of a filter's text becomes SQL; names and JSON paths are bound as parameters. Only
examples and experiment runs accept any other name, because their columns are the user's own.

Each target reads one table alias: `s` is `spans`, `x` is `examples`, `r` is `experiment_runs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Literal, TypeAlias

from evaltasks.api.spans import SpanKind, SpanStatus
from evaltasks.engine.filters.syntax import Column
from evaltasks.engine.filters.tokens import problem

_CANDIDATES_MAX = 3
_SHOWN_MAX = 60
_EVALUATION_FIELDS: Mapping[str, ValueType] = {"label": "text", "score": "number", "explanation": "text"}
_ANNOTATION_FIELDS: Mapping[str, ValueType] = {"label": "text", "score": "number", "text": "text"}

# The type of a column's values. text, number: every value has that type, and the literal must have it too. time:
# microseconds, compared with RFC 3339 texts. word: one of a closed list of words in upper case; a filter may use any
# letter case. any: JSON, each value with its own type. events: the texts in the attributes of a span's events.
ValueType: TypeAlias = Literal["text", "number", "time", "word", "any", "events"]


class Target(Enum):
    """What a filter selects from."""

    SPAN = "spans"
    EXAMPLE = "examples"
    EXPERIMENT_RUN = "experiment runs"


@dataclass(frozen=True, slots=True)
class Stored:
    """A column of the table itself. `words` is the closed list of a column of the type "word"."""

    sql: str
    value_type: ValueType
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A value inside a JSON column, at a dotted path."""

    document_sql: str
    path: str


@dataclass(frozen=True, slots=True)
class OfEvaluation:
    """A field of the newest evaluation with that name or, with `path`, a value inside its metadata.

    An experiment run without such an evaluation may have been uploaded with one as a column: `own` reads that column.
    """

    row_kind: Literal["span", "experiment_run"]
    row_seq_sql: str
    name: str
    field: str
    path: str | None = None
    own: Member | None = None

    @property
    def value_type(self) -> ValueType:
        return "any" if self.path is not None else _EVALUATION_FIELDS[self.field]


@dataclass(frozen=True, slots=True)
class OfGroupEvaluation:
    """Like OfEvaluation, for the trace or session that the span belongs to."""

    row_kind: Literal["trace", "session"]
    row_id_sql: str
    name: str
    field: str
    path: str | None = None

    @property
    def value_type(self) -> ValueType:
        return "any" if self.path is not None else _EVALUATION_FIELDS[self.field]


@dataclass(frozen=True, slots=True)
class OfAnnotation:
    """A field of the annotation with that name."""

    row_kind: Literal["span", "example", "experiment_run"]
    row_seq_sql: str
    name: str
    field: str

    @property
    def value_type(self) -> ValueType:
        return _ANNOTATION_FIELDS[self.field]


Reading: TypeAlias = Stored | Member | OfEvaluation | OfGroupEvaluation | OfAnnotation

_KIND = Stored("s.kind", "word", tuple(SpanKind))
_SPAN: Mapping[str, Stored] = {
    "name": Stored("s.name", "text"),
    "span_kind": _KIND,
    "attributes.openinference.span.kind": _KIND,
    "status_code": Stored("s.status_code", "word", tuple(SpanStatus)),
    "status_message": Stored("s.status_message", "text"),
    "latency_ms": Stored("s.latency_ms", "number"),
    "start_time": Stored("s.start_us", "time"),
    "end_time": Stored("s.end_us", "time"),
    "parent_id": Stored("s.parent_id", "text"),
    "context.trace_id": Stored("s.trace_id", "text"),
    "context.span_id": Stored("s.span_id", "text"),
    "attributes.session.id": Stored("s.session_id", "text"),
    "event.attributes": Stored("s.events", "events"),
}
_EXAMPLE: Mapping[str, Stored] = {
    "id": Stored("x.id", "text"),
    "created_at": Stored("x.created_us", "time"),
    "updated_at": Stored("x.updated_us", "time"),
}
_EXPERIMENT_RUN: Mapping[str, Stored] = {
    "id": Stored("r.id", "text"),
    "example_id": Stored("r.example_id", "text"),
    "output": Stored("r.output", "text"),
    "error": Stored("r.error", "text"),
}
STORED: Mapping[Target, Mapping[str, Stored]] = {
    Target.SPAN: _SPAN,
    Target.EXAMPLE: _EXAMPLE,
    Target.EXPERIMENT_RUN: _EXPERIMENT_RUN,
}
_PATTERNS = (
    "attributes.<path>",
    "metadata.<key>",
    "eval.<name>.label|score|explanation (also trace_eval, session_eval)",
    "annotation.<name>.label|score|text",
)
_SESSION_OF_TRACE = (
    "(SELECT m.session_id FROM spans AS m WHERE m.project_id = s.project_id AND m.trace_id = s.trace_id "
    "AND m.session_id IS NOT NULL ORDER BY m.start_us, m.seq LIMIT 1)"
)
# A span belongs to the session that it names or else to the one that its trace names.
_GROUPS: Mapping[str, tuple[Literal["trace", "session"], str]] = {
    "trace_eval": ("trace", "s.trace_id"),
    "session_eval": ("session", f"coalesce(s.session_id, {_SESSION_OF_TRACE})"),
}


def read_column(column: Column, target: Target, field: str) -> Reading:
    """Return how a column is read.

    Args:
        column: The column of the filter.
        target: What the filter selects from.
        field: The name of the filter in error messages.

    Raises:
        Unprocessable: If the target does not have the column; the message names the most similar ones.
    """
    name = column.path
    if name in STORED[target]:
        return STORED[target][name]
    head, _, rest = name.partition(".")
    if rest and (feedback := _read_feedback(column, head, rest, target, field)) is not None:
        return feedback
    match target:
        case Target.SPAN:
            if head in {"attributes", "metadata"} and rest:
                return Member("s.attributes", rest if head == "attributes" else name)
            raise _unknown(column, field)
        case Target.EXAMPLE:
            return Member("x.columns", name)
        case Target.EXPERIMENT_RUN:
            return Member("r.columns", name)


def _read_feedback(
    column: Column, head: str, rest: str, target: Target, field: str
) -> OfEvaluation | OfGroupEvaluation | OfAnnotation | None:
    """Return the column as an evaluation or annotation; None if it is neither of them on this target."""
    if head == "eval" and target is not Target.EXAMPLE:
        return _read_evaluation(column, rest, target, field)
    if head in _GROUPS and target is Target.SPAN:
        kind, row_id = _GROUPS[head]
        return OfGroupEvaluation(kind, row_id, *_evaluation_field(column, rest, field))
    return _read_annotation(column, rest, target, field) if head == "annotation" else None


def _read_evaluation(column: Column, rest: str, target: Target, field: str) -> OfEvaluation:
    row_kind: Literal["span", "experiment_run"] = "span" if target is Target.SPAN else "experiment_run"
    row_seq = "s.seq" if target is Target.SPAN else "r.seq"
    own = None if target is Target.SPAN else Member("r.columns", column.path)
    return OfEvaluation(row_kind, row_seq, *_evaluation_field(column, rest, field), own)


def _evaluation_field(column: Column, rest: str, field: str) -> tuple[str, str, str | None]:
    """Split `<name>.label`, `.score`, `.explanation` or `.metadata.<path>` into name, field and path.

    The name may contain dots.
    """
    name, dot, last = rest.rpartition(".")
    if dot and name and last in _EVALUATION_FIELDS:
        return name, last, None
    name, inside, path = rest.partition(".metadata.")
    if inside and name and path:
        return name, "metadata", path
    head = column.path.partition(".")[0]
    raise problem(
        field,
        column.at,
        f"write an evaluation as {head}.<name>.label, .score, .explanation or .metadata.<key>.",
    )


def _read_annotation(column: Column, rest: str, target: Target, field: str) -> OfAnnotation:
    """Read `<name>.label`, `.score` or `.text`; the name may contain dots."""
    name, dot, last = rest.rpartition(".")
    if not (dot and name and last in _ANNOTATION_FIELDS):
        raise problem(field, column.at, "write an annotation as annotation.<name>.label, .score or .text.")
    match target:
        case Target.SPAN:
            return OfAnnotation("span", "s.seq", name, last)
        case Target.EXAMPLE:
            return OfAnnotation("example", "x.seq", name, last)
        case Target.EXPERIMENT_RUN:
            return OfAnnotation("experiment_run", "r.seq", name, last)


def _unknown(column: Column, field: str) -> Exception:
    """Return the problem for an unknown column of spans, with the most similar columns and all columns."""
    name = column.path
    same_end = [known for known in sorted(_SPAN, key=len) if known.endswith((f".{name}", f"_{name}"))]
    near = get_close_matches(name.lower(), _SPAN, n=_CANDIDATES_MAX, cutoff=0.7)
    path = [f"attributes.{name}"] if "." in name and len(name) <= _SHOWN_MAX else []
    nearest = ", ".join(list(dict.fromkeys([*same_end, *near, *path]))[:_CANDIDATES_MAX])
    shown = f"column '{name}'" if len(name) <= _SHOWN_MAX else "such column"
    remedy = f"Nearest: {nearest}. " if nearest else ""
    known = ", ".join([*sorted(_SPAN), *_PATTERNS])
    return problem(field, column.at, f"spans have no {shown}. {remedy}Known: {known}.")
