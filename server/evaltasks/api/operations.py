"""The one table of REST operations.

The client looks an operation up to call it; the engine makes its routes from the same rows. Neither knows the
other. Operations whose path starts with `/evaltasks/v1/` are ours alone: AX does not have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from evaltasks.api import ai_integrations as ai
from evaltasks.api import (
    annotation_configs,
    datasets,
    engine_info,
    evaluators,
    experiments,
    integrations,
    projects,
    spaces,
    spans,
    task_runs,
    tasks,
    traces,
)
from evaltasks.api.annotations import AnnotateRows, AnnotateSpans

ReplyT = TypeVar("ReplyT", bound=BaseModel | None)

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation(Generic[ReplyT]):
    """One row: `body` and `query` are what is sent, `reply` what comes back (None: an empty body).

    `reads` says that repeating the call changes nothing, whatever its method.
    """

    name: str
    method: str
    path: str
    status: int
    reply: type[ReplyT] | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    reads: bool = False

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)

    def path_for(self, values: Mapping[str, str]) -> str:
        """The path with its values put in, each confined to its own segment.

        Raises ValueError for an empty value and for `.` and `..`, which walk out of their segment even
        percent-encoded (seen with httpx: a run id of `..` turned `/v2/task-runs/..` into `/v2`).
        """

        def segment(match: re.Match[str]) -> str:
            value = values[match.group(1)]
            if not value or value in {".", ".."}:
                raise ValueError(f"{match.group(1)} must not be empty, '.' or '..'")
            return quote(value, safe="")

        return _PARAMETER.sub(segment, self.path)


def _get(name: str, path: str, reply: type[ReplyT], query: type[BaseModel] | None = None) -> Operation[ReplyT]:
    return Operation(name, "GET", path, 200, reply=reply, query=query, reads=True)


def _create(name: str, path: str, body: type[BaseModel], reply: type[ReplyT]) -> Operation[ReplyT]:
    return Operation(name, "POST", path, 201, reply=reply, body=body)


def _patch(name: str, path: str, body: type[BaseModel], reply: type[ReplyT]) -> Operation[ReplyT]:
    return Operation(name, "PATCH", path, 200, reply=reply, body=body)


def _delete(name: str, path: str) -> Operation[None]:
    return Operation(name, "DELETE", path, 204)


def _annotate(name: str, path: str, body: type[BaseModel]) -> Operation[None]:
    return Operation(name, "POST", path, 202, body=body)


# --- tasks and task runs ------------------------------------------------------------------------------------------
LIST_TASKS = _get("list_tasks", "/v2/tasks", tasks.TaskPage, tasks.ListTasks)
CREATE_TASK = _create("create_task", "/v2/tasks", tasks.CreateTask, tasks.Task)
GET_TASK = _get("get_task", "/v2/tasks/{task_id}", tasks.Task)
UPDATE_TASK = _patch("update_task", "/v2/tasks/{task_id}", tasks.UpdateTask, tasks.Task)
DELETE_TASK = _delete("delete_task", "/v2/tasks/{task_id}")
TRIGGER_TASK_RUN = _create(
    "trigger_task_run", "/v2/tasks/{task_id}/trigger", task_runs.TriggerTaskRun, task_runs.TaskRun
)
LIST_TASK_RUNS = _get("list_task_runs", "/v2/tasks/{task_id}/runs", task_runs.TaskRunPage, task_runs.ListTaskRuns)
GET_TASK_RUN = _get("get_task_run", "/v2/task-runs/{run_id}", task_runs.TaskRun)
CANCEL_TASK_RUN: Operation[task_runs.TaskRun] = Operation(
    "cancel_task_run", "POST", "/v2/task-runs/{run_id}/cancel", 200, reply=task_runs.TaskRun
)

# --- what tasks refer to ------------------------------------------------------------------------------------------
LIST_SPACES = _get("list_spaces", "/v2/spaces", spaces.SpacePage, spaces.ListSpaces)
GET_SPACE = _get("get_space", "/v2/spaces/{space_id}", spaces.Space)
CREATE_SPACE = _create("create_space", "/v2/spaces", spaces.CreateSpace, spaces.Space)
UPDATE_SPACE = _patch("update_space", "/v2/spaces/{space_id}", spaces.UpdateSpace, spaces.Space)
DELETE_SPACE = _delete("delete_space", "/v2/spaces/{space_id}")

LIST_PROJECTS = _get("list_projects", "/v2/projects", projects.ProjectPage, projects.ListProjects)
GET_PROJECT = _get("get_project", "/v2/projects/{project_id}", projects.Project)
CREATE_PROJECT = _create("create_project", "/v2/projects", projects.CreateProject, projects.Project)
RENAME_PROJECT = _patch("rename_project", "/v2/projects/{project_id}", projects.RenameProject, projects.Project)
DELETE_PROJECT = _delete("delete_project", "/v2/projects/{project_id}")

LIST_SPANS: Operation[spans.SpanPage] = Operation(
    "list_spans", "POST", "/v2/spans", 200, spans.SpanPage, spans.ListSpans, spans.ListSpansQuery, reads=True
)
ANNOTATE_SPANS = _annotate("annotate_spans", "/v2/spans/annotate", AnnotateSpans)
DELETE_SPANS: Operation[spans.DeletedSpans] = Operation(
    "delete_spans", "DELETE", "/v2/spans", 200, spans.DeletedSpans, spans.DeleteSpans
)
LIST_TRACES: Operation[traces.TracePage] = Operation(
    "list_traces", "POST", "/v2/traces", 200, traces.TracePage, traces.ListTraces, traces.ListTracesQuery, reads=True
)

LIST_DATASETS = _get("list_datasets", "/v2/datasets", datasets.DatasetPage, datasets.ListDatasets)
CREATE_DATASET = _create("create_dataset", "/v2/datasets", datasets.CreateDataset, datasets.Dataset)
GET_DATASET = _get("get_dataset", "/v2/datasets/{dataset_id}", datasets.Dataset)
RENAME_DATASET = _patch("rename_dataset", "/v2/datasets/{dataset_id}", datasets.RenameDataset, datasets.Dataset)
DELETE_DATASET = _delete("delete_dataset", "/v2/datasets/{dataset_id}")
LIST_EXAMPLES = _get("list_examples", "/v2/datasets/{dataset_id}/examples", datasets.ExamplePage, datasets.ListExamples)
SEARCH_EXAMPLES: Operation[datasets.ExamplePage] = Operation(
    "search_examples", "POST", "/v2/datasets/{dataset_id}/examples/search", 200,
    datasets.ExamplePage, datasets.SearchExamples, reads=True,
)  # fmt: skip
APPEND_EXAMPLES: Operation[datasets.DatasetWithExampleIds] = Operation(
    "append_examples", "POST", "/v2/datasets/{dataset_id}/examples", 201,
    datasets.DatasetWithExampleIds, datasets.AppendExamples, datasets.DatasetVersionQuery,
)  # fmt: skip
UPDATE_EXAMPLES: Operation[datasets.DatasetWithExampleIds] = Operation(
    "update_examples", "PATCH", "/v2/datasets/{dataset_id}/examples", 200,
    datasets.DatasetWithExampleIds, datasets.UpdateExamples, datasets.DatasetVersionQuery,
)  # fmt: skip
DELETE_EXAMPLES: Operation[datasets.DeletedExamples] = Operation(
    "delete_examples", "DELETE", "/v2/datasets/{dataset_id}/examples", 200,
    datasets.DeletedExamples, datasets.DeleteExamples,
)  # fmt: skip
ANNOTATE_EXAMPLES = _annotate("annotate_examples", "/v2/datasets/{dataset_id}/examples/annotate", AnnotateRows)

LIST_EXPERIMENTS = _get("list_experiments", "/v2/experiments", experiments.ExperimentPage, experiments.ListExperiments)
CREATE_EXPERIMENT = _create(
    "create_experiment", "/v2/experiments", experiments.CreateExperiment, experiments.Experiment
)
GET_EXPERIMENT = _get("get_experiment", "/v2/experiments/{experiment_id}", experiments.Experiment)
DELETE_EXPERIMENT = _delete("delete_experiment", "/v2/experiments/{experiment_id}")
LIST_EXPERIMENT_RUNS = _get(
    "list_experiment_runs", "/v2/experiments/{experiment_id}/runs",
    experiments.ExperimentRunPage, experiments.ListExperimentRuns,
)  # fmt: skip
SEARCH_EXPERIMENT_RUNS: Operation[experiments.ExperimentRunPage] = Operation(
    "search_experiment_runs", "POST", "/v2/experiments/{experiment_id}/runs/search", 200,
    experiments.ExperimentRunPage, experiments.SearchExperimentRuns, reads=True,
)  # fmt: skip
APPEND_EXPERIMENT_RUNS = _create(
    "append_experiment_runs", "/v2/experiments/{experiment_id}/runs",
    experiments.AppendExperimentRuns, experiments.ExperimentWithRunIds,
)  # fmt: skip
ANNOTATE_EXPERIMENT_RUNS = _annotate(
    "annotate_experiment_runs", "/v2/experiments/{experiment_id}/runs/annotate", AnnotateRows
)

LIST_EVALUATORS = _get("list_evaluators", "/v2/evaluators", evaluators.EvaluatorPage, evaluators.ListEvaluators)
CREATE_EVALUATOR = _create(
    "create_evaluator", "/v2/evaluators", evaluators.CreateEvaluator, evaluators.EvaluatorWithVersion
)
GET_EVALUATOR = _get(
    "get_evaluator", "/v2/evaluators/{evaluator_id}", evaluators.EvaluatorWithVersion, evaluators.GetEvaluator
)
UPDATE_EVALUATOR = _patch(
    "update_evaluator", "/v2/evaluators/{evaluator_id}", evaluators.UpdateEvaluator, evaluators.Evaluator
)
DELETE_EVALUATOR = _delete("delete_evaluator", "/v2/evaluators/{evaluator_id}")
LIST_EVALUATOR_VERSIONS = _get(
    "list_evaluator_versions", "/v2/evaluators/{evaluator_id}/versions",
    evaluators.EvaluatorVersionPage, evaluators.ListEvaluatorVersions,
)  # fmt: skip
CREATE_EVALUATOR_VERSION = _create(
    "create_evaluator_version", "/v2/evaluators/{evaluator_id}/versions",
    evaluators.CreateEvaluatorVersion, evaluators.EvaluatorVersion,
)  # fmt: skip
DELETE_EVALUATOR_VERSIONS: Operation[evaluators.DeletedEvaluatorVersions] = Operation(
    "delete_evaluator_versions", "DELETE", "/v2/evaluators/{evaluator_id}/versions", 200,
    evaluators.DeletedEvaluatorVersions, evaluators.DeleteEvaluatorVersions,
)  # fmt: skip
GET_EVALUATOR_VERSION = _get(
    "get_evaluator_version", "/v2/evaluator-versions/{version_id}", evaluators.EvaluatorVersion
)
LIST_EVALUATOR_TEMPLATES = _get("list_evaluator_templates", "/v2/evaluator-templates", evaluators.EvaluatorTemplates)

LIST_AI_INTEGRATIONS = _get("list_ai_integrations", "/v2/ai-integrations", ai.AiIntegrationPage, ai.ListAiIntegrations)
CREATE_AI_INTEGRATION = _create(
    "create_ai_integration", "/v2/ai-integrations", ai.CreateAiIntegration, ai.AiIntegration
)
GET_AI_INTEGRATION = _get("get_ai_integration", "/v2/ai-integrations/{integration_id}", ai.AiIntegration)
UPDATE_AI_INTEGRATION = _patch(
    "update_ai_integration", "/v2/ai-integrations/{integration_id}", ai.UpdateAiIntegration, ai.AiIntegration
)
DELETE_AI_INTEGRATION = _delete("delete_ai_integration", "/v2/ai-integrations/{integration_id}")

LIST_INTEGRATIONS = _get(
    "list_integrations", "/v2/integrations", integrations.IntegrationPage, integrations.ListIntegrations
)
CREATE_INTEGRATION = _create(
    "create_integration", "/v2/integrations", integrations.CreateIntegration, integrations.Integration
)
GET_INTEGRATION = _get("get_integration", "/v2/integrations/{integration_id}", integrations.Integration)
UPDATE_INTEGRATION = _patch(
    "update_integration", "/v2/integrations/{integration_id}", integrations.UpdateIntegration, integrations.Integration
)
DELETE_INTEGRATION = _delete("delete_integration", "/v2/integrations/{integration_id}")
LIST_ANNOTATION_CONFIGS = _get(
    "list_annotation_configs", "/v2/annotation-configs",
    annotation_configs.AnnotationConfigPage, annotation_configs.ListAnnotationConfigs,
)  # fmt: skip
CREATE_ANNOTATION_CONFIG = _create(
    "create_annotation_config", "/v2/annotation-configs",
    annotation_configs.CreateAnnotationConfig, annotation_configs.AnnotationConfig,
)  # fmt: skip
GET_ANNOTATION_CONFIG = _get(
    "get_annotation_config", "/v2/annotation-configs/{annotation_config_id}", annotation_configs.AnnotationConfig
)
UPDATE_ANNOTATION_CONFIG = _patch(
    "update_annotation_config", "/v2/annotation-configs/{annotation_config_id}",
    annotation_configs.UpdateAnnotationConfig, annotation_configs.AnnotationConfig,
)  # fmt: skip
DELETE_ANNOTATION_CONFIG = _delete("delete_annotation_config", "/v2/annotation-configs/{annotation_config_id}")

# --- ours alone ---------------------------------------------------------------------------------------------------
GET_ENGINE_INFO = _get("get_engine_info", "/evaltasks/v1/info", engine_info.EngineInfo)
INGEST_SPANS = _create(
    "ingest_spans", "/evaltasks/v1/projects/{project_id}/spans", spans.IngestSpans, spans.IngestedSpans
)
LIST_TASK_RUN_ROWS = _get(
    "list_task_run_rows", "/evaltasks/v1/task-runs/{run_id}/rows",
    task_runs.TaskRunRowPage, task_runs.ListTaskRunRows,
)  # fmt: skip

OPERATIONS: tuple[Operation[BaseModel] | Operation[None], ...] = tuple(
    row for row in list(globals().values()) if isinstance(row, Operation)
)
