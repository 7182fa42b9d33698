"""Confirmation by the user, with the same question in both protocol eras.

Until 2025-11-25 the question is a request of the server within the call (`elicitation/create`). From 2026-07-28 on the
call ends with an `input_required` result, and the client repeats it with the answer; the handler then runs again from
its start and must ask the same question. The question is sealed in `request_state`; if the state changed in the
meantime and the question is a different one, it is asked again, and the answer to the old one is not used.

A client without elicitation gets the question to show and the argument that confirms. A refusal is final.
"""

from __future__ import annotations

import json
from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from evaltasks.face.sdk import is_modern
from evaltasks.tools.context import Declined

_KEY = "confirm"
_FINAL = (
    "Not done: the user was asked and {how}. This answer is final: do not ask again and do not force it "
    "unless the user brings it up."
)


class AnswerNeeded(Exception):
    """Ends a call with a question (2026-07-28); the server returns `result`. It is not an error."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__("an answer of the user is required")
        self.result = result


class PersonConfirm:
    """Asks the user through the MCP client, for one tool call."""

    def __init__(self, context: Context[Any, Any], tool: str) -> None:
        self._context = context
        self._tool = tool

    async def ask(self, question: str, *, confirm_with: str) -> None:
        """Return if the user agrees.

        Args:
            question: What the user is asked.
            confirm_with: The value of the argument `confirm` that replaces the question.

        Raises:
            Declined: If the user refuses or cannot be asked.
            AnswerNeeded: If the call must be repeated with the answer; handlers must not catch it.
        """
        if not self._can_ask():
            raise Declined(self._message_with_question(question, confirm_with))
        if is_modern(self._context.protocol_version):
            answer = self._sent_answer(question)
        else:
            answer = await self._requested_answer(question, confirm_with)
        if answer.action == "decline":
            raise Declined(_FINAL.format(how="declined"))
        if answer.action == "cancel":
            raise Declined(_FINAL.format(how="closed the question without answering"))
        if (answer.content or {}).get("confirm") is not True:
            raise Declined(_FINAL.format(how="said no"))

    def _can_ask(self) -> bool:
        capabilities = self._context.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        # Before modes existed, an empty capability meant forms; a client with `url` only does not show any.
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _sent_answer(self, question: str) -> ElicitResult:
        answer = (self._context.input_responses or {}).get(_KEY)
        if isinstance(answer, ElicitResult) and self._context.request_state == question:
            return answer
        raise AnswerNeeded(
            InputRequiredResult(
                input_requests={_KEY: ElicitRequest(params=_form(question))},
                request_state=question,
            )
        )

    async def _requested_answer(self, question: str, confirm_with: str) -> ElicitResult:
        form = _form(question)
        try:
            answer: ElicitResult = await self._context.session.elicit_form(
                form.message, form.requested_schema, related_request_id=self._context.request_context.request_id
            )
            return answer
        except MCPError:
            # The client declared elicitation but cannot ask (a stateless connection, a host without a user interface).
            raise Declined(self._message_with_question(question, confirm_with)) from None

    def _message_with_question(self, question: str, confirm_with: str) -> str:
        exactly = json.dumps(confirm_with, ensure_ascii=False)
        return (
            "Not done yet: the user must agree first, and this client does not support elicitation. "
            f"Show the user this question: «{question}» "
            f"If they agree, call {self._tool} again with the same arguments and confirm={exactly}. "
            "If not, do nothing."
        )


class NonInteractiveConfirm:
    """Declines every question; for commands and reads of resources, which cannot ask the user."""

    async def ask(self, question: str, *, confirm_with: str) -> None:
        raise Declined(f"{question} Questions cannot be answered here; confirm with {confirm_with}.")


def _form(question: str) -> ElicitRequestFormParams:
    return ElicitRequestFormParams(message=question, requested_schema=_SCHEMA)


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "confirm": {
            "type": "boolean",
            "title": "Go ahead",
            "description": "Yes: do it. No: leave everything as it is.",
        }
    },
    "required": ["confirm"],
}
