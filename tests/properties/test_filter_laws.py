"""Laws of the filter language over generated trees and rows, and the results of hostile texts."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaltasks.api.problems import Problem
from evaltasks.api.spans import SpanKind
from evaltasks.engine.filters.compile import Target, compile_filter, compile_tree
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.filters.syntax import (
    Column,
    Compare,
    Contains,
    Filter,
    In,
    IsNull,
    Junction,
    Like,
    print_filter,
)
from evaltasks.engine.store.functions import lookup
from tests.support.span_store import SpanStore, span_store

TEXTS = st.text(st.sampled_from("aAb%_*?[]'\"é \n5.-"), max_size=4)
# Fractions of eight are exact in every decimal reader.
NUMBERS = st.one_of(st.integers(-9, 9), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-80, 80).map(lambda n: n / 8))
PATHS = st.sampled_from(["x", "x.y", "x.y.0", "n.0", "my key", 'q"t', "b\\s", "é.ü", "s'q", "CONTAINS"])
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans())
WIDE_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def _comparisons(columns: st.SearchStrategy[Column], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    return st.one_of(
        st.builds(Compare, columns, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
        st.builds(In, columns, st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(IsNull, columns, st.booleans()),
    )


def _searches(columns: st.SearchStrategy[Column], texts: st.SearchStrategy[str]) -> st.SearchStrategy[Filter]:
    return st.one_of(st.builds(Contains, columns, texts), st.builds(Like, columns, texts))


def _trees(leaves: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    def join(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        return st.builds(Junction, st.sampled_from(["AND", "OR"]), st.lists(parts, min_size=2, max_size=3).map(tuple))

    return st.recursive(leaves, join, max_leaves=6)


ANY_COLUMNS = WIDE_TEXTS.filter(bool).map(Column)
WIDE_VALUES = st.one_of(
    WIDE_TEXTS, st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
ANY_TREES = _trees(_comparisons(ANY_COLUMNS, WIDE_VALUES) | _searches(ANY_COLUMNS, WIDE_TEXTS))

JSON_COLUMNS = PATHS.map(lambda path: Column(f"attributes.{path}"))
TEXT_COLUMNS = st.sampled_from(["name", "parent_id", "eval.e.label", "attributes.session.id"]).map(Column)
NUMBER_COLUMNS = st.sampled_from(["latency_ms", "eval.e.score", "eval.e 2.score"]).map(Column)
KIND_COLUMNS = st.sampled_from(["span_kind", "attributes.openinference.span.kind"]).map(Column)
SPAN_TREES = _trees(
    st.one_of(
        _comparisons(JSON_COLUMNS, VALUES),
        _searches(JSON_COLUMNS, TEXTS),
        _comparisons(TEXT_COLUMNS, TEXTS),
        _searches(TEXT_COLUMNS, TEXTS),
        _comparisons(NUMBER_COLUMNS, NUMBERS),
        _comparisons(KIND_COLUMNS, st.sampled_from(SpanKind).map(str)),
    )
)

MEMBERS = st.one_of(st.none(), VALUES, st.lists(VALUES, max_size=2))
ROWS = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "parent_id": st.none() | TEXTS,
        "session_id": st.none() | TEXTS,
        "kind": st.sampled_from(SpanKind).map(str),
        "latency_ms": NUMBERS.map(float),
        "attributes": st.dictionaries(PATHS, MEMBERS, max_size=5),
        "evaluations": st.dictionaries(
            st.sampled_from(["e", "e 2"]),
            st.fixed_dictionaries({"label": st.none() | TEXTS, "score": st.none() | NUMBERS.map(float)}),
        ),
    }
)


def _value(path: str, row: Mapping[str, Any]) -> object:
    """Return the value of a column of a row, as the documentation defines it."""
    if path in ("span_kind", "attributes.openinference.span.kind"):
        return row["kind"]
    if path == "attributes.session.id":
        return row["session_id"]
    if path.startswith("eval."):
        name, _, field = path.removeprefix("eval.").rpartition(".")
        return row["evaluations"].get(name, {}).get(field)
    if path.startswith("attributes."):
        value = lookup(row["attributes"], path.removeprefix("attributes."))
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, list | dict) else value
    return row[path]


def _alike(left: object, right: object) -> bool:
    return isinstance(left, str) == isinstance(right, str)


SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def passes(tree: Filter, row: Mapping[str, Any]) -> bool:
    """Evaluate a filter in plain Python."""
    if isinstance(tree, Junction):
        every = all if tree.word == "AND" else any
        return every(passes(part, row) for part in tree.parts)
    value = _value(tree.column.path, row)
    if isinstance(tree, IsNull):
        return (value is None) != tree.negated
    if value is None:
        return False
    match tree:
        case Compare(sign="!=", value=wanted):
            return not (_alike(value, wanted) and value == wanted)
        case Compare(sign=sign, value=wanted):
            return _alike(value, wanted) and SIGNS[sign](value, wanted)
        case In(values=wanted_values):
            return any(_alike(value, wanted) and value == wanted for wanted in wanted_values)
        case Contains(text=text):
            return isinstance(value, str) and text in value
        case Like(pattern=pattern):
            form = "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern)
            return isinstance(value, str) and re.fullmatch(form, value, re.DOTALL) is not None


@pytest.fixture(scope="module")
def store() -> Iterator[SpanStore]:
    with span_store() as opened:
        yield opened


@given(ANY_TREES)
def test_print_filter_and_parse_filter_round_trip(tree: Filter) -> None:
    assert parse_filter(print_filter(tree)) == tree


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SPAN_TREES, st.lists(ROWS, min_size=1, max_size=4))
def test_filter_in_sql_equals_filter_in_python(store: SpanStore, tree: Filter, rows: list[dict[str, Any]]) -> None:
    store.clear()
    for seq, row in enumerate(rows):
        store.add_span(seq, **{name: value for name, value in row.items() if name != "evaluations"})
        for name, fields in row["evaluations"].items():
            store.evaluate(seq, name, **fields)
    expected = [seq for seq, row in enumerate(rows) if passes(tree, row)]
    assert store.select(compile_tree(tree, Target.SPAN)) == expected
    assert store.select(compile_filter(print_filter(tree), Target.SPAN)) == expected


# Few different values, so that rows and literals are often equal.
FEW_TEXTS = st.text(st.sampled_from("aA%_*["), max_size=2)
FEW_VALUES = st.one_of(FEW_TEXTS, st.integers(-2, 2), st.sampled_from([-0.5, 0.5]), st.booleans())
ONE_COLUMN = st.just(Column("attributes.x"))


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _comparisons(ONE_COLUMN, FEW_VALUES) | _searches(ONE_COLUMN, FEW_TEXTS),
    st.lists(FEW_VALUES | st.lists(FEW_VALUES, max_size=1), max_size=12),
)
def test_filter_comparison_selects_exactly_its_values(store: SpanStore, tree: Filter, values: list[object]) -> None:
    store.clear()
    rows = [{"attributes": {"x": value}} for value in values]
    for seq, row in enumerate(rows):
        store.add_span(seq, **row)
    expected = [seq for seq, row in enumerate(rows) if passes(tree, row)]
    assert store.select(compile_tree(tree, Target.SPAN)) == expected


@given(st.text(max_size=60))
def test_compile_filter_accepts_or_rejects_any_text(text: str) -> None:
    for target in Target:
        try:
            compile_filter(text, target)
        except Problem as problem:
            assert problem.status in (400, 422, 501)


WORDS = (
    "name span_kind attributes.x eval.e.score \"n\" 'a' '' 5 -1.5e3 TRUE null = != < IN in ( ) , AND OR IS NOT NULL"
    " LIKE CONTAINS ; --"
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS.split(" ")), max_size=12).map(" ".join))
def test_compile_filter_of_any_words_of_the_language_is_valid_sql_or_rejected(store: SpanStore, text: str) -> None:
    try:
        compiled = compile_filter(text, Target.SPAN)
    except Problem:
        return
    store.select(compiled)


# Each must be rejected, or accepted as the harmless text or name that it is.
HOSTILE = [
    "1=1",
    "1",
    "name = 'x' OR 1=1",
    "name = 'x'; DROP TABLE spans",
    "name = 'x'; DROP TABLE spans; --",
    "name = 'x' -- ",
    "name = 'x' /* */",
    "name = 'x''; DROP TABLE spans; --'",
    "name = 'x\\'; DROP TABLE spans; --'",
    "name = 'x' UNION SELECT id FROM spaces",
    "name IN (SELECT name FROM spans)",
    "name = (SELECT id FROM ai_integrations LIMIT 1)",
    "EXISTS (SELECT 1 FROM spaces)",
    "load_extension('evil.so')",
    "randomblob(1000000000) = 'x'",
    "name = randomblob(1000000000)",
    "name = char(65)",
    "CASE WHEN name = 'x' THEN 1 ELSE 0 END",
    "CAST(name AS INTEGER) = 5",
    "name COLLATE NOCASE = 'X'",
    "name = :f_0",
    "name = ?",
    "name = $1",
    "name = 'x' ORDER BY name",
    "name = 'x' LIMIT 1",
    "name = 'x' GROUP BY name HAVING 1",
    "name = 'x' WINDOW w AS (ORDER BY name)",
    "name GLOB '*'",
    "name REGEXP '(a+)+$'",
    "name BETWEEN 'a' AND 'b'",
    "name || 'x' = 'y'",
    '"name" = \'x\' OR "spans"."project_id" = \'q\'',
    "s.project_id = 'other'",
    "project_id = 'other'",
    "seq > 0",
    "rowid > 0",
    "sqlite_master = 'x'",
    '"name""; DROP TABLE spans; --" = \'x\'',
    "\"attributes.x') OR 1=1 --\" = 'x'",
    "\"attributes.$[0]\" = 'x'",
    '"attributes.a""].b" = \'x\'',
    "\"eval.x' OR '1'='1.label\" = 'x'",
    "attributes.{filter} = 'x'",
    "\"attributes.{filter}\" = '{0} {project_id} %s'",
    "name LIKE '" + "%a" * 1500 + "b'",
    "name = 'x' AND PRAGMA user_version = 9",
    "name = 'x' OR ATTACH 'f' AS g",
    "name = X'41'",
    "name = 0x41",
    "name ISNULL",
    "name IS NOT DISTINCT FROM 'x'",
    "\u202ename = 'x'",
    "name\u00a0= 'x'\u2028OR\u30001=1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_compile_filter_of_hostile_text_changes_and_selects_nothing(text: str) -> None:
    with span_store() as store:
        store.add_span(1, name="a" * 2000, attributes={"x": "a"})
        before = store.contents()
        try:
            compiled = compile_filter(text, Target.SPAN)
        except Problem as problem:
            assert problem.status == 422
            assert len(problem.detail) < 700
        else:
            assert store.select(compiled) == []
            assert not re.search(r"DROP|1=1|\{|'\)", compiled.sql)
        assert store.contents() == before
