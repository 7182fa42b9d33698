"""Reading a run configuration as an agent writes it: judged by the kind that was meant, repaired where harmless.

A union judged as a union answers with the problems of all three kinds at once, most of them about kinds no one meant.
Here the discriminator decides, or, when it is missing or misspelt, the keys that only one kind has.
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
class ReadConfiguration:
    """`configuration` is None when there are issues: (where inside it, the problem, the remedy)."""

    configuration: RunConfiguration | None = None
    notes: list[str] = field(default_factory=list)
    issues: list[tuple[tuple[int | str, ...], str, str]] = field(default_factory=list)


def read_run_configuration(value: Mapping[str, Any]) -> ReadConfiguration:
    """Never raises: what cannot be read is in `issues`, all of it."""
    read = ReadConfiguration()
    # JSON null for an optional field means "not given".
    given = {str(key): part for key, part in value.items() if part is not None}
    kind = _kind_meant(given, read)
    if kind is None:
        return read
    given["experiment_type"] = kind.upper()
    if "input_variable_format" in KINDS[kind].model_fields:
        _settle_variable_format(given, read)
    try:
        configuration = KINDS[kind].model_validate(given)
    except ValidationError as error:
        read.issues += [_issue(kind, detail) for detail in error.errors(include_url=False)]
        return read
    if not read.issues:
        read.configuration = configuration
    return read


def _kind_meant(given: Mapping[str, Any], read: ReadConfiguration) -> str | None:
    allowed = ", ".join(KINDS)
    said = given.get("experiment_type")
    if isinstance(said, str) and said.strip().lower() in KINDS:
        return said.strip().lower()
    nearest = _nearest_by_keys(given)
    if said is None:
        if nearest is None:
            read.issues.append((("experiment_type",), "is required", f"give one of: {allowed}"))
        else:
            read.notes.append(f"run_configuration.experiment_type was missing; its other fields mean {nearest}.")
        return nearest
    meant = nearest
    if isinstance(said, str) and (close := difflib.get_close_matches(said.lower(), KINDS, n=1, cutoff=0.6)):
        meant = close[0]
    hint = f" (did you mean {meant}?)" if meant else ""
    read.issues.append((("experiment_type",), "is not a kind of run configuration", f"give one of: {allowed}{hint}"))
    return meant


def _nearest_by_keys(given: Mapping[str, Any]) -> str | None:
    """The one kind that has most of the given keys; None when several have as many."""
    scores = {kind: len(given.keys() & model.model_fields.keys()) for kind, model in KINDS.items()}
    best = max(scores.values())
    nearest = [kind for kind, score in scores.items() if score == best]
    return nearest[0] if len(nearest) == 1 else None


def _settle_variable_format(given: dict[str, Any], read: ReadConfiguration) -> None:
    """Fill in a missing format from the placeholders, and replace the deprecated alias, saying so."""
    mustache, f_string = _placeholders(given.get("messages"))
    said = given.get("input_variable_format")
    if isinstance(said, str) and said.strip().lower() == "none":
        given["input_variable_format"] = "F_STRING"
        read.notes.append("input_variable_format 'none' is a deprecated alias; f_string was sent.")
    elif said is None and mustache and f_string:
        read.issues.append(
            (
                ("input_variable_format",),
                "is missing, and the messages have both {single} and {{double}} braces",
                "give f_string or mustache",
            )
        )
        given["input_variable_format"] = "F_STRING"  # only so that it is not reported a second time
    elif said is None:
        # Without a placeholder either will do; mustache leaves the single braces of JSON alone.
        inferred = "f_string" if f_string else "mustache"
        given["input_variable_format"] = inferred.upper()
        because = "from the placeholders" if mustache or f_string else "there are no placeholders"
        read.notes.append(f"input_variable_format was missing; {inferred} was sent ({because}).")
    elif isinstance(said, str) and said.strip().lower() == "mustache" and f_string and not mustache:
        read.notes.append(
            "The messages have placeholders in {single} braces only, which mustache does not fill; "
            "write {{double}} braces or give input_variable_format=f_string."
        )


def _placeholders(messages: object) -> tuple[bool, bool]:
    """Whether the messages have `{{mustache}}` and `{f_string}` placeholders."""
    if not isinstance(messages, list):
        return False, False
    texts = [message.get("content") for message in messages if isinstance(message, Mapping)]
    text = "\n".join(part for part in texts if isinstance(part, str))
    return bool(_MUSTACHE.search(text)), bool(_F_STRING.search(text))


def _issue(kind: str, detail: Mapping[str, Any]) -> tuple[tuple[int | str, ...], str, str]:
    """One problem, naming the kind it was judged by."""
    location = tuple(detail["loc"])
    problem, remedy = problem_and_remedy(detail)
    if detail["type"] == "extra_forbidden":
        if len(location) > 1:
            return location, "is not a field of this object", "remove it or correct its spelling"
        name = str(location[-1])
        model = KINDS[kind]
        others = [other for other, fields in KINDS.items() if name in fields.model_fields]
        near = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.7)
        if others:
            remedy = f"remove it (it belongs to {' and '.join(others)})"
        elif near:
            remedy = f"did you mean {near[0]}?"
        else:
            remedy = f"remove it; {kind} has: {', '.join(model.model_fields)}"
        return location, f"is not a field of {kind}", remedy
    return location, f"{problem} (judged as {kind})", remedy
