"""From tree to SQL: every name, path and value of the filter is bound, none becomes part of the text.

What the comparisons mean, the same for every target:

* A row without a value in the column matches only IS NULL; not even `!=` takes it.
* Numbers compare with numbers and texts with texts (by code point, letter case counts). A text is never a number,
  however it looks; JSON true and false are 1 and 0; objects and lists are their JSON text. `!=` is true for every
  value that is not equal, of whatever kind.
* CONTAINS and LIKE look at texts, and letter case counts. LIKE covers the whole text.
* A column whose kind is known (`latency_ms`, `name`, `eval.x.score`) refuses a literal of another kind, because it
  could never match. Times compare with RFC 3339 texts; a time without an offset is read as UTC.

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
    Sort,
    Stored,
    Target,
    read_column,
)
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.filters.syntax import Compare, Contains, Filter, In, IsNull, Junction, Like, Sign, Value
from evaltasks.engine.filters.tokens import problem

__all__ = ["ALL_ROWS", "CompiledFilter", "Target", "all_of", "compile_filter", "compile_tree"]

_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})
# Every number lies at or below it and every text above, so a BETWEEN up to it keeps texts out and reads the
# value once.
_NUMBERS_END = "9e999"
_UNQUOTABLE = frozenset('"\\')
_NO_VALUE = Stored("NULL", "any")


@dataclass(frozen=True)
class CompiledFilter:
    """A condition for a WHERE clause, in brackets where needed, and what its parameters are bound to."""

    sql: str
    values: Mapping[str, Any]


ALL_ROWS = CompiledFilter("1", {})


def compile_filter(text: str, target: Target, *, prefix: str = "f", field: str = "filter") -> CompiledFilter:
    """Compile a filter to a condition over the alias of the target: `s` for spans, `x` for examples, `r` for
    experiment runs.

    Parameters are named `<prefix>_0`, `<prefix>_1`, …: give two filters of one query different prefixes. `field`
    is what messages call the filter. Raises BadRequest for a blank text, Unprocessable for one that cannot be
    read, names an unknown column or compares with the wrong kind of value, NotBuilt for columns of a later slice.
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
    """As `compile_filter`, from a tree. No row has a value at those JSON paths that `lacks` is true of."""
    compiler = _Compiler(target, prefix, field, lacks)
    return CompiledFilter(compiler.condition(tree), compiler.values)


def all_of(*filters: CompiledFilter) -> CompiledFilter:
    """Rows that pass every filter; their prefixes must differ. All rows when there is none."""
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
        sort = "any" if isinstance(reading, Member) else reading.sort
        if sort == "events" and not isinstance(tree, Contains):
            raise problem(self._field, tree.column.at, "event.attributes is only known with CONTAINS 'text'.")
        sql = self._read(reading)
        match tree:
            case IsNull(negated=negated):
                return f"{sql} IS {'NOT ' if negated else ''}NULL"
            case Compare(sign=sign, value=value, value_at=at):
                return self._compare(sql, sign, self._literal(value, at, tree, reading, sort), sort)
            case In(values=values, value_at=at):
                bound = [self._bind(self._literal(value, at, tree, reading, sort)) for value in values]
                return f"{sql} IN ({', '.join(bound)})"
            case Contains(text=text, value_at=at):
                return self._search(sql, "instr({0}, {1}) > 0", self._searched(text, at, tree, reading, sort), sort)
            case Like(pattern=pattern, value_at=at):
                glob = self._searched(pattern, at, tree, reading, sort).translate(_GLOB)
                return self._search(sql, "{0} GLOB {1}", glob, sort)

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
            # `max` of at most one row: it makes the query answer one row also when there is no evaluation.
            value = f"CASE WHEN count(*) > 0 THEN max({value}) ELSE {self._own(reading.own, reading.sort)} END"
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

    def _own(self, own: Member, sort: Sort) -> str:
        """The row's own column, when it is of the kind the evaluation's field has."""
        column = self._member(own.document_sql, own.path)
        if sort == "any":
            return column
        kinds = "('text')" if sort == "text" else "('integer', 'real')"
        return f"CASE WHEN typeof({column}) IN {kinds} THEN {column} END"

    def _member(self, document: str, path: str) -> str:
        """`attribute` knows every way a path can be meant, `json_extract` only the flat key, but three times
        faster: so it is asked first. Where it finds something, both say the same."""
        general = f"attribute({document}, {self._bind(path)})"
        if not path.isprintable() or _UNQUOTABLE & set(path):
            return general
        quoted = f'$."{path}"'
        return f"coalesce(json_extract({document}, {self._bind(quoted)}), {general})"

    # --- comparing ------------------------------------------------------------------------------------------------

    def _compare(self, sql: str, sign: Sign, value: str | int | float, sort: Sort) -> str:
        bound = self._bind(value)
        if sort == "any" and isinstance(value, str) and sign in ("<", "<="):
            # The empty text is the first one: whatever lies before it is a number.
            upto = f"{sql} BETWEEN '' AND {bound}"
            return upto if sign == "<=" else f"({upto} AND {sql} <> {bound})"
        if sort == "any" and not isinstance(value, str) and sign in (">", ">="):
            onwards = f"{sql} BETWEEN {bound} AND {_NUMBERS_END}"
            return onwards if sign == ">=" else f"({onwards} AND {sql} <> {bound})"
        return f"{sql} {'<>' if sign == '!=' else sign} {bound}"

    def _search(self, sql: str, form: str, sought: str, sort: Sort) -> str:
        bound = self._bind(sought)
        if sort == "events":
            leaf = form.format("leaf.value", bound)
            return (
                f"EXISTS (SELECT 1 FROM json_each({sql}) AS event, "  # noqa: S608  all our own
                "json_tree(event.value, '$.attributes') AS leaf "
                f"WHERE leaf.type = 'text' AND {leaf})"
            )
        found = form.format(sql, bound)
        return f"({found} AND typeof({sql}) = 'text')" if sort == "any" else found

    def _literal(self, value: Value, at: int, tree: Compare | In, reading: Reading, sort: Sort) -> str | int | float:
        """The value as the column holds it. Raises Unprocessable where the two could never be equal."""
        name = tree.column.path
        if isinstance(value, bool) and sort == "any":
            return int(value)
        if sort == "number" and isinstance(value, str | bool):
            raise problem(self._field, at, f"{name} is a number; expected a number without quotes.")
        if sort in ("text", "word", "time") and not isinstance(value, str):
            raise problem(
                self._field, at, f"{name} is a {'time' if sort == 'time' else 'text'}; expected a text in quotes."
            )
        if sort == "time":
            return self._moment(str(value), at, name)
        if isinstance(reading, Stored) and sort == "word":
            word = str(value).upper()
            if word not in reading.words:
                words = ", ".join(reading.words)
                raise problem(self._field, at, f"no span has this {name}; it is one of {words}.")
            return word
        return value

    def _searched(self, text: str, at: int, tree: Contains | Like, reading: Reading, sort: Sort) -> str:
        if sort in ("number", "time"):
            raise problem(self._field, at, f"{tree.column.path} is a {sort}; compare it with =, <, > or the like.")
        return text.upper() if isinstance(reading, Stored) and sort == "word" else text

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
