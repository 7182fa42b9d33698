"""Expressions over named filters: what is rejected, with which column, and how deep they may be nested."""

from __future__ import annotations

import pytest

from evaltasks.api.problems import Unprocessable
from evaltasks.api.tasks import QueryId
from evaltasks.engine.filters.expression import CHARACTERS_MAX, parse_expression, print_expression

IDS = {QueryId.A, QueryId.B}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "column 1: expected the id of a filter (A–E), NOT or an opening bracket, found the end of the expression.",
        ),
        ("A B", "column 3: expected AND, OR or the end of the expression, found B."),
        ("(A OR B", "column 8: expected AND, OR or a closing bracket, found the end of the expression."),
        ("A AND C", "column 7: there is no filter C; the task has the filters A, B."),
        ('"A"', "found another word."),
        ("A.B", "found another word."),
        ("A1", "found another word."),
        ("A IN (B)", "column 3: expected AND, OR or the end of the expression, found another word."),
        ("NOT 'A'", "column 5: expected the id of a filter (A–E), NOT or an opening bracket, found another word."),
        ("A && B", "column 3: '&&' is not part of the language; write AND."),
        ("A ¬ B", "column 3: this character is not part of an expression such as A AND (B OR C)."),
        ("A" * (CHARACTERS_MAX + 1), "is 1,001 characters long; the maximum is 1,000."),
        ("NOT " * 32 + "A", "column 125: the expression is nested deeper than 31 levels."),
        ("(" * 32 + "A" + ")" * 32, "column 32: the expression is nested deeper than 31 levels."),
    ],
)
def test_parse_expression_rejects_other_texts_and_names_the_column(text: str, message: str) -> None:
    with pytest.raises(Unprocessable) as rejected:
        parse_expression(text, IDS)
    assert rejected.value.detail.startswith("query_filters.expression")
    assert message in rejected.value.detail


@pytest.mark.parametrize(
    "text", ["NOT " * 31 + "A", "(" * 31 + "A" + ")" * 31, "NOT (" * 15 + "A" + ")" * 15, "A".ljust(1000)]
)
def test_parse_expression_accepts_thirty_one_levels_and_1000_characters(text: str) -> None:
    tree = parse_expression(text, IDS)
    assert parse_expression(print_expression(tree), IDS) == tree
