"""The commands `evaltasks export` and `evaltasks apply`: move tasks as files from one service to another."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from evaltasks.app import open_client
from evaltasks.promote.apply import apply_plan, make_plan
from evaltasks.promote.export import SecretsFound, export_space
from evaltasks.promote.folder import BadFiles, read_folder, write_folder
from evaltasks.promote.plan import Action, ApplyFailed, ContinuousPolicy, Plan, Step
from evaltasks.promote.report import escape_controls, export_text, plan_json, plan_text
from evaltasks.settings import Settings

FAILED = 1
DIFFERS = 3


@dataclass(frozen=True)
class ApplyOptions:
    """The command line options of `evaltasks apply`."""

    tasks: Sequence[str] = ()
    dry_run: bool = False
    exit_code: bool = False
    yes: bool = False
    as_json: bool = False
    continuous: ContinuousPolicy = ContinuousPolicy.UNDECIDED


async def export_tasks(
    settings: Settings,
    environment: Mapping[str, str],
    directory: Path,
    tasks: Sequence[str],
    prune: bool,
    allow_key_shaped: bool,
) -> int:
    """Export tasks to a folder.

    Returns:
        The exit code: 0, or FAILED if a task could not be exported or nothing was written.
    """
    async with open_client(settings, environment) as client:
        space = await client.resolve.space()
        try:
            exported = await export_space(client, space.id, tasks, allow_key_shaped=allow_key_shaped)
            written = await to_thread.run_sync(lambda: write_folder(directory, exported.files, prune=prune))
        except (SecretsFound, BadFiles) as refused:
            return _fail(str(refused))
        except OSError as error:
            return _fail(f"{directory} cannot be written: {error.strerror}")
    print(export_text(exported, written, str(directory)))
    return FAILED if exported.left_out else 0


async def apply_tasks(
    settings: Settings, environment: Mapping[str, str], directory: Path, options: ApplyOptions
) -> int:
    """Apply the files of a folder to a service.

    Returns:
        The exit code: 0, FAILED if the files were not or only partly applied, or DIFFERS if a dry run with `exit_code`
        found changes.
    """
    try:
        bundle = (await to_thread.run_sync(read_folder, directory)).select(options.tasks)
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
        code, applied = await _confirm_and_apply(plan, options, planned)
    if options.as_json:
        print(plan_json(plan, applied=applied))
    return code


async def _confirm_and_apply(
    plan: Plan, options: ApplyOptions, planned: Callable[[], Awaitable[Plan]]
) -> tuple[int, bool]:
    """Apply a plan after confirmation.

    Returns:
        The exit code, and whether the service now equals the files, except for resources that are kept on purpose.
    """
    if plan.issues:
        return FAILED, False
    if options.dry_run:
        return (DIFFERS if options.exit_code and plan.differs else 0), False
    if plan.undecided:
        return _fail("Nothing was changed: choose --allow-continuous or --keep-paused."), False
    if plan.changes and not options.yes:
        if not await _confirmed(plan):
            return FAILED, False
        # The user may take an hour to read. Only the plan that was confirmed is applied.
        agreed, plan = plan_text(plan), await planned()
        if plan_text(plan) != agreed:
            return _fail(
                "Nothing was changed: the service changed in the meantime. Apply again to see the new plan."
            ), False
    return await _apply(plan, options)


async def _apply(plan: Plan, options: ApplyOptions) -> tuple[int, bool]:
    total, done = len(plan.changes), list[Step]()

    def report_step(step: Step) -> None:
        done.append(step)
        word = "created" if step.action is Action.CREATE else "updated"
        line = f"  [{len(done)}/{total}] {word} {step.kind.replace('_', ' ')} '{step.name}'"
        print(escape_controls(line), file=sys.stderr, flush=True)

    try:
        await apply_plan(plan, report_step)
    except ApplyFailed as stopped:
        return _fail(str(stopped)), False
    if done and not options.as_json:
        print(f"Applied: {plan.count(Action.CREATE)} created, {plan.count(Action.UPDATE)} updated.")
    return 0, True


async def _confirmed(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        _fail(
            "Nothing was changed: stdin is not a terminal, so the plan cannot be confirmed. Check the plan, then apply "
            "with --yes."
        )
        return False
    print(f"Apply this to {plan.where}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    if answer.strip().lower() in {"y", "yes"}:
        return True
    _fail("Nothing was changed.")
    return False


def _fail(text: str) -> int:
    print(escape_controls(f"evaltasks: {text}"), file=sys.stderr)
    return FAILED
