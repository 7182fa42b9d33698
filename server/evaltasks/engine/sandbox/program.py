"""A custom evaluator as the sandboxes load it, and the sources both of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One import statement of the `imports` block, without those of the contract itself."""

    line: int
    source: str


@dataclass(frozen=True, slots=True)
class StaticValue:
    """Read by the code as `self.<name>`."""

    name: str
    value: str | list[str]
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """`class_name` is empty when only the imports are to be tried."""

    imports: tuple[ImportLine, ...] = ()
    # What the code calls EvaluationResult and CodeEvaluator → which of them it is.
    names: Mapping[str, str] = field(default_factory=dict)
    class_name: str = ""
    code: str = ""
    # The same, line for line, without the base class (monty knows no inheritance; the base holds no code).
    bare_code: str = ""
    static: tuple[StaticValue, ...] = ()


# The names that the contract's modules give. EvaluationResult takes its fields in the order AX's takes them.
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
    """The base of custom evaluators; it holds no code."""


Evaluator = CodeEvaluator
JSONSerializable = None
'''

# One answer a row, whatever the row does: what a row raises is that row's answer. Texts are cut where they arise, or a
# single row could fill the pipe. What comes out is read as a stranger's (`answers`), so nothing here is a guard.
FEED = """
def __evaltasks_feed(rows, evaluator, kind, explanation_max, detail_max):
    answers = []
    for row in rows:
        try:
            found = evaluator.evaluate(**row)
            if type(found) is kind:
                why = found.explanation
                if type(why) is str:
                    why = why[:explanation_max]
                answers.append(["said", found.label, found.score, why])
            else:
                answers.append(["gave", type(found).__name__])
        except BaseException as error:
            name = type(error).__name__
            try:
                text = str(error)[:detail_max]
            except BaseException:
                text = ""
            answers.append(["raised", name, text])
    return answers
"""
