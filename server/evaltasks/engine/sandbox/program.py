"""A custom evaluator as the sandboxes load it, and the Python sources that both sandboxes run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One import statement of the `imports` block, other than those of the contract."""

    line: int
    source: str


@dataclass(frozen=True, slots=True)
class StaticValue:
    """The value of a static parameter, which the code reads as `self.<name>`."""

    name: str
    value: str | list[str]
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What a sandbox loads. An empty `class_name` means that only the imports are tried."""

    imports: tuple[ImportLine, ...] = ()
    # The name in the code → the name in the contract: EvaluationResult or CodeEvaluator.
    names: Mapping[str, str] = field(default_factory=dict)
    class_name: str = ""
    code: str = ""
    # The same lines without the base class: monty has no inheritance, and the base class has no code.
    bare_code: str = ""
    static: tuple[StaticValue, ...] = ()


# The names of the contract's modules. EvaluationResult has its parameters in the order of AX's.
PRELUDE = '''
class EvaluationResult:
    def __init__(self, score=None, label=None, explanation=None, metadata=None):
        if score is None and not label:
            raise ValueError("EvaluationResult needs a score or a label")
        self.score = score
        self.label = label
        self.explanation = explanation
        self.metadata = metadata


class CodeEvaluator:
    """The base class of custom evaluators; it has no code."""


Evaluator = CodeEvaluator
JSONSerializable = None
'''

# One answer for each row: an exception is the answer of the row that raised it. Texts are cut here, because one row
# could otherwise fill the pipe. The answers are not trusted (`answers`), so nothing here has to protect anything.
EVALUATE_BATCH = """
def __evaltasks_evaluate_batch(rows, evaluator, kind, explanation_max, detail_max):
    answers = []
    for row in rows:
        try:
            result = evaluator.evaluate(**row)
            if type(result) is kind:
                why = result.explanation
                if type(why) is str:
                    why = why[:explanation_max]
                answers.append(["evaluated", result.label, result.score, why])
            else:
                answers.append(["returned", type(result).__name__])
        except BaseException as error:
            name = type(error).__name__
            try:
                text = str(error)[:detail_max]
            except BaseException:
                text = ""
            answers.append(["raised", name, text])
    return answers
"""
