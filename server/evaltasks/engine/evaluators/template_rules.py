"""What a judge template must hold to be able to judge anything: told when it is made, not row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.api.wire import JsonObject
from evaltasks.engine.evaluators.prompt import variables_of

_SHOWN_MAX = 5
# Two or three braces around a name: the other notation. `{{"a": 1}}` holds no name and is JSON with braces escaped.
_DOUBLE_BRACES = re.compile(r"\{{2,3}\s*([^\W\d][\w\-.\[\]]*)\s*\}{2,3}")


def template_problems(config: TemplateConfig) -> list[str]:
    """Everything that keeps a template from judging, one sentence each; empty when it is in order."""
    doubled = list(dict.fromkeys(_DOUBLE_BRACES.findall(config.template)))
    problems = []
    if doubled:
        shown = ", ".join(f"{{{name[:80]}}} for {{{{{name[:80]}}}}}" for name in doubled[:_SHOWN_MAX])
        problems.append(f"an evaluator template takes single braces: write {shown}")
    elif (position := _unbalanced_at(config.template)) is not None:
        problems.append(f"the template's braces do not balance: the one at character {position} has no partner")
    elif not variables_of(config.template):
        problems.append("the template holds no variable; name at least one in single braces, as in {output}")
    return problems + choice_problems(config.classification_choices)


def choice_problems(choices: Mapping[str, float] | None) -> list[str]:
    """What keeps labels from being distinguished."""
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
    """What keeps the template of a run configuration from judging: it has no variable in double braces."""
    if variables_of(template, InputVariableFormat.MUSTACHE):
        return []
    single = variables_of(template)[:_SHOWN_MAX]
    if single:
        shown = ", ".join(f"{{{{{name[:80]}}}}} for {{{name[:80]}}}" for name in single)
        return [f"the template of a run configuration takes double braces: write {shown}"]
    return ["the template holds no variable; name at least one column in double braces, as in {{output}}"]


def repairs_of_template(config: TemplateConfig) -> JsonObject:
    """Return `corrected_template`, with `{{name}}` written `{name}`, if the template has variables in double braces.

    Braces without a name are kept.
    """
    corrected = _DOUBLE_BRACES.sub(r"{\1}", config.template)
    return {} if corrected == config.template else {"corrected_template": corrected}


def _unbalanced_at(text: str) -> int | None:
    """Where (from 1) a brace has no partner; None when all have one."""
    opened: list[int] = []
    for position, character in enumerate(text, start=1):
        if character == "{":
            opened.append(position)
        elif character == "}":
            if not opened:
                return position
            opened.pop()
    return opened[-1] if opened else None
