"""Integrations in a plan. An engine's are made and changed; those of AX are compared and left alone.

On AX an integration is made with its key, which is in no file and which this program never asks for.
"""

from __future__ import annotations

from typing import Any

from evaltasks.promote.differences import Difference, differences
from evaltasks.promote.documents import AGENT, AI, AgentIntegrationFile, AiIntegrationFile, document_of
from evaltasks.promote.folder import Bundle, Filed
from evaltasks.promote.integration_files import (
    agent_creation,
    agent_integration_file,
    agent_update,
    ai_creation,
    ai_integration_file,
    ai_update,
)
from evaltasks.promote.names import Unmovable
from evaltasks.promote.plan import Action, Plan, Step
from evaltasks.promote.target import Target

# AX knows no variables, and who else sees an integration is for its people to say.
_NOT_ON_AX = frozenset({"api_key_env", "headers_env", "this_space_only"})


async def plan_integrations(bundle: Bundle, target: Target, plan: Plan) -> None:
    """Adds a step or a problem for each integration's file."""
    for filed in bundle.ai_integrations.values():
        await _plan_ai(filed, target, plan)
    for agent in bundle.agent_integrations.values():
        await _plan_agent(agent, target, plan)


async def _plan_ai(filed: Filed[AiIntegrationFile], target: Target, plan: Plan) -> None:
    file, client = filed.content, target.client
    present = (await target.ai_integrations()).get(file.name)
    if present is None:

        async def create() -> None:
            made = await client.ai_integrations.create(ai_creation(file, target.space_id))
            target.ids[AI, made.name] = made.id

        if await _may_create(filed, AI, target, plan):
            notes = [f"reads its key from {file.api_key_env} where the engine works"] if file.api_key_env else []
            plan.steps.append(Step(file.kind, file.name, filed.file, Action.CREATE, notes=notes, writes=[create]))
        return
    found = _compared(filed, lambda: document_of(ai_integration_file(present)), target)
    if client.is_engine and any(one.field == "provider" for one in found):
        plan.issues.append(filed.issue("provider", "cannot be changed once it is made", "give it another name"))
        return

    async def update() -> None:
        changed = {one.field.partition(".")[0] for one in found}
        await client.ai_integrations.update(present.id, ai_update(file, changed, target.space_id))

    plan.steps.append(_step(filed, found, target, update))


async def _plan_agent(filed: Filed[AgentIntegrationFile], target: Target, plan: Plan) -> None:
    file, client = filed.content, target.client
    present = (await target.agent_integrations()).get(file.name)
    if present is None:

        async def create() -> None:
            made = await client.integrations.create(agent_creation(file, target.space_id))
            target.ids[AGENT, made.name] = made.id

        if await _may_create(filed, AGENT, target, plan):
            plan.steps.append(Step(file.kind, file.name, filed.file, Action.CREATE, writes=[create]))
        return
    found = _compared(filed, lambda: document_of(agent_integration_file(present)), target)

    async def update() -> None:
        changed = {one.field.partition(".")[0] for one in found}
        await client.integrations.update(present.id, agent_update(file, changed, target.space_id))

    plan.steps.append(_step(filed, found, target, update))


def _compared(filed: Filed[Any], read: Any, target: Target) -> list[Difference]:
    try:
        present = read()
    except Unmovable:
        present = {"the integration": "has settings that these files cannot hold"}
    found = differences(present, document_of(filed.content))
    return found if target.client.is_engine else [one for one in found if one.field not in _NOT_ON_AX]


def _step(filed: Filed[Any], found: list[Difference], target: Target, update: Any) -> Step:
    file = filed.content
    if not found:
        return Step(file.kind, file.name, filed.file, Action.UNCHANGED)
    if target.client.is_engine:
        return Step(file.kind, file.name, filed.file, Action.UPDATE, found, writes=[update])
    return Step(file.kind, file.name, filed.file, Action.KEPT, found, ["change it in AX if it is not meant to differ"])


async def _may_create(filed: Filed[Any], resource: str, target: Target, plan: Plan) -> bool:
    """Whether a missing integration can be made here; a problem says why not."""
    name = filed.content.name
    if await target.is_taken_elsewhere(resource, name):
        what = f"an {resource} of this name is there, but not for this space"
        plan.issues.append(filed.issue("name", what, "open it to the space, or rename this one"))
    elif not target.client.is_engine:
        kind = filed.content.provider.lower() if resource == AI else "agent"
        what = f"there is no {resource} '{name}' in this space of {target.client.where}"
        remedy = f"make it there, with its key, under exactly this name ({kind}); then apply again"
        plan.issues.append(filed.issue("name", what, remedy))
    else:
        return True
    return False
