"""Parse a run configuration as an agent writes it: validate it as the intended kind, and repair harmless errors.

Validation of a union reports the problems of every kind at once, most of them about kinds that were not intended. Here
`experiment_type` selects the kind, or, if it is missing or misspelt, the fields that most match one kind.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from evaltasks.api.run_configurations import KINDS as KINDS_BY_TAG
from evaltasks.api.run_configurations import RunConfiguration, RunConfigurationBase
from evaltasks.insight.unreadable import problem_and_remedy

# By the lower-case word that agents write.
KINDS: dict[str, type[RunConfigurationBase]] = {tag.lower(): kind for tag, kind in KINDS_BY_TAG.items()}

_MUSTACHE = re.compile(r"\{\{\s*[\w.\-]+\s*\}\}")
_F_STRING = re.compile(r"(?<!\{)\{\s*[\w.\-]+\s*\}(?!\})")


@dataclass
class ParsedConfiguration:
    """The result of parsing.

    Attributes:
        configuration: The configuration; None if there are issues.
        notes: What was repaired.
        issues: Every problem as (path inside the configuration, problem, remedy).
    """

    configuration: RunConfiguration | None = None
    notes: list[str] = field(default_factory=list)
    issues: list[tuple[tuple[int | str, ...], str, str]] = field(default_factory=list)


def parse_run_configuration(value: Mapping[str, Any]) -> ParsedConfiguration:
    """Parse and validate a run configuration; all problems are in `issues` of the result, none is raised."""
    parsed = ParsedConfiguration()
    # JSON null for an optional field means that it is not set.
    fields = {str(key): part for key, part in value.items() if part is not None}
    kind = _intended_kind(fields, parsed)
    if kind is None:
        return parsed
    fields["experiment_type"] = kind.upper()
    if "input_variable_format" in KINDS[kind].model_fields:
        _complete_variable_format(fields, parsed)
    try:
        configuration = KINDS[kind].model_validate(fields)
    except ValidationError as error:
        parsed.issues += [_issue(kind, detail) for detail in error.errors(include_url=False)]
        return parsed
    if not parsed.issues:
        parsed.configuration = configuration
    return parsed


def _intended_kind(fields: Mapping[str, Any], parsed: ParsedConfiguration) -> str | None:
    allowed = ", ".join(KINDS)
    experiment_type = fields.get("experiment_type")
    if isinstance(experiment_type, str) and experiment_type.strip().lower() in KINDS:
        return experiment_type.strip().lower()
    nearest = _nearest_by_keys(fields)
    if experiment_type is None:
        if nearest is None:
            parsed.issues.append((("experiment_type",), "is required", f"use one of: {allowed}"))
        else:
            parsed.notes.append(
                f"run_configuration.experiment_type is missing; {nearest} is used, because the other fields match it."
            )
        return nearest
    intended = nearest
    if isinstance(experiment_type, str):
        similar = difflib.get_close_matches(experiment_type.lower(), KINDS, n=1, cutoff=0.6)
        intended = similar[0] if similar else nearest
    hint = f" (did you mean {intended}?)" if intended else ""
    parsed.issues.append((("experiment_type",), "is not a kind of run configuration", f"use one of: {allowed}{hint}"))
    return intended


def _nearest_by_keys(fields: Mapping[str, Any]) -> str | None:
    """Return the kind that has most of the fields; None if several have as many."""
    scores = {kind: len(fields.keys() & model.model_fields.keys()) for kind, model in KINDS.items()}
    best = max(scores.values())
    nearest = [kind for kind, score in scores.items() if score == best]
    return nearest[0] if len(nearest) == 1 else None


def _complete_variable_format(fields: dict[str, Any], parsed: ParsedConfiguration) -> None:
    """Infer a missing format from the placeholders, and replace the deprecated alias; both are noted."""
    mustache, f_string = _placeholders(fields.get("messages"))
    variable_format = fields.get("input_variable_format")
    if isinstance(variable_format, str) and variable_format.strip().lower() == "none":
        fields["input_variable_format"] = "F_STRING"
        parsed.notes.append("input_variable_format 'none' is a deprecated alias; f_string is used.")
    elif variable_format is None and mustache and f_string:
        parsed.issues.append(
            (
                ("input_variable_format",),
                "is missing, and the messages have both {single} and {{double}} braces",
                "set f_string or mustache",
            )
        )
        fields["input_variable_format"] = "F_STRING"  # so that it is not reported a second time
    elif variable_format is None:
        # Without placeholders both formats work; mustache keeps the single braces of JSON.
        inferred = "f_string" if f_string else "mustache"
        fields["input_variable_format"] = inferred.upper()
        because = "from the placeholders" if mustache or f_string else "there are no placeholders"
        parsed.notes.append(f"input_variable_format is missing; {inferred} is used ({because}).")
    elif (
        isinstance(variable_format, str) and variable_format.strip().lower() == "mustache" and f_string and not mustache
    ):
        parsed.notes.append(
            "The messages have placeholders in {single} braces only, which mustache does not fill; "
            "write {{double}} braces or set input_variable_format=f_string."
        )


def _placeholders(messages: object) -> tuple[bool, bool]:
    """Return whether the messages have `{{mustache}}` and `{f_string}` placeholders."""
    if not isinstance(messages, list):
        return False, False
    texts = [message.get("content") for message in messages if isinstance(message, Mapping)]
    text = "\n".join(part for part in texts if isinstance(part, str))
    return bool(_MUSTACHE.search(text)), bool(_F_STRING.search(text))


def _issue(kind: str, detail: Mapping[str, Any]) -> tuple[tuple[int | str, ...], str, str]:
    """Return one problem, with the kind that the configuration was validated as."""
    location = tuple(detail["loc"])
    problem, remedy = problem_and_remedy(detail)
    if detail["type"] == "extra_forbidden":
        if len(location) > 1:
            return location, "is not a field of this object", "remove it or correct its spelling"
        name = str(location[-1])
        model = KINDS[kind]
        others = [other for other, other_model in KINDS.items() if name in other_model.model_fields]
        near = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.7)
        if others:
            remedy = f"remove it (it belongs to {' and '.join(others)})"
        elif near:
            remedy = f"did you mean {near[0]}?"
        else:
            remedy = f"remove it; {kind} has: {', '.join(model.model_fields)}"
        return location, f"is not a field of {kind}", remedy
    return location, f"{problem} (validated as {kind})", remedy
