"""Applying a bundle: make the plan, then do its writes one after the other.

Each write is one request that is whole in itself, and a plan is made only from what the service and the files say. So
whatever was done when a write failed, or the process was killed, the next plan holds the rest, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable

from evaltasks.api.problems import Problem
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError
from evaltasks.client.resolve import Named
from evaltasks.promote.folder import Bundle
from evaltasks.promote.plan import Continuous, Plan, Step, Stopped
from evaltasks.promote.plan_evaluators import plan_evaluators
from evaltasks.promote.plan_integrations import plan_integrations
from evaltasks.promote.plan_tasks import plan_tasks
from evaltasks.promote.target import Target


async def make_plan(
    bundle: Bundle, client: Client, space: Named, continuous: Continuous = Continuous.UNDECIDED
) -> Plan:
    """Reads only. Raises Problem and ClientError; what is wrong with the files for this service is in `issues`."""
    target = Target(client, space)
    plan = Plan(client.where, space.name or space.id)
    await plan_integrations(bundle, target, plan)
    await plan_evaluators(bundle, target, plan)
    await plan_tasks(bundle, target, plan, continuous)
    return plan


async def perform(plan: Plan, done: Callable[[Step], None]) -> None:
    """Do the plan; `done` is told of each step. Raises Stopped at the first write that fails."""
    assert not plan.issues
    assert not plan.undecided
    for number, step in enumerate(plan.changes):
        for write in step.writes:
            try:
                await write()
            except (Problem, ClientError) as failure:
                raise Stopped(step, number, len(plan.changes), str(failure)) from failure
        done(step)
