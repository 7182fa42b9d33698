"""The arguments of `create_evaluator`, and which belong to which kind of evaluator.

A kind of code evaluator takes the arguments that are fields of its configuration, without a line here. `_ARGUMENTS`
lists only the kinds whose arguments have other names than their fields.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from evaltasks.api.evaluator_kinds import CUSTOM, MANAGED, TEMPLATE, EvaluatorKind, kinds
from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.inputs import FilterText, Flag, NameText, Text, Texts, read_json_text, read_text, read_word
from evaltasks.tools.spec import Input, Provided
from evaltasks.tools.static_params import StaticParams

_NAME = re.compile(r"[a-zA-Z0-9_\s\-&()]+")
_ARGUMENTS = {
    TEMPLATE.word: ("from_template", "template", "choices", "explanations", "ai_integration", "model", "direction"),
    MANAGED.word: ("managed", "pattern", "keywords", "expected", "variables", "query_filter"),
}
# Fields of configurations that are arguments of all kinds.
_SHARED = ("name", "data_granularity")
# Arguments that imply a kind, so that `kind` can be left out.
_IMPLIED = {"managed": MANAGED, "code": CUSTOM, "template": TEMPLATE, "from_template": TEMPLATE}
_STATIC = {
    "matches_regex": ("pattern",),
    "contains_any_keyword": ("keywords",),
    "contains_all_keywords": ("keywords",),
    "exact_match": ("expected",),
    "json_parseable": (),
}

ManagedWord = Literal["matches_regex", "json_parseable", "contains_any_keyword", "contains_all_keywords", "exact_match"]


def _read_choices(value: object, info: ValidationInfo) -> object:
    value = read_json_text(value, info)
    if isinstance(value, list):
        raise ValueError('is a list of labels without scores; write it as {"good": 1, "bad": 0}')
    if isinstance(value, dict) and (not value or any(not str(label).strip() for label in value)):
        raise ValueError('needs at least one label, and no label must be blank; write it as {"good": 1, "bad": 0}')
    return value


def _read_source(value: object, info: ValidationInfo) -> object:
    """Read text without changing its indentation and line endings."""
    read_text(value, info)
    return value


class _KindWord:
    """Reads the name of a kind; those of installed packages are looked up when they are needed."""

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            read_word, core_schema.no_info_plain_validator_function(self._check)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(kinds_by_word()), "type": "string"}

    @staticmethod
    def _check(word: object) -> object:
        known = kinds_by_word()
        if not isinstance(word, str) or word not in known:
            raise PydanticKnownError("literal_error", {"expected": " or ".join(known)})
        return word


Source = Annotated[str, BeforeValidator(_read_source)]


class CreateEvaluatorInput(Input):
    name: NameText = Field(description="Name of the evaluator, unique in its space, such as 'answer is grounded'.")
    kind: Annotated[str, _KindWord()] | None = Field(
        None, description="Kind of evaluator. Default: implied by from_template, template, managed or code."
    )
    from_template: Text | None = Field(
        None,
        description="Template: start from the catalogue, e.g. faithfulness, relevance, correctness, refusal, "
        "toxicity, tone, summarization, tool_selection. "
        "template, choices and direction override it.",
    )
    template: Source | None = Field(
        None,
        description="Template: the judge's prompt, with variables in {single braces}, which a task maps to columns.",
    )
    choices: Annotated[dict[str, FiniteFloat], BeforeValidator(_read_choices)] | None = Field(
        None, description='Template: each label the judge may answer and its score, e.g. {"good": 1, "bad": 0}. The '
        "prompt must name the same labels.",
    )  # fmt: skip
    explanations: Flag = Field(True, description="Template: ask the judge for its reasons. Default true.")
    ai_integration: Text | None = Field(
        None,
        description="Template: name or id of the AI integration that judges. Required on AX. Default on the embedded "
        "engine: its local 'heuristic' (not a language model).",
    )
    model: Text | None = Field(
        None,
        description="Template: model of the integration, e.g. gpt-4o-mini. Default: the only model, if there is one.",
    )
    direction: Annotated[Literal["maximize", "minimize", "none"], BeforeValidator(read_word)] | None = Field(
        None, description="Template: whether high scores are good. Default: the catalogue's, or maximize."
    )
    managed: Annotated[ManagedWord, BeforeValidator(read_word)] | None = Field(
        None, description="Managed code: the built-in check."
    )
    variables: Texts | None = Field(
        None,
        description="Code: names of the values to check, which a task maps to columns. Default ['output']; "
        "['output', 'expected'] for exact_match without expected.",
    )
    pattern: Source | None = Field(None, description="matches_regex: the regular expression, searched anywhere.")
    keywords: Texts | None = Field(None, description="contains_…: the keywords, in any letter case.")
    expected: str | None = Field(None, description="exact_match: a fixed text to compare with.")
    code: Source | None = Field(None, description="Custom code: the evaluator class, Python source.")
    imports: Source | None = Field(None, description="Custom code: its import lines.")
    static_params: StaticParams | None = Field(
        None, description="Custom code: constants of the evaluator; the class reads each as self.<name>."
    )
    evaluation_name: NameText | None = Field(
        None, description="Results appear as eval.<evaluation_name>.label and .score. Default: derived from name."
    )
    data_granularity: Annotated[Literal["span", "trace", "session"], BeforeValidator(read_word)] | None = Field(
        None,
        description="What is evaluated as a unit. Default: the catalogue's, or span, which includes experiment runs.",
    )
    query_filter: FilterText | None = Field(None, description="Code: evaluate only rows that match this filter.")
    description: Text | None = Field(None, description="What the evaluator is for, for people.")
    new_version: Flag = Field(
        False, description="Add a version to the existing evaluator with this name. Default false."
    )
    commit_message: Text | None = Field(None, description="What changed in this version. Default: a short note.")
    space: Text | None = Field(None, description="Name or id of the space. Default: the default space.")


def kinds_by_word() -> dict[str, EvaluatorKind]:
    """Return the kinds of evaluators by their names in tools."""
    return {kind.word: kind for kind in kinds().values()}


def requested_kind(given: Provided) -> EvaluatorKind | None:
    """Return the kind that `kind` names, or the one that another argument implies; None if there is neither."""
    if given.get("kind"):
        return kinds_by_word()[given["kind"]]
    return next((kind for argument, kind in _IMPLIED.items() if argument in given), None)


def arguments_of(kind: EvaluatorKind) -> tuple[str, ...]:
    """Return the arguments that belong to a kind, without those of all kinds."""
    if kind.word in _ARGUMENTS:
        return _ARGUMENTS[kind.word]
    arguments = CreateEvaluatorInput.model_fields
    return tuple(name for name in kind.config.model_fields if name in arguments and name not in _SHARED)


def validate(given: Provided) -> tuple[str, list[ValidationIssue]]:
    """Validate the arguments by the kind of evaluator.

    Returns:
        The name of the kind, or "" if it is unknown, and the problems.
    """
    kind = requested_kind(given)
    if kind is None:
        return "", [
            ValidationIssue("kind", "is missing and unclear", "provide from_template, template, managed or code")
        ]
    rules = {TEMPLATE.word: _template_issues, MANAGED.word: _managed_issues}
    rule = rules.get(kind.word)
    issues = _foreign(kind, given) + (rule(given) if rule is not None else _code_issues(kind, given))
    name = given.get("evaluation_name")
    if name is not None and not _NAME.fullmatch(name):
        issues.append(
            ValidationIssue(
                "evaluation_name",
                "has characters other than letters, digits, spaces and _ - & ( )",
                "remove the other characters",
            )
        )
    if given.get("new_version") and given.get("description"):
        issues.append(ValidationIssue("description", "belongs to the evaluator, not to a version", "remove it"))
    return kind.word, issues


def _foreign(kind: EvaluatorKind, given: Provided) -> list[ValidationIssue]:
    """Return a problem for each argument of another kind."""
    owners = {word: arguments_of(other) for word, other in kinds_by_word().items()}
    foreign = {argument for arguments in owners.values() for argument in arguments} - set(owners[kind.word])
    issues = []
    for argument in CreateEvaluatorInput.model_fields:
        if argument in foreign and argument in given:
            words = " and ".join(word for word, arguments in owners.items() if argument in arguments)
            issues.append(ValidationIssue(argument, f"is only for {words}", "remove it"))
    return issues


def _template_issues(given: Provided) -> list[ValidationIssue]:
    if "template" not in given and "from_template" not in given:
        return [
            ValidationIssue("template", "is required for a template evaluator", "provide template or from_template")
        ]
    if "template" in given and "from_template" not in given and "choices" not in given:
        return [
            ValidationIssue(
                "choices",
                "without choices an answer cannot become a label and a score",
                'set a score for each label of the prompt, such as {"good": 1, "bad": 0}',
            )
        ]
    return []


def _managed_issues(given: Provided) -> list[ValidationIssue]:
    managed = given.get("managed")
    if managed is None:
        return [ValidationIssue("managed", "is required for managed_code", f"provide one of: {', '.join(_STATIC)}")]
    issues = []
    for argument in ("pattern", "keywords", "expected"):
        if argument in given and argument not in _STATIC[managed]:
            issues.append(ValidationIssue(argument, f"is not an argument of {managed}", "remove it"))
        elif argument in _STATIC[managed] and argument != "expected" and argument not in given:
            issues.append(ValidationIssue(argument, f"is required for {managed}", f"provide {argument}"))
    if "variables" in given:
        wanted = 2 if managed == "exact_match" and "expected" not in given else 1
        if len(given["variables"]) != wanted:
            numbers = {1: "exactly one variable", 2: "two variables, or one and expected"}
            issues.append(ValidationIssue("variables", f"{managed} takes {numbers[wanted]}", "correct the list"))
    return issues


def _code_issues(kind: EvaluatorKind, given: Provided) -> list[ValidationIssue]:
    """Return the problems of a code kind whose arguments are the fields of its configuration."""
    issues = []
    for name, field in kind.config.model_fields.items():
        if not field.is_required() or name in given or name in (*_SHARED, "variables"):
            continue
        if name in CreateEvaluatorInput.model_fields:
            issues.append(ValidationIssue(name, f"is required for {kind.word}", f"provide {name}"))
        else:
            what = f"{kind.word} needs '{name}', which is not an argument of this tool"
            issues.append(ValidationIssue("kind", what, "create the evaluator over REST, or with evaltasks apply"))
    variables = given.get("variables", ["output"])
    for place, param in enumerate(given.get("static_params", ())):
        if param.name in variables:
            where = f"static_params[{place}].name"
            issues.append(
                ValidationIssue(where, "is also a variable", "keep it in only one of variables and static_params")
            )
    return issues
