"""Asking the person behind the agent, the same question in both protocol eras.

Until 2025-11-25 the question is a request of ours inside the call (`elicitation/create`). From 2026-07-28 on the
call ends with an `input_required` result and the client repeats it with the answer; the handler then runs again
from its beginning and must come to the same question. What was asked travels sealed in `request_state`; if things
changed meanwhile and the question is another one, it is asked again instead of taking an answer to the old one.

A client that cannot ask gets the words to show and the argument that confirms. A refusal is final.
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
    "Not done: the person was asked and {how}. That answer is final: do not ask again and do not force it "
    "unless the person brings it up."
)


class AnswerNeeded(Exception):
    """Ends a call with a question (2026-07-28); the server sends `result`. Not an error."""

    def __init__(self, result: InputRequiredResult) -> None:
        super().__init__("an answer of the person is needed")
        self.result = result


class PersonConfirm:
    """The `Confirm` of one call of one tool."""

    def __init__(self, context: Context[Any, Any], tool: str) -> None:
        self._context = context
        self._tool = tool

    async def ask(self, question: str, *, confirm_with: str) -> None:
        """Return when the person agreed. Raises Declined, and AnswerNeeded, which handlers let pass."""
        if not self._can_ask():
            raise Declined(self._words_to_show(question, confirm_with))
        if is_modern(self._context.protocol_version):
            answer = self._answer_brought(question)
        else:
            answer = await self._answer_asked(question, confirm_with)
        if answer.action == "decline":
            raise Declined(_FINAL.format(how="declined"))
        if answer.action == "cancel":
            raise Declined(_FINAL.format(how="closed the question without answering"))
        if (answer.content or {}).get("confirm") is not True:
            raise Declined(_FINAL.format(how="said no"))

    def _can_ask(self) -> bool:
        capabilities = self._context.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        # Before modes existed, an empty capability meant forms; a client with `url` alone shows none.
        return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

    def _answer_brought(self, question: str) -> ElicitResult:
        brought = (self._context.input_responses or {}).get(_KEY)
        if isinstance(brought, ElicitResult) and self._context.request_state == question:
            return brought
        raise AnswerNeeded(
            InputRequiredResult(
                input_requests={_KEY: ElicitRequest(params=_form(question))},
                request_state=question,
            )
        )

    async def _answer_asked(self, question: str, confirm_with: str) -> ElicitResult:
        form = _form(question)
        try:
            answer: ElicitResult = await self._context.session.elicit_form(
                form.message, form.requested_schema, related_request_id=self._context.request_context.request_id
            )
            return answer
        except MCPError:
            # It declared that it can be asked, and could not (a stateless connection, a host without a screen).
            raise Declined(self._words_to_show(question, confirm_with)) from None

    def _words_to_show(self, question: str, confirm_with: str) -> str:
        exactly = json.dumps(confirm_with, ensure_ascii=False)
        return (
            "Not done yet: a person has to agree first, and this client cannot be asked from here. "
            f"Show the person this question: «{question}» "
            f"If they agree, call {self._tool} again with the same arguments and confirm={exactly}. "
            "If they do not, leave it."
        )


class NonInteractiveConfirm:
    """For reads of resources: nothing there asks, and if it did, no one could answer."""

    async def ask(self, question: str, *, confirm_with: str) -> None:
        raise Declined(f"Not done: no one can be asked here ({question}, {confirm_with}).")


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
