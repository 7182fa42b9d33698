"""The arguments of `create_evaluator`, and which belong to which kind of evaluator."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, ValidationInfo

from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.inputs import FilterText, Flag, NameText, Text, Texts, read_json_text, read_text, read_word
from evaltasks.tools.spec import Input, Provided
from evaltasks.tools.static_params import StaticParams

_NAME = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
# The arguments of each kind; what is in none of them belongs to all.
_TEMPLATE_ONLY = ("from_template", "template", "choices", "explanations", "ai_integration", "model", "direction")
_MANAGED_ONLY = ("managed", "pattern", "keywords", "expected")
_CUSTOM_ONLY = ("code", "imports", "static_params")
_CODE_ONLY = ("variables", "query_filter")
_STATIC = {
    "matches_regex": ("pattern",),
    "contains_any_keyword": ("keywords",),
    "contains_all_keywords": ("keywords",),
    "exact_match": ("expected",),
    "json_parseable": (),
}

KindWord = Literal["template", "managed_code", "custom_code"]
ManagedWord = Literal["matches_regex", "json_parseable", "contains_any_keyword", "contains_all_keywords", "exact_match"]


def _read_choices(value: object, info: ValidationInfo) -> object:
    value = read_json_text(value, info)
    if isinstance(value, list):
        raise ValueError('is a list of labels without scores; write it as {"good": 1, "bad": 0}')
    if isinstance(value, dict) and (not value or any(not str(label).strip() for label in value)):
        raise ValueError('needs at least one label, and none may be blank; write it as {"good": 1, "bad": 0}')
    return value


def _read_source(value: object, info: ValidationInfo) -> object:
    """Text whose indentation and line ends are kept."""
    read_text(value, info)
    return value


Source = Annotated[str, BeforeValidator(_read_source)]


class CreateEvaluatorInput(Input):
    name: NameText = Field(description="Name of the evaluator, unique in its space, such as 'answer is grounded'.")
    kind: Annotated[KindWord, BeforeValidator(read_word)] | None = Field(
        None, description="Told by the other arguments when left out: template, managed or code."
    )
    from_template: Text | None = Field(
        None,
        description="Template: start from the catalogue, e.g. faithfulness, relevance, correctness, refusal, "
        "toxicity, tone, summarization, tool_selection. "
        "template, choices and direction given beside it win.",
    )
    template: Source | None = Field(
        None,
        description="Template: the judge's prompt; {single braces} hold the variables that a task maps to columns.",
    )
    choices: Annotated[dict[str, FiniteFloat], BeforeValidator(_read_choices)] | None = Field(
        None, description='Template: each label the judge may answer and its score, e.g. {"good": 1, "bad": 0}. The '
        "prompt must name the same labels.",
    )  # fmt: skip
    explanations: Flag = Field(True, description="Template: ask the judge for its reasons. Default true.")
    ai_integration: Text | None = Field(
        None,
        description="Template: name or id of the AI integration that judges. Required on AX; the embedded engine takes "
        "its local 'heuristic' (no language model) when left out.",
    )
    model: Text | None = Field(
        None,
        description="Template: model of the integration, e.g. gpt-4o-mini. May be left out when there is only one.",
    )
    direction: Annotated[Literal["maximize", "minimize", "none"], BeforeValidator(read_word)] | None = Field(
        None, description="Template: whether high scores are good. Default maximize, or the catalogue's."
    )
    managed: Annotated[ManagedWord, BeforeValidator(read_word)] | None = Field(
        None, description="Managed code: the built-in check."
    )
    variables: Texts | None = Field(
        None,
        description="Code: names of the values it looks at, mapped to columns by the task. Default ['output']; "
        "['output', 'expected'] for exact_match without expected.",
    )
    pattern: Source | None = Field(None, description="matches_regex: the regular expression, searched anywhere.")
    keywords: Texts | None = Field(None, description="contains_…: the keywords, in any letter case.")
    expected: str | None = Field(None, description="exact_match: a fixed text to compare with.")
    code: Source | None = Field(None, description="Custom code: the evaluator class, Python source.")
    imports: Source | None = Field(None, description="Custom code: its import lines.")
    static_params: StaticParams | None = Field(
        None, description="Custom code: values that belong to the evaluator; the class reads each as self.<name>."
    )
    evaluation_name: NameText | None = Field(
        None, description="Results appear as eval.<evaluation_name>.label and .score. Default: made from name."
    )
    data_granularity: Annotated[Literal["span", "trace", "session"], BeforeValidator(read_word)] | None = Field(
        None,
        description="What is judged as one. Default span, which also stands for experiment runs, or the catalogue's.",
    )
    query_filter: FilterText | None = Field(None, description="Code: judge only rows that match this filter.")
    description: Text | None = Field(None, description="What the evaluator is for, for people.")
    new_version: Flag = Field(
        False, description="Add a version to the evaluator of this name instead of making one. Default false."
    )
    commit_message: Text | None = Field(None, description="What changed with this version. Default: a plain note.")
    space: Text | None = Field(None, description="Name or id of the space. Default: the default space.")


def kind_of(given: Provided) -> KindWord | None:
    """The kind asked for, or the one that the other arguments tell; None when they tell nothing."""
    if given.get("kind"):
        kind: KindWord = given["kind"]
        return kind
    if "managed" in given:
        return "managed_code"
    if "code" in given:
        return "custom_code"
    return "template" if "template" in given or "from_template" in given else None


def validate(given: Provided) -> tuple[str, list[ValidationIssue]]:
    kind = kind_of(given)
    if kind is None:
        return "", [
            ValidationIssue("kind", "nothing says what to make", "give from_template, template, managed or code")
        ]
    rules = {"template": _template_issues, "managed_code": _managed_issues, "custom_code": _custom_issues}
    issues = _foreign(kind, given) + rules[kind](given)
    name = given.get("evaluation_name")
    if name is not None and not _NAME.fullmatch(name):
        issues.append(
            ValidationIssue(
                "evaluation_name", "may hold only letters, digits, blanks and _ - & ( )", "leave the rest out"
            )
        )
    if given.get("new_version") and given.get("description"):
        issues.append(ValidationIssue("description", "belongs to the evaluator, not to a version", "remove it"))
    return kind, issues


def _foreign(kind: KindWord, given: Provided) -> list[ValidationIssue]:
    """Arguments of another kind."""
    owners = {
        "template": _TEMPLATE_ONLY,
        "managed_code": _MANAGED_ONLY + _CODE_ONLY,
        "custom_code": _CUSTOM_ONLY + _CODE_ONLY,
    }
    foreign = {argument for arguments in owners.values() for argument in arguments} - set(owners[kind])
    issues = []
    for argument in CreateEvaluatorInput.model_fields:
        if argument in foreign and argument in given:
            of = " and ".join(one for one, arguments in owners.items() if argument in arguments)
            issues.append(ValidationIssue(argument, f"is only for {of}", "remove it"))
    return issues


def _template_issues(given: Provided) -> list[ValidationIssue]:
    if "template" not in given and "from_template" not in given:
        return [ValidationIssue("template", "a template evaluator needs a prompt", "give template, or from_template")]
    if "template" in given and "from_template" not in given and "choices" not in given:
        return [
            ValidationIssue(
                "choices",
                "without them an answer cannot become a label and a score",
                'give each label of the prompt its score, e.g. {"good": 1, "bad": 0}',
            )
        ]
    return []


def _managed_issues(given: Provided) -> list[ValidationIssue]:
    managed = given.get("managed")
    if managed is None:
        return [
            ValidationIssue("managed", "a managed code evaluator needs its check", f"give one of: {', '.join(_STATIC)}")
        ]
    issues = []
    for argument in ("pattern", "keywords", "expected"):
        if argument in given and argument not in _STATIC[managed]:
            issues.append(ValidationIssue(argument, f"is not an argument of {managed}", "remove it"))
        elif argument in _STATIC[managed] and argument != "expected" and argument not in given:
            issues.append(ValidationIssue(argument, f"{managed} needs it", f"give {argument}"))
    if "variables" in given:
        wanted = 2 if managed == "exact_match" and "expected" not in given else 1
        if len(given["variables"]) != wanted:
            numbers = {1: "exactly one variable", 2: "two variables, or one and expected"}
            issues.append(ValidationIssue("variables", f"{managed} looks at {numbers[wanted]}", "correct the list"))
    return issues


def _custom_issues(given: Provided) -> list[ValidationIssue]:
    issues = (
        [] if "code" in given else [ValidationIssue("code", "custom code needs its source", "give the class as text")]
    )
    variables = given.get("variables", ["output"])
    for place, param in enumerate(given.get("static_params", ())):
        if param.name in variables:
            where = f"static_params[{place}].name"
            issues.append(
                ValidationIssue(where, "is a variable as well", "keep it in one of variables and static_params")
            )
    return issues
