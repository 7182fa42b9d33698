"""Read the values of an evaluator's variables for a trace or session from its spans.

* A mapped variable: the values at its path of the spans that match its query ids (of all spans without ids), in time
  order, joined by ", ". A variable with several mappings has the values of each.
* `conversation` of a session, unless it is mapped: a JSON array of `{"input", "output"}`, one turn for each root span
  (the first span of a trace without one), in the order of the traces.
* A variable without a mapping: the column of its name, as for a span, of the root spans; if they have none, of all.

The traces of a session are in the order of their first spans. The spans are those that the row has when it is judged,
in the window or not: half a conversation is never judged. A value has at most 100,000 characters, and so have the
values of a session together. Spans are read one after the other, so only the values are kept in memory.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from evaltasks.api.evaluator_kinds import DataGranularity
from evaltasks.api.tasks import QueryId, QueryMapping
from evaltasks.engine.evaluators.outcome import Failed
from evaltasks.engine.evaluators.prompt import text_of
from evaltasks.engine.filters.compile import Target, compile_filter
from evaltasks.engine.runs.joining import CHARACTERS_MAX, Conversation, JoinedText, Turn, allot_characters
from evaltasks.engine.runs.mapping import Columns, span_columns, unmapped_value, value_at
from evaltasks.engine.runs.plan import ROW_KINDS, EvaluationPlan
from evaltasks.engine.store.groups import spans_of_trace, trace_ids_of_session
from evaltasks.engine.store.spans import evaluations_for
from evaltasks.engine.store.store import Row, Transaction

CONVERSATION = "conversation"
_EVALUATIONS = ("eval.", "trace_eval.", "session_eval.")
_EVALUATION_FIELDS = ("label", "score", "explanation")


@dataclass(frozen=True, slots=True)
class GroupValues:
    """The values of the variables; `truncated` has the number of characters left of each truncated value."""

    values: Mapping[str, object]
    num_spans: int
    truncated: Mapping[str, int] = field(default_factory=dict)


class GroupReader:
    """Reads the values of one task run's rows, traces or sessions of one project."""

    def __init__(self, plan: EvaluationPlan, project_id: str) -> None:
        self._project_id = project_id
        self._is_session = plan.granularity is DataGranularity.SESSION
        self._kind = ROW_KINDS[plan.granularity]
        self._mappings = plan.query_mappings
        query_ids = {
            id_ for mappings in plan.query_mappings.values() for mapping in mappings for id_ in mapping.query_ids
        }
        compiled = {
            id_: compile_filter(plan.filters[id_], Target.SPAN, prefix=f"q{id_.lower()}", field=f"query_filters.{id_}")
            for id_ in sorted(query_ids)
        }
        self._query_columns = "".join(f", ({filter_.sql}) AS takes_{id_}" for id_, filter_ in compiled.items())
        self._filter_values = {key: value for filter_ in compiled.values() for key, value in filter_.values.items()}
        self._reads_evaluations = any(path.startswith(_EVALUATIONS) for path in plan.paths)

    def read(self, tx: Transaction, row_id: str, version_id: str, variables: Sequence[str]) -> GroupValues | Failed:
        """Return the value of every variable, or the failure that names the first variable without one."""
        collector = _VariableCollector(variables, self._mappings.get(version_id, ()), self._is_session)
        num_spans = 0
        for trace_id in self._traces(tx, row_id):
            with closing(self._spans(tx, trace_id)) as spans:
                for row in spans:
                    num_spans += 1
                    collector.add_span(row, self._columns(tx, row))
                    if collector.is_full:
                        break
            collector.end_trace()
            if collector.is_full:
                break
        if not num_spans:
            return Failed(f"the {self._kind} was deleted before it was evaluated")
        missing = collector.first_variable_without_value()
        if missing is not None:
            return Failed(_no_value_reason(missing, self._mappings.get(version_id, ()), self._kind))
        values, truncated = collector.values(CHARACTERS_MAX if self._is_session else None)
        return GroupValues(values, num_spans, truncated)

    def _traces(self, tx: Transaction, row_id: str) -> Sequence[str]:
        if not self._is_session:
            return [row_id]
        return trace_ids_of_session(tx, self._project_id, row_id)

    def _spans(self, tx: Transaction, trace_id: str) -> Generator[Row]:
        values = {**self._filter_values, "project_id": self._project_id, "trace_id": trace_id}
        return spans_of_trace(tx, values, self._query_columns)

    def _columns(self, tx: Transaction, row: Row) -> Columns:
        if not self._reads_evaluations:
            return span_columns(row)
        columns: dict[str, Any] = {}
        for evaluation in evaluations_for(tx, [row["seq"]]).get(row["seq"], ()):
            name = evaluation.name if evaluation.name.startswith(_EVALUATIONS) else f"eval.{evaluation.name}"
            columns.update({f"{name}.{part}": getattr(evaluation, part) for part in _EVALUATION_FIELDS})
        return span_columns(row, columns)


class _VariableCollector:
    """Collects the value of each variable from the spans of a row."""

    def __init__(self, variables: Sequence[str], mappings: Sequence[QueryMapping], is_session: bool) -> None:
        self._variables = variables
        self._mappings = [mapping for mapping in mappings if mapping.variable_name in variables]
        mapped = {mapping.variable_name for mapping in self._mappings}
        self._mapped = {name: JoinedText() for name in variables if name in mapped}
        unmapped = [name for name in variables if name not in mapped]
        has_conversation = is_session and CONVERSATION in unmapped
        self._conversation = Conversation() if has_conversation else None
        unmapped = [name for name in unmapped if not (has_conversation and name == CONVERSATION)]
        self._of_roots = {name: JoinedText() for name in unmapped}
        self._of_all = {name: JoinedText() for name in unmapped}
        self._first_turn: Turn | None = None
        self._has_root = False

    @property
    def is_full(self) -> bool:
        """True if further spans cannot change any value, and every value is known to be truncated."""
        texts = [*self._mapped.values(), *self._of_roots.values()]
        full = all(text.is_full and text.is_truncated for text in texts)
        return full and (self._conversation is None or self._conversation.is_truncated)

    def add_span(self, row: Row, columns: Columns) -> None:
        """Add the next span of the trace."""
        is_root = row["parent_id"] is None
        for mapping in self._mappings:
            if not mapping.query_ids or any(row[f"takes_{QueryId(id_).value}"] for id_ in mapping.query_ids):
                _add(self._mapped[mapping.variable_name], value_at(mapping.attribute_path, columns))
        for name, text in self._of_all.items():
            value = unmapped_value(name, columns)
            _add(text, value)
            if is_root:
                _add(self._of_roots[name], value)
        if self._conversation is not None and (is_root or self._first_turn is None):
            turn = Turn(*(_text(unmapped_value(name, columns)) for name in ("input", "output")))
            self._first_turn = self._first_turn or turn
            if is_root:
                self._has_root = True
                self._add_turn(turn)

    def end_trace(self) -> None:
        if not self._has_root and self._first_turn is not None:
            self._add_turn(self._first_turn)
        self._first_turn, self._has_root = None, False

    def _add_turn(self, turn: Turn) -> None:
        if self._conversation is not None and turn != Turn(None, None):
            self._conversation.add(turn)

    def first_variable_without_value(self) -> str | None:
        for name in self._variables:
            text = self._text_of(name)
            if text.is_empty:
                return name
        return None

    def _text_of(self, name: str) -> JoinedText | Conversation:
        if name in self._mapped:
            return self._mapped[name]
        if name not in self._of_roots:
            assert self._conversation is not None
            return self._conversation
        return self._of_all[name] if self._of_roots[name].is_empty else self._of_roots[name]

    def values(self, characters_max: int | None) -> tuple[dict[str, object], dict[str, int]]:
        """Return the values, together in at most so many characters, and the lengths of the truncated ones."""
        collected = {name: self._text_of(name) for name in self._variables}
        texts = {name: value.text() for name, value in collected.items()}
        if characters_max is not None and sum(len(text) for text in texts.values()) > characters_max:
            kept = allot_characters({name: len(text) for name, text in texts.items()}, characters_max)
            for name, value in collected.items():
                if kept[name] < len(texts[name]):
                    texts[name] = value.text(kept[name])
        truncated = {name: len(texts[name]) for name, value in collected.items() if value.is_truncated}
        return dict(texts), truncated


def _add(text: JoinedText, value: object) -> None:
    if value is not None:
        text.add(text_of(value))


def _text(value: object) -> str | None:
    return None if value is None else text_of(value)


def _no_value_reason(variable: str, mappings: Sequence[QueryMapping], kind: str) -> str:
    of_variable = [mapping for mapping in mappings if mapping.variable_name == variable]
    if not of_variable:
        wanted = "a turn" if variable == CONVERSATION else "a column of that name"
        return f"variable '{variable}' has no value: it is not mapped, and no span of the {kind} has {wanted}"
    ids = " or ".join(sorted({id_.value for mapping in of_variable for id_ in mapping.query_ids}))
    which = f" that query {ids} matches" if all(mapping.query_ids for mapping in of_variable) else ""
    where = " or ".join(f"'{path}'" for path in dict.fromkeys(mapping.attribute_path for mapping in of_variable))
    return (
        f"variable '{variable}' has no value: no span of the {kind}{which} has anything at {where}, "
        "which it is mapped to"
    )
