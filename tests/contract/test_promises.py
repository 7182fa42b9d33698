"""Every promise has a test, every mark names a promise, and the documents list them."""

from __future__ import annotations

import pytest

from tests.contract.promises import AWAITED, LEDGERS, Ledger, promises, shown_by


def test_every_promise_that_is_not_awaited_has_a_test() -> None:
    assert set(promises()) - AWAITED - set(shown_by()) == set()


def test_every_mark_names_a_promise_and_no_promise_is_in_two_ledgers() -> None:
    assert set(shown_by()) - set(promises()) == set()
    assert len(promises()) == len(set(promises()))


def test_a_promise_with_a_test_is_not_awaited() -> None:
    assert set(promises()) >= AWAITED
    assert set(shown_by()) & AWAITED == set(), "take them out of AWAITED in tests/contract/promises.py"


@pytest.mark.parametrize("ledger", LEDGERS, ids=lambda ledger: ledger.document.name)
def test_the_documents_contain_the_current_tables(ledger: Ledger) -> None:
    hint = "write it with: python -m tests.contract.promises --write"
    assert ledger.document.read_text(encoding="utf-8") == ledger.document_with_table(), hint
