"""Describe values that pydantic could not read: the field, the problem and the remedy, never the value itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import PydanticCustomError

from evaltasks.insight.validation import ValidationIssue

# A key in a path may be any text of the caller.
_PART_CHARACTERS_MAX = 60
_OWN_ERROR = "own_error"


def as_value_error(problem: str, remedy: str) -> PydanticCustomError:
    """Make an error for a validator to raise; both of its texts reach the caller unchanged."""
    return PydanticCustomError(_OWN_ERROR, "{problem}; {remedy}", {"problem": problem, "remedy": remedy})


def path_of(argument: str, location: Sequence[int | str]) -> str:
    """Return the path of a value: `evaluators` and `(0, "query_filter")` give `evaluators[0].query_filter`."""
    path = argument
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:_PART_CHARACTERS_MAX]}"
    return path.removeprefix(".")


def problem_and_remedy(detail: Mapping[str, Any]) -> tuple[str, str]:
    """Describe one of pydantic's error details."""
    context: Mapping[str, Any] = detail.get("ctx") or {}
    kind = str(detail["type"])
    if kind == _OWN_ERROR:
        return str(context["problem"]), str(context["remedy"])
    if kind in _DESCRIPTIONS:
        return _DESCRIPTIONS[kind](context)
    # Our own validators write "problem; remedy"; pydantic's own messages have no second half.
    problem, _, remedy = str(detail["msg"]).removeprefix("Value error, ").partition("; ")
    return problem[:1].lower() + problem[1:], remedy or "correct it"


def issue_of(argument: str, detail: Mapping[str, Any]) -> ValidationIssue:
    """Make the issue of one of pydantic's error details about `argument`."""
    problem, remedy = problem_and_remedy(detail)
    return ValidationIssue(path_of(argument, detail["loc"]), problem, remedy)


_Describe: TypeAlias = Callable[[Mapping[str, Any]], tuple[str, str]]


def _fixed(problem: str, remedy: str) -> _Describe:
    return lambda _: (problem, remedy)


def _one_of(context: Mapping[str, Any]) -> tuple[str, str]:
    allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").lower()
    return "is not one of the allowed values", f"use one of: {allowed}"


# pydantic's type of an error → the problem and the remedy, from the context of the error.
_DESCRIPTIONS: dict[str, _Describe] = {
    "missing": _fixed("is required", "add it"),
    "extra_forbidden": _fixed("is not a field of this object", "remove it or correct its spelling"),
    "literal_error": _one_of,
    "enum": _one_of,
    "string_type": _fixed("must be text", "put it in quotes"),
    "int_type": _fixed("must be a whole number", "write digits only"),
    "int_parsing": _fixed("must be a whole number", "write digits only"),
    "int_from_float": _fixed("must be a whole number", "remove the fraction"),
    "int_parsing_size": _fixed("is too large a number", "use a smaller one"),
    "float_type": _fixed("must be a number", "write digits, such as 0.1"),
    "float_parsing": _fixed("must be a number", "write digits, such as 0.1"),
    "finite_number": _fixed("must be a finite number", "write digits, such as 0.1"),
    "bool_type": _fixed("must be true or false", "write true or false"),
    "bool_parsing": _fixed("must be true or false", "write true or false"),
    "list_type": _fixed("must be a list", "put it in [ ]"),
    "dict_type": _fixed("must be an object", 'write it as {"key": value}'),
    "model_type": _fixed("must be an object", 'write it as {"key": value}'),
    "model_attributes_type": _fixed("must be an object", 'write it as {"key": value}'),
    "string_pattern_mismatch": _fixed("is blank or has characters that are not allowed here", "write it differently"),
    "greater_than_equal": lambda c: (f"must be at least {c['ge']:g}", f"use {c['ge']:g} or more"),
    "greater_than": lambda c: (f"must be more than {c['gt']:g}", f"use more than {c['gt']:g}"),
    "less_than_equal": lambda c: (f"must be at most {c['le']:g}", f"use {c['le']:g} or less"),
    "string_too_long": lambda c: (f"is longer than {c['max_length']} characters", "shorten it"),
    "string_too_short": _fixed("is empty", "write at least one character or omit it"),
    "too_short": lambda c: (f"needs at least {c['min_length']} item(s)", "add one or omit it"),
    "too_long": lambda c: (f"holds more than {c['max_length']} items", f"use at most {c['max_length']}"),
}
