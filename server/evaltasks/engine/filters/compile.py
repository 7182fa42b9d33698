"""Compiler of filters to SQL: every name, path and value of a filter is a bound parameter, never part of the SQL text.

The meaning of comparisons, the same for every target:

* A row without a value in the column matches only IS NULL; `!=` does not match it either.
* Numbers are compared with numbers and texts with texts (by code point, case-sensitive). A text is never a number, even
  if it looks like one; JSON true and false are 1 and 0; objects and lists are their JSON text. `!=` is true for every
  value that is not equal, whatever its type.
* CONTAINS and LIKE match texts only, and are case-sensitive. LIKE matches the whole text.
* A column with a known type (`latency_ms`, `name`, `eval.x.score`) rejects a literal of another type, because it
  could never match. Times are compared with RFC 3339 texts; a time without an offset is read as UTC.

SQLite orders every number before every text and its LIKE ignores ASCII case, hence BETWEEN bounds and GLOB below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from evaltasks.engine.clock import to_us
from evaltasks.engine.filters.columns import (
    Member,
    OfAnnotation,
    OfEvaluation,
    OfGroupEvaluation,
    Reading,
    Stored,
    Target,
    ValueType,
    read_column,
)
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.filters.syntax import Compare, Contains, Filter, In, IsNull, Junction, Like, Sign, Value
from evaltasks.engine.filters.tokens import problem

__all__ = ["ALL_ROWS", "CompiledFilter", "Target", "all_of", "compile_filter", "compile_tree"]

_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})
# Every number sorts at or below it and every text above, so a BETWEEN up to it excludes texts and reads the value
# only once.
_NUMBERS_END = "9e999"
_UNQUOTABLE = frozenset('"\\')
_NO_VALUE = Stored("NULL", "any")


@dataclass(frozen=True)
class CompiledFilter:
    """A condition for a WHERE clause, in brackets if needed, and the values of its parameters."""

    sql: str
    values: Mapping[str, Any]


ALL_ROWS = CompiledFilter("1", {})


def compile_filter(text: str, target: Target, *, prefix: str = "f", field: str = "filter") -> CompiledFilter:
    """Compile a filter to a condition over the target's alias: `s` (spans), `x` (examples) or `r` (experiment runs).

    Args:
        text: The filter.
        target: What the filter selects from.
        prefix: Parameters are named `<prefix>_0`, `<prefix>_1`, …; two filters of one query need different prefixes.
        field: The name of the filter in error messages.

    Raises:
        BadRequest: If the text is blank.
        Unprocessable: If the text is not a filter, names an unknown column, or compares a column with a value of
            another type.
    """
    assert prefix.isidentifier()
    return compile_tree(parse_filter(text, field=field), target, prefix=prefix, field=field)


def compile_tree(
    tree: Filter,
    target: Target,
    *,
    prefix: str = "f",
    field: str = "filter",
    lacks: Callable[[str], bool] | None = None,
) -> CompiledFilter:
    """Compile a tree like `compile_filter`. JSON paths for which `lacks` is true have no value in any row."""
    compiler = _Compiler(target, prefix, field, lacks)
    return CompiledFilter(compiler.condition(tree), compiler.values)


def all_of(*filters: CompiledFilter) -> CompiledFilter:
    """Join filters with AND; their prefixes must differ. Without any filter, all rows match."""
    values: dict[str, Any] = {}
    for compiled in filters:
        assert not values.keys() & compiled.values.keys(), "two filters share a prefix"
        values.update(compiled.values)
    return CompiledFilter(" AND ".join(compiled.sql for compiled in filters) or "1", values)


class _Compiler:
    def __init__(self, target: Target, prefix: str, field: str, lacks: Callable[[str], bool] | None) -> None:
        self._target = target
        self._prefix = prefix
        self._field = field
        self._lacks = lacks
        self.values: dict[str, Any] = {}

    def condition(self, tree: Filter) -> str:
        if isinstance(tree, Junction):
            return "(" + f" {tree.word} ".join(self.condition(part) for part in tree.parts) + ")"
        reading = read_column(tree.column, self._target, self._field)
        if self._lacks is not None and isinstance(reading, Member) and self._lacks(reading.path):
            reading = _NO_VALUE
        value_type = "any" if isinstance(reading, Member) else reading.value_type
        if value_type == "events" and not isinstance(tree, Contains):
            raise problem(self._field, tree.column.at, "event.attributes can only be used with CONTAINS 'text'.")
        sql = self._read(reading)
        match tree:
            case IsNull(negated=negated):
                return f"{sql} IS {'NOT ' if negated else ''}NULL"
            case Compare(sign=sign, value=value, value_at=at):
                return self._compare(sql, sign, self._literal(value, at, tree, reading, value_type), value_type)
            case In(values=values, value_at=at):
                bound = [self._bind(self._literal(value, at, tree, reading, value_type)) for value in values]
                return f"{sql} IN ({', '.join(bound)})"
            case Contains(text=text, value_at=at):
                return self._search(
                    sql, "instr({0}, {1}) > 0", self._searched(text, at, tree, reading, value_type), value_type
                )
            case Like(pattern=pattern, value_at=at):
                glob = self._searched(pattern, at, tree, reading, value_type).translate(_GLOB)
                return self._search(sql, "{0} GLOB {1}", glob, value_type)

    # --- reading --------------------------------------------------------------------------------------------------

    def _read(self, reading: Reading) -> str:
        match reading:
            case Stored(sql=sql):
                return sql
            case Member(document_sql=document, path=path):
                return self._member(document, path)
            case OfEvaluation():
                return self._evaluation(reading)
            case OfGroupEvaluation():
                return self._group_evaluation(reading)
            case OfAnnotation(row_kind=row_kind, row_seq_sql=row_seq, name=name, field=field):
                return (
                    f"(SELECT a.{field} FROM annotations a WHERE a.row_kind = '{row_kind}' "  # noqa: S608  all our own
                    f"AND a.row_seq = {row_seq} AND a.name = {self._bind(name)})"
                )

    def _evaluation(self, reading: OfEvaluation) -> str:
        value = f"e.{reading.field}" if reading.path is None else self._member("e.metadata", reading.path)
        if reading.own is not None:
            # `max` over at most one row: with it the query returns one row even if there is no evaluation.
            value = f"CASE WHEN count(*) > 0 THEN max({value}) ELSE {self._own(reading.own, reading.value_type)} END"
        return (
            f"(SELECT {value} FROM evaluations e WHERE e.row_kind = '{reading.row_kind}' "  # noqa: S608  all our own
            f"AND e.row_seq = {reading.row_seq_sql} AND e.name = {self._bind(reading.name)})"
        )

    def _group_evaluation(self, reading: OfGroupEvaluation) -> str:
        value = f"e.{reading.field}" if reading.path is None else self._member("e.metadata", reading.path)
        return (
            f"(SELECT {value} FROM group_evaluations e WHERE e.project_id = s.project_id "  # noqa: S608  all our own
            f"AND e.row_kind = '{reading.row_kind}' AND e.row_id = {reading.row_id_sql} "
            f"AND e.name = {self._bind(reading.name)})"
        )

    def _own(self, own: Member, value_type: ValueType) -> str:
        """Return the row's own column, or NULL if its value does not have the type of the evaluation's field."""
        column = self._member(own.document_sql, own.path)
        if value_type == "any":
            return column
        kinds = "('text')" if value_type == "text" else "('integer', 'real')"
        return f"CASE WHEN typeof({column}) IN {kinds} THEN {column} END"

    def _member(self, document: str, path: str) -> str:
        """Return the SQL of a value at a path.

        `attribute` knows every meaning of a path. `json_extract` knows only the flat key but is three times faster, so
        it goes first; if it finds a value, both return the same.
        """
        general = f"attribute({document}, {self._bind(path)})"
        if not path.isprintable() or _UNQUOTABLE & set(path):
            return general
        quoted = f'$."{path}"'
        return f"coalesce(json_extract({document}, {self._bind(quoted)}), {general})"

    # --- comparing ------------------------------------------------------------------------------------------------

    def _compare(self, sql: str, sign: Sign, value: str | int | float, value_type: ValueType) -> str:
        bound = self._bind(value)
        if value_type == "any" and isinstance(value, str) and sign in ("<", "<="):
            # The empty text is the first one: everything that sorts before it is a number.
            upto = f"{sql} BETWEEN '' AND {bound}"
            return upto if sign == "<=" else f"({upto} AND {sql} <> {bound})"
        if value_type == "any" and not isinstance(value, str) and sign in (">", ">="):
            onwards = f"{sql} BETWEEN {bound} AND {_NUMBERS_END}"
            return onwards if sign == ">=" else f"({onwards} AND {sql} <> {bound})"
        return f"{sql} {'<>' if sign == '!=' else sign} {bound}"

    def _search(self, sql: str, form: str, sought: str, value_type: ValueType) -> str:
        bound = self._bind(sought)
        if value_type == "events":
            leaf = form.format("leaf.value", bound)
            return (
                f"EXISTS (SELECT 1 FROM json_each({sql}) AS event, "  # noqa: S608  all our own
                "json_tree(event.value, '$.attributes') AS leaf "
                f"WHERE leaf.type = 'text' AND {leaf})"
            )
        found = form.format(sql, bound)
        return f"({found} AND typeof({sql}) = 'text')" if value_type == "any" else found

    def _literal(
        self, value: Value, at: int, tree: Compare | In, reading: Reading, value_type: ValueType
    ) -> str | int | float:
        """Return the value as the column stores it.

        Raises:
            Unprocessable: If no value of the column can equal it.
        """
        name = tree.column.path
        if isinstance(value, bool) and value_type == "any":
            return int(value)
        if value_type == "number" and isinstance(value, str | bool):
            raise problem(self._field, at, f"{name} is a number; expected a number without quotes.")
        if value_type in ("text", "word", "time") and not isinstance(value, str):
            raise problem(
                self._field, at, f"{name} is a {'time' if value_type == 'time' else 'text'}; expected a text in quotes."
            )
        if value_type == "time":
            return self._moment(str(value), at, name)
        if isinstance(reading, Stored) and value_type == "word":
            word = str(value).upper()
            if word not in reading.words:
                words = ", ".join(reading.words)
                raise problem(self._field, at, f"this is not a value of {name}; use one of {words}.")
            return word
        return value

    def _searched(self, text: str, at: int, tree: Contains | Like, reading: Reading, value_type: ValueType) -> str:
        if value_type in ("number", "time"):
            raise problem(self._field, at, f"{tree.column.path} is a {value_type}; use =, !=, <, <=, > or >=.")
        return text.upper() if isinstance(reading, Stored) and value_type == "word" else text

    def _moment(self, text: str, at: int, name: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
            return to_us(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
        except (ValueError, OverflowError):
            wanted = f"{name} is a time; expected RFC 3339 such as '2026-01-31T09:30:00Z'."
            raise problem(self._field, at, wanted) from None

    def _bind(self, value: str | int | float) -> str:
        key = f"{self._prefix}_{len(self.values)}"
        self.values[key] = value
        return f":{key}"
