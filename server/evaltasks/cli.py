"""The command line: `evaltasks serve | engine | demo | load | export | apply | schemas | doctor`.

Exit codes: 0 success; 1 failure, with the reason on stderr; 2 invalid command line or setting; 3 differences found by
`apply --dry-run --exit-code`; 128 + n ended by signal n. Results go to stdout (except for `serve`, where stdout is the
protocol), progress and errors to stderr.
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

# Expected errors: only their message is shown, without a stack.
EXPECTED_ERRORS = (
    SettingsError,
    StoreError,
    SandboxUnavailable,
    Refused,
    ValidationErrors,
    ClientError,
    Problem,
    ToolFailed,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program; by default that of the process.

    Returns:
        The exit code.
    """
    parsed = make_parser(HANDLERS).parse_args(arguments)
    configure_logs(os.environ)
    try:
        return int(parsed.command(parsed))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        known = _expected_error(error)
        if known is None:
            raise
        return _fail(str(known), 2 if isinstance(known, SettingsError) else 1)


def _expected_error(error: BaseException) -> BaseException | None:
    """Return the expected error, also inside an exception group; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for member in error.exceptions if (found := _expected_error(member))), None)
    return error if isinstance(error, EXPECTED_ERRORS) else None


def _fail(text: str, code: int) -> int:
    print(f"evaltasks: {text}", file=sys.stderr)
    return code


def _settings(parsed: argparse.Namespace) -> Settings:
    texts = {}
    for name, _, _ in option_table():
        value = getattr(parsed, name, None)
        if value is not None:
            texts[name] = os.pathsep.join(value) if isinstance(value, list) else str(value)
    return settings_from(texts, os.environ)


def _store_path(parsed: argparse.Namespace) -> str:
    return parsed.store or os.environ.get("EVALTASKS_STORE") or str(default_store())


def _run(command: Callable[..., Coroutine[Any, Any, int]], *arguments: object) -> int:
    """Run a command's coroutine, with the garbage collector on, which skips the imported modules (see `__main__`)."""
    gc.freeze()
    gc.enable()
    return anyio.run(command, *arguments)


# Each command imports its modules when it is chosen: `schemas` and `--help` must not wait for the engine, nor `serve`,
# which a host stops waiting for after some seconds, for the demo.


def _serve(parsed: argparse.Namespace) -> int:
    settings = _settings(parsed)
    if settings.http is not None:
        from evaltasks.ports import serve_on_http  # noqa: PLC0415  see above

        return _run(serve_on_http, settings, dict(os.environ))
    from evaltasks.serving import serve_on_stdio  # noqa: PLC0415  see above

    return _run(serve_on_stdio, settings, dict(os.environ))


def _engine(parsed: argparse.Namespace) -> int:
    from evaltasks.access import access_from  # noqa: PLC0415  see above
    from evaltasks.ports import FurtherPorts, serve_engine  # noqa: PLC0415  see above

    settings = _settings(parsed)
    access = access_from(
        os.environ,
        host=parsed.host,
        allow_host=settings.allow_host,
        max_body_mb=parsed.max_body_mb,
        rate_limit=parsed.rate_limit,
        log_requests=parsed.log_requests,
    )
    further = FurtherPorts(parsed.flight_port, parsed.otlp_grpc_port)
    stage = _stage(parsed.stage or "")
    limits = ExecutorLimits().with_lease(settings.lease_seconds)
    store, sandbox = _store_path(parsed), settings.sandbox
    return _run(serve_engine, parsed.host, parsed.port, store, sandbox, further, access, stage, limits)


def _stage(text: str) -> FaultInjection:
    try:
        return parse_fault_injection(text)
    except ValueError as error:
        raise SettingsError(f"--stage: {error}") from None


def _demo(parsed: argparse.Namespace) -> int:
    from evaltasks.demo.play import play  # noqa: PLC0415  see above

    return _run(play, parsed.store, parsed.llm)


def _load(parsed: argparse.Namespace) -> int:
    from evaltasks.loading import load_examples, load_spans  # noqa: PLC0415  see above

    if parsed.what == "spans" and not parsed.project:
        return _fail("load spans requires --project NAME", 2)
    if parsed.what == "examples" and not parsed.dataset:
        return _fail("load examples requires --dataset NAME", 2)
    if parsed.what == "spans":
        return _run(load_spans, parsed.file, parsed.project, _store_path(parsed))
    return _run(load_examples, parsed.file, parsed.dataset, _store_path(parsed))


def _export(parsed: argparse.Namespace) -> int:
    from evaltasks.promoting import export_tasks  # noqa: PLC0415  see above

    settings = _settings(parsed)
    return _run(
        export_tasks, settings, dict(os.environ), parsed.out, parsed.task, parsed.prune, parsed.allow_key_shaped
    )


def _apply(parsed: argparse.Namespace) -> int:
    from evaltasks.promote.plan import ContinuousPolicy  # noqa: PLC0415  see above
    from evaltasks.promoting import ApplyOptions, apply_tasks  # noqa: PLC0415  see above

    if parsed.exit_code and not parsed.dry_run:
        return _fail("--exit-code requires --dry-run", 2)
    continuous = ContinuousPolicy.UNDECIDED
    if parsed.allow_continuous or parsed.keep_paused:
        continuous = ContinuousPolicy.ALLOWED if parsed.allow_continuous else ContinuousPolicy.PAUSED
    options = ApplyOptions(
        parsed.task, parsed.dry_run, parsed.exit_code, parsed.yes, as_json=parsed.json, continuous=continuous
    )
    return _run(apply_tasks, _settings(parsed), dict(os.environ), parsed.directory, options)


def _schemas(parsed: argparse.Namespace) -> int:
    from evaltasks.schemas import schema_differences, write_schemas  # noqa: PLC0415  see above

    if not parsed.folder.is_dir():
        return _fail(f"the folder '{parsed.folder}' does not exist; run this command in the repository", 2)
    if parsed.write:
        changed = write_schemas(parsed.folder)
        print(f"{len(changed)} changed: {', '.join(changed)}" if changed else "nothing changed")
        return 0
    if difference := schema_differences(parsed.folder):
        print(difference)
        return _fail("the tools differ from tool_schemas/; to accept the changes, run: evaltasks schemas --write", 1)
    print("tool_schemas/ is up to date")
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    from evaltasks.doctor import run_checks  # noqa: PLC0415  see above

    return _run(run_checks, _settings(parsed))


HANDLERS = {
    "serve": _serve, "engine": _engine, "demo": _demo, "load": _load, "export": _export, "apply": _apply,
    "schemas": _schemas, "doctor": _doctor,
}  # fmt: skip
