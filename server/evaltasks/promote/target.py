"""The service that files are applied to: what is there by name, and the ids that names stand for."""

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
from evaltasks.promote.names import Names, Unmovable, version_file


class Target:
    """One space. `ids` maps (resource, name) to an id and grows as things are made; `versions` (evaluator, digest)."""

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
            self._evaluators = {one.name: one async for one in found}
            self.ids |= {("evaluator", one.name): one.id for one in self._evaluators.values()}
        return self._evaluators

    async def ai_integrations(self) -> dict[str, AiIntegration]:
        found = {one.name: one for one in await self.names.ai_integrations()}
        self.ids |= {(AI, one.name): one.id for one in found.values()}
        return found

    async def agent_integrations(self) -> dict[str, Integration]:
        found = {one.name: one for one in await self.names.agent_integrations()}
        self.ids |= {(AGENT, one.name): one.id for one in found.values()}
        return found

    async def is_taken_elsewhere(self, resource: str, name: str) -> bool:
        """Whether an integration of this name is there for other spaces; names are unique over all of them."""
        found: AsyncIterator[AiIntegration | Integration]
        if resource == AI:
            found = self.client.ai_integrations.all(ListAiIntegrations(name=name))
        else:
            found = self.client.integrations.all(ListIntegrations(type=IntegrationType.AGENT, name=name))
        return any([one.name == name async for one in found])

    async def latest(self, evaluator: Evaluator) -> EvaluatorVersion | None:
        """None when all its versions were deleted."""
        if evaluator.name not in self._latest:
            try:
                found: EvaluatorVersion | None = (await self.client.evaluators.get(evaluator.id)).version
            except NotFound:
                found = None
            self._latest[evaluator.name] = found
        return self._latest[evaluator.name]

    async def digest(self, version: EvaluatorVersion) -> str:
        """The content's name; one that no file can hold has a name of its own."""
        try:
            return (await version_file(version, self.names)).digest()
        except Unmovable:
            return f"({version.id})"

    async def read_versions(self, evaluator: Evaluator) -> None:
        """Fill `versions` with all of the evaluator's; of equal ones the newest."""
        found = [version async for version in self.client.evaluators.all_versions(evaluator.id)]
        for version in sorted(found, key=lambda one: one.created_at):
            self.versions[evaluator.name, await self.digest(version)] = version.id

    async def find(self, resource: str, name: str, dataset: str | None = None) -> list[tuple[str, str]] | None:
        """Note the id of a project, dataset or experiment. None when it is there, else the candidates."""
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
