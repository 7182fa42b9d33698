"""Settings: one table of options, each a command-line flag and an `EVALTASKS_…` variable.

A flag wins over its variable, a variable over the default. The backend is embedded unless chosen otherwise: a key
that happens to lie in the environment never switches it. Keys come from the environment only and are not options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.sandbox.limits import SandboxKind
from evaltasks.tools.spec import Group

PREFIX = "EVALTASKS_"
# A shorter lease could expire between two heartbeats of a busy process.
LEASE_SECONDS_MIN = 0.5
SECONDS_MAX = 3600
_LIMITS = ExecutorLimits()


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and says what it may be."""


def default_store() -> Path:
    """The store of this user: one file under the platform's data directory."""
    return Path(platformdirs.user_data_dir("evaltasks", appauthor=False)) / "store.sqlite"


def _backend(text: str) -> str:
    if text in {"embedded", "ax"} or text.startswith(("http://", "https://")):
        return text.rstrip("/")
    raise SettingsError("backend must be 'embedded', 'ax', or the http(s):// address of an evaltasks engine")


def _store(text: str) -> str:
    return text if text == ":memory:" else str(Path(text).expanduser())


def _seconds(name: str, at_least: float) -> Callable[[str], float]:
    """Return the reader of a number of seconds, up to an hour."""

    def read(text: str) -> float:
        seconds = float(text) if text.replace(".", "", 1).isdecimal() else -1.0
        if not at_least <= seconds <= SECONDS_MAX:
            raise SettingsError(f"{name} must be a number of seconds from {at_least:g} to {SECONDS_MAX}")
        return seconds

    return read


def _in_flight(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= 500:
        raise SettingsError("in-flight must be a whole number from 1 to 500")
    return count


def _directories(text: str) -> tuple[Path, ...]:
    """Several directories are separated as in PATH."""
    found = []
    for part in text.split(os.pathsep):
        if not part:
            continue
        directory = Path(part).expanduser()
        if not directory.is_dir():
            raise SettingsError(f"allow-dir names '{part}', which is not a directory")
        found.append(directory.resolve())
    return tuple(found)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError("http must be HOST:PORT, for instance 127.0.0.1:8765")
    return host.strip("[]"), int(port)


def _host_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if wrong := [name for name in names if not _HOST_NAME.fullmatch(name)]:
        raise SettingsError(
            f"allow-host must be names without scheme, port or *, for instance evals.example.org; got '{wrong[0]}'"
        )
    return names


_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def _groups(text: str) -> tuple[Group, ...]:
    known = {group.value: group for group in Group}
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in chosen if part not in known] or not chosen:
        raise SettingsError(f"groups must name some of {', '.join(known)}; got {wrong or 'none'}")
    return tuple(known[part] for part in chosen)


def _sandbox(text: str) -> SandboxKind:
    try:
        return SandboxKind(text.lower())
    except ValueError:
        raise SettingsError(f"sandbox must be one of {', '.join(SandboxKind)}") from None


def _yes(text: str) -> bool:
    if text.lower() not in {"1", "true", "yes", "0", "false", "no", ""}:
        raise SettingsError("must be true or false")
    return text.lower() in {"1", "true", "yes"}


def _option(default: Any, parse: Callable[[str], Any], metavar: str | None, text: str) -> Any:
    return field(default=default, metadata={"parse": parse, "metavar": metavar, "help": text})


@dataclass(frozen=True)
class Settings:
    """What `evaltasks serve` is told at start-up; nothing that comes later widens it."""

    backend: str = _option(
        "embedded", _backend, "BACKEND",
        "where tasks live: 'embedded' (default; no account), 'ax' (Arize AX, key in ARIZE_API_KEY), "
        "or the http:// address of a running 'evaltasks engine'",
    )  # fmt: skip
    allow_plain_http: bool = _option(
        False, _yes, None, "send the key to an engine beyond this machine over http://; only where the network is yours"
    )
    store: str = _option(
        None, _store, "PATH", "the embedded engine's file (default: one file in your user data directory)"
    )
    space: str | None = _option(
        None, str, "NAME", "space in which names are looked up when a call names none (name or id)"
    )
    patience_seconds: float = _option(
        45.0,
        _seconds("patience-seconds", 1),
        "SECONDS",
        "longest time one waiting call stays open (default 45; hosts drop calls at 60)",
    )
    allow_dir: tuple[Path, ...] = _option(
        (), _directories, "PATH", "directory whose files tools may read; may be given more than once"
    )
    http: tuple[str, int] | None = _option(
        None, _address, "HOST:PORT", "serve over streamable HTTP here instead of stdio"
    )
    allow_host: tuple[str, ...] = _option(
        (), _host_names, "NAMES", "further host names HTTP requests may come in under, for instance a proxy's; by comma"
    )
    groups: tuple[Group, ...] = _option(
        tuple(Group), _groups, "LIST", f"tool groups to offer, of {', '.join(group.value for group in Group)}"
    )
    read_only: bool = _option(False, _yes, None, "offer only tools that change nothing; wins over --groups")
    in_flight: int = _option(
        _LIMITS.in_flight_max,
        _in_flight,
        "N",
        f"judge calls the embedded engine keeps in flight at once (default {_LIMITS.in_flight_max})",
    )
    lease_seconds: float = _option(
        _LIMITS.lease_seconds, _seconds("lease-seconds", LEASE_SECONDS_MIN), "SECONDS",
        "how long a task run stays reserved for a process that stopped responding before another process on the same "
        f"store continues it (default {_LIMITS.lease_seconds:g}); renewed four times in that time",
    )  # fmt: skip
    sandbox: SandboxKind = _option(  # noqa: RUF009  it makes a field
        SandboxKind.MONTY, _sandbox, "KIND",
        "where the embedded engine runs custom evaluators' code: 'monty' (default; a part of Python, everywhere) or "
        "'process' (all of Python in a locked process; Linux only)",
    )  # fmt: skip

    @property
    def store_path(self) -> str:
        return self.store or str(default_store())


def option_table() -> list[tuple[str, str, Mapping[str, Any]]]:
    """Every option as (field, variable, its metadata): the command line and the docs are made from this."""
    return [(item.name, PREFIX + item.name.upper(), item.metadata) for item in fields(Settings)]


def settings_from(given: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The settings for texts given on the command line (by field name) and the environment.

    Raises SettingsError naming the option, and for an `EVALTASKS_…` variable that is not a setting.
    """
    values: dict[str, Any] = {}
    known = {variable for _, variable, _ in option_table()} | OTHER_VARIABLES
    if unknown := sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        raise SettingsError(f"{', '.join(unknown)}: no such setting. Settings are: {', '.join(sorted(known))}.")
    for name, variable, metadata in option_table():
        text = given.get(name, environment.get(variable))
        if text is None:
            continue
        source = f"--{name.replace('_', '-')}" if name in given else variable
        try:
            values[name] = metadata["parse"](text)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from None
    return Settings(**values)


# Variables that are read but are not options of `serve`.
OTHER_VARIABLES = frozenset({PREFIX + "LOG_LEVEL", PREFIX + "HTTP_TOKEN", PREFIX + "ENGINE_KEY"})


@dataclass(frozen=True)
class AxAddress:
    """Where the AX service answers, read as the published clients read it. The key never shows in a repr."""

    base_url: str
    api_key: str = field(repr=False)


def ax_address(environment: Mapping[str, str]) -> AxAddress:
    """`ARIZE_API_KEY`, and `ARIZE_API_HOST`, `_SCHEME`, `_PORT` when the service is not api.arize.com.

    Raises SettingsError when the key is missing or a part cannot be used.
    """
    key = environment.get("ARIZE_API_KEY", "").strip()
    if not key:
        raise SettingsError(
            "backend 'ax' needs the key in the environment variable ARIZE_API_KEY, which is not set. "
            "Set it where the server is started (never in an argument), or use the embedded backend."
        )
    scheme = environment.get("ARIZE_API_SCHEME", "https")
    host = environment.get("ARIZE_API_HOST", "api.arize.com")
    port = environment.get("ARIZE_API_PORT", "0")
    if scheme not in {"http", "https"}:
        raise SettingsError("ARIZE_API_SCHEME must be http or https")
    if not port.isdecimal():
        raise SettingsError("ARIZE_API_PORT must be a number")
    if int(port):
        host = f"{host.partition(':')[0]}:{port}"
    return AxAddress(f"{scheme}://{host}", key)
