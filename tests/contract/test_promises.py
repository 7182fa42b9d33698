"""Every promise has a test that shows it, every test that claims to show one names one, and the documents say which."""

from __future__ import annotations

import pytest

from tests.contract.promises import AWAITED, LEDGERS, Ledger, promises, shown_by


def test_every_promise_that_is_not_awaited_is_shown_by_a_test() -> None:
    assert set(promises()) - AWAITED - set(shown_by()) == set()


def test_every_mark_names_a_promise_and_no_promise_stands_in_two_ledgers() -> None:
    assert set(shown_by()) - set(promises()) == set()
    assert len(promises()) == len(set(promises()))


def test_a_promise_that_a_test_shows_is_awaited_no_more() -> None:
    assert set(promises()) >= AWAITED
    assert set(shown_by()) & AWAITED == set(), "take them out of AWAITED in tests/contract/promises.py"


@pytest.mark.parametrize("ledger", LEDGERS, ids=lambda ledger: ledger.document.name)
def test_the_document_has_the_table_of_today(ledger: Ledger) -> None:
    hint = "write it with: python -m tests.contract.promises --write"
    assert ledger.document.read_text(encoding="utf-8") == ledger.document_with_table(), hint
