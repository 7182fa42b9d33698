"""One value that could not be read, in words: the field, what is wrong with it, how to write it; never the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from evaltasks.insight.validation import ValidationIssue

# A key in a path may be anything a caller invented.
_PART_CHARACTERS_MAX = 60
_SAID = "said"


def as_value_error(problem: str, remedy: str) -> PydanticCustomError:
    """For validators: an error whose two halves reach the caller exactly as they are."""
    return PydanticCustomError(_SAID, "{problem}; {remedy}", {"problem": problem, "remedy": remedy})


def path_of(argument: str, location: Sequence[int | str]) -> str:
    """`evaluators` and `(0, "query_filter")` make `evaluators[0].query_filter`."""
    path = argument
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:_PART_CHARACTERS_MAX]}"
    return path.removeprefix(".")


def words_of(detail: Mapping[str, Any]) -> tuple[str, str]:
    """(problem, remedy) of one of pydantic's error details."""
    context: Mapping[str, Any] = detail.get("ctx") or {}
    kind = str(detail["type"])
    if kind == _SAID:
        return str(context["problem"]), str(context["remedy"])
    if kind in _WORDS:
        return _WORDS[kind](context)
    # Our own validators write "problem; remedy"; pydantic's own messages have no second half.
    problem, _, remedy = str(detail["msg"]).removeprefix("Value error, ").partition("; ")
    return problem[:1].lower() + problem[1:], remedy or "correct it"


def issue_of(argument: str, detail: Mapping[str, Any]) -> ValidationIssue:
    problem, remedy = words_of(detail)
    return ValidationIssue(path_of(argument, detail["loc"]), problem, remedy)


Words = Callable[[Mapping[str, Any]], tuple[str, str]]


def _says(problem: str, remedy: str) -> Words:
    return lambda _: (problem, remedy)


def _one_of(context: Mapping[str, Any]) -> tuple[str, str]:
    allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").lower()
    return "is none of the words allowed here", f"give one of: {allowed}"


_WORDS: dict[str, Words] = {
    "missing": _says("is required", "add it"),
    "extra_forbidden": _says("is not a field of this object", "remove it or correct its spelling"),
    "literal_error": _one_of,
    "enum": _one_of,
    "string_type": _says("must be text", "give it in quotes"),
    "int_type": _says("must be a whole number", "give digits only"),
    "int_parsing": _says("must be a whole number", "give digits only"),
    "int_from_float": _says("must be a whole number", "leave the fraction out"),
    "int_parsing_size": _says("is too large a number", "give a smaller one"),
    "float_type": _says("must be a number", "give digits, such as 0.1"),
    "float_parsing": _says("must be a number", "give digits, such as 0.1"),
    "finite_number": _says("must be a finite number", "give digits, such as 0.1"),
    "bool_type": _says("must be true or false", "give true or false"),
    "bool_parsing": _says("must be true or false", "give true or false"),
    "list_type": _says("must be a list", "put it in [ ]"),
    "dict_type": _says("must be an object", 'write it as {"key": value}'),
    "model_type": _says("must be an object", 'write it as {"key": value}'),
    "model_attributes_type": _says("must be an object", 'write it as {"key": value}'),
    "string_pattern_mismatch": _says("is blank or has characters that are not allowed here", "write it differently"),
    "greater_than_equal": lambda c: (f"must be at least {c['ge']:g}", f"give {c['ge']:g} or more"),
    "greater_than": lambda c: (f"must be more than {c['gt']:g}", f"give more than {c['gt']:g}"),
    "less_than_equal": lambda c: (f"must be at most {c['le']:g}", f"give {c['le']:g} or less"),
    "string_too_long": lambda c: (f"is longer than {c['max_length']} characters", "shorten it"),
    "string_too_short": _says("is empty", "give at least one character or leave it out"),
    "too_short": lambda c: (f"needs at least {c['min_length']} item(s)", "add one or leave it out"),
    "too_long": lambda c: (f"holds more than {c['max_length']} items", f"give at most {c['max_length']}"),
}
