"""The configurations that `create_evaluator` sends, and the judge of a template."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from evaltasks.api.evaluator_kinds import (
    MANAGED,
    TEMPLATE,
    DataGranularity,
    Direction,
    EvaluatorConfig,
    EvaluatorKind,
    ManagedCodeConfig,
    ManagedEvaluator,
    StaticParam,
    StaticParamType,
    TemplateConfig,
)
from evaltasks.api.models import HeuristicModel, LlmConfig
from evaltasks.client.errors import NotResolved
from evaltasks.client.resolve import Named
from evaltasks.insight.results import HEURISTIC
from evaltasks.insight.unreadable import issue_of
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.tools.context import ToolContext
from evaltasks.tools.evaluator_inputs import CreateEvaluatorInput, arguments_of

TOOL = "create_evaluator"
BUILTIN_INTEGRATION = "heuristic"


@dataclass(frozen=True)
class _Judge:
    """The judge of a template. `description` names it for the answer of the tool."""

    integration_id: str
    model: str
    description: str


@dataclass(frozen=True)
class _Prompt:
    """A prompt, merged from a template of the catalogue and the arguments of the call."""

    text: str
    choices: dict[str, float] | None
    direction: Direction
    catalog_name: str | None
    granularity: str = "SPAN"


async def template_config(
    call: CreateEvaluatorInput, evaluation_name: str, space_id: str, context: ToolContext
) -> tuple[TemplateConfig, str]:
    """Return the configuration of a template, and a description of its judge.

    Raises:
        ValidationErrors: The catalogue has no such template, or integration or model of the judge are unknown.
    """
    prompt = await _prompt(call, context)
    judge = await _judge(call, prompt, space_id, context)
    config = TemplateConfig(
        name=evaluation_name,
        template=prompt.text,
        include_explanations=call.explanations,
        classification_choices=prompt.choices,
        direction=prompt.direction,
        data_granularity=DataGranularity((call.data_granularity or prompt.granularity).upper()),
        llm_config=LlmConfig(ai_integration_id=judge.integration_id, model_name=judge.model),
    )
    return config, judge.description


async def _prompt(call: CreateEvaluatorInput, context: ToolContext) -> _Prompt:
    direction = Direction(call.direction.upper()) if call.direction else None
    if call.from_template is None:
        assert call.template is not None, "validate() refuses a template evaluator without a prompt"
        return _Prompt(call.template, call.choices, direction or Direction.MAXIMIZE, None)
    entry = await _catalog_entry(call.from_template, context)
    # The caller is responsible for a prompt of its own that is used with the labels of the catalogue.
    return _Prompt(
        call.template or str(entry["template"]),
        call.choices or entry.get("classification_choices"),
        direction or Direction(str(entry.get("direction") or "MAXIMIZE").upper()),
        str(entry.get("column_name") or ""),
        str(entry.get("data_granularity") or "SPAN"),
    )


async def _catalog_entry(text: str, context: ToolContext) -> dict[str, Any]:
    entries = (await context.client.evaluators.list_templates()).evaluator_templates
    wanted = text.casefold().replace("_", " ").replace("-", " ")
    names: dict[str, dict[str, Any]] = {}
    for entry in entries:
        for key in ("column_name", "display_name"):
            if isinstance(entry.get(key), str):
                names.setdefault(entry[key].casefold().replace("_", " ").replace("-", " "), entry)
    if wanted in names:
        return names[wanted]
    columns = sorted(str(entry.get("column_name")) for entry in entries)
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6)
    likely = f"did you mean {', '.join(str(names[name].get('column_name')) for name in near)}?" if near else ""
    remedy = likely or f"the catalogue has: {', '.join(columns)}"
    raise ValidationErrors(
        f"{TOOL} (template)", [ValidationIssue("from_template", "the catalogue has no template with this name", remedy)]
    )


async def _judge(call: CreateEvaluatorInput, prompt: _Prompt, space_id: str, context: ToolContext) -> _Judge:
    """Resolve the judge (integration and model).

    Raises:
        ValidationErrors: The integration or the model is unknown.
    """
    subject = f"{TOOL} (template)"
    if call.ai_integration is None and not context.client.is_engine:
        raise ValidationErrors(
            subject,
            [
                ValidationIssue(
                    "ai_integration",
                    "is required on AX, where a language model judges",
                    "find one with find(kind='ai_integration')",
                )
            ],
        )
    try:
        named = await context.client.resolve.ai_integration(call.ai_integration or BUILTIN_INTEGRATION, space_id)
    except NotResolved as error:
        # Integrations may belong to the whole account; the list of a space need not include those.
        named = await _unscoped(call.ai_integration or BUILTIN_INTEGRATION, context, error)
    integration = await context.client.ai_integrations.get(named.id)
    if integration.is_heuristic:
        model = call.model or _heuristic_model(prompt)
        if model not in set(HeuristicModel):
            raise ValidationErrors(
                subject,
                [
                    ValidationIssue(
                        "model" if call.model else "ai_integration",
                        "the heuristic has a rule for some purposes only, and the purpose of this prompt is unknown",
                        f"set model to one of {', '.join(HeuristicModel)}, or use the integration of a language model",
                    )
                ],
            )
        if call.ai_integration is None:
            context.note(
                f"ai_integration is missing, so the built-in judge '{integration.name}' is used ({HEURISTIC}): "
                "it compares words and is a rough guide for short answers. Set ai_integration to use a language model."
            )
        return _Judge(integration.id, model, f"{model} ({HEURISTIC})")
    known = integration.model_names or []
    model = call.model or (known[0] if len(known) == 1 else "")
    if not model:
        remedy = f"provide one of: {', '.join(known[:10])}" if known else "provide the provider's name of the model"
        raise ValidationErrors(
            subject,
            [
                ValidationIssue(
                    "model",
                    f"is required: the integration '{integration.name}' does not have exactly one model",
                    remedy,
                )
            ],
        )
    if known and model not in known and not integration.enable_default_models:
        context.note(f"The integration '{integration.name}' does not list this model; it has: {', '.join(known[:10])}.")
    return _Judge(integration.id, model, f"{model} through {integration.name}")


async def _unscoped(text: str, context: ToolContext, error: NotResolved) -> Named:
    if context.settings.default_space:
        raise error
    return await context.client.resolve.ai_integration(text)


def _heuristic_model(prompt: _Prompt) -> str:
    return f"heuristic-{prompt.catalog_name}" if prompt.catalog_name else ""


def managed_config(_kind: EvaluatorKind, call: CreateEvaluatorInput, evaluation_name: str) -> ManagedCodeConfig:
    """Return the configuration of a managed check, whose arguments become static parameters."""
    assert call.managed is not None, "validate() refuses managed code without its check"
    static = []
    if call.pattern is not None:
        static.append(StaticParam(name="pattern", type=StaticParamType.REGEX, default_value=call.pattern))
    if call.keywords is not None:
        static.append(StaticParam(name="keywords", type=StaticParamType.STRING_ARRAY, default_value=call.keywords))
    if call.expected is not None:
        static.append(StaticParam(name="expected", type=StaticParamType.STRING, default_value=call.expected))
    compares_two = call.managed == "exact_match" and call.expected is None
    return ManagedCodeConfig(
        type="MANAGED",
        name=evaluation_name,
        managed_evaluator=ManagedEvaluator(call.managed.upper()),
        variables=call.variables or (["output", "expected"] if compares_two else ["output"]),
        static_params=static,
        data_granularity=_granularity(call),
        query_filter=call.query_filter or None,
    )


def code_config(kind: EvaluatorKind, call: CreateEvaluatorInput, evaluation_name: str) -> EvaluatorConfig:
    """Return the configuration of a kind whose arguments are the fields of its configuration.

    Raises:
        ValidationErrors: The configuration refuses a value.
    """
    given = {name: getattr(call, name) for name in arguments_of(kind) if getattr(call, name) is not None}
    body = {"variables": ["output"], **given, "name": evaluation_name, "type": kind.tag}
    if call.data_granularity is not None:
        body["data_granularity"] = call.data_granularity
    try:
        return kind.config.model_validate(body)
    except ValidationError as error:
        issues = [issue_of("", detail) for detail in error.errors(include_url=False)]
        raise ValidationErrors(f"{TOOL} ({kind.word})", issues) from None


# Kinds whose arguments have other names than the fields of their configurations; the others use `code_config`.
_CONFIG_MAKERS: dict[str, Callable[[EvaluatorKind, CreateEvaluatorInput, str], EvaluatorConfig]] = {
    MANAGED.word: managed_config,
}


async def make_config(
    kind: EvaluatorKind, call: CreateEvaluatorInput, evaluation_name: str, space_id: str, context: ToolContext
) -> tuple[EvaluatorConfig, str]:
    """Return the configuration of the new version, and a text that says what judges.

    Raises:
        ValidationErrors: The judge of a template is unknown, or the configuration refuses a value.
    """
    if kind.word == TEMPLATE.word:
        return await template_config(call, evaluation_name, space_id, context)
    return _CONFIG_MAKERS.get(kind.word, code_config)(kind, call, evaluation_name), kind.label_source


def _granularity(call: CreateEvaluatorInput) -> DataGranularity | None:
    return DataGranularity(call.data_granularity.upper()) if call.data_granularity else None


def evaluation_name_for(name: str, context: ToolContext) -> str:
    """Derive the name of the evaluation from the evaluator's name; a change is reported as a note."""
    evaluation_name = re.sub(r"[^a-zA-Z0-9_\s\-&()]+", "_", name).strip("_ ") or "evaluation"
    if evaluation_name != name:
        context.note(
            f"Results appear under the name '{evaluation_name}', because the evaluator's name has characters that are "
            "not allowed there."
        )
    return evaluation_name


def variables_in(template: str) -> list[str]:
    """Return the `{variables}` of a prompt, in order, each once; double braces are text."""
    bare = template.replace("{{", "").replace("}}", "")
    return list(dict.fromkeys(re.findall(r"\{\s*([^\W\d][\w\-.\[\]]*)\s*\}", bare)))
