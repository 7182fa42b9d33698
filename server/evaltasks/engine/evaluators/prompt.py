"""Render prompts: replace the placeholders of a template with the values of a row.

Placeholders are written `{name}` (F_STRING, and its deprecated alias NONE) in evaluator templates, and `{{name}}`
(MUSTACHE) in run configurations. A template is read once, from left to right, and inserted values are never read again:
braces in a row's data are kept as they are.

Only the variables of mustache are supported (`{{name}}`, `{{{name}}}`, `{{&name}}`, dotted paths), without HTML
escaping. Its other tags are refused when a configuration is created (`mustache_problems`); docs/decisions say why.

In a single-brace template `{{` and `}}` mean literal braces, as in Python. A `}}` without a `{{`, and braces without a
name, are kept, because prompts contain JSON examples whose braces people do not escape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from evaltasks.api.run_configurations import InputVariableFormat, LlmGeneration
from evaltasks.engine.providers.provider import ChatMessage

# A name is a word, or a dotted path into a row (`attributes.output.value`, `docs[0].text`).
_NAME = r"[^\W\d][\w\-]*(?:\.[\w\-]+|\[\d+\])*"
_SINGLE = re.compile(r"(?P<open>\{\{)|(?P<close>\}\})|\{(?P<name>" + _NAME + r")\}")
# Double braces are unambiguous, so a column name may contain spaces there.
_WORDS = r"[^\W\d][\w\-]*(?:(?:\.| +)[\w\-]+|\[\d+\])*"
_DOUBLE = re.compile(r"\{\{\{\s*(?P<raw>" + _WORDS + r")\s*\}\}\}|\{\{&?\s*(?P<name>" + _WORDS + r")\s*\}\}")
_TAGS = {
    "#": "sections",
    "^": "inverted sections",
    "/": "sections",
    ">": "partials",
    "=": "other delimiters",
    "!": "comments",
}
_TAG = re.compile(r"\{\{\s*([#^/>=!])")


class MissingVariable(KeyError):
    """A placeholder has no value. `name` is the name of the placeholder."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the prompt's placeholder '{self.name}' has no value"


def variables_of(text: str, format: InputVariableFormat = InputVariableFormat.F_STRING) -> tuple[str, ...]:
    """Return the names of the placeholders in a text, each once, in the order of their first appearance."""
    pattern = _pattern(format)
    names = (_name_of(match) for match in pattern.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name is not None))


def whole_placeholder(text: str) -> str | None:
    """Return the name of the placeholder if the text is exactly one mustache placeholder, else None."""
    match = _DOUBLE.fullmatch(text)
    return None if match is None else _name_of(match)


def mustache_problems(text: str) -> list[str]:
    """Return a sentence for each kind of mustache tag that is not supported."""
    kinds = dict.fromkeys(_TAGS[sign] for sign in _TAG.findall(text))
    return [f"mustache {kind} are not supported by this engine; use only {{{{variables}}}}" for kind in kinds]


def render(text: str, format: InputVariableFormat, values: Mapping[str, object]) -> str:
    """Return a text with every placeholder replaced by its value; lists and objects are written as JSON.

    Raises:
        MissingVariable: `values` has no value for a placeholder.
    """
    literal_braces_open = 0

    def fill(match: re.Match[str]) -> str:
        nonlocal literal_braces_open
        name = _name_of(match)
        if name is not None:
            if name not in values:
                raise MissingVariable(name)
            return text_of(values[name])
        if match["open"]:
            literal_braces_open += 1
            return "{"
        if not literal_braces_open:
            return match[0]
        literal_braces_open -= 1
        return "}"

    return _pattern(format).sub(fill, text)


def render_messages(config: LlmGeneration, values: Mapping[str, object]) -> list[ChatMessage]:
    """Return the messages of a run configuration, filled from one example.

    Raises:
        MissingVariable: `values` has no value for a placeholder.
    """
    return [
        ChatMessage(
            role=message.role.lower(),
            content=None if message.content is None else render(message.content, config.input_variable_format, values),
            tool_call_id=message.tool_call_id,
            tool_calls=message.tool_calls,
        )
        for message in config.messages
    ]


def variables_of_messages(config: LlmGeneration) -> tuple[str, ...]:
    """Return the names of the placeholders in all messages of a run configuration, each once."""
    names = (
        name
        for message in config.messages
        for name in variables_of(message.content or "", config.input_variable_format)
    )
    return tuple(dict.fromkeys(names))


def text_of(value: object) -> str:
    """Return a row's value as text for a prompt: text unchanged, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _pattern(format: InputVariableFormat) -> re.Pattern[str]:
    return _DOUBLE if format is InputVariableFormat.MUSTACHE else _SINGLE


def _name_of(match: re.Match[str]) -> str | None:
    groups = match.groupdict()
    return groups["name"] or groups.get("raw")
