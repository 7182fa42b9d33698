"""Plans integrations. On an engine they are created and updated; on AX they are only compared.

Creating an integration on AX requires its key, which is in no file and which this program never asks for.
"""

from __future__ import annotations

from typing import Any

from evaltasks.promote.differences import Difference, differences
from evaltasks.promote.documents import AGENT, AI, AgentIntegrationFile, AiIntegrationFile, to_document
from evaltasks.promote.folder import Bundle, ParsedFile
from evaltasks.promote.integration_files import (
    agent_creation,
    agent_integration_file,
    agent_update,
    ai_creation,
    ai_integration_file,
    ai_update,
)
from evaltasks.promote.names import NotExportable
from evaltasks.promote.plan import Action, Plan, Step
from evaltasks.promote.target import Target

# AX has no such variables, and its administrators decide which spaces see an integration.
_NOT_ON_AX = frozenset({"api_key_env", "headers_env", "this_space_only"})


async def plan_integrations(bundle: Bundle, target: Target, plan: Plan) -> None:
    """Add a step or an issue for each integration file."""
    for parsed in bundle.ai_integrations.values():
        await _plan_ai(parsed, target, plan)
    for agent in bundle.agent_integrations.values():
        await _plan_agent(agent, target, plan)


async def _plan_ai(parsed: ParsedFile[AiIntegrationFile], target: Target, plan: Plan) -> None:
    file, client = parsed.content, target.client
    present = (await target.ai_integrations()).get(file.name)
    if present is None:

        async def create() -> None:
            created = await client.ai_integrations.create(ai_creation(file, target.space_id))
            target.ids[AI, created.name] = created.id

        if await _may_create(parsed, AI, target, plan):
            notes = (
                [f"reads its key from {file.api_key_env} in the environment of the engine"] if file.api_key_env else []
            )
            plan.steps.append(Step(file.kind, file.name, parsed.file, Action.CREATE, notes=notes, writes=[create]))
        return
    found = _compared(parsed, lambda: to_document(ai_integration_file(present)), target)
    if client.is_engine and any(difference.field == "provider" for difference in found):
        plan.issues.append(parsed.issue("provider", "cannot be changed after creation", "use another name"))
        return

    async def update() -> None:
        changed = {difference.field.partition(".")[0] for difference in found}
        await client.ai_integrations.update(present.id, ai_update(file, changed, target.space_id))

    plan.steps.append(_step(parsed, found, target, update))


async def _plan_agent(parsed: ParsedFile[AgentIntegrationFile], target: Target, plan: Plan) -> None:
    file, client = parsed.content, target.client
    present = (await target.agent_integrations()).get(file.name)
    if present is None:

        async def create() -> None:
            created = await client.integrations.create(agent_creation(file, target.space_id))
            target.ids[AGENT, created.name] = created.id

        if await _may_create(parsed, AGENT, target, plan):
            plan.steps.append(Step(file.kind, file.name, parsed.file, Action.CREATE, writes=[create]))
        return
    found = _compared(parsed, lambda: to_document(agent_integration_file(present)), target)

    async def update() -> None:
        changed = {difference.field.partition(".")[0] for difference in found}
        await client.integrations.update(present.id, agent_update(file, changed, target.space_id))

    plan.steps.append(_step(parsed, found, target, update))


def _compared(parsed: ParsedFile[Any], read: Any, target: Target) -> list[Difference]:
    try:
        present = read()
    except NotExportable:
        present = {"the integration": "has settings that these files cannot hold"}
    found = differences(present, to_document(parsed.content))
    return (
        found if target.client.is_engine else [difference for difference in found if difference.field not in _NOT_ON_AX]
    )


def _step(parsed: ParsedFile[Any], found: list[Difference], target: Target, update: Any) -> Step:
    file = parsed.content
    if not found:
        return Step(file.kind, file.name, parsed.file, Action.UNCHANGED)
    if target.client.is_engine:
        return Step(file.kind, file.name, parsed.file, Action.UPDATE, found, writes=[update])
    return Step(
        file.kind, file.name, parsed.file, Action.KEPT, found, ["change it in AX if the difference is not intended"]
    )


async def _may_create(parsed: ParsedFile[Any], resource: str, target: Target, plan: Plan) -> bool:
    """Whether a missing integration can be created here. If not, an issue says why."""
    name = parsed.content.name
    if await target.is_taken_elsewhere(resource, name):
        problem = f"an {resource} with this name exists, but this space cannot use it"
        plan.issues.append(parsed.issue("name", problem, "allow this space to use it, or rename this one"))
    elif not target.client.is_engine:
        kind = parsed.content.provider.lower() if resource == AI else "agent"
        problem = f"there is no {resource} '{name}' in this space of {target.client.where}"
        remedy = f"create it there with its key and exactly this name ({kind}), then apply again"
        plan.issues.append(parsed.issue("name", problem, remedy))
    else:
        return True
    return False
