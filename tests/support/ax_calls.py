"""How each operation of AX is called through our client, from values as they are in an exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from evaltasks.api.operations import OPERATIONS, Operation
from evaltasks.client.client import Client

BY_NAME: dict[str, Operation[Any]] = {row.name: row for row in OPERATIONS}


@dataclass(frozen=True)
class Given:
    """Path values in order, and the query and body as the operation's own models (None where it has none)."""

    path: list[str]
    query: Any
    body: Any

    @classmethod
    def of(cls, operation: str, path: list[str], query: dict[str, Any] | None, body: Any) -> Given:
        row = BY_NAME[operation]
        return cls(
            path,
            None if row.query is None else row.query.model_validate(query or {}),
            None if row.body is None else row.body.model_validate(body),
        )

    @property
    def page(self) -> dict[str, Any]:
        """For methods that take the page beside a body."""
        return {"limit": self.query.limit, "cursor": self.query.cursor}


Calling = Callable[[Client, Given], Awaitable[Any]]

CALLS: dict[str, Calling] = {
    "list_tasks": lambda client, it: client.tasks.list(it.query),
    "create_task": lambda client, it: client.tasks.create(it.body),
    "get_task": lambda client, it: client.tasks.get(*it.path),
    "update_task": lambda client, it: client.tasks.update(*it.path, it.body),
    "delete_task": lambda client, it: client.tasks.delete(*it.path),
    "trigger_task_run": lambda client, it: client.tasks.trigger(*it.path, it.body),
    "list_task_runs": lambda client, it: client.tasks.list_task_runs(*it.path, it.query),
    "get_task_run": lambda client, it: client.task_runs.get(*it.path),
    "cancel_task_run": lambda client, it: client.task_runs.cancel(*it.path),
    "list_spaces": lambda client, it: client.spaces.list(it.query),
    "get_space": lambda client, it: client.spaces.get(*it.path),
    "create_space": lambda client, it: client.spaces.create(it.body),
    "update_space": lambda client, it: client.spaces.update(*it.path, it.body),
    "delete_space": lambda client, it: client.spaces.delete(*it.path),
    "list_projects": lambda client, it: client.projects.list(it.query),
    "get_project": lambda client, it: client.projects.get(*it.path),
    "create_project": lambda client, it: client.projects.create(it.body),
    "rename_project": lambda client, it: client.projects.rename(*it.path, it.body),
    "delete_project": lambda client, it: client.projects.delete(*it.path),
    "list_spans": lambda client, it: client.spans.list(it.body, **it.page),
    "annotate_spans": lambda client, it: client.spans.annotate(it.body),
    "delete_spans": lambda client, it: client.spans.delete(it.body),
    "list_traces": lambda client, it: client.traces.list(it.body, **it.page),
    "list_datasets": lambda client, it: client.datasets.list(it.query),
    "create_dataset": lambda client, it: client.datasets.create(it.body),
    "get_dataset": lambda client, it: client.datasets.get(*it.path),
    "rename_dataset": lambda client, it: client.datasets.rename(*it.path, it.body),
    "delete_dataset": lambda client, it: client.datasets.delete(*it.path),
    "list_examples": lambda client, it: client.datasets.list_examples(*it.path, it.query),
    "search_examples": lambda client, it: client.datasets.search_examples(*it.path, it.body),
    "append_examples": lambda client, it: client.datasets.append_examples(
        *it.path, it.body, it.query.dataset_version_id
    ),
    "update_examples": lambda client, it: client.datasets.update_examples(
        *it.path, it.body, it.query.dataset_version_id
    ),
    "delete_examples": lambda client, it: client.datasets.delete_examples(*it.path, it.body),
    "annotate_examples": lambda client, it: client.datasets.annotate_examples(*it.path, it.body),
    "list_experiments": lambda client, it: client.experiments.list(it.query),
    "create_experiment": lambda client, it: client.experiments.create(it.body),
    "get_experiment": lambda client, it: client.experiments.get(*it.path),
    "delete_experiment": lambda client, it: client.experiments.delete(*it.path),
    "list_experiment_runs": lambda client, it: client.experiments.list_experiment_runs(*it.path, it.query),
    "search_experiment_runs": lambda client, it: client.experiments.search_experiment_runs(*it.path, it.body),
    "append_experiment_runs": lambda client, it: client.experiments.append_experiment_runs(*it.path, it.body),
    "annotate_experiment_runs": lambda client, it: client.experiments.annotate_experiment_runs(*it.path, it.body),
    "list_evaluators": lambda client, it: client.evaluators.list(it.query),
    "create_evaluator": lambda client, it: client.evaluators.create(it.body),
    "get_evaluator": lambda client, it: client.evaluators.get(*it.path, it.query.version_id),
    "update_evaluator": lambda client, it: client.evaluators.update(*it.path, it.body),
    "delete_evaluator": lambda client, it: client.evaluators.delete(*it.path),
    "list_evaluator_versions": lambda client, it: client.evaluators.list_versions(*it.path, it.query),
    "create_evaluator_version": lambda client, it: client.evaluators.create_version(*it.path, it.body),
    "delete_evaluator_versions": lambda client, it: client.evaluators.delete_versions(*it.path, it.body),
    "get_evaluator_version": lambda client, it: client.evaluators.get_version(*it.path),
    "list_evaluator_templates": lambda client, it: client.evaluators.list_templates(),
    "list_ai_integrations": lambda client, it: client.ai_integrations.list(it.query),
    "create_ai_integration": lambda client, it: client.ai_integrations.create(it.body),
    "get_ai_integration": lambda client, it: client.ai_integrations.get(*it.path),
    "update_ai_integration": lambda client, it: client.ai_integrations.update(*it.path, it.body),
    "delete_ai_integration": lambda client, it: client.ai_integrations.delete(*it.path),
    "list_integrations": lambda client, it: client.integrations.list(it.query),
    "create_integration": lambda client, it: client.integrations.create(it.body),
    "get_integration": lambda client, it: client.integrations.get(*it.path),
    "update_integration": lambda client, it: client.integrations.update(*it.path, it.body),
    "delete_integration": lambda client, it: client.integrations.delete(*it.path),
    "list_annotation_configs": lambda client, it: client.annotation_configs.list(it.query),
    "create_annotation_config": lambda client, it: client.annotation_configs.create(it.body),
    "get_annotation_config": lambda client, it: client.annotation_configs.get(*it.path),
    "update_annotation_config": lambda client, it: client.annotation_configs.update(*it.path, it.body),
    "delete_annotation_config": lambda client, it: client.annotation_configs.delete(*it.path),
}
