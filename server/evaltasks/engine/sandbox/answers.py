"""From what a sandbox answers to outcomes. Nothing in it is trusted: the code may have written the answer itself.

`reason` groups rows and is ours alone, so of the code's own words it holds only names that Python itself has; what
the code said goes into `detail`, which is shown as untrusted.
"""

from __future__ import annotations

import builtins
import math

from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome, Provenance
from evaltasks.engine.sandbox.limits import SandboxLimits
from evaltasks.engine.sandbox.worker import UNREADABLE

_EXCEPTIONS = frozenset(
    {name for name, found in vars(builtins).items() if isinstance(found, type) and issubclass(found, BaseException)}
    | {"JSONDecodeError", "PatternError", "InvalidOperation", "DivisionByZero"}
)
_TYPES = frozenset(
    {"NoneType", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "set", "generator", "coroutine"}
)
_CUT_SHORT = "…"
_NO_MEMORY = ["raised", "MemoryError"]


def are_answers(raw: object, rows: int) -> bool:
    """Whether this is one answer for each row; what an answer says is read one by one."""
    return type(raw) is list and len(raw) == rows


def ran_out_of_memory(raw: object) -> bool:
    """Whether a row says so, of `are_answers`: what it left behind may make the next rows say it too."""
    assert isinstance(raw, list)
    return any(type(one) is list and one[:2] == _NO_MEMORY for one in raw)


def read_answers(raw: object, limits: SandboxLimits, provenance: Provenance) -> list[Outcome]:
    """One outcome for each answer of `are_answers`."""
    assert isinstance(raw, list)
    return [_read(answer, limits, provenance) for answer in raw]


def _read(answer: object, limits: SandboxLimits, provenance: Provenance) -> Outcome:
    # No pattern matching: this is done for every row of every custom evaluator, and nothing else costs as much here.
    if type(answer) is list and answer:
        what, *parts = answer
        if what == "said" and len(parts) == 3:
            return _said(parts[0], parts[1], parts[2], limits, provenance)
        if what == "gave" and len(parts) == 1:
            name = parts[0]
            kind = name if type(name) is str and name in _TYPES else "something else"
            return Failed(f"evaluate returned {kind} instead of an EvaluationResult", provenance=provenance)
        if what == "raised" and len(parts) == 2:
            return _raised(parts[0], parts[1], limits, provenance)
    return Failed(UNREADABLE, provenance=provenance)


def _raised(name: object, text: object, limits: SandboxLimits, provenance: Provenance) -> Failed:
    kind = name if type(name) is str and name in _EXCEPTIONS else "an exception of its own"
    detail = _cut(text, limits.detail_chars_max) if type(text) is str else None
    return Failed(f"the evaluator's code raised {kind}", detail or None, provenance)


def _said(label: object, score: object, explanation: object, limits: SandboxLimits, provenance: Provenance) -> Outcome:
    """The types are compared exactly: a class of the code's own may answer to every question as it likes."""
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
    """A whole number, a truth value; None for what is not a finite number."""
    if type(score) is not int and type(score) is not bool:
        return None
    try:
        return float(score)
    except OverflowError:
        return None


def _cut(text: str, chars_max: int) -> str:
    return _storable(text if len(text) < chars_max else text[: chars_max - 1] + _CUT_SHORT)


def _storable(text: str) -> str:
    """Half a surrogate pair has no UTF-8 and could not be stored."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
