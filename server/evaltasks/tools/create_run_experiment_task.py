"""The tool create_run_experiment_task (`ax tasks create-run-experiment`)."""

from __future__ import annotations

from pydantic import Field

from evaltasks.api.run_configurations import KINDS
from evaltasks.api.tasks import TaskType
from evaltasks.api.wire import listed
from evaltasks.tools.context import ToolContext
from evaltasks.tools.creating import CreatedTask, ProposedTask, create
from evaltasks.tools.inputs import SPACE, NameText, Text
from evaltasks.tools.spec import Effect, Group, Input, ToolSpec
from evaltasks.tools.task_inputs import RunConfigurationArgument, TaskSettingsInput, settings_of


# Fields of a base that is further right come first: the required arguments.
class _TaskAndDataset(Input):
    name: NameText = Field(description='Name of the task, unique in its space. Example: "GPT-4o Summarization".')
    dataset: Text = Field(description="Dataset (name or id) whose examples are run.")
    run_configuration: RunConfigurationArgument = Field(
        description="What to do with each example: one of the kinds that experiment_type names; or @file.json."
    )
    space: Text | None = Field(default=None, description=SPACE)


class CreateRunExperimentTaskInput(TaskSettingsInput, _TaskAndDataset):
    """The arguments of create_run_experiment_task."""


async def create_run_experiment_task(arguments: CreateRunExperimentTaskInput, context: ToolContext) -> CreatedTask:
    proposed = ProposedTask(
        name=arguments.name,
        task_type=TaskType.RUN_EXPERIMENT,
        space=arguments.space,
        dataset=arguments.dataset,
        settings=settings_of(arguments),
    )
    return await create("create_run_experiment_task", proposed, context)


SPEC = ToolSpec(
    name="create_run_experiment_task",
    title="Create a run-experiment task",
    description=(
        "Create a task that runs a prompt, a judge or an agent over every example of a dataset and stores the "
        "outputs as an experiment. Use it to generate outputs to evaluate. run_configuration is one of: "
        f"{listed([f'{tag.lower()} ({kind.summary})' for tag, kind in KINDS.items()])}. AI "
        "integrations are accepted by name or id. A missing input_variable_format is derived from the "
        "placeholders ({{x}} or {x}), with a note. Creating a task does not run it: continue with "
        "trigger_task_run and an experiment_name."
    ),
    effect=Effect.CREATES,
    group=Group.TASKS,
    input=CreateRunExperimentTaskInput,
    output=CreatedTask,
    handler=create_run_experiment_task,
    example={
        "name": "GPT-4o Summarization",
        "dataset": "support-questions",
        "run_configuration": {
            "experiment_type": "llm_generation",
            "ai_integration_id": "openai",
            "model_name": "gpt-4o",
            "messages": [{"role": "user", "content": "{{input}}"}],
        },
    },
)
