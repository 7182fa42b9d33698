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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from evaltasks import __version__
from evaltasks.api.problems import Problem
from evaltasks.client.faults import ClientFault
from evaltasks.engine.sandbox.cell import SandboxUnavailable
from evaltasks.engine.stage import Stage, parse_stage
from evaltasks.engine.store.store import StoreError
from evaltasks.insight.faults import Faults
from evaltasks.logs import configure_logs
from evaltasks.settings import Settings, SettingsError, default_store, option_table, settings_from
from evaltasks.tools.context import Refused, ToolFailed

SCHEMA_FOLDER = Path("tool_schemas")
# Failures that were foreseen: their text is for the person, without a stack.
FORESEEN = (SettingsError, StoreError, SandboxUnavailable, Refused, Faults, ClientFault, Problem, ToolFailed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaltasks",
        description="Evaluation tasks for LLM agents: an MCP server for Arize AX, with an embedded engine.",
        epilog="Start with 'evaltasks demo'. Every option of 'serve' is also a variable, EVALTASKS_<OPTION>.",
    )
    parser.add_argument("--version", action="version", version=f"evaltasks {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the tools to an MCP client (stdio unless --http)")
    _add_options(serve)
    serve.set_defaults(command=_serve)

    engine = commands.add_parser(
        "engine",
        help="serve the embedded engine's REST API on a port",
        epilog="Keys come from EVALTASKS_ENGINE_KEY, several by commas; with one the engine asks every request for it.",
    )
    _add_engine_options(engine)
    engine.set_defaults(command=_engine)

    demo = commands.add_parser("demo", help="watch the whole job on real data: no account, no key")
    _store_option(demo, "a new file in a temporary directory, kept so that you can go on with it")
    demo.add_argument(
        "--llm",
        action="store_true",
        help="also run an experiment with a real small language model (extra 'llm')",
    )
    demo.set_defaults(command=_demo)

    load = commands.add_parser("load", help="load spans or examples from a JSONL, CSV or Parquet file")
    load.add_argument("what", choices=["spans", "examples"])
    load.add_argument("file", type=Path, metavar="FILE")
    target = load.add_mutually_exclusive_group(required=True)
    target.add_argument("--project", metavar="NAME", help="project for spans; made when it is new")
    target.add_argument("--dataset", metavar="NAME", help="dataset for examples; made when it is new")
    _store_option(load)
    load.set_defaults(command=_load)

    _add_promotion(commands)

    schemas = commands.add_parser("schemas", help="check or write tool_schemas/ (for contributors)")
    action = schemas.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="fail with a diff when a tool's contract changed")
    action.add_argument("--write", action="store_true", help="accept the change")
    schemas.add_argument("--folder", type=Path, default=SCHEMA_FOLDER, help="default: tool_schemas")
    schemas.set_defaults(command=_schemas)

    doctor = commands.add_parser("doctor", help="check settings, store and one whole evaluation; say how to mend")
    _add_options(doctor)
    doctor.set_defaults(command=_doctor)
    return parser


def _add_engine_options(engine: argparse.ArgumentParser) -> None:
    host_help = "address to bind (default 127.0.0.1); another one needs a key in EVALTASKS_ENGINE_KEY"
    engine.add_argument("--host", default="127.0.0.1", help=host_help)
    engine.add_argument("--port", type=int, default=8700, help="port; 0 picks a free one (default 8700)")
    engine.add_argument("--allow-host", metavar="NAMES", help="further host names requests may come in under; by comma")
    _store_option(engine)
    engine.add_argument("--sandbox", metavar="KIND", help="where custom evaluators' code runs, as for serve")
    for flag, what in (("--flight-port", "Arrow Flight"), ("--otlp-grpc-port", "OTLP over gRPC")):
        engine.add_argument(
            flag, type=int, metavar="PORT", help=f"also serve {what} for the AX SDK's bulk calls (extra 'flight')"
        )
    engine.add_argument(
        "--max-body-mb",
        type=int,
        metavar="MB",
        help="largest body of a request, packed or not, on every route (default 32; OTLP 20, Arrow uploads 128)",
    )
    engine.add_argument("--log-requests", action="store_true", help="one line on stderr for each request, no secrets")
    engine.add_argument(
        "--rate-limit",
        metavar="N[/BURST]",
        help="for tests of clients: answer 429 to more than N requests a second of one key or address",
    )
    engine.add_argument(
        "--stage",
        metavar="FAILURE[=SECONDS][:TASK][,…]",
        help="for tests: show failures of AX on purpose, of all tasks or those whose name fits; docs/staging.md",
    )


def _add_promotion(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = commands.add_parser("export", help="write tasks, evaluators and integrations to YAML files, by name")
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the files; made when it is new"
    )
    export.add_argument("--task", action="append", default=[], metavar="NAME", help="only this task (repeatable)")
    export.add_argument("--prune", action="store_true", help="remove files of what was not exported now")
    export.add_argument(
        "--allow-key-shaped",
        action="store_true",
        help="also write text that looks like a key, when you know it is none",
    )
    _backend_options(export)
    export.set_defaults(command=_export)

    apply = commands.add_parser("apply", help="make a service's tasks what the files of export say; shows a plan first")
    apply.add_argument("directory", type=Path, metavar="DIR", help="folder that export wrote")
    apply.add_argument("--task", action="append", default=[], metavar="NAME", help="only this task (repeatable)")
    apply.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    apply.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: exit with 3 when applying would change anything"
    )
    apply.add_argument("--yes", action="store_true", help="do not ask before changing")
    apply.add_argument("--json", action="store_true", help="the plan as JSON on stdout")
    continuous = apply.add_mutually_exclusive_group()
    continuous.add_argument(
        "--allow-continuous", action="store_true", help="let tasks begin to evaluate new spans by themselves"
    )
    continuous.add_argument("--keep-paused", action="store_true", help="apply such tasks switched off")
    _backend_options(apply)
    apply.set_defaults(command=_apply)


def _backend_options(parser: argparse.ArgumentParser) -> None:
    """Where tasks live, as for `serve`."""
    for name, variable, metadata in option_table():
        if name in {"backend", "store", "space", "allow_plain_http"}:
            _add_option(parser, name, f"{metadata['help']} [{variable}]", metadata)


def _add_options(parser: argparse.ArgumentParser) -> None:
    for name, variable, metadata in option_table():
        _add_option(parser, name, f"{metadata['help']} [{variable}]", metadata)


def _add_option(parser: argparse.ArgumentParser, name: str, text: str, metadata: Mapping[str, Any]) -> None:
    flag = "--" + name.replace("_", "-")
    metavar = metadata["metavar"]
    text = text.replace("%", "%%")
    if metavar is None:
        parser.add_argument(flag, dest=name, action="store_const", const="true", help=text)
    elif name == "allow_dir":
        parser.add_argument(flag, dest=name, action="append", metavar=metavar, help=text)
    else:
        parser.add_argument(flag, dest=name, metavar=metavar, help=text)


def _store_option(parser: argparse.ArgumentParser, default: str = "one file in your user data directory") -> None:
    parser.add_argument("--store", metavar="PATH", help=f"the embedded engine's file (default: {default})")


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
    return _run(serve_engine, given.host, given.port, _store_path(given), settings.sandbox, further, access, stage)


def _stage(text: str) -> Stage:
    try:
        return parse_stage(text)
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
    from evaltasks.promote.plan import Continuous  # noqa: PLC0415  see above
    from evaltasks.promoting import ApplyOptions, apply_tasks  # noqa: PLC0415  see above

    if given.exit_code and not given.dry_run:
        return _fail("--exit-code goes with --dry-run", 2)
    continuous = Continuous.UNDECIDED
    if given.allow_continuous or given.keep_paused:
        continuous = Continuous.ALLOWED if given.allow_continuous else Continuous.PAUSED
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
    from evaltasks.doctor import examine  # noqa: PLC0415  see above

    return _run(examine, _settings(given))
