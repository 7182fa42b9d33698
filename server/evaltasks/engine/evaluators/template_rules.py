"""Validation of judge templates, done when a version is created and not for every row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.api.wire import JsonObject
from evaltasks.engine.evaluators.prompt import variables_of

_SHOWN_MAX = 5
# Two or three braces around a name are the other notation. `{{"a": 1}}` has no name: it is JSON with escaped braces.
_DOUBLE_BRACES = re.compile(r"\{{2,3}\s*([^\W\d][\w\-.\[\]]*)\s*\}{2,3}")


def template_problems(config: TemplateConfig) -> list[str]:
    """Return a sentence for everything that is wrong with a template; empty if it is valid."""
    doubled = list(dict.fromkeys(_DOUBLE_BRACES.findall(config.template)))
    problems = []
    if doubled:
        shown = ", ".join(f"{{{name[:80]}}} for {{{{{name[:80]}}}}}" for name in doubled[:_SHOWN_MAX])
        problems.append(f"an evaluator template takes single braces: write {shown}")
    elif (position := _unbalanced_at(config.template)) is not None:
        problems.append(f"the template's braces do not balance: the one at character {position} has no counterpart")
    elif not variables_of(config.template):
        problems.append("the template has no variable; name at least one in single braces, such as {output}")
    return problems + choice_problems(config.classification_choices)


def choice_problems(choices: Mapping[str, float] | None) -> list[str]:
    """Return what is wrong with the labels of a judge, such as two that cannot be distinguished."""
    if choices is None:
        return []
    if not choices or any(not label.strip() for label in choices):
        return ["classification_choices must map at least one non-blank label to a score; leave it out for free text"]
    if len({label.strip().casefold() for label in choices}) < len(choices):
        return [
            "classification_choices must differ by more than letter case and blanks, or two labels cannot be "
            "distinguished"
        ]
    return []


def double_brace_problems(template: str) -> list[str]:
    """Return what is wrong with the template of a run configuration, which needs a variable in double braces."""
    if variables_of(template, InputVariableFormat.MUSTACHE):
        return []
    single = variables_of(template)[:_SHOWN_MAX]
    if single:
        shown = ", ".join(f"{{{{{name[:80]}}}}} for {{{name[:80]}}}" for name in single)
        return [f"the template of a run configuration takes double braces: write {shown}"]
    return ["the template has no variable; name at least one column in double braces, such as {{output}}"]


def repairs_of_template(config: TemplateConfig) -> JsonObject:
    """Return `corrected_template`, with `{{name}}` written `{name}`, if the template has variables in double braces.

    Braces without a name are kept.
    """
    corrected = _DOUBLE_BRACES.sub(r"{\1}", config.template)
    return {} if corrected == config.template else {"corrected_template": corrected}


def _unbalanced_at(text: str) -> int | None:
    """Return the position (from 1) of a brace without a counterpart, or None if all braces balance."""
    opened: list[int] = []
    for position, character in enumerate(text, start=1):
        if character == "{":
            opened.append(position)
        elif character == "}":
            if not opened:
                return position
            opened.pop()
    return opened[-1] if opened else None
