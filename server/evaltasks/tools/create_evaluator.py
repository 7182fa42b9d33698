"""`create_evaluator`: create an evaluator of any kind, or a new version of an existing one."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.evaluator_kinds import EvaluatorKind
from evaltasks.api.evaluators import CreateEvaluator, CreateEvaluatorVersion, EvaluatorVersion
from evaltasks.api.problems import Conflict
from evaltasks.client.errors import NotResolved
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.evaluator_configs import evaluation_name_for, make_config, variables_in
from evaltasks.tools.evaluator_inputs import CreateEvaluatorInput, requested_kind, validate
from evaltasks.tools.spec import Effect, Group, Output, ToolSpec
from evaltasks.tools.views import lower


class CreateEvaluatorOutput(Output):
    evaluator_id: str
    name: str
    type: str
    evaluator_version_id: str
    is_new_version: bool
    evaluation_name: str = Field(description="Results appear as eval.<evaluation_name>.label and .score.")
    variables: list[str] = Field(
        description="The names for column_mappings of a task; unmapped ones read the column of their name."
    )
    choices: dict[str, float] | None = None
    direction: str | None = None
    judge: str = Field(description="The source of labels: model and integration, the heuristic, or code.")
    next_step: str

    def text(self) -> str:
        what = "New version of evaluator" if self.is_new_version else "Evaluator"
        return f"{what} {self.name} ({self.evaluator_id}), judged by {self.judge}. {self.next_step}"


async def _create(call: CreateEvaluatorInput, context: ToolContext) -> CreateEvaluatorOutput:
    client = context.client
    space = await client.resolve.space(call.space or context.settings.default_space)
    kind = requested_kind({name: getattr(call, name) for name in call.model_fields_set})
    assert kind is not None, "validate() refuses a call without a kind"
    evaluation_name = call.evaluation_name or evaluation_name_for(call.name, context)
    config, judge = await make_config(kind, call, evaluation_name, space.id, context)
    version = CreateEvaluatorVersion.model_validate(
        {
            "commit_message": call.commit_message or ("New version" if call.new_version else "First version"),
            kind.field: config,
        }
    )
    if call.new_version:
        id_, name, made = await _add_version(call, version, space.id, context)
    else:
        id_, name, made = await _make(call, version, space.id, context)
    return CreateEvaluatorOutput(
        evaluator_id=id_,
        name=name,
        type=lower(version.type),
        evaluator_version_id=made.id,
        is_new_version=call.new_version,
        evaluation_name=made.evaluation_name or evaluation_name,
        variables=version.declared_variables or variables_in(version.prompt or ""),
        choices=version.classification_choices,
        direction=lower(version.direction) if version.prompt is not None else None,
        judge=judge,
        next_step=_next_step(id_, call, kind),
    )


def _next_step(id_: str, call: CreateEvaluatorInput, kind: EvaluatorKind) -> str:
    if call.new_version:
        comparable = "Scores of old and new versions are not comparable."
        return f"Tasks that pin no version use it from their next run on. {comparable}"
    task_type = f"{kind.type.lower()}_evaluation"
    return f"Attach it: create_evaluation_task(task_type='{task_type}', evaluators=[{{'evaluator_id': '{id_}'}}], …)."


async def _make(
    call: CreateEvaluatorInput, version: CreateEvaluatorVersion, space_id: str, context: ToolContext
) -> tuple[str, str, EvaluatorVersion]:
    body = CreateEvaluator(
        space_id=space_id, name=call.name, type=version.type, description=call.description, version=version
    )
    try:
        made = await context.client.evaluators.create(body)
    except Conflict:
        try:
            there = f" ({(await context.client.resolve.evaluator(call.name, space_id)).id})"
        except NotResolved:
            there = ""
        raise Conflict(
            f"An evaluator named '{call.name}'{there} exists already. Versions are immutable: call again with "
            "new_version=true to add one (tasks that pin no version will use it), or choose another name."
        ) from None
    return made.id, made.name, made.version


async def _add_version(
    call: CreateEvaluatorInput, version: CreateEvaluatorVersion, space_id: str, context: ToolContext
) -> tuple[str, str, EvaluatorVersion]:
    named = await context.client.resolve.evaluator(call.name, space_id)
    existing = await context.client.evaluators.get(named.id)
    if existing.type != version.type:
        raise Refused(
            f"The evaluator '{existing.name}' is of type {lower(existing.type)}; a version of type "
            f"{lower(version.type)} cannot be added. Create a new evaluator under another name."
        )
    if call.evaluation_name is None and existing.version.evaluation_name:
        # The evaluation keeps its name; under another name its results would be split in two.
        assert version.config is not None and version.kind is not None, "this tool creates versions of known kinds only"
        renamed = version.config.model_copy(update={"name": existing.version.evaluation_name})
        version = version.model_copy(update={version.kind.field: renamed})
    return existing.id, existing.name, await context.client.evaluators.create_version(existing.id, version)


SPEC = ToolSpec(
    name="create_evaluator",
    title="Create an evaluator",
    description=(
        "Create an evaluator for a task: a template (a prompt for a language model; from the catalogue by "
        "from_template, or your own with choices), managed code (built-in checks: matches_regex, "
        "json_parseable, contains_any_keyword, contains_all_keywords, exact_match) or custom code. "
        "new_version=true adds a version to an existing evaluator; versions are immutable. Attach it to "
        "tasks with create_evaluation_task or update_task. On the embedded engine a template without "
        "ai_integration is judged by a local heuristic, which is not a language model, and the answer says "
        "so. Use it before create_evaluation_task."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=CreateEvaluatorInput,
    output=CreateEvaluatorOutput,
    handler=_create,
    validate=validate,
    example={"name": "grounded", "from_template": "faithfulness"},
)
