"""The table of REST operations, from which both sides are made.

The client makes its methods from these rows (`client.methods`) and the engine its routes; neither imports the other.
Only evaltasks engines have the operations whose path starts with `/evaltasks/v1/`; AX does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeAlias, TypeVar
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

ArgumentsP = ParamSpec("ArgumentsP")
ReplyT = TypeVar("ReplyT", bound=BaseModel | None)
BodyT = TypeVar("BodyT", bound=BaseModel)
QueryT = TypeVar("QueryT", bound=BaseModel)

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation(Generic[ArgumentsP, ReplyT]):
    """One REST operation: one row of the table.

    `ArgumentsP` types the client's method of this operation: the ids of the path in their order, then the body or the
    query. It is `...` where the client writes the method by hand.

    Attributes:
        name: The operationId of the OpenAPI document.
        method: The HTTP method.
        path: The path template, such as `/v2/tasks/{task_id}`.
        status: The status of a success.
        reply: The model of a success; None for an empty body.
        body: The model of the request body, if there is one.
        query: The model of the query parameters, if there are any.
        reads: Whether repeating the call changes nothing, whatever its method.
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
        """The names of the path parameters, in order."""
        return _PARAMETER.findall(self.path)

    def path_for(self, values: Mapping[str, str]) -> str:
        """Return the path with its parameters filled in, each confined to its own segment.

        Raises:
            ValueError: If a value is empty, `.` or `..`: the latter two leave their segment even when they are
                percent-encoded (seen with httpx: a run id of `..` turned `/v2/task-runs/..` into `/v2`).
        """

        def segment(match: re.Match[str]) -> str:
            value = values[match.group(1)]
            if not value or value in {".", ".."}:
                raise ValueError(f"{match.group(1)} must not be empty, '.' or '..'")
            return quote(value, safe="")

        return _PARAMETER.sub(segment, self.path)


AnyOperation: TypeAlias = Operation[..., BaseModel] | Operation[..., None]


# --- kinds of rows; the parameter of those named `_in` is an id in the path ----------------------------------------
def _list(name: str, path: str, reply: type[ReplyT], query: type[QueryT]) -> Operation[[QueryT], ReplyT]:
    return Operation(name, "GET", path, 200, reply=reply, query=query, reads=True)


def _list_in(name: str, path: str, reply: type[ReplyT], query: type[QueryT]) -> Operation[[str, QueryT], ReplyT]:
    return Operation(name, "GET", path, 200, reply=reply, query=query, reads=True)


def _search_in(name: str, path: str, reply: type[ReplyT], body: type[BodyT]) -> Operation[[str, BodyT], ReplyT]:
    return Operation(name, "POST", path, 200, reply=reply, body=body, reads=True)


def _get(name: str, path: str, reply: type[ReplyT]) -> Operation[[str], ReplyT]:
    return Operation(name, "GET", path, 200, reply=reply, reads=True)


def _get_only(name: str, path: str, reply: type[ReplyT]) -> Operation[[], ReplyT]:
    return Operation(name, "GET", path, 200, reply=reply, reads=True)


def _create(name: str, path: str, body: type[BodyT], reply: type[ReplyT]) -> Operation[[BodyT], ReplyT]:
    return Operation(name, "POST", path, 201, reply=reply, body=body)


def _create_in(name: str, path: str, body: type[BodyT], reply: type[ReplyT]) -> Operation[[str, BodyT], ReplyT]:
    return Operation(name, "POST", path, 201, reply=reply, body=body)


def _patch(name: str, path: str, body: type[BodyT], reply: type[ReplyT]) -> Operation[[str, BodyT], ReplyT]:
    return Operation(name, "PATCH", path, 200, reply=reply, body=body)


def _delete(name: str, path: str) -> Operation[[str], None]:
    return Operation(name, "DELETE", path, 204)


def _delete_some_in(name: str, path: str, body: type[BodyT], reply: type[ReplyT]) -> Operation[[str, BodyT], ReplyT]:
    return Operation(name, "DELETE", path, 200, reply=reply, body=body)


def _annotate(name: str, path: str, body: type[BodyT]) -> Operation[[BodyT], None]:
    return Operation(name, "POST", path, 202, body=body)


def _annotate_in(name: str, path: str, body: type[BodyT]) -> Operation[[str, BodyT], None]:
    return Operation(name, "POST", path, 202, body=body)


# --- tasks and task runs -------------------------------------------------------------------------------------------
LIST_TASKS = _list("list_tasks", "/v2/tasks", tasks.TaskPage, tasks.ListTasks)
CREATE_TASK = _create("create_task", "/v2/tasks", tasks.CreateTask, tasks.Task)
GET_TASK = _get("get_task", "/v2/tasks/{task_id}", tasks.Task)
UPDATE_TASK = _patch("update_task", "/v2/tasks/{task_id}", tasks.UpdateTask, tasks.Task)
DELETE_TASK = _delete("delete_task", "/v2/tasks/{task_id}")
TRIGGER_TASK_RUN = _create_in(
    "trigger_task_run", "/v2/tasks/{task_id}/trigger", task_runs.TriggerTaskRun, task_runs.TaskRun
)
LIST_TASK_RUNS = _list_in("list_task_runs", "/v2/tasks/{task_id}/runs", task_runs.TaskRunPage, task_runs.ListTaskRuns)
GET_TASK_RUN = _get("get_task_run", "/v2/task-runs/{run_id}", task_runs.TaskRun)
CANCEL_TASK_RUN: Operation[[str], task_runs.TaskRun] = Operation(
    "cancel_task_run", "POST", "/v2/task-runs/{run_id}/cancel", 200, reply=task_runs.TaskRun
)

# --- resources that tasks use --------------------------------------------------------------------------------------
LIST_SPACES = _list("list_spaces", "/v2/spaces", spaces.SpacePage, spaces.ListSpaces)
GET_SPACE = _get("get_space", "/v2/spaces/{space_id}", spaces.Space)
CREATE_SPACE = _create("create_space", "/v2/spaces", spaces.CreateSpace, spaces.Space)
UPDATE_SPACE = _patch("update_space", "/v2/spaces/{space_id}", spaces.UpdateSpace, spaces.Space)
DELETE_SPACE = _delete("delete_space", "/v2/spaces/{space_id}")

LIST_PROJECTS = _list("list_projects", "/v2/projects", projects.ProjectPage, projects.ListProjects)
GET_PROJECT = _get("get_project", "/v2/projects/{project_id}", projects.Project)
CREATE_PROJECT = _create("create_project", "/v2/projects", projects.CreateProject, projects.Project)
RENAME_PROJECT = _patch("rename_project", "/v2/projects/{project_id}", projects.RenameProject, projects.Project)
DELETE_PROJECT = _delete("delete_project", "/v2/projects/{project_id}")

LIST_SPANS: Operation[..., spans.SpanPage] = Operation(
    "list_spans", "POST", "/v2/spans", 200, spans.SpanPage, spans.ListSpans, spans.ListSpansQuery, reads=True
)
ANNOTATE_SPANS = _annotate("annotate_spans", "/v2/spans/annotate", AnnotateSpans)
DELETE_SPANS: Operation[[spans.DeleteSpans], spans.DeletedSpans] = Operation(
    "delete_spans", "DELETE", "/v2/spans", 200, spans.DeletedSpans, spans.DeleteSpans
)
LIST_TRACES: Operation[..., traces.TracePage] = Operation(
    "list_traces", "POST", "/v2/traces", 200, traces.TracePage, traces.ListTraces, traces.ListTracesQuery, reads=True
)

LIST_DATASETS = _list("list_datasets", "/v2/datasets", datasets.DatasetPage, datasets.ListDatasets)
CREATE_DATASET = _create("create_dataset", "/v2/datasets", datasets.CreateDataset, datasets.Dataset)
GET_DATASET = _get("get_dataset", "/v2/datasets/{dataset_id}", datasets.Dataset)
RENAME_DATASET = _patch("rename_dataset", "/v2/datasets/{dataset_id}", datasets.RenameDataset, datasets.Dataset)
DELETE_DATASET = _delete("delete_dataset", "/v2/datasets/{dataset_id}")
LIST_EXAMPLES = _list_in(
    "list_examples", "/v2/datasets/{dataset_id}/examples", datasets.ExamplePage, datasets.ListExamples
)
SEARCH_EXAMPLES = _search_in(
    "search_examples", "/v2/datasets/{dataset_id}/examples/search",
    datasets.ExamplePage, datasets.SearchExamples,
)  # fmt: skip
APPEND_EXAMPLES: Operation[..., datasets.DatasetWithExampleIds] = Operation(
    "append_examples", "POST", "/v2/datasets/{dataset_id}/examples", 201,
    datasets.DatasetWithExampleIds, datasets.AppendExamples, datasets.DatasetVersionQuery,
)  # fmt: skip
UPDATE_EXAMPLES: Operation[..., datasets.DatasetWithExampleIds] = Operation(
    "update_examples", "PATCH", "/v2/datasets/{dataset_id}/examples", 200,
    datasets.DatasetWithExampleIds, datasets.UpdateExamples, datasets.DatasetVersionQuery,
)  # fmt: skip
DELETE_EXAMPLES = _delete_some_in(
    "delete_examples", "/v2/datasets/{dataset_id}/examples",
    datasets.DeleteExamples, datasets.DeletedExamples,
)  # fmt: skip
ANNOTATE_EXAMPLES = _annotate_in("annotate_examples", "/v2/datasets/{dataset_id}/examples/annotate", AnnotateRows)

LIST_EXPERIMENTS = _list("list_experiments", "/v2/experiments", experiments.ExperimentPage, experiments.ListExperiments)
CREATE_EXPERIMENT = _create(
    "create_experiment", "/v2/experiments", experiments.CreateExperiment, experiments.Experiment
)
GET_EXPERIMENT = _get("get_experiment", "/v2/experiments/{experiment_id}", experiments.Experiment)
DELETE_EXPERIMENT = _delete("delete_experiment", "/v2/experiments/{experiment_id}")
LIST_EXPERIMENT_RUNS = _list_in(
    "list_experiment_runs", "/v2/experiments/{experiment_id}/runs",
    experiments.ExperimentRunPage, experiments.ListExperimentRuns,
)  # fmt: skip
SEARCH_EXPERIMENT_RUNS = _search_in(
    "search_experiment_runs", "/v2/experiments/{experiment_id}/runs/search",
    experiments.ExperimentRunPage, experiments.SearchExperimentRuns,
)  # fmt: skip
APPEND_EXPERIMENT_RUNS = _create_in(
    "append_experiment_runs", "/v2/experiments/{experiment_id}/runs",
    experiments.AppendExperimentRuns, experiments.ExperimentWithRunIds,
)  # fmt: skip
ANNOTATE_EXPERIMENT_RUNS = _annotate_in(
    "annotate_experiment_runs", "/v2/experiments/{experiment_id}/runs/annotate", AnnotateRows
)

LIST_EVALUATORS = _list("list_evaluators", "/v2/evaluators", evaluators.EvaluatorPage, evaluators.ListEvaluators)
CREATE_EVALUATOR = _create(
    "create_evaluator", "/v2/evaluators", evaluators.CreateEvaluator, evaluators.EvaluatorWithVersion
)
GET_EVALUATOR: Operation[..., evaluators.EvaluatorWithVersion] = Operation(
    "get_evaluator",
    "GET",
    "/v2/evaluators/{evaluator_id}",
    200,
    evaluators.EvaluatorWithVersion,
    query=evaluators.GetEvaluator,
    reads=True,
)
UPDATE_EVALUATOR = _patch(
    "update_evaluator", "/v2/evaluators/{evaluator_id}", evaluators.UpdateEvaluator, evaluators.Evaluator
)
DELETE_EVALUATOR = _delete("delete_evaluator", "/v2/evaluators/{evaluator_id}")
LIST_EVALUATOR_VERSIONS = _list_in(
    "list_evaluator_versions", "/v2/evaluators/{evaluator_id}/versions",
    evaluators.EvaluatorVersionPage, evaluators.ListEvaluatorVersions,
)  # fmt: skip
CREATE_EVALUATOR_VERSION = _create_in(
    "create_evaluator_version", "/v2/evaluators/{evaluator_id}/versions",
    evaluators.CreateEvaluatorVersion, evaluators.EvaluatorVersion,
)  # fmt: skip
DELETE_EVALUATOR_VERSIONS = _delete_some_in(
    "delete_evaluator_versions", "/v2/evaluators/{evaluator_id}/versions",
    evaluators.DeleteEvaluatorVersions, evaluators.DeletedEvaluatorVersions,
)  # fmt: skip
GET_EVALUATOR_VERSION = _get(
    "get_evaluator_version", "/v2/evaluator-versions/{version_id}", evaluators.EvaluatorVersion
)
LIST_EVALUATOR_TEMPLATES = _get_only(
    "list_evaluator_templates", "/v2/evaluator-templates", evaluators.EvaluatorTemplates
)

LIST_AI_INTEGRATIONS = _list("list_ai_integrations", "/v2/ai-integrations", ai.AiIntegrationPage, ai.ListAiIntegrations)
CREATE_AI_INTEGRATION = _create(
    "create_ai_integration", "/v2/ai-integrations", ai.CreateAiIntegration, ai.AiIntegration
)
GET_AI_INTEGRATION = _get("get_ai_integration", "/v2/ai-integrations/{integration_id}", ai.AiIntegration)
UPDATE_AI_INTEGRATION = _patch(
    "update_ai_integration", "/v2/ai-integrations/{integration_id}", ai.UpdateAiIntegration, ai.AiIntegration
)
DELETE_AI_INTEGRATION = _delete("delete_ai_integration", "/v2/ai-integrations/{integration_id}")

LIST_INTEGRATIONS = _list(
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
LIST_ANNOTATION_CONFIGS = _list(
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

# --- evaltasks engines only ----------------------------------------------------------------------------------------
GET_ENGINE_INFO = _get_only("get_engine_info", "/evaltasks/v1/info", engine_info.EngineInfo)
INGEST_SPANS = _create_in(
    "ingest_spans", "/evaltasks/v1/projects/{project_id}/spans", spans.IngestSpans, spans.IngestedSpans
)
LIST_TASK_RUN_ROWS = _list_in(
    "list_task_run_rows", "/evaltasks/v1/task-runs/{run_id}/rows",
    task_runs.TaskRunRowPage, task_runs.ListTaskRunRows,
)  # fmt: skip

OPERATIONS: tuple[AnyOperation, ...] = tuple(row for row in list(globals().values()) if isinstance(row, Operation))
