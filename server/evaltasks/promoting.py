"""`evaltasks export` and `evaltasks apply`: tasks as files, from one service to another."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from evaltasks.app import open_client
from evaltasks.promote.apply import make_plan, perform
from evaltasks.promote.export import HoldsKeys, export_space
from evaltasks.promote.folder import BadFiles, read_folder, write_folder
from evaltasks.promote.plan import Action, Continuous, Plan, Step, Stopped
from evaltasks.promote.report import export_text, plan_json, plan_text, shown
from evaltasks.settings import Settings

FAILED = 1
DIFFERS = 3


@dataclass(frozen=True)
class ApplyOptions:
    """What the person said about this one application."""

    tasks: Sequence[str] = ()
    dry_run: bool = False
    exit_code: bool = False
    yes: bool = False
    as_json: bool = False
    continuous: Continuous = Continuous.UNDECIDED


async def export_tasks(
    settings: Settings,
    environment: Mapping[str, str],
    directory: Path,
    tasks: Sequence[str],
    prune: bool,
    allow_key_shaped: bool,
) -> int:
    """0; FAILED when a task could not be told, or nothing was written."""
    async with open_client(settings, environment) as client:
        space = await client.resolve.space()
        try:
            exported = await export_space(client, space.id, tasks, allow_key_shaped=allow_key_shaped)
            written = await to_thread.run_sync(lambda: write_folder(directory, exported.files, prune=prune))
        except (HoldsKeys, BadFiles) as refused:
            return _fail(str(refused))
        except OSError as error:
            return _fail(f"{directory} cannot be written: {error.strerror}")
    print(export_text(exported, written, str(directory)))
    return FAILED if exported.left_out else 0


async def apply_tasks(
    settings: Settings, environment: Mapping[str, str], directory: Path, options: ApplyOptions
) -> int:
    """0; FAILED when it was not or not wholly applied; DIFFERS when a dry run was asked to tell by its code."""
    try:
        bundle = (await to_thread.run_sync(read_folder, directory)).only(options.tasks)
    except BadFiles as bad:
        return _fail(str(bad))
    except OSError as error:
        return _fail(f"{directory} cannot be read: {error.strerror}")
    async with open_client(settings, environment) as client:
        space = await client.resolve.space()

        async def planned() -> Plan:
            return await make_plan(bundle, client, space, options.continuous)

        plan = await planned()
        if not options.as_json:
            print(plan_text(plan), flush=True)
        code, applied = await _carry_out(plan, options, planned)
    if options.as_json:
        print(plan_json(plan, applied=applied))
    return code


async def _carry_out(plan: Plan, options: ApplyOptions, planned: Callable[[], Awaitable[Plan]]) -> tuple[int, bool]:
    """(exit code, whether service and files agree now, but for what is left as it is)."""
    if plan.issues:
        return FAILED, False
    if options.dry_run:
        return (DIFFERS if options.exit_code and plan.differs else 0), False
    if plan.undecided:
        return _fail("Nothing was changed: say what becomes of the continuous tasks."), False
    if plan.changes and not options.yes:
        if not await _agreed(plan):
            return FAILED, False
        # A person may read for an hour; what was agreed to is what is done.
        agreed, plan = plan_text(plan), await planned()
        if plan_text(plan) != agreed:
            return _fail("Nothing was changed: the service changed meanwhile. Apply again to see the new plan."), False
    return await _do(plan, options)


async def _do(plan: Plan, options: ApplyOptions) -> tuple[int, bool]:
    total, done = len(plan.changes), list[Step]()

    def tell(step: Step) -> None:
        done.append(step)
        word = "created" if step.action is Action.CREATE else "updated"
        line = f"  [{len(done)}/{total}] {word} {step.kind.replace('_', ' ')} '{step.name}'"
        print(shown(line), file=sys.stderr, flush=True)

    try:
        await perform(plan, tell)
    except Stopped as stopped:
        return _fail(str(stopped)), False
    if done and not options.as_json:
        print(f"Applied: {plan.count(Action.CREATE)} created, {plan.count(Action.UPDATE)} updated.")
    return 0, True


async def _agreed(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        _fail("Nothing was changed: no one can be asked here. Look at the plan, then apply with --yes.")
        return False
    print(f"Apply this to {plan.where}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    if answer.strip().lower() in {"y", "yes"}:
        return True
    _fail("Nothing was changed.")
    return False


def _fail(text: str) -> int:
    print(shown(f"evaltasks: {text}"), file=sys.stderr)
    return FAILED
