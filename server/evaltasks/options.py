"""The command line parser: the commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from evaltasks import __version__
from evaltasks.settings import option_table

SCHEMA_FOLDER = Path("tool_schemas")
Handler: TypeAlias = Callable[[argparse.Namespace], int]


def make_parser(handlers: Mapping[str, Handler]) -> argparse.ArgumentParser:
    """Make the parser of the command line. The parsed namespace has the handler of the command as `command`."""
    parser = argparse.ArgumentParser(
        prog="evaltasks",
        description="Evaluation tasks for LLM agents: an MCP server for Arize AX, with an embedded engine.",
        epilog="Start with 'evaltasks demo'. Every option of 'serve' is also a variable, EVALTASKS_<OPTION>.",
    )
    parser.add_argument("--version", action="version", version=f"evaltasks {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the tools to an MCP client (stdio unless --http)")
    _add_options(serve)
    serve.set_defaults(command=handlers["serve"])

    engine = commands.add_parser(
        "engine",
        help="serve the embedded engine's REST API on a port",
        epilog="API keys come from EVALTASKS_ENGINE_KEY, separated by commas; if it is set, every request needs one.",
    )
    _add_engine_options(engine)
    engine.set_defaults(command=handlers["engine"])

    demo = commands.add_parser("demo", help="run the whole workflow on real data, without an account or key")
    _store_option(demo, "a new file in a temporary directory, which is kept")
    demo.add_argument(
        "--llm",
        action="store_true",
        help="also run an experiment with a real small language model (extra 'llm')",
    )
    demo.set_defaults(command=handlers["demo"])

    load = commands.add_parser("load", help="load spans or examples from a JSONL, CSV or Parquet file")
    load.add_argument("what", choices=["spans", "examples"])
    load.add_argument("file", type=Path, metavar="FILE")
    target = load.add_mutually_exclusive_group(required=True)
    target.add_argument("--project", metavar="NAME", help="project for spans; created if it does not exist")
    target.add_argument("--dataset", metavar="NAME", help="dataset for examples; created if it does not exist")
    _store_option(load)
    load.set_defaults(command=handlers["load"])

    _add_promotion(commands, handlers)

    schemas = commands.add_parser("schemas", help="check or write tool_schemas/ (for contributors)")
    action = schemas.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="fail with a diff if the contract of a tool changed")
    action.add_argument("--write", action="store_true", help="accept the changes")
    schemas.add_argument("--folder", type=Path, default=SCHEMA_FOLDER, help="default: tool_schemas")
    schemas.set_defaults(command=handlers["schemas"])

    doctor = commands.add_parser("doctor", help="check settings, store and one whole evaluation, and suggest fixes")
    _add_options(doctor)
    doctor.set_defaults(command=handlers["doctor"])
    return parser


def _add_engine_options(engine: argparse.ArgumentParser) -> None:
    host_help = "address to bind (default 127.0.0.1); other addresses require a key in EVALTASKS_ENGINE_KEY"
    engine.add_argument("--host", default="127.0.0.1", help=host_help)
    engine.add_argument("--port", type=int, default=8700, help="port; 0 chooses a free one (default 8700)")
    engine.add_argument("--allow-host", metavar="NAMES", help="more Host header names to allow, separated by commas")
    _store_option(engine)
    engine.add_argument(
        "--lease-seconds", metavar="SECONDS", help="how long a stopped process keeps its task runs, as for serve"
    )
    engine.add_argument("--sandbox", metavar="KIND", help="where custom evaluators' code runs, as for serve")
    for flag, what in (("--flight-port", "Arrow Flight"), ("--otlp-grpc-port", "OTLP over gRPC")):
        engine.add_argument(
            flag, type=int, metavar="PORT", help=f"also serve {what} for the AX SDK's bulk calls (extra 'flight')"
        )
    engine.add_argument(
        "--max-body-mb",
        type=int,
        metavar="MB",
        help="largest request body, compressed or not, on every route (default 32; OTLP 20, Arrow uploads 128)",
    )
    engine.add_argument("--log-requests", action="store_true", help="log each request on stderr, without secrets")
    engine.add_argument(
        "--rate-limit",
        metavar="N[/BURST]",
        help="for tests of clients: answer 429 to more than N requests per second of one key or address",
    )
    engine.add_argument(
        "--stage",
        metavar="FAILURE[=SECONDS][:TASK][,…]",
        help="for tests: simulate failures of AX, for all tasks or those whose name matches; see docs/staging.md",
    )


def _add_promotion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], handlers: Mapping[str, Handler]
) -> None:
    export = commands.add_parser("export", help="write tasks, evaluators and integrations to YAML files, by name")
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the files; created if it does not exist"
    )
    export.add_argument("--task", action="append", default=[], metavar="NAME", help="only this task (repeatable)")
    export.add_argument("--prune", action="store_true", help="remove the files of everything that is not exported")
    export.add_argument(
        "--allow-key-shaped",
        action="store_true",
        help="also write text that looks like a key, if you know that it is not one",
    )
    _backend_options(export)
    export.set_defaults(command=handlers["export"])

    apply = commands.add_parser("apply", help="change a service to match exported files, after showing a plan")
    apply.add_argument("directory", type=Path, metavar="DIR", help="folder that export wrote")
    apply.add_argument("--task", action="append", default=[], metavar="NAME", help="only this task (repeatable)")
    apply.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    apply.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: exit with 3 if applying would change anything"
    )
    apply.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    apply.add_argument("--json", action="store_true", help="print the plan as JSON")
    continuous = apply.add_mutually_exclusive_group()
    continuous.add_argument(
        "--allow-continuous", action="store_true", help="let continuous tasks evaluate new spans automatically"
    )
    continuous.add_argument("--keep-paused", action="store_true", help="apply continuous tasks paused")
    _backend_options(apply)
    apply.set_defaults(command=handlers["apply"])


def _backend_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the backend, as for `serve`."""
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
    parser.add_argument("--store", metavar="PATH", help=f"store file of the embedded engine (default: {default})")
