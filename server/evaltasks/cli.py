"""The command line: `evaltasks serve | engine | demo | load | export | apply | schemas | doctor`.

Exit codes: 0 done; 1 it did not work, stderr says why; 2 the command line or a setting is wrong; 3 a dry run of
`apply` that was asked to tell found differences; 128 + n ended by signal n. Results go to stdout (but for `serve`,
where stdout is the protocol), progress and errors to stderr.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio

from evaltasks.api.problems import Problem
from evaltasks.client.errors import ClientError
from evaltasks.engine.fault_injection import FaultInjection, parse_fault_injection
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.sandbox.worker import SandboxUnavailable
from evaltasks.engine.store.store import StoreError
from evaltasks.insight.validation import ValidationErrors
from evaltasks.logs import configure_logs
from evaltasks.options import make_parser
from evaltasks.settings import Settings, SettingsError, default_store, option_table, settings_from
from evaltasks.tools.context import Refused, ToolFailed

# Failures that were foreseen: their text is for the person, without a stack.
FORESEEN = (SettingsError, StoreError, SandboxUnavailable, Refused, ValidationErrors, ClientError, Problem, ToolFailed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = make_parser(HANDLERS).parse_args(arguments)
    configure_logs(os.environ)
    try:
        return int(given.command(given))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        known = _foreseen(error)
        if known is None:
            raise
        return _fail(str(known), 2 if isinstance(known, SettingsError) else 1)


def _foreseen(error: BaseException) -> BaseException | None:
    """The failure with words for a person, also out of a task group's group; None for a bug of ours."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _foreseen(one))), None)
    return error if isinstance(error, FORESEEN) else None


def _fail(text: str, code: int) -> int:
    print(f"evaltasks: {text}", file=sys.stderr)
    return code


def _settings(given: argparse.Namespace) -> Settings:
    texts = {}
    for name, _, _ in option_table():
        value = getattr(given, name, None)
        if value is not None:
            texts[name] = os.pathsep.join(value) if isinstance(value, list) else str(value)
    return settings_from(texts, os.environ)


def _store_path(given: argparse.Namespace) -> str:
    return given.store or os.environ.get("EVALTASKS_STORE") or str(default_store())


def _run(command: Callable[..., Coroutine[Any, Any, int]], *arguments: object) -> int:
    """Run a command's coroutine. What was imported lives for ever, so the collector works without it (`__main__`)."""
    gc.freeze()
    gc.enable()
    return anyio.run(command, *arguments)


# Each command imports what it needs when it is chosen: `schemas` and `--help` should not wait for the engine, nor
# `serve`, which a host starts and gives up on after some seconds, for the demo.


def _serve(given: argparse.Namespace) -> int:
    settings = _settings(given)
    if settings.http is not None:
        from evaltasks.ports import serve_on_http  # noqa: PLC0415  see above

        return _run(serve_on_http, settings, dict(os.environ))
    from evaltasks.serving import serve_on_stdio  # noqa: PLC0415  see above

    return _run(serve_on_stdio, settings, dict(os.environ))


def _engine(given: argparse.Namespace) -> int:
    from evaltasks.access import access_from  # noqa: PLC0415  see above
    from evaltasks.ports import FurtherPorts, serve_engine  # noqa: PLC0415  see above

    settings = _settings(given)
    access = access_from(
        os.environ,
        host=given.host,
        allow_host=settings.allow_host,
        max_body_mb=given.max_body_mb,
        rate_limit=given.rate_limit,
        log_requests=given.log_requests,
    )
    further = FurtherPorts(given.flight_port, given.otlp_grpc_port)
    stage = _stage(given.stage or "")
    limits = ExecutorLimits().with_lease(settings.lease_seconds)
    store, sandbox = _store_path(given), settings.sandbox
    return _run(serve_engine, given.host, given.port, store, sandbox, further, access, stage, limits)


def _stage(text: str) -> FaultInjection:
    try:
        return parse_fault_injection(text)
    except ValueError as error:
        raise SettingsError(f"--stage: {error}") from None


def _demo(given: argparse.Namespace) -> int:
    from evaltasks.demo.play import play  # noqa: PLC0415  see above

    return _run(play, given.store, given.llm)


def _load(given: argparse.Namespace) -> int:
    from evaltasks.loading import load_examples, load_spans  # noqa: PLC0415  see above

    if given.what == "spans" and not given.project:
        return _fail("load spans needs --project NAME", 2)
    if given.what == "examples" and not given.dataset:
        return _fail("load examples needs --dataset NAME", 2)
    if given.what == "spans":
        return _run(load_spans, given.file, given.project, _store_path(given))
    return _run(load_examples, given.file, given.dataset, _store_path(given))


def _export(given: argparse.Namespace) -> int:
    from evaltasks.promoting import export_tasks  # noqa: PLC0415  see above

    settings = _settings(given)
    return _run(export_tasks, settings, dict(os.environ), given.out, given.task, given.prune, given.allow_key_shaped)


def _apply(given: argparse.Namespace) -> int:
    from evaltasks.promote.plan import ContinuousPolicy  # noqa: PLC0415  see above
    from evaltasks.promoting import ApplyOptions, apply_tasks  # noqa: PLC0415  see above

    if given.exit_code and not given.dry_run:
        return _fail("--exit-code goes with --dry-run", 2)
    continuous = ContinuousPolicy.UNDECIDED
    if given.allow_continuous or given.keep_paused:
        continuous = ContinuousPolicy.ALLOWED if given.allow_continuous else ContinuousPolicy.PAUSED
    options = ApplyOptions(
        given.task, given.dry_run, given.exit_code, given.yes, as_json=given.json, continuous=continuous
    )
    return _run(apply_tasks, _settings(given), dict(os.environ), given.directory, options)


def _schemas(given: argparse.Namespace) -> int:
    from evaltasks.schemas import schema_differences, write_schemas  # noqa: PLC0415  see above

    if not given.folder.is_dir():
        return _fail(f"there is no folder '{given.folder}' here; run this in the repository", 2)
    if given.write:
        changed = write_schemas(given.folder)
        print(f"{len(changed)} changed: {', '.join(changed)}" if changed else "nothing changed")
        return 0
    if difference := schema_differences(given.folder):
        print(difference)
        return _fail("the tools differ from tool_schemas/; to accept: evaltasks schemas --write", 1)
    print("tool_schemas/ is what the tools are")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from evaltasks.doctor import run_checks  # noqa: PLC0415  see above

    return _run(run_checks, _settings(given))


HANDLERS = {
    "serve": _serve, "engine": _engine, "demo": _demo, "load": _load, "export": _export, "apply": _apply,
    "schemas": _schemas, "doctor": _doctor,
}  # fmt: skip
