"""The tool create_task: creates a task of any type (`ax tasks create`)."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.tasks import TaskType
from evaltasks.insight.task_rules import creation_issues
from evaltasks.tools.context import ToolContext
from evaltasks.tools.creating import CreatedTask, ProposedTask, create
from evaltasks.tools.inputs import SPACE, NameText, TaskTypeWord, Text, Texts
from evaltasks.tools.spec import Effect, Group, Input, ToolSpec
from evaltasks.tools.task_inputs import (
    BriefEvaluators,
    BriefQueryFilters,
    BriefRunConfiguration,
    EvaluationSettingsInput,
    settings_of,
)


# Fields of a base that is further right come first: the required arguments.
class _TaskAndTarget(Input):
    name: NameText = Field(description='Name of the task, unique in its space. Example: "Relevance Monitor".')
    task_type: TaskTypeWord = Field(
        description="template_evaluation (LLM judge), code_evaluation, or run_experiment (outputs over a dataset)."
    )
    evaluators: BriefEvaluators | None = Field(
        default=None, description='Evaluation tasks: at least one. Example: [{"evaluator_id": "Relevance"}].'
    )
    run_configuration: BriefRunConfiguration | None = Field(
        default=None,
        description="run_experiment: what to do with each example, as in create_run_experiment_task; or @file.json.",
    )
    project: Text | None = Field(
        default=None,
        description="Evaluation tasks: project (name or id) whose spans are evaluated. Pass this or dataset.",
    )
    dataset: Text | None = Field(
        default=None,
        description="Dataset (name or id). run_experiment: required. Evaluation: instead of project.",
    )
    space: Text | None = Field(default=None, description=SPACE)
    experiment_ids: Texts | None = Field(
        default=None, description="Evaluation on a dataset: experiments (names or ids) to evaluate, at least one."
    )


class CreateTaskInput(EvaluationSettingsInput, _TaskAndTarget):
    query_filters: BriefQueryFilters | None = Field(
        default=None,
        description="Evaluation of traces or sessions: instead of query_filter, as in create_evaluation_task.",
    )


async def create_task(arguments: CreateTaskInput, context: ToolContext) -> CreatedTask:
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
    return await create("create_task", proposed, context)


SPEC = ToolSpec(
    name="create_task",
    title="Create a task of any type",
    description=(
        "Create a task of any type. Use it when the type is a variable; create_evaluation_task and "
        "create_run_experiment_task do the same with fewer arguments. Evaluation types need evaluators and exactly "
        "one of project or dataset (a dataset also experiment_ids); run_experiment needs dataset and "
        "run_configuration. Arguments of another type are refused; all problems are reported together, before "
        "anything is sent. Names work wherever an id does. Creating a task starts no run unless is_continuous: "
        "continue with trigger_task_run."
    ),
    effect=Effect.CREATES,
    group=Group.TASKS,
    input=CreateTaskInput,
    output=CreatedTask,
    handler=create_task,
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
