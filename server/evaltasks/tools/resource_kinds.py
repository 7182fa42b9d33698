"""The kinds of resources that `find` searches: how to list and get them, and what they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from evaltasks.api.ai_integrations import ListAiIntegrations
from evaltasks.api.datasets import ListDatasets
from evaltasks.api.evaluators import ListEvaluators
from evaltasks.api.experiments import ListExperiments
from evaltasks.api.projects import ListProjects
from evaltasks.api.spaces import ListSpaces
from evaltasks.api.tasks import ListTasks
from evaltasks.client.client import Client
from evaltasks.client.references import AI_INTEGRATION, DATASET, EVALUATOR, EXPERIMENT, PROJECT, SPACE, TASK, Kind
from evaltasks.tools.views import lower


@dataclass(frozen=True)
class ResourceKind:
    """One kind of resource.

    Attributes:
        reference: The form of its ids and links.
        list_all: Yields its resources, by client, space id and part of the name.
        get: Returns one resource, by client and id.
        parent: Returns kind and id of what a resource belongs to.
        type: Returns the type of a resource, such as the type of a task.
    """

    reference: Kind
    list_all: Callable[[Client, str | None, str | None], AsyncIterator[Any]]
    get: Callable[[Client, str], Any]
    parent: Callable[[Any], tuple[str, str] | None]
    type: Callable[[Any], str | None] = lambda _: None


def _in_space(item: Any) -> tuple[str, str]:
    return "space", item.space_id


def _in_dataset_or_space(item: Any) -> tuple[str, str]:
    return ("dataset", item.dataset_id) if item.dataset_id else ("space", item.space_id)


def _in_project_or_dataset(item: Any) -> tuple[str, str] | None:
    if item.project_id:
        return "project", item.project_id
    return ("dataset", item.dataset_id) if item.dataset_id else None


def _type(item: Any) -> str:
    return lower(item.type)


# Innermost first, because a link to an experiment also contains its dataset and its space.
RESOURCE_KINDS: dict[str, ResourceKind] = {
    "task": ResourceKind(
        TASK, lambda c, s, n: c.tasks.all(ListTasks(space_id=s, name=n)), lambda c, i: c.tasks.get(i),
        _in_project_or_dataset, _type,
    ),
    "evaluator": ResourceKind(
        EVALUATOR, lambda c, s, n: c.evaluators.all(ListEvaluators(space_id=s, name=n)),
        lambda c, i: c.evaluators.get(i), _in_space, _type,
    ),
    "ai_integration": ResourceKind(
        AI_INTEGRATION, lambda c, s, n: c.ai_integrations.all(ListAiIntegrations(space_id=s, name=n)),
        lambda c, i: c.ai_integrations.get(i), lambda _: None, lambda item: lower(item.provider),
    ),
    "experiment": ResourceKind(
        EXPERIMENT, lambda c, s, n: c.experiments.all(ListExperiments(space_id=s, name=n)),
        lambda c, i: c.experiments.get(i), _in_dataset_or_space,
    ),
    "dataset": ResourceKind(
        DATASET, lambda c, s, n: c.datasets.all(ListDatasets(space_id=s, name=n)),
        lambda c, i: c.datasets.get(i), _in_space,
    ),
    "project": ResourceKind(
        PROJECT, lambda c, s, n: c.projects.all(ListProjects(space_id=s, name=n)),
        lambda c, i: c.projects.get(i), _in_space,
    ),
    "space": ResourceKind(
        SPACE, lambda c, _, n: c.spaces.all(ListSpaces(name=n)), lambda c, i: c.spaces.get(i), lambda _: None
    ),
}  # fmt: skip
