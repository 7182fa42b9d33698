"""Translates ids of a service to names (one request for each id), and its replies to the models of files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evaltasks.api.ai_integrations import AiIntegration, ListAiIntegrations
from evaltasks.api.evaluator_kinds import EvaluatorType
from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.integrations import Integration, IntegrationType, ListIntegrations
from evaltasks.api.problems import NotFound
from evaltasks.api.run_configurations import OtherConfiguration, Resource
from evaltasks.api.tasks import Task, TaskEvaluator, TaskSettings, TaskType
from evaltasks.client.client import Client
from evaltasks.client.references import is_id
from evaltasks.insight.unreadable import path_of
from evaltasks.promote.documents import TaskFile, VersionFile, integration_word, pin_field

FileT = TypeVar("FileT", bound=BaseModel)

# Placeholders for resources that were deleted; `Names.missing` lists them.
GONE = "(no longer there)"
GONE_VERSION = "gone"


class NotExportable(Exception):
    """The resource cannot be written to a file. The message says why and what to do."""


class Names:
    """Cache of the names of resources in one space.

    Attributes:
        pins: The versions that the tasks read so far pin, by evaluator id and label.
        missing: The kinds of resources that were looked up and do not exist any more.
    """

    def __init__(self, client: Client, space_id: str) -> None:
        self._client = client
        self._space_id = space_id
        self._known: dict[tuple[str, str], str] = {}
        self._versions: dict[str, EvaluatorVersion | None] = {}
        self._ai: list[AiIntegration] | None = None
        self._agents: list[Integration] | None = None
        self.pins: dict[str, dict[str, EvaluatorVersion]] = {}
        self.missing: list[str] = []

    async def ai_integrations(self) -> list[AiIntegration]:
        """Return the AI integrations that can be used in the space."""
        if self._ai is None:
            found = self._client.ai_integrations.all(ListAiIntegrations(space_id=self._space_id))
            self._ai = [integration async for integration in found]
        return self._ai

    async def agent_integrations(self) -> list[Integration]:
        if self._agents is None:
            query = ListIntegrations(type=IntegrationType.AGENT, space_id=self._space_id)
            self._agents = [integration async for integration in self._client.integrations.all(query)]
        return self._agents

    async def project(self, id_: str) -> str:
        return await self._name("project", id_, self._client.projects.get)

    async def dataset(self, id_: str) -> str:
        return await self._name("dataset", id_, self._client.datasets.get)

    async def experiment(self, id_: str) -> str:
        return await self._name("experiment", id_, self._client.experiments.get)

    async def evaluator(self, id_: str) -> str:
        return await self._name("evaluator", id_, self._client.evaluators.get)

    async def ai_integration(self, id_: str) -> str:
        return self._name_or_gone(
            "AI integration",
            {integration.id: integration.name for integration in await self.ai_integrations()}.get(id_),
        )

    async def agent_integration(self, id_: str) -> str:
        return self._name_or_gone(
            "agent integration",
            {integration.id: integration.name for integration in await self.agent_integrations()}.get(id_),
        )

    async def version(self, id_: str) -> EvaluatorVersion | None:
        if id_ not in self._versions:
            try:
                self._versions[id_] = await self._client.evaluators.get_version(id_)
            except NotFound:
                self._versions[id_] = None
        return self._versions[id_]

    async def label(self, version_id: str) -> str:
        """Return the label of a pinned version, a hash of its content, and record the version in `pins`."""
        version = await self.version(version_id)
        if version is None:
            self.missing.append("evaluator version")
            return GONE_VERSION
        label = (await version_file(version, self)).digest()
        self.pins.setdefault(version.evaluator_id, {})[label] = version
        return label

    async def _name(self, resource: str, id_: str, get: Callable[[str], Awaitable[Any]]) -> str:
        if (resource, id_) not in self._known:
            try:
                self._known[resource, id_] = str((await get(id_)).name)
            except NotFound:
                self._known[resource, id_] = GONE
        name = self._known[resource, id_]
        return self._name_or_gone(resource, None if name == GONE else name)

    def _name_or_gone(self, resource: str, name: str | None) -> str:
        if name is None:
            self.missing.append(resource)
        return GONE if name is None else name


async def task_file(task: Task, names: Names) -> TaskFile:
    """Return a task as the model of its file. Deleted resources are named GONE and listed in `names.missing`.

    Raises:
        NotExportable: The task has a type, a run configuration or a value that files cannot hold.
    """
    if not isinstance(task.type, TaskType):
        raise NotExportable("this version of evaltasks does not know its type; update evaltasks")
    fields: dict[str, Any] = {
        "name": task.name,
        "type": task.type,
        "project": await names.project(task.project_id) if task.project_id else None,
        "dataset": await names.dataset(task.dataset_id) if task.dataset_id else None,
        "experiments": [await names.experiment(id_) for id_ in task.experiment_ids] or None,
        **{name: getattr(task, name) for name in TaskSettings.model_fields},
        "query_filters": _dumped(task.query_filters),
        "evaluators": [await _attachment(evaluator, names) for evaluator in task.evaluators] or None,
        "run_configuration": await _configuration(task, names),
    }
    return to_file_model(TaskFile, fields).normalized()


async def _attachment(evaluator: TaskEvaluator, names: Names) -> dict[str, Any]:
    pinned = evaluator.evaluator_version_id
    return {
        "evaluator": evaluator.evaluator_name or await names.evaluator(evaluator.evaluator_id),
        "version": await names.label(pinned) if pinned else None,
        "query_filter": evaluator.query_filter or None,
        "column_mappings": evaluator.column_mappings or None,
        "query_mappings": [_dumped(mapping) for mapping in evaluator.query_mappings or ()] or None,
    }


async def _configuration(task: Task, names: Names) -> dict[str, Any] | None:
    configuration = task.run_configuration
    if configuration is None:
        return None
    if isinstance(configuration, OtherConfiguration):
        raise NotExportable(
            "this version of evaltasks does not know the kind of its run configuration; update evaltasks"
        )
    document = configuration.model_dump(mode="json", exclude_none=True)
    named = {Resource.AI_INTEGRATION: names.ai_integration, Resource.AGENT_INTEGRATION: names.agent_integration}
    for reference in configuration.references():
        # Ids are valid on one service only. References that only record an origin are left out.
        id_ = document.pop(reference.field, None)
        if not id_:
            continue
        if (word := integration_word(reference.resource)) is not None:
            document[word] = await named[reference.resource](id_)
        elif reference.resource is Resource.EVALUATOR_VERSION:
            version = await names.version(id_)
            evaluator = await names.evaluator(version.evaluator_id) if version is not None else GONE
            document[pin_field(reference.field)] = {"evaluator": evaluator, "version": await names.label(id_)}
    return document


async def version_file(version: EvaluatorVersion, names: Names, label: str | None = None) -> VersionFile:
    """Return an evaluator version as the model in its evaluator's file.

    Raises:
        NotExportable: It is neither a template nor a code evaluator, or has a value that files cannot hold.
    """
    if version.type not in {EvaluatorType.TEMPLATE, EvaluatorType.CODE}:
        raise NotExportable(
            f"it uses a {str(version.type).lower()} evaluator, which cannot be exported; "
            "create it manually on the other service, or use a template or code evaluator"
        )
    fields: dict[str, Any] = {"label": label, "message": version.commit_message or None}
    if version.template_config is not None:
        config = version.template_config.model_dump(mode="json", exclude_none=True)
        llm = config["llm_config"]
        llm["ai_integration"] = await names.ai_integration(llm.pop("ai_integration_id"))
        fields["template_config"] = config
    else:
        fields["code_config"] = _dumped(version.code_config)
    return to_file_model(VersionFile, fields)


def to_file_model(model: type[FileT], fields: dict[str, Any]) -> FileT:
    """Validate what a service answered as the model of a file.

    Raises:
        NotExportable: The files cannot hold a value. The message names the fields, never their content.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        places = [path_of("", detail["loc"]) for detail in error.errors(include_url=False, include_input=False)]
    raise NotExportable(f"it has values that these files cannot hold, at: {', '.join(places[:5])}")


def reject_id_like_name(resource: str, name: str) -> None:
    """Check that clients do not mistake a name for an id.

    Raises:
        NotExportable: The name looks like an id or a link.
    """
    if is_id(name) or name.startswith(("http://", "https://")):
        raise NotExportable(f"the name of its {resource} looks like an id or a link; rename the {resource} first")


def _dumped(model: BaseModel | None) -> dict[str, Any] | None:
    # As JSON, in which an unknown enum word is plain text; the model of the file then refuses it.
    return None if model is None else model.model_dump(mode="json", exclude_none=True)
