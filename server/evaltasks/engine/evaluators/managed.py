"""The five managed code evaluators, and what each requires.

Each checks text; a value that is not text is checked as JSON. The label is `true` with score 1 or `false` with score 0,
and the explanation says why. No value of a row makes an evaluator raise.

Regular expressions come from strangers. RE2 matches them in time linear in the text, so `(a+)+$` is harmless. What RE2
does not support (look-around, back-references) is refused when the evaluator is created.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import re2

from evaltasks.api.evaluator_kinds import ManagedCodeConfig, ManagedEvaluator, StaticParamType
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Failed, Outcome
from evaltasks.engine.evaluators.prompt import text_of

PATTERN_CHARS_MAX = 10_000
KEYWORDS_MAX = 1_000
TEXT_CHARS_MAX = 5_000_000
_QUOTED_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a row passes, and the reason."""

    passes: bool
    reason: str


Check = Callable[[list[str]], Finding]


@dataclass(frozen=True, slots=True)
class Requirement:
    """The variables and static parameters of a managed evaluator.

    Attributes:
        purpose: What it checks, as a sentence without a subject.
        variables: The static parameters that are required with each allowed number of variables.
    """

    purpose: str
    variables: Mapping[int, Mapping[str, StaticParamType]]


REQUIREMENTS: dict[ManagedEvaluator, Requirement] = {
    ManagedEvaluator.MATCHES_REGEX: Requirement(
        "says whether a regular expression matches somewhere in the text", {1: {"pattern": StaticParamType.REGEX}}
    ),
    ManagedEvaluator.JSON_PARSEABLE: Requirement("says whether the text is one JSON value", {1: {}}),
    ManagedEvaluator.CONTAINS_ANY_KEYWORD: Requirement(
        "says whether any keyword occurs in the text, in any letter case",
        {1: {"keywords": StaticParamType.STRING_ARRAY}},
    ),
    ManagedEvaluator.CONTAINS_ALL_KEYWORDS: Requirement(
        "says whether all keywords occur in the text, in any letter case",
        {1: {"keywords": StaticParamType.STRING_ARRAY}},
    ),
    ManagedEvaluator.EXACT_MATCH: Requirement(
        "says whether two variables, or one and the static `expected`, are the same text",
        {2: {}, 1: {"expected": StaticParamType.STRING}},
    ),
}


def problems_of_managed(config: ManagedCodeConfig) -> list[str]:
    """Return a sentence for everything that is wrong with a managed evaluator; empty if it is valid."""
    kind = config.managed_evaluator
    requirement = REQUIREMENTS[kind]
    needed = requirement.variables.get(len(config.variables))
    if needed is None:
        counts = " or ".join(str(count) for count in sorted(requirement.variables))
        return [f"{kind} takes {counts} variable(s), not {len(config.variables)}"]
    problems = []
    if len(set(config.variables)) != len(config.variables):
        problems.append(f"{kind} has the same variable twice; name two different variables")
    params = {param.name: param for param in config.static_params}
    if len(params) != len(config.static_params):
        problems.append("two static parameters have the same name")
    for name, type_ in needed.items():
        if name not in params:
            problems.append(f"{kind} needs the static parameter '{name}' of type {type_}")
        elif params[name].type is not type_:
            problems.append(f"the static parameter '{name}' of {kind} must be of type {type_}, not {params[name].type}")
    for name in params:
        if name not in needed:
            takes = ", ".join(needed) or "none"
            problems.append(f"{kind} takes no static parameter '{name[:80]}'; it takes: {takes}")
    if not problems:
        problems += _problems_of_values(config.static_values())
    return problems


class ManagedCodeEvaluator(Evaluator):
    """Checks rows with one of the managed evaluators."""

    def __init__(self, config: ManagedCodeConfig) -> None:
        """Prepare the check.

        Raises:
            ValueError: The configuration is invalid; the message has every problem of `problems_of_managed`.
        """
        problems = problems_of_managed(config)
        if problems:
            raise ValueError("; ".join(problems))
        self.variables = tuple(config.variables)
        self._check = _CHECKS[config.managed_evaluator](config.static_values())

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        texts = [text_of(values[name]) for name in self.variables]
        if any(len(text) > TEXT_CHARS_MAX for text in texts):
            return Failed(f"a value is longer than {TEXT_CHARS_MAX} characters", provenance={"judge": "code"})
        finding = self._check(texts)
        return Evaluated(
            label="true" if finding.passes else "false",
            score=1.0 if finding.passes else 0.0,
            explanation=finding.reason,
            provenance={"judge": "code"},
        )


def compile_pattern(pattern: str) -> Any:
    """Return the compiled regular expression.

    Raises:
        ValueError: The pattern is too long, or RE2 does not accept it; the message says why.
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"the pattern is longer than {PATTERN_CHARS_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_as_utf8(pattern), options)
    except re2.error as error:
        message = error.args[0] if error.args else ""
        reason = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        hint = ""
        if reason.startswith(("invalid perl operator", "invalid escape sequence")):
            hint = "; look-around and back-references are not supported, because they can take exponential time"
        raise ValueError(f"the pattern is not a valid RE2 regular expression ({reason[:120]}){hint}") from None


def _problems_of_values(values: Mapping[str, str | list[str]]) -> list[str]:
    problems = []
    pattern = values.get("pattern")
    if isinstance(pattern, str):
        try:
            compile_pattern(pattern)
        except ValueError as error:
            problems.append(str(error))
    keywords = values.get("keywords")
    if isinstance(keywords, list):
        if not keywords or any(not keyword.strip() for keyword in keywords):
            problems.append("keywords must have at least one keyword, and no keyword must be blank")
        if len(keywords) > KEYWORDS_MAX:
            problems.append(f"keywords must have at most {KEYWORDS_MAX} keywords, not {len(keywords)}")
    return problems


def _matches_regex(static: Mapping[str, Any]) -> Check:
    pattern = compile_pattern(static["pattern"])

    def check(texts: list[str]) -> Finding:
        match = pattern.search(_as_utf8(texts[0]))
        if match is None:
            return Finding(False, "The pattern matches nowhere in the text.")
        return Finding(True, f"The pattern matches “{_cut(match[0])}”.")

    return check


def _json_parseable(_static: Mapping[str, Any]) -> Check:
    def check(texts: list[str]) -> Finding:
        try:
            # Numbers are not converted: a very long number is valid JSON, and its conversion takes quadratic time.
            json.loads(texts[0], parse_constant=_refuse_constant, parse_int=str, parse_float=str)
        except json.JSONDecodeError as error:
            return Finding(False, f"The text is not JSON: {error.msg} at line {error.lineno} column {error.colno}.")
        except ValueError as error:
            return Finding(False, f"The text is not JSON: {error}.")
        except RecursionError:
            return Finding(False, "The text nests too deeply to be read as JSON.")
        return Finding(True, "The text is one JSON value.")

    return check


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _contains_any(static: Mapping[str, Any]) -> Check:
    keywords: dict[str, str] = {keyword.casefold(): keyword for keyword in static["keywords"]}

    def check(texts: list[str]) -> Finding:
        text = texts[0].casefold()
        present = next((keyword for folded, keyword in keywords.items() if folded in text), None)
        if present is None:
            return Finding(False, f"None of the {len(keywords)} keyword(s) occurs in the text.")
        return Finding(True, f"The keyword “{_cut(present)}” occurs in the text.")

    return check


def _contains_all(static: Mapping[str, Any]) -> Check:
    keywords: dict[str, str] = {keyword.casefold(): keyword for keyword in static["keywords"]}

    def check(texts: list[str]) -> Finding:
        text = texts[0].casefold()
        missing = [keyword for folded, keyword in keywords.items() if folded not in text]
        if not missing:
            return Finding(True, f"All {len(keywords)} keyword(s) occur in the text.")
        shown = ", ".join(f"“{_cut(keyword)}”" for keyword in missing[:10])
        return Finding(False, f"{len(missing)} of {len(keywords)} keyword(s) do not occur in the text: {shown}.")

    return check


def _exact_match(static: Mapping[str, Any]) -> Check:
    def check(texts: list[str]) -> Finding:
        left, right = (texts[0], static["expected"]) if len(texts) == 1 else (texts[0], texts[1])
        if left == right:
            return Finding(True, "The texts are the same.")
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        return Finding(False, f"The texts differ from character {at + 1} on.")

    return check


_CHECKS: dict[ManagedEvaluator, Callable[[Mapping[str, Any]], Check]] = {
    ManagedEvaluator.MATCHES_REGEX: _matches_regex,
    ManagedEvaluator.JSON_PARSEABLE: _json_parseable,
    ManagedEvaluator.CONTAINS_ANY_KEYWORD: _contains_any,
    ManagedEvaluator.CONTAINS_ALL_KEYWORDS: _contains_all,
    ManagedEvaluator.EXACT_MATCH: _exact_match,
}


def _as_utf8(text: str) -> str:
    """Return text that RE2 can read, which is UTF-8. JSON can contain half a surrogate pair, which has no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARS_MAX else text[:_QUOTED_CHARS_MAX] + "…"
