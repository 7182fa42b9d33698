"""The heuristic judge: it needs no key and is not a language model. It counts words, and every evaluation says so.

There are four measures, each for one purpose:

* *faithfulness*: the share of the answer's content words that occur in the context or the question;
* *relevance*: the share of the question's content words that occur in the document;
* *correctness*: the best token F1 of the answer over the references (1 when one of them is met exactly);
* *refusal*: 1 if the answer starts with one of the usual ways of declining, else 0.

Content words are lower-case words that are not stop words, with number words as digits. They are compared by their
first five letters, so that "founded" matches "founder". The label depends on the share: from 0.9 up it is the choice
that means *good*, down to 0.6 the choice that means *bad*, and between them the choice called "unsure", or none. If
there is nothing to measure (an empty answer, no context) the judge abstains, which is not a score of 0.

The name of a variable decides whether it is the answer, the context and so on. A template that does not fit is refused
when the evaluator is created; nothing is guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaltasks.api.evaluator_kinds import Direction, TemplateConfig
from evaltasks.api.models import HeuristicModel
from evaltasks.api.run_configurations import InputVariableFormat
from evaltasks.engine.evaluators.outcome import Evaluated, Evaluator, Outcome, Provenance, Skipped
from evaltasks.engine.evaluators.prompt import text_of, variables_of
from evaltasks.engine.providers.provider import PermanentFailure

HONESTY = "heuristic, not a language model"
GOOD_FROM = 0.9
BAD_UP_TO = 0.6
UNSURE = "unsure"

_QUOTED_WORDS_MAX = 12
_STEM_LETTERS = 5
_WORD = re.compile(r"[^\W_]+(?:[.,](?=\d)\d+)*(?:['’][^\W\d_]+)?")
_STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below between
    both but by can could did do does doing down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just may me might more most must my myself no nor not of
    off on once only or other our ours ourselves out over own s same shall she should so some such t than that the their
    theirs them themselves then there these they this those through to too under until up upon us very was we were what
    when where which while who whom whose why will with would yes you your yours yourself yourselves""".split()  # noqa: SIM905  one word per line would be unreadable
)
_UNITS = (
    "zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {
    **{word: str(number) for number, word in enumerate(_UNITS.split())},
    **{word: str(number * 10) for number, word in enumerate(_TENS.split(), start=2)},
    **{"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"},
}
_REFUSAL = re.compile(
    r"\b(?:i(?:['’]m| am)? (?:very |really )?(?:sorry|afraid)\b(?=.{0,80}\b(?:can|could|unable|not|don['’]t))"
    r"|i (?:can(?:not|['’]t| not)|won['’]t|will not|must decline|decline to|am unable|['’]m unable|am not able)"
    r"|i['’]m (?:unable|not able)|unable to (?:help|assist|answer|comply|provide)"
    r"|as an ai\b|i (?:do not|don['’]t) have (?:enough |sufficient |any |the )?(?:information|context|access|knowledge)"
    r"|(?:cannot|can['’]t|not able to) (?:help|assist|answer|comply|fulfil|provide|do that))",
    re.IGNORECASE | re.DOTALL,
)
_OPENING_CHARS = 400

ANSWER, CONTEXT, QUESTION, EXPECTED = "the answer", "the context", "the question", "the expected answer"

# Names of the variables of a template, the best first. A dotted path is matched by its words.
_NAMES: dict[str, tuple[str, ...]] = {
    ANSWER: (
        "output", "answer", "response", "ai_response", "model_output", "generation", "completion", "prediction",
        "actual", "actual_output", "assistant", "summary", "claim",
    ),
    CONTEXT: (
        "context", "contexts", "documents", "document", "knowledge", "retrieved_context", "retrieval", "reference",
        "reference_text", "passages", "passage", "source", "sources", "evidence", "article",
    ),
    QUESTION: ("input", "question", "query", "prompt", "user_input", "user", "user_query", "request"),
    EXPECTED: (
        "expected", "expected_output", "expected_answer", "reference", "references", "reference_answer", "ground_truth",
        "correct_answer", "right_answer", "gold", "golden", "target", "label",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A share from 0 to 1, and the explanation of it."""

    share: float
    explanation: str


@dataclass(frozen=True, slots=True)
class _Kind:
    """One heuristic model.

    Attributes:
        needs: The roles that the template must have a variable for.
        uses: The roles that are used if the template has them.
        measures: What the number means.
        is_quality: Whether a high number is good. With the direction MINIMIZE the score is then 1 minus the number, so
            that a high score is bad, as it is with other judges. A refusal is not a quality but an event: 1 means that
            it happened.
    """

    needs: tuple[str, ...]
    uses: tuple[str, ...]
    measures: str
    is_quality: bool = True


_KINDS: dict[HeuristicModel, _Kind] = {
    HeuristicModel.FAITHFULNESS: _Kind(
        (ANSWER, CONTEXT), (QUESTION,), "share of the answer's content words found in context and question"
    ),
    HeuristicModel.RELEVANCE: _Kind(
        (QUESTION, CONTEXT), (), "share of the question's content words found in the document"
    ),
    HeuristicModel.CORRECTNESS: _Kind((ANSWER, EXPECTED), (), "best token F1 of the answer over the references"),
    HeuristicModel.REFUSAL: _Kind((ANSWER,), (), "the answer opens with a refusal", is_quality=False),
}


class HeuristicEvaluator(Evaluator):
    """Judges rows for a template whose AI integration is the heuristic judge."""

    def __init__(self, config: TemplateConfig, format: InputVariableFormat = InputVariableFormat.F_STRING) -> None:
        """Find the measure and the roles of the variables.

        Raises:
            PermanentFailure: The model is not one of the four, or the template lacks a variable that it needs.
        """
        names = [model.value for model in HeuristicModel]
        if config.llm_config.model_name not in names:
            raise PermanentFailure(
                "the heuristic judge does not have the model that the evaluator names: "
                f"use one of {', '.join(names)}, or an AI integration of a language model"
            )
        self._model = HeuristicModel(config.llm_config.model_name)
        self._kind = _KINDS[self._model]
        self.variables = variables_of(config.template, format)
        self._roles = _roles(self.variables, self._kind, self._model)
        self._choices = config.classification_choices
        self._is_inverted = self._kind.is_quality and config.direction is Direction.MINIMIZE
        self._include_explanations = config.include_explanations

    async def evaluate(self, values: Mapping[str, object]) -> Outcome:
        provenance: Provenance = {"judge": HONESTY, "model": self._model.value, "measures": self._kind.measures}
        texts = {role: _texts(values[name]) for role, name in self._roles.items() if name in values}
        for role in self._kind.needs:
            if not any(text.strip() for text in texts.get(role, ())):
                return Skipped(f"{role} is empty, so there is nothing to judge", provenance)
        measured = _measure(self._model, texts)
        if measured is None:
            role = self._kind.needs[0]
            return Skipped(f"{role} has no content words, so there is nothing to judge", provenance)
        label, is_unsure = self._label(measured.share)
        explanation = f"Unsure: {measured.explanation}" if is_unsure else measured.explanation
        share = 1 - measured.share if self._is_inverted else measured.share
        if self._is_inverted:
            provenance["measures"] = f"1 minus the {self._kind.measures}"
        return Evaluated(
            label=label,
            score=round(share, 4),
            explanation=f"{explanation} (Judged by a {HONESTY}.)" if self._include_explanations else None,
            provenance=provenance,
        )

    def _label(self, share: float) -> tuple[str | None, bool]:
        is_high = share >= GOOD_FROM
        is_unsure = not is_high and share > BAD_UP_TO
        if not self._choices:
            return None, is_unsure
        unsure = [label for label in self._choices if label.strip().casefold() == UNSURE]
        if is_unsure:
            return (unsure[0] if unsure else None), True
        decided = {label: score for label, score in self._choices.items() if label not in unsure} or self._choices
        if not self._kind.is_quality:
            named = [label for label in decided if re.match(r"\W*(?:refus|declin)", label, re.IGNORECASE)]
            others = [label for label in decided if label not in named]
            if len(named) == 1 and len(others) == 1:
                return (named[0] if is_high else others[0]), False
        wants_highest = is_high != self._is_inverted
        ranked = sorted(decided, key=lambda label: decided[label])
        return (ranked[-1] if wants_highest else ranked[0]), False


def faithfulness(answer: str, sources: Sequence[str]) -> Measured | None:
    """Return the share of the answer's content words found in the sources; None if the answer has none."""
    known = {_stem(word) for source in sources for word in _content_words(source)}
    words = _content_words(answer)
    if not words:
        return None
    missing = list(dict.fromkeys(word for word in words if _stem(word) not in known))
    share = sum(_stem(word) in known for word in words) / len(words)
    if not missing:
        return Measured(share, f"All {len(words)} content words of the answer are found.")
    return Measured(
        share,
        f"{share:.0%} of the answer's {len(words)} content words are found in context and question; "
        f"not found: {_quoted(missing)}.",
    )


def relevance(question: str, document: str) -> Measured | None:
    """Return the share of the question's content words found in the document; None if the question has none."""
    known = {_stem(word) for word in _content_words(document)}
    words = list(dict.fromkeys(_content_words(question)))
    if not words:
        return None
    missing = [word for word in words if _stem(word) not in known]
    share = 1 - len(missing) / len(words)
    if not missing:
        return Measured(share, f"All {len(words)} content words of the question are in the document.")
    return Measured(
        share,
        f"{share:.0%} of the question's {len(words)} content words are in the document; missing: {_quoted(missing)}.",
    )


def correctness(answer: str, references: Sequence[str]) -> Measured | None:
    """Return the best token F1 over the references, 1 for an exact match; None if the answer has no words."""
    answered = _words(answer)
    if not answered:
        return None
    best = 0.0
    for reference in references:
        expected = _words(reference)
        if answered == expected:
            return Measured(1.0, "The answer equals a reference.")
        shared = sum((Counter(answered) & Counter(expected)).values())
        best = max(best, 2 * shared / (len(answered) + len(expected)))
    return Measured(best, f"The best token F1 over {len(references)} reference(s) is {best:.2f}; none is met exactly.")


def refusal(answer: str) -> Measured:
    """Return 1 if the answer starts by declining, else 0."""
    match = _REFUSAL.search(answer[:_OPENING_CHARS])
    if match is None:
        return Measured(0.0, "The answer's opening has none of the usual ways of declining.")
    return Measured(1.0, f"The answer's opening declines: “{match[0]}”.")


def _measure(model: HeuristicModel, texts: Mapping[str, list[str]]) -> Measured | None:
    match model:
        case HeuristicModel.FAITHFULNESS:
            return faithfulness(" ".join(texts[ANSWER]), [*texts[CONTEXT], *texts.get(QUESTION, ())])
        case HeuristicModel.RELEVANCE:
            return relevance(" ".join(texts[QUESTION]), " ".join(texts[CONTEXT]))
        case HeuristicModel.CORRECTNESS:
            return correctness(" ".join(texts[ANSWER]), texts[EXPECTED])
        case HeuristicModel.REFUSAL:
            return refusal(" ".join(texts[ANSWER]))


def _roles(variables: Sequence[str], kind: _Kind, model: HeuristicModel) -> dict[str, str]:
    roles: dict[str, str] = {}
    for role in (*kind.needs, *kind.uses):
        free = [variable for variable in variables if variable not in roles.values()]
        variable = _called(free, _NAMES[role])
        if variable is not None:
            roles[role] = variable
        elif role in kind.needs:
            raise PermanentFailure(
                f"{model.value} needs a variable for {role}: call it one of {', '.join(_NAMES[role][:5])} "
                "in the template"
            )
    return roles


def _called(variables: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the variable with the best of these names; a whole name wins over a word of a dotted path."""
    whole = {variable.casefold().replace("-", "_"): variable for variable in reversed(variables)}
    for name in names:
        if name in whole:
            return whole[name]
    for name in names:
        for variable in variables:
            if name in re.split(r"[._\-\[\]]+", variable.casefold()):
                return variable
    return None


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [text_of(item) for item in value] if isinstance(value, list) else [text_of(value)]


def _words(text: str) -> list[str]:
    words = (match[0].casefold().replace("’", "'").removesuffix("'s") for match in _WORD.finditer(text))
    numbered = (_NUMBERS.get(word, word) for word in words)
    return [word.replace(",", "") if word[0].isdigit() else word for word in numbered]


def _content_words(text: str) -> list[str]:
    return [word for word in _words(text) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    return word if word[0].isdigit() else word[:_STEM_LETTERS]


def _quoted(words: Sequence[str]) -> str:
    shown = ", ".join(f"“{word[:40]}”" for word in words[:_QUOTED_WORDS_MAX])
    more = len(words) - _QUOTED_WORDS_MAX
    return f"{shown} and {more} more" if more > 0 else shown
