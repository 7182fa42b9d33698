"""Each operation of AX through our client, compared exactly with exchanges (`tests/fixtures/ax`).

Every one runs without a network; together they also run over real TCP, one after another over the same connection.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from evaltasks.api.operations import OPERATIONS
from evaltasks.client.transport import open_remote_client
from tests.support.ax_calls import BY_NAME, CALLS
from tests.support.ax_shapes import operation_of, problems_of
from tests.support.backends import served
from tests.support.replay import Exchange, differences, exchanges, replaying
from tests.support.transports import RecordedSleeps

KEY = "ak-exchanges-91c3"
ALL = list(exchanges())
each_exchange = pytest.mark.parametrize("it", ALL, ids=lambda it: f"{it.operation}: {it.case}")


async def _asked(it: Exchange, answered: Any = None) -> Any:
    played = [it if answered is None else Exchange(**{**vars(it), "answer": answered})]
    async with (
        replaying(played, key=KEY) as replay,
        open_remote_client(
            "https://ax.test", KEY, is_engine=False, transport=replay.transport, sleep=RecordedSleeps()
        ) as client,
    ):
        return await it.ask(client)


def test_every_operation_of_ax_has_an_exchange_and_a_client_call() -> None:
    of_ax = {row.name for row in OPERATIONS if not row.path.startswith("/evaltasks/v1/")}
    assert {it.operation for it in ALL} == set(CALLS) == of_ax
    assert [case for case, count in Counter((it.operation, it.case) for it in ALL).items() if count > 1] == []


@each_exchange
def test_every_exchange_conforms_to_the_ax_shapes(it: Exchange) -> None:
    assert operation_of(it.method, it.path) == it.operation
    assert problems_of(it.operation, it.query, it.body) == []
    assert it.status == BY_NAME[it.operation].status


@pytest.mark.promise("write.exact", "write.nulls", "write.upper", "read.whole")
@each_exchange
async def test_the_request_matches_the_exchange_and_no_response_field_is_lost(it: Exchange) -> None:
    reply = await _asked(it)
    if BY_NAME[it.operation].reply is None:
        assert reply is None
        return
    assert isinstance(reply, BaseModel)
    kept = json.loads(reply.model_dump_json(exclude_none=False))
    lost = [each for each in differences(it.answer, kept, "answer") if "came and is not expected" not in each]
    assert [each for each in lost if not _known_loss(it, each)] == []


def _known_loss(it: Exchange, difference: str) -> bool:
    # Configurations of other types in a mixed list of integrations are not compared.
    return it.operation == "list_integrations" and ".config.provider" in difference


@pytest.mark.promise("read.tolerant")
@each_exchange
async def test_unknown_response_members_are_ignored(it: Exchange) -> None:
    if it.answer is None:
        return
    newer = _with_new_members(copy.deepcopy(it.answer))
    plain, read = await _asked(it), await _asked(it, newer)
    reported, expected = json.loads(read.model_dump_json()), json.loads(plain.model_dump_json())
    kept_as_the_users_own = "x_newer"
    assert [each for each in differences(expected, reported, "reply") if kept_as_the_users_own not in each] == []


def _with_new_members(value: Any) -> Any:
    if isinstance(value, dict):
        # Maps with arbitrary keys have no members to add.
        free = all(isinstance(each, int | float | str) for each in value.values()) and len(value) <= 2
        newer = {name: _with_new_members(each) for name, each in value.items()}
        return newer if free else {**newer, "x_newer": {"deep": [1]}}
    return [_with_new_members(each) for each in value] if isinstance(value, list) else value


async def test_all_exchanges_work_over_one_connection() -> None:
    async with (
        replaying(ALL, key=KEY) as replay,
        served(replay) as address,
        open_remote_client(address, KEY, is_engine=False) as client,
    ):
        for it in ALL:
            await it.ask(client)


async def test_an_unexpected_request_fails_with_the_difference() -> None:
    it = next(each for each in ALL if each.operation == "rename_project")
    other = Exchange(**{**vars(it), "body": {"name": "other", "colour": True}})
    with pytest.raises(AssertionError) as caught:
        async with (
            replaying([other, it], key=KEY) as replay,
            open_remote_client("https://ax.test", KEY, is_engine=False, transport=replay.transport) as client,
        ):
            await it.ask(client)
    assert "body.colour did not come" in str(caught.value)
    assert "body.name is 'support bot' and not 'other'" in str(caught.value)


async def test_a_missing_request_fails_with_its_name() -> None:
    with pytest.raises(AssertionError, match="was not asked for"):
        async with replaying(ALL[:1], key=KEY):
            pass
