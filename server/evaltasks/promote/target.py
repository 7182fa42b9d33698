"""The service that files are applied to: its resources by name, and the ids of those names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from evaltasks.api.ai_integrations import AiIntegration, ListAiIntegrations
from evaltasks.api.evaluators import Evaluator, EvaluatorVersion, ListEvaluators
from evaltasks.api.integrations import Integration, IntegrationType, ListIntegrations
from evaltasks.api.problems import NotFound
from evaltasks.api.tasks import ListTasks, Task
from evaltasks.client.client import Client
from evaltasks.client.errors import NotResolved
from evaltasks.client.resolve import Named
from evaltasks.promote.documents import AGENT, AI
from evaltasks.promote.names import Names, NotExportable, version_file


class Target:
    """The space that files are applied to.

    Attributes:
        ids: Maps (resource, name) to an id. It grows as resources are looked up and created.
        versions: Maps (evaluator name, digest of the content) to the id of a version.
    """

    def __init__(self, client: Client, space: Named) -> None:
        self.client = client
        self.space_id = space.id
        self.names = Names(client, space.id)
        self.ids: dict[tuple[str, str], str] = {}
        self.versions: dict[tuple[str, str], str] = {}
        self._tasks: dict[str, Task] | None = None
        self._evaluators: dict[str, Evaluator] | None = None
        self._latest: dict[str, EvaluatorVersion | None] = {}

    async def tasks(self) -> dict[str, Task]:
        if self._tasks is None:
            found = self.client.tasks.all(ListTasks(space_id=self.space_id))
            self._tasks = {task.name: task async for task in found}
        return self._tasks

    async def evaluators(self) -> dict[str, Evaluator]:
        if self._evaluators is None:
            found = self.client.evaluators.all(ListEvaluators(space_id=self.space_id))
            self._evaluators = {evaluator.name: evaluator async for evaluator in found}
            self.ids |= {("evaluator", evaluator.name): evaluator.id for evaluator in self._evaluators.values()}
        return self._evaluators

    async def ai_integrations(self) -> dict[str, AiIntegration]:
        found = {integration.name: integration for integration in await self.names.ai_integrations()}
        self.ids |= {(AI, integration.name): integration.id for integration in found.values()}
        return found

    async def agent_integrations(self) -> dict[str, Integration]:
        found = {integration.name: integration for integration in await self.names.agent_integrations()}
        self.ids |= {(AGENT, integration.name): integration.id for integration in found.values()}
        return found

    async def is_taken_elsewhere(self, resource: str, name: str) -> bool:
        """Whether an integration of another space has this name. Names are unique across spaces."""
        found: AsyncIterator[AiIntegration | Integration]
        if resource == AI:
            found = self.client.ai_integrations.all(ListAiIntegrations(name=name))
        else:
            found = self.client.integrations.all(ListIntegrations(type=IntegrationType.AGENT, name=name))
        return any([integration.name == name async for integration in found])

    async def latest(self, evaluator: Evaluator) -> EvaluatorVersion | None:
        """Return the latest version of an evaluator, or None if all its versions were deleted."""
        if evaluator.name not in self._latest:
            try:
                found: EvaluatorVersion | None = (await self.client.evaluators.get(evaluator.id)).version
            except NotFound:
                found = None
            self._latest[evaluator.name] = found
        return self._latest[evaluator.name]

    async def digest(self, version: EvaluatorVersion) -> str:
        """Return the digest of a version's content, or a unique placeholder if files cannot hold it."""
        try:
            return (await version_file(version, self.names)).digest()
        except NotExportable:
            return f"({version.id})"

    async def read_versions(self, evaluator: Evaluator) -> None:
        """Record all versions of an evaluator in `versions`; of equal ones, the newest."""
        found = [version async for version in self.client.evaluators.all_versions(evaluator.id)]
        for version in sorted(found, key=lambda version: version.created_at):
            self.versions[evaluator.name, await self.digest(version)] = version.id

    async def find(self, resource: str, name: str, dataset: str | None = None) -> list[tuple[str, str]] | None:
        """Look up a project, dataset or experiment by name and record its id.

        Returns:
            None if it exists, otherwise (name, id) of similar ones.
        """
        key = (resource, name if dataset is None else f"{dataset}/{name}")
        if key in self.ids:
            return None
        resolve: Any = self.client.resolve
        try:
            if resource == "experiment":
                found = await resolve.experiment(name, dataset_id=self.ids["dataset", dataset or ""])
            else:
                found = await getattr(resolve, resource)(name, space=self.space_id)
        except NotResolved as missing:
            return missing.candidates
        self.ids[key] = found.id
        return None
