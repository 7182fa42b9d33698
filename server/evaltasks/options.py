"""What may be given on the command line: the commands and their options."""

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
    """The parser of the whole command line; what it parsed has the handler of its command as `command`."""
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
        epilog="Keys come from EVALTASKS_ENGINE_KEY, several by commas; with one the engine asks every request for it.",
    )
    _add_engine_options(engine)
    engine.set_defaults(command=handlers["engine"])

    demo = commands.add_parser("demo", help="watch the whole job on real data: no account, no key")
    _store_option(demo, "a new file in a temporary directory, kept so that you can go on with it")
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
    target.add_argument("--project", metavar="NAME", help="project for spans; made when it is new")
    target.add_argument("--dataset", metavar="NAME", help="dataset for examples; made when it is new")
    _store_option(load)
    load.set_defaults(command=handlers["load"])

    _add_promotion(commands, handlers)

    schemas = commands.add_parser("schemas", help="check or write tool_schemas/ (for contributors)")
    action = schemas.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="fail with a diff when a tool's contract changed")
    action.add_argument("--write", action="store_true", help="accept the change")
    schemas.add_argument("--folder", type=Path, default=SCHEMA_FOLDER, help="default: tool_schemas")
    schemas.set_defaults(command=handlers["schemas"])

    doctor = commands.add_parser("doctor", help="check settings, store and one whole evaluation; say how to fix")
    _add_options(doctor)
    doctor.set_defaults(command=handlers["doctor"])
    return parser


def _add_engine_options(engine: argparse.ArgumentParser) -> None:
    host_help = "address to bind (default 127.0.0.1); another one needs a key in EVALTASKS_ENGINE_KEY"
    engine.add_argument("--host", default="127.0.0.1", help=host_help)
    engine.add_argument("--port", type=int, default=8700, help="port; 0 picks a free one (default 8700)")
    engine.add_argument("--allow-host", metavar="NAMES", help="further host names requests may come in under; by comma")
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


def _add_promotion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], handlers: Mapping[str, Handler]
) -> None:
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
    export.set_defaults(command=handlers["export"])

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
    apply.set_defaults(command=handlers["apply"])


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
