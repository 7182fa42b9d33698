"""Read the verdict of a judge, which is one label out of a closed list, strictly.

How this works. Models answer in different ways, and a reply is read in this order, from the most to the least reliable:

1. *tool call* or *structured answer*: the provider enforced, or at least parsed, the answer's schema;
2. *json in text*: the schema was ignored, but the text contains an object with a `label`, perhaps in a code fence;
3. *label in text*: prose. The whole text is a label, or a line declares one (`Label: supported`), or exactly one of
   the labels occurs in it as a whole word, not negated.

The first way that applies decides. If an object has a label that is not one of the choices, there is *no verdict*, and
the prose around it is not searched for a better one: "label: unknown; it is relevant to…" does not mean "relevant".

A label counts only if it is one of the choices. They are compared without surrounding spaces, and without regard to
letter case unless the choices differ by case alone. A label is never guessed, completed or translated. Two different
labels are not a verdict.

A judge that gives no verdict is asked once more, with a reminder. After that the row fails, with a reason of ours and
the reply as untrusted detail. How the label was read is kept in the evaluation's provenance (`answered_by`), because a
label found in prose deserves less trust than an enforced one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evaltasks.api.wire import JsonObject
from evaltasks.engine.providers.provider import ChatReply

NO_LABEL = "the judge's answer names none of the labels"
JSON_IN_TEXT = "json_in_text"
LABEL_IN_TEXT = "label_in_text"

_DETAIL_CHARS_MAX = 500
# How much of a reply is searched. A judge that writes more than this is not answering the question.
_TEXT_CHARS_MAX = 20_000
_OBJECTS_MAX = 64
_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_DECLARED = re.compile(
    r"^\W*(?:final\s+)?(?:label|verdict|answer|classification|judge?ment)\W*[:=](?P<value>.+)$", re.IGNORECASE
)
_NEGATED = re.compile(r"(?:\b(?:not|no|never|neither|nor|hardly|cannot)|n['’]t)[\s\"'*`]*$", re.IGNORECASE)
_WRAPPING = " \t\r\n\"'`*_.,;:!()[]<>“”‘’"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a judge on one row.

    Attributes:
        label: One of the choices, spelled as in the configuration.
        explanation: The judge's reasons, if it gave any.
        answered_by: How the label was read: `tool_call`, `json_schema`, `json_in_text` or `label_in_text`.
    """

    label: str
    explanation: str | None
    answered_by: str


def read_verdict(reply: ChatReply, choices: Mapping[str, float]) -> Verdict | None:
    """Return the verdict of a reply.

    Args:
        reply: The judge's reply.
        choices: The labels that the judge may answer, with their scores.

    Returns:
        The verdict, or None if the reply names no label, a label that is not a choice, or several labels.
    """
    if reply.structured is not None:
        return _from_object(reply.structured, choices, reply.answered_by)
    text = strip_reasoning(reply.text)
    objects = list(_objects_in(text))
    if objects:
        verdicts = [_from_object(answer, choices, JSON_IN_TEXT) for answer in objects]
        labels = {verdict.label if verdict else None for verdict in verdicts}
        return verdicts[-1] if len(labels) == 1 else None
    label = _label_in(text, choices)
    return None if label is None else Verdict(label, text.strip() or None, LABEL_IN_TEXT)


def strip_reasoning(text: str) -> str:
    """Return a reply without its `<think>` blocks; only its first 20,000 characters are read."""
    return _THINKING.sub("", text[:_TEXT_CHARS_MAX])


def cut(text: str) -> str:
    """Return a reply shortened to the length of a failed row's detail."""
    return text if len(text) <= _DETAIL_CHARS_MAX else text[:_DETAIL_CHARS_MAX] + "…"


def choice_for(answer: object, choices: Mapping[str, float]) -> str | None:
    """Return the choice that an answer spells, or None."""
    if not isinstance(answer, str):
        return None
    answer = answer.strip()
    if answer in choices:
        return answer
    folded = answer.casefold()
    matching = [label for label in choices if label.strip().casefold() == folded]
    return matching[0] if len(matching) == 1 else None


def _from_object(answer: JsonObject, choices: Mapping[str, float], answered_by: str) -> Verdict | None:
    fields = {key.strip().casefold(): value for key, value in answer.items()}
    label = choice_for(fields.get("label"), choices)
    if label is None:
        return None
    explanation = fields.get("explanation")
    return Verdict(label, explanation if isinstance(explanation, str) else None, answered_by)


def _objects_in(text: str) -> Iterator[JsonObject]:
    """Yield the outermost JSON objects in a text that have a label."""
    at = 0
    for _ in range(_OBJECTS_MAX):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at_next = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        at = at_next
        if isinstance(value, dict) and any(key.strip().casefold() == "label" for key in value):
            yield value


def _label_in(text: str, choices: Mapping[str, float]) -> str | None:
    whole = choice_for(text, choices) or choice_for(text.strip(_WRAPPING), choices)
    if whole is not None:
        return whole
    declared = [match["value"] for line in text.splitlines() if (match := _DECLARED.match(line))]
    if declared:
        labels = {choice_for(value.strip(_WRAPPING), choices) or _leading_label(value, choices) for value in declared}
        return labels.pop() if len(labels) == 1 else None
    return _mentioned(text, choices)


def _leading_label(text: str, choices: Mapping[str, float]) -> str | None:
    """Return the choice that a text starts with ("supported, because …"), if it mentions no other."""
    label = _mentioned(text, choices)
    is_first = label is not None and text.lstrip(_WRAPPING).casefold().startswith(label.strip().casefold())
    return label if is_first else None


def _mentioned(text: str, choices: Mapping[str, float]) -> str | None:
    """Return the only choice that occurs as whole words; None if several do, or if one is negated."""
    # The longest label comes first, so that "not relevant" is not also an occurrence of "relevant".
    names = sorted((label.strip() for label in choices), key=len, reverse=True)
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?!\w)", re.IGNORECASE)
    labels: set[str] = set()
    for match in pattern.finditer(text):
        label = choice_for(match[0], choices)
        if label is None or _NEGATED.search(text, max(0, match.start() - 20), match.start()):
            return None
        labels.add(label)
    return labels.pop() if len(labels) == 1 else None
