"""Applies a bundle: make the plan, then send its writes one after the other.

Each write is one atomic request, and a plan is computed only from the service and the files. So whichever writes were
completed when one failed or the process was killed, the next plan holds exactly the remaining changes.
"""

from __future__ import annotations

from collections.abc import Callable

from evaltasks.api.problems import Problem
from evaltasks.client.client import Client
from evaltasks.client.errors import ClientError
from evaltasks.client.resolve import Named
from evaltasks.promote.folder import Bundle
from evaltasks.promote.plan import ApplyFailed, ContinuousPolicy, Plan, Step
from evaltasks.promote.plan_evaluators import plan_evaluators
from evaltasks.promote.plan_integrations import plan_integrations
from evaltasks.promote.plan_tasks import plan_tasks
from evaltasks.promote.target import Target


async def make_plan(
    bundle: Bundle, client: Client, space: Named, continuous: ContinuousPolicy = ContinuousPolicy.UNDECIDED
) -> Plan:
    """Compute the plan that makes a space equal to the files. Only reads.

    Args:
        bundle: The files.
        client: A client of the service that the files are applied to.
        space: The space to change.
        continuous: How tasks that would start to evaluate new spans are applied.

    Returns:
        The plan. What this service cannot accept of the files is in its `issues`.

    Raises:
        Problem: The service refused a request.
        ClientError: The service could not be reached or its answer could not be read.
    """
    target = Target(client, space)
    plan = Plan(client.where, space.name or space.id)
    await plan_integrations(bundle, target, plan)
    await plan_evaluators(bundle, target, plan)
    await plan_tasks(bundle, target, plan, continuous)
    return plan


async def apply_plan(plan: Plan, on_step_done: Callable[[Step], None]) -> None:
    """Send the writes of a plan, in order.

    Args:
        plan: A plan without issues and undecided tasks.
        on_step_done: Called with each step after its last write.

    Raises:
        ApplyFailed: A write failed; no further write is sent.
    """
    assert not plan.issues
    assert not plan.undecided
    for number, step in enumerate(plan.changes):
        for write in step.writes:
            try:
                await write()
            except (Problem, ClientError) as failure:
                raise ApplyFailed(step, number, len(plan.changes), str(failure)) from failure
        on_step_done(step)
