"""The catalogue of judge templates: the table is here, each prompt in `judge_templates/<name>.txt`.

Variables have the names that the heuristic judge knows (`input`, `context`, `output`, `expected`). A template therefore
works with a language model and, if there is a heuristic for the same purpose, without one. Every prompt defines what is
judged, what counts and what does not, marks the inserted data as data, and names the labels exactly as the choices do.
`docs/judge-templates.md` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from evaltasks.api.evaluator_kinds import DataGranularity, Direction
from evaltasks.api.wire import JsonObject


@dataclass(frozen=True, slots=True)
class CatalogTemplate:
    """One template of the catalogue.

    Attributes:
        column_name: The evaluation's name, unique in the catalogue.
        display_name: The title for people.
        purpose: The question that the template answers.
        variables: What each variable of the prompt holds.
        choices: Each label with its score.
        direction: Whether high scores are good.
        granularity: What is judged: one span, trace or session.
    """

    column_name: str
    display_name: str
    purpose: str
    variables: Mapping[str, str]
    choices: Mapping[str, float]
    direction: Direction = Direction.MAXIMIZE
    granularity: DataGranularity = DataGranularity.SPAN

    @property
    def template(self) -> str:
        """The prompt."""
        return _prompts()[self.column_name]

    def wire(self) -> JsonObject:
        """Return the template as the REST API lists it."""
        return {
            "column_name": self.column_name,
            "display_name": self.display_name,
            "template": self.template,
            "rails": list(self.choices),
            "classification_choices": dict(self.choices),
            "direction": self.direction.value,
            "data_granularity": self.granularity.value,
        }


@cache
def _prompts() -> Mapping[str, str]:
    directory = files("evaltasks.engine.evaluators") / "judge_templates"
    return {
        file.name.removesuffix(".txt"): file.read_text(encoding="utf-8").strip()
        for file in directory.iterdir()
        if file.name.endswith(".txt")
    }


_REQUEST = "what the person asked"
_ANSWER = "what the assistant answered"
_CONTEXT = "what the answer may be based on: retrieved passages, a document"
_TOOLS = "the tools that could be called, with their descriptions"
_CALLS = "the tool calls that were made, with their arguments"

CATALOG: tuple[CatalogTemplate, ...] = (
    CatalogTemplate(
        "faithfulness",
        "Faithfulness to the context (hallucination)",
        "Does every statement of an answer follow from the context?",
        {"input": _REQUEST, "context": _CONTEXT, "output": _ANSWER},
        {"faithful": 1, "unfaithful": 0},
    ),
    CatalogTemplate(
        "relevance",
        "Relevance of a document",
        "Does a retrieved document help to answer the question?",
        {"input": _REQUEST, "context": "the retrieved document"},
        {"relevant": 1, "irrelevant": 0},
    ),
    CatalogTemplate(
        "correctness",
        "Correctness of an answer",
        "Does an answer say the same as a reference answer?",
        {"input": _REQUEST, "expected": "the reference answer", "output": _ANSWER},
        {"correct": 1, "incorrect": 0},
    ),
    CatalogTemplate(
        "question_answering",
        "Question answering on a context",
        "Is the question answered completely, and from the context?",
        {"input": _REQUEST, "context": _CONTEXT, "output": _ANSWER},
        {"answered": 1, "not answered": 0},
    ),
    CatalogTemplate(
        "summarization",
        "Quality of a summary",
        "Does a summary keep what matters in a document, truly and briefly?",
        {"input": "the document", "output": "the summary"},
        {"good": 1, "fair": 0.5, "poor": 0},
    ),
    CatalogTemplate(
        "helpfulness",
        "Helpfulness",
        "Could the person who asked act on the answer?",
        {"input": _REQUEST, "output": _ANSWER},
        {"helpful": 1, "partly helpful": 0.5, "not helpful": 0},
    ),
    CatalogTemplate(
        "refusal",
        "Refusal",
        "Did the assistant decline to do what was asked?",
        {"input": _REQUEST, "output": _ANSWER},
        {"refused": 1, "answered": 0},
        Direction.MINIMIZE,
    ),
    CatalogTemplate(
        "toxicity",
        "Toxicity",
        "Is a text hateful, insulting, threatening or demeaning?",
        {"output": "the text"},
        {"toxic": 1, "not toxic": 0},
        Direction.MINIMIZE,
    ),
    CatalogTemplate(
        "tone",
        "Tone towards a customer",
        "Is the tone of an answer fit for a business that talks to its customer?",
        {"input": _REQUEST, "output": _ANSWER},
        {"fit": 1, "unfit": 0},
    ),
    CatalogTemplate(
        "tool_selection",
        "Tool selection",
        "Was the right tool called, or rightly none?",
        {"input": _REQUEST, "tools": _TOOLS, "tool_calls": _CALLS},
        {"right": 1, "wrong": 0},
    ),
    CatalogTemplate(
        "tool_arguments",
        "Arguments of a tool call",
        "Do the arguments of a tool call fit the request?",
        {"input": _REQUEST, "tools": _TOOLS, "tool_calls": _CALLS},
        {"right": 1, "wrong": 0},
    ),
    CatalogTemplate(
        "user_frustration",
        "User frustration",
        "Did the person become frustrated with the assistant in a session?",
        {"conversation": "the turns of the session, a JSON array of input and output"},
        {"frustrated": 1, "not frustrated": 0},
        Direction.MINIMIZE,
        DataGranularity.SESSION,
    ),
)
