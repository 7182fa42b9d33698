"""Every promise has a test that shows it, every test that claims to show one names one, and the document says which."""

from __future__ import annotations

from tests.contract.promises import AWAITED, DOCUMENT, PROMISES, document_with_table, shown_by


def test_every_promise_that_is_not_awaited_is_shown_by_a_test() -> None:
    assert set(PROMISES) - AWAITED - set(shown_by()) == set()


def test_every_mark_names_a_promise() -> None:
    assert set(shown_by()) - set(PROMISES) == set()


def test_a_promise_that_a_test_shows_is_awaited_no_more() -> None:
    assert set(PROMISES) >= AWAITED
    assert set(shown_by()) & AWAITED == set(), "take them out of AWAITED in tests/contract/promises.py"


def test_the_document_has_the_table_of_today() -> None:
    hint = "write it with: python -m tests.contract.promises --write"
    assert DOCUMENT.read_text(encoding="utf-8") == document_with_table(), hint
