"""Results of tool calls: output, validation errors, refusals, and internal errors with a reference number only."""

from __future__ import annotations

import logging
import re

import anyio
import pytest

from evaltasks.face.results import ANSWER_CHARACTERS_MAX
from evaltasks.tools.context import Refused
from tests.face.probes import raising, saying, waiting
from tests.support.agents import MODES, agent, text_of

pytestmark = pytest.mark.parametrize("mode", MODES)


async def test_a_result_has_structured_content_without_nulls_and_a_short_text(mode: str) -> None:
    async with agent(mode, tools=[saying()]) as it:
        result = await it.call("say_word", {"word": "hello"})

    assert result.structured_content == {"said": "hello"}
    assert text_of(result) == "said hello"
    assert not result.is_error


async def test_a_call_reports_all_validation_errors_together(mode: str) -> None:
    async with agent(mode, tools=[saying()]) as it:
        words = await it.refusal("say_word", {"wrod": "hello", "count": "many"})

    assert words.startswith("2 problems with say_word")
    assert "wrod: is not an argument of this tool; did you mean word?" in words
    assert "count" in words


@pytest.mark.parametrize(("length", "shown"), [(60, 60), (61, 60), (5000, 60)])
async def test_an_unknown_argument_is_quoted_with_at_most_60_characters(mode: str, length: int, shown: int) -> None:
    async with agent(mode, tools=[saying()]) as it:
        words = await it.refusal("say_word", {"word": "hello", "z" * length: 1})

    assert f"{'z' * shown}: is not an argument of this tool" in words
    assert words.count("z") == shown


async def test_an_unknown_tool_is_answered_with_the_most_similar_name(mode: str) -> None:
    async with agent(mode, tools=[saying()]) as it:
        words = await it.refusal("say_wrod")

    assert words == "Unknown tool; did you mean say_word?"


async def test_an_unknown_tool_is_answered_with_up_to_three_similar_names(mode: str) -> None:
    async with agent(mode) as it:
        words = await it.refusal("list_task")

    assert words == "Unknown tool; did you mean list_tasks or list_task_runs or get_task?"


async def test_an_internal_error_shows_only_its_reference_number(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    async with agent(mode, tools=[raising(RuntimeError("secret-span-text"))]) as it:
        with caplog.at_level(logging.ERROR):
            words = await it.refusal("say_word")

    assert "secret-span-text" not in words
    assert "RuntimeError" not in words
    reference = re.search(r"reference (\w{8})", words)
    assert reference is not None
    logged = [record for record in caplog.records if reference[1] in record.getMessage()]
    assert len(logged) == 1
    assert logged[0].exc_info is not None


async def test_the_message_of_a_refusal_is_sent_unchanged(mode: str) -> None:
    async with agent(mode, tools=[raising(Refused("Not possible, because. Try that."))]) as it:
        assert await it.refusal("say_word") == "Not possible, because. Try that."


async def test_a_result_is_truncated_to_the_limit_and_says_so(mode: str) -> None:
    rows = [{"id": f"row-{i}", "text": "x" * 200} for i in range(2000)]
    async with agent(mode, tools=[saying("much", rows=rows)]) as it:
        result = await it.call("say_word")

    assert result.structured_content is not None
    assert len(str(result.structured_content)) < ANSWER_CHARACTERS_MAX * 1.1
    kept = len(result.structured_content["rows"])
    assert 0 < kept < 2000
    assert result.structured_content["rows"] == rows[:kept]
    assert f"rows shows {kept} of 2000; call again with limit={kept}" in result.structured_content["notes"][0]


async def test_cancelling_a_call_reaches_the_tool(mode: str) -> None:
    started, ended = anyio.Event(), anyio.Event()
    async with agent(mode, tools=[waiting(started, ended)]) as it:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.call, "say_word")
                await started.wait()
                tasks.cancel_scope.cancel()
            await ended.wait()


async def test_a_tool_added_with_the_sdk_decorator_is_listed_with_the_catalog(mode: str) -> None:
    async with agent(mode, tools=[saying()]) as it:
        assert it.server is not None

        @it.server.tool()
        def say_more() -> str:
            """Says more."""
            return "more"

        listed = await it.mcp.list_tools(cache_mode="bypass")
        result = await it.call("say_more")

    assert [tool.name for tool in listed.tools] == ["say_word", "say_more"]
    assert text_of(result) == "more"
