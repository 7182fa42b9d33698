"""Exports the tasks of a space to files, with their evaluators and integrations."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluators import EvaluatorWithVersion
from evaltasks.api.integrations import Integration
from evaltasks.api.problems import NotFound
from evaltasks.api.run_configurations import Resource, references_of
from evaltasks.api.tasks import ListTasks, Task
from evaltasks.client.client import Client
from evaltasks.client.errors import NotResolved
from evaltasks.insight.key_shapes import looks_like_key, url_holds_secret
from evaltasks.promote.documents import (
    AGENT,
    AI,
    AnyFile,
    EvaluatorFile,
    TaskFile,
    integrations_named,
    strings_in,
    to_document,
)
from evaltasks.promote.integration_files import (
    agent_integration_file,
    ai_integration_file,
    is_builtin,
    notes_of_agent,
    notes_of_ai,
)
from evaltasks.promote.names import Names, NotExportable, reject_id_like_name, task_file, to_file_model, version_file

IntegrationT = TypeVar("IntegrationT", AiIntegration, Integration)

CANDIDATES_MAX = 10


class SecretsFound(Exception):
    """The export contains text that looks like a key. The message names the fields, never the values."""


@dataclass
class Exported:
    """The result of an export.

    Attributes:
        files: The exported resources.
        notes: What the files leave out of these resources.
        left_out: The resources that could not be exported, with the reason.
    """

    files: list[AnyFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


async def export_space(
    client: Client, space_id: str, tasks: Sequence[str] = (), *, allow_key_shaped: bool = False
) -> Exported:
    """Export tasks with their evaluators and integrations, by name.

    Args:
        client: A client of the service.
        space_id: The id of the space.
        tasks: The names of the tasks; without any, all tasks of the space.
        allow_key_shaped: Whether text that looks like a key is exported.

    Raises:
        NotResolved: The space has no task of this name.
        SecretsFound: A file would contain text that looks like a key.
        Problem: The service refused a request.
        ClientError: The service could not be reached or its answer could not be read.
    """
    names, exported = Names(client, space_id), Exported()
    evaluators: dict[str, EvaluatorWithVersion] = {}
    for found in await _tasks(client, space_id, tasks):
        task = await client.tasks.get(found.id)
        try:
            file, used = await _task_file(client, task, names)
        except NotExportable as error:
            exported.left_out.append(f"task '{task.name}': {error}.")
            continue
        evaluators |= used
        exported.files.append(file)
        exported.notes += _notes_of(task)
    pinned = {pin for file in exported.files if isinstance(file, TaskFile) for pin in file.pins()}
    for evaluator in evaluators.values():
        exported.files.append(await _evaluator_file(evaluator, pinned, names))
    await _add_integrations(exported, names)
    if not allow_key_shaped:
        _refuse_keys(exported.files)
    return exported


async def _tasks(client: Client, space_id: str, wanted: Sequence[str]) -> list[Task]:
    """Return the tasks sorted by name, so that the order of notes is stable."""
    every = {task.name: task async for task in client.tasks.all(ListTasks(space_id=space_id))}
    unknown = [name for name in wanted if name not in every]
    if unknown:
        near = [(name, every[name].id) for name in difflib.get_close_matches(unknown[0], every, n=CANDIDATES_MAX)]
        listed = ", ".join(f"'{name}'" for name in unknown)
        hint = f" Similar names: {', '.join(name for name, _ in near)}." if near else ""
        raise NotResolved(f"The space has no task named {listed}.{hint}", candidates=near)
    return [every[name] for name in sorted(wanted or every)]


async def _task_file(client: Client, task: Task, names: Names) -> tuple[TaskFile, dict[str, EvaluatorWithVersion]]:
    """Return the model of a task's file, and its evaluators by id.

    Raises:
        NotExportable: The task or one of its evaluators cannot be written to a file.
    """
    names.missing.clear()
    reject_id_like_name("task", task.name)
    file = await task_file(task, names)
    evaluators: dict[str, EvaluatorWithVersion] = {}
    try:
        for id_ in await _evaluators_of(task, names):
            evaluators[id_] = await client.evaluators.get(id_)
            await version_file(evaluators[id_].version, names)
    except NotFound:
        names.missing.append("evaluator")
    if names.missing:
        gone = " and ".join(f"the {resource}" for resource in dict.fromkeys(names.missing))
        raise NotExportable(f"{gone} it refers to does not exist any more; fix the task")
    for resource, name in file.references():
        reject_id_like_name(resource, name)
    return file, evaluators


async def _evaluators_of(task: Task, names: Names) -> list[str]:
    found = [evaluator.evaluator_id for evaluator in task.evaluators]
    for reference in references_of(task.run_configuration):
        if reference.resource is Resource.EVALUATOR_VERSION and reference.value:
            version = await names.version(reference.value)
            found += [version.evaluator_id] if version is not None else []
    return found


def _notes_of(task: Task) -> list[str]:
    return [
        f"Task '{task.name}': the {reference.resource.value} that its {reference.source_of} came from is left out; it "
        "exists on one service only and does not change what is sent."
        for reference in references_of(task.run_configuration)
        if reference.source_of is not None and reference.value
    ]


async def _evaluator_file(evaluator: EvaluatorWithVersion, pinned: set[tuple[str, str]], names: Names) -> EvaluatorFile:
    """Return the model of an evaluator's file: the pinned versions sorted by label, then the latest."""
    latest = await version_file(evaluator.version, names)
    pins = {
        label: version
        for label, version in sorted(names.pins.get(evaluator.id, {}).items())
        if (evaluator.name, label) in pinned
    }
    if latest.digest() in pins:
        pins.pop(latest.digest())
        latest = latest.model_copy(update={"label": latest.digest()})
    older = [await version_file(version, names, label) for label, version in pins.items()]
    fields = {"name": evaluator.name, "type": evaluator.type, "description": evaluator.description or None}
    return to_file_model(EvaluatorFile, fields | {"versions": [*older, latest]})


async def _add_integrations(exported: Exported, names: Names) -> None:
    """Add the integrations that the files name, except the heuristic judge, which every embedded engine has."""
    wanted = {reference for file in exported.files for reference in integrations_named(file)}
    for integration in await names.ai_integrations() if any(resource == AI for resource, _ in wanted) else []:
        if (AI, integration.name) in wanted and not is_builtin(integration):
            _add(exported, ai_integration_file, integration, AI)
            exported.notes += notes_of_ai(integration)
    for agent in await names.agent_integrations() if any(resource == AGENT for resource, _ in wanted) else []:
        if (AGENT, agent.name) in wanted:
            _add(exported, agent_integration_file, agent, AGENT)
            exported.notes += notes_of_agent(agent)


def _add(
    exported: Exported, to_file: Callable[[IntegrationT], AnyFile], integration: IntegrationT, resource: str
) -> None:
    try:
        exported.files.append(to_file(integration))
    except NotExportable as error:
        exported.left_out.append(f"{resource} '{integration.name}': {error}; create it where the files are applied.")


def _refuse_keys(files: Sequence[AnyFile]) -> None:
    places = [
        f"{file.kind.replace('_', ' ')} '{file.name}', {path}"
        for file in files
        for path, text in strings_in(to_document(file))
        if looks_like_key(text) or url_holds_secret(text)
    ]
    if places:
        raise SecretsFound(
            "Nothing was written, because these values look like keys or passwords, which must not be in files:\n"
            + "\n".join(f"  - {place}" for place in dict.fromkeys(places))
            + "\nMove each into an environment variable of the process that runs the evaluations. If none of them is a "
            "secret (a hash or a trace id, for example), export again with --allow-key-shaped."
        )
