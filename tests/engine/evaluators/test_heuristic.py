"""The heuristic judge: its four measures, labels and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evaltasks.demo
from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.engine.evaluators.heuristic import HONESTY, HeuristicEvaluator
from evaltasks.engine.evaluators.outcome import Evaluated, Skipped
from evaltasks.engine.providers.provider import PermanentFailure

FAITHFULNESS = "{input} {context} {output}"


def judge(model: str = "heuristic-faithfulness", template: str = FAITHFULNESS, **config: Any) -> HeuristicEvaluator:
    return HeuristicEvaluator(
        TemplateConfig.model_validate(
            {
                "name": "judged",
                "template": template,
                "include_explanations": True,
                "classification_choices": {"supported": 1, "unsupported": 0},
                "llm_config": {"ai_integration_id": "heuristic", "model_name": model},
                **config,
            }
        )
    )


async def evaluated(evaluator: HeuristicEvaluator, **values: object) -> Evaluated:
    outcome = await evaluator.evaluate(values)
    assert isinstance(outcome, Evaluated)
    assert outcome.provenance["judge"] == HONESTY
    return outcome


async def test_faithfulness_is_high_for_an_answer_found_in_its_context() -> None:
    outcome = await evaluated(
        judge(),
        input="Who founded it?",
        context="Twelve founders, Anna Berg among them.",
        output="Anna Berg founded 12.",
    )

    assert (outcome.label, outcome.score) == ("supported", 1.0)


async def test_faithfulness_quotes_the_words_missing_from_the_context() -> None:
    outcome = await evaluated(judge(), input="Where?", context="It is in Oslo.", output="In Bergen, near Oslo.")

    assert (outcome.label, outcome.score) == ("unsupported", 0.3333)
    assert "“bergen”, “near”" in str(outcome.explanation)
    assert HONESTY in str(outcome.explanation)


@pytest.mark.parametrize(("missing", "more"), [(12, ""), (13, " and 1 more"), (15, " and 3 more")])
async def test_faithfulness_quotes_twelve_words_and_counts_the_others(missing: int, more: str) -> None:
    words = [chr(ord("a") + place) * 6 for place in range(missing)]
    outcome = await evaluated(judge(), input="", context="Oslo", output=" ".join(words))

    quoted = ", ".join(f"“{word}”" for word in words[:12])
    assert f"not found: {quoted}{more}. (" in str(outcome.explanation)


@pytest.mark.parametrize(
    ("context", "output", "score"),
    [
        ("founding", "founders", 1.0),  # five letters alike
        ("foundry", "fountain", 0.0),
        ("covid19", "covid20", 1.0),
        ("12345kg", "12345lb", 0.0),  # a number with its unit is compared as a whole
        ("1234567", "1234568", 0.0),
    ],
)
async def test_words_are_compared_by_five_letters_and_numbers_whole(context: str, output: str, score: float) -> None:
    assert (await evaluated(judge(), input="", context=context, output=output)).score == score


async def test_heuristic_is_unsure_between_the_thresholds() -> None:
    values = {"input": "", "context": "red green blue", "output": "red green blue yellow"}

    without = await evaluated(judge(), **values)
    named = await evaluated(judge(classification_choices={"supported": 1, "unsure": 0.5, "unsupported": 0}), **values)

    assert (without.label, without.score, named.label) == (None, 0.75, "unsure")
    assert str(without.explanation).startswith("Unsure: ")


async def test_direction_minimize_gives_bad_answers_the_high_label_and_score() -> None:
    evaluator = judge(classification_choices={"hallucinated": 1, "factual": 0}, direction="MINIMIZE")

    good = await evaluated(evaluator, input="", context="Oslo", output="Oslo")
    bad = await evaluated(evaluator, input="", context="Oslo", output="Bergen")

    assert [(good.label, good.score), (bad.label, bad.score)] == [("factual", 0.0), ("hallucinated", 1.0)]
    assert bad.provenance["measures"].startswith("1 minus the share")


@pytest.mark.parametrize(
    "values",
    [
        {"input": "q", "context": "", "output": "Oslo"},
        {"input": "q", "context": [], "output": "Oslo"},
        {"input": "q", "context": "Oslo", "output": " \n"},
        {"input": "q", "context": "Oslo", "output": "It is."},
    ],
)
async def test_heuristic_skips_rows_with_nothing_to_judge(values: dict[str, object]) -> None:
    assert isinstance(await judge().evaluate(values), Skipped)


async def test_relevance_counts_question_words_found_in_the_document() -> None:
    evaluator = judge("heuristic-relevance", "{query} {document}")

    outcome = await evaluated(evaluator, query="What is the capital of Norway?", document="Norway's capital is Oslo.")

    assert (outcome.label, outcome.score) == ("supported", 1.0)


async def test_correctness_uses_the_best_matching_reference() -> None:
    evaluator = judge("heuristic-correctness", "{output} {reference}")

    exact = await evaluated(evaluator, output="Oslo.", reference=["Bergen", "oslo"])
    partly = await evaluated(evaluator, output="Oslo, Norway", reference=["Bergen", "Oslo"])

    assert (exact.score, exact.label, partly.score, partly.label) == (1.0, "supported", 0.6667, None)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I cannot answer this question.", "refused"),
        ("As an AI, I have no opinions.", "refused"),
        ("Sorry is the hardest word, by Elton John.", "answered"),
        ("The capital is Oslo.", "answered"),
    ],
)
async def test_refusal_is_detected_at_the_start_of_the_answer(answer: str, label: str) -> None:
    for choices in ({"refused": 1, "answered": 0}, {"refused": 0, "answered": 1}):
        evaluator = judge("heuristic-refusal", "{response}", classification_choices=choices)

        assert (await evaluated(evaluator, response=answer)).label == label


@pytest.mark.parametrize(("at", "label"), [(400, "refused"), (401, "answered")])
async def test_refusal_must_end_within_the_first_400_characters(at: int, label: str) -> None:
    evaluator = judge("heuristic-refusal", "{response}", classification_choices={"refused": 1, "answered": 0})
    refusal = "I cannot"

    outcome = await evaluated(evaluator, response=f"{' ' * (at - len(refusal))}{refusal} say.")

    assert outcome.label == label


@pytest.mark.parametrize(
    ("found", "label"), [(9, "supported"), (8, None), (7, None), (6, "unsupported"), (5, "unsupported")]
)
async def test_label_is_high_from_nine_tenths_and_low_up_to_six(found: int, label: str | None) -> None:
    words = [chr(ord("a") + place) * 6 for place in range(10)]

    outcome = await evaluated(judge(), input="", context=" ".join(words[:found]), output=" ".join(words))

    assert (outcome.score, outcome.label) == (found / 10, label)


@pytest.mark.parametrize(
    ("model", "template", "words"),
    [
        ("gpt-4o", FAITHFULNESS, "does not have the model that the evaluator names"),
        ("heuristic-faithfulness", "{output}", "needs a variable for the context"),
        ("heuristic-correctness", "{tone}", "needs a variable for the answer"),
    ],
)
def test_heuristic_refuses_unknown_models_and_missing_variables(model: str, template: str, words: str) -> None:
    with pytest.raises(PermanentFailure, match=words):
        judge(model, template)


async def test_roles_of_dotted_paths_are_found_by_their_words() -> None:
    evaluator = judge(template="{attributes.retrieval.documents} {attributes.input.value} {attributes.output.value}")

    outcome = await evaluated(
        evaluator,
        **{
            "attributes.retrieval.documents": [{"content": "Oslo"}],
            "attributes.input.value": "Where?",
            "attributes.output.value": "Oslo",
        },
    )

    assert outcome.label == "supported"


async def test_faithfulness_separates_the_halueval_sample_better_than_chance() -> None:
    folder = Path(evaltasks.demo.__path__[0]) / "sample"
    labels = json.loads((folder / "halueval_qa.labels.json").read_text(encoding="utf-8"))
    evaluator = judge()
    agreed = 0
    for line in (folder / "halueval_qa.jsonl").read_text(encoding="utf-8").splitlines():
        span = json.loads(line)
        outcome = await evaluated(
            evaluator,
            input=span["attributes"]["input.value"],
            context=span["attributes"]["retrieval.documents.0.document.content"],
            output=span["attributes"]["output.value"],
        )
        agreed += ((outcome.score or 0) >= 0.75) == (labels[span["span_id"]] == "right")

    assert len(labels) == 300
    assert agreed / len(labels) > 0.75


async def test_faithfulness_quotes_40_characters_of_a_word() -> None:
    outcome = await evaluated(judge(), input="", context="Oslo", output=f"{'a' * 40} {'b' * 41}")

    assert f"not found: “{'a' * 40}”, “{'b' * 40}”." in str(outcome.explanation)


async def test_refusal_quotes_how_the_answer_declines() -> None:
    refusals = judge("heuristic-refusal", "{response}", classification_choices={"refused": 1, "answered": 0})

    outcome = await evaluated(refusals, response="Well, I do not have sufficient information to say.")

    assert str(outcome.explanation).startswith("The answer's opening declines: “I do not have sufficient information”.")
