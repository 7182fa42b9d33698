"""The tool create_evaluation_task (`ax tasks create-evaluation`)."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.tasks import TaskType
from evaltasks.insight.task_rules import creation_issues
from evaltasks.tools.context import ToolContext
from evaltasks.tools.creating import CreatedTask, ProposedTask, create
from evaltasks.tools.inputs import SPACE, EvaluationTypeWord, NameText, Text, Texts
from evaltasks.tools.spec import Effect, Group, Input, ToolSpec
from evaltasks.tools.task_inputs import EvaluationSettingsInput, Evaluators, QueryFiltersArgument, settings_of


# Fields of a base that is further right come first: the required arguments.
class _TaskAndTarget(Input):
    name: NameText = Field(description='Name of the task, unique in its space. Example: "Relevance Monitor".')
    task_type: EvaluationTypeWord = Field(
        description="template_evaluation for LLM-judge evaluators, code_evaluation for code evaluators."
    )
    evaluators: Evaluators = Field(
        description='Evaluators to run, at least one, none twice. Example: [{"evaluator_id": "Relevance"}].'
    )
    project: Text | None = Field(
        default=None, description="Project (name or id) whose spans are evaluated. Pass this or dataset."
    )
    dataset: Text | None = Field(
        default=None, description="Dataset (name or id) whose experiments are evaluated. Pass this or project."
    )
    space: Text | None = Field(default=None, description=SPACE)
    experiment_ids: Texts | None = Field(
        default=None, description="With dataset: experiments (names or ids) to evaluate, at least one."
    )


class CreateEvaluationTaskInput(EvaluationSettingsInput, _TaskAndTarget):
    query_filters: QueryFiltersArgument | None = Field(
        default=None, description="Traces or sessions only: instead of query_filter. Default: none."
    )


async def create_evaluation_task(arguments: CreateEvaluationTaskInput, context: ToolContext) -> CreatedTask:
    proposed = ProposedTask(
        name=arguments.name,
        task_type=TaskType(arguments.task_type.upper()),
        space=arguments.space,
        project=arguments.project,
        dataset=arguments.dataset,
        evaluators=arguments.evaluators,
        experiment_ids=arguments.experiment_ids,
        settings=settings_of(arguments),
    )
    return await create("create_evaluation_task", proposed, context)


SPEC = ToolSpec(
    name="create_evaluation_task",
    title="Create an evaluation task",
    description=(
        "Create a task that scores spans of a project, or experiments on a dataset, with existing evaluators. "
        "Use it after create_evaluator. Needs name, task_type, evaluators and exactly one of project or "
        "dataset; with a dataset also experiment_ids. sampling_rate and is_continuous are for projects only. "
        "Names work wherever an id does. Each evaluator may map its template variables to columns "
        "(column_mappings); an unmapped variable reads the column of the same name. Creating a task evaluates "
        "nothing yet unless is_continuous: continue with trigger_task_run."
    ),
    effect=Effect.CREATES,
    group=Group.TASKS,
    input=CreateEvaluationTaskInput,
    output=CreatedTask,
    handler=create_evaluation_task,
    validate=creation_issues,
    example={
        "name": "Relevance Monitor",
        "task_type": "template_evaluation",
        "project": "support-bot",
        "evaluators": [{"evaluator_id": "Relevance"}],
        "sampling_rate": 0.1,
        "is_continuous": True,
    },
)
