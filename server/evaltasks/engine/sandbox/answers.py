"""Parse the answers of a sandbox into outcomes. Nothing in them is trusted: the code may have written them itself.

A `reason` groups rows and is trusted text, so the only words of the code in it are names that Python itself has. Other
text of the code goes into `detail`, which is shown as untrusted.
"""

from __future__ import annotations

import builtins
import math

from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome, Provenance
from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.worker import UNREADABLE

_EXCEPTIONS = frozenset(
    {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}
    | {"JSONDecodeError", "PatternError", "InvalidOperation", "DivisionByZero"}
)
_TYPES = frozenset(
    {"NoneType", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "set", "generator", "coroutine"}
)
_CUT_SHORT = "…"
_NO_MEMORY = ["raised", "MemoryError"]


def are_answers(raw: object, rows: int) -> bool:
    """Return whether this is a list with one answer for each row; the answers themselves are not checked."""
    return type(raw) is list and len(raw) == rows


def ran_out_of_memory(raw: object) -> bool:
    """Return whether a row of valid `are_answers` ran out of memory, which may make the next rows fail as well."""
    assert isinstance(raw, list)
    return any(type(answer) is list and answer[:2] == _NO_MEMORY for answer in raw)


def read_answers(raw: object, limits: SandboxLimits, provenance: Provenance) -> list[Outcome]:
    """Return one outcome for each answer of valid `are_answers`."""
    assert isinstance(raw, list)
    return [_outcome(answer, limits, provenance) for answer in raw]


def _outcome(answer: object, limits: SandboxLimits, provenance: Provenance) -> Outcome:
    # No pattern matching, which would be the largest cost of a row of a custom evaluator.
    if type(answer) is list and answer:
        kind, *parts = answer
        if kind == "evaluated" and len(parts) == 3:
            return _evaluated(parts[0], parts[1], parts[2], limits, provenance)
        if kind == "returned" and len(parts) == 1:
            name = parts[0]
            returned = name if type(name) is str and name in _TYPES else "something else"
            return Failed(f"evaluate returned {returned} instead of an EvaluationResult", provenance=provenance)
        if kind == "raised" and len(parts) == 2:
            return _raised(parts[0], parts[1], limits, provenance)
    return Failed(UNREADABLE, provenance=provenance)


def _raised(name: object, text: object, limits: SandboxLimits, provenance: Provenance) -> Failed:
    kind = name if type(name) is str and name in _EXCEPTIONS else "an exception of its own"
    detail = _cut(text, limits.detail_chars_max) if type(text) is str else None
    return Failed(f"the evaluator's code raised {kind}", detail or None, provenance)


def _evaluated(
    label: object, score: object, explanation: object, limits: SandboxLimits, provenance: Provenance
) -> Outcome:
    """Return the outcome of an EvaluationResult. Types are compared exactly: a class can imitate any other."""
    if not (label is None or type(label) is str):
        return Failed("the EvaluationResult's label is not text", provenance=provenance)
    if label is not None and len(label) > limits.label_chars_max:
        reason = f"the EvaluationResult's label is longer than {limits.label_chars_max} characters"
        return Failed(reason, provenance=provenance)
    number = score if type(score) is float and math.isfinite(score) else _number(score)
    if score is not None and number is None:
        return Failed("the EvaluationResult's score is not a finite number", provenance=provenance)
    if not (explanation is None or type(explanation) is str):
        return Failed("the EvaluationResult's explanation is not text", provenance=provenance)
    if not label and number is None:
        return Failed("the EvaluationResult has neither a label nor a score", provenance=provenance)
    why = None if explanation is None else _cut(explanation, limits.explanation_chars_max)
    return Evaluated(_storable(label) if label else None, number, why, provenance)


def _number(score: object) -> float | None:
    """Return a whole number or a bool as a float; None for anything that is not a finite number."""
    if type(score) is not int and type(score) is not bool:
        return None
    try:
        return float(score)
    except OverflowError:
        return None


def _cut(text: str, chars_max: int) -> str:
    return _storable(text if len(text) < chars_max else text[: chars_max - 1] + _CUT_SHORT)


def _storable(text: str) -> str:
    """Replace half surrogate pairs, which have no UTF-8 form and cannot be stored."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
