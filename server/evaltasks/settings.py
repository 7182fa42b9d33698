"""Settings: one table of options, each a command line option and an `EVALTASKS_…` variable.

An option overrides its variable, and a variable the default. The backend is embedded unless it is chosen explicitly: an
API key in the environment does not change it. Keys come from the environment only and are not options.
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
    """A setting is not valid; the message names it and its valid values."""


def default_store() -> Path:
    """Return the path of the user's store: one file in the data directory of the platform."""
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
    """Parse directories that are separated as in PATH."""
    found = []
    for part in text.split(os.pathsep):
        if not part:
            continue
        directory = Path(part).expanduser()
        if not directory.is_dir():
            raise SettingsError(f"allow-dir: '{part}' is not a directory")
        found.append(directory.resolve())
    return tuple(found)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError("http must be HOST:PORT, for example 127.0.0.1:8765")
    return host.strip("[]"), int(port)


def _host_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if wrong := [name for name in names if not _HOST_NAME.fullmatch(name)]:
        raise SettingsError(
            f"allow-host must be names without scheme, port or *, for example evals.example.org; got '{wrong[0]}'"
        )
    return names


_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def _groups(text: str) -> tuple[Group, ...]:
    known = {group.value: group for group in Group}
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in chosen if part not in known] or not chosen:
        raise SettingsError(f"groups must be some of {', '.join(known)}; got {wrong or 'none'}")
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
    """The options of `evaltasks serve`, fixed at start-up: no tool and no request changes them."""

    backend: str = _option(
        "embedded", _backend, "BACKEND",
        "where tasks live: 'embedded' (default; no account), 'ax' (Arize AX, key in ARIZE_API_KEY), "
        "or the http:// address of a running 'evaltasks engine'",
    )  # fmt: skip
    allow_plain_http: bool = _option(
        False, _yes, None, "send the key to an engine on another machine over http://; only in a trusted network"
    )
    store: str = _option(
        None, _store, "PATH", "store file of the embedded engine (default: one file in your user data directory)"
    )
    space: str | None = _option(
        None, str, "NAME", "space (name or id) in which names are resolved if a call names no space"
    )
    patience_seconds: float = _option(
        45.0,
        _seconds("patience-seconds", 1),
        "SECONDS",
        "longest time one waiting call stays open (default 45; hosts drop calls at 60)",
    )
    allow_dir: tuple[Path, ...] = _option((), _directories, "PATH", "directory whose files tools may read; repeatable")
    http: tuple[str, int] | None = _option(
        None, _address, "HOST:PORT", "serve over streamable HTTP here instead of stdio"
    )
    allow_host: tuple[str, ...] = _option(
        (), _host_names, "NAMES", "more Host header names to allow, for example that of a proxy; separated by commas"
    )
    groups: tuple[Group, ...] = _option(
        tuple(Group), _groups, "LIST", f"tool groups to offer, of {', '.join(group.value for group in Group)}"
    )
    read_only: bool = _option(False, _yes, None, "offer only tools that change nothing; overrides --groups")
    in_flight: int = _option(
        _LIMITS.in_flight_max,
        _in_flight,
        "N",
        f"concurrent judge calls of the embedded engine (default {_LIMITS.in_flight_max})",
    )
    lease_seconds: float = _option(
        _LIMITS.lease_seconds, _seconds("lease-seconds", LEASE_SECONDS_MIN), "SECONDS",
        "how long a task run stays reserved for a process that stopped responding before another process on the same "
        f"store continues it (default {_LIMITS.lease_seconds:g}); renewed four times in that time",
    )  # fmt: skip
    sandbox: SandboxKind = _option(  # noqa: RUF009  it makes a field
        SandboxKind.MONTY, _sandbox, "KIND",
        "where the embedded engine runs the code of custom evaluators: 'monty' (default; a subset of Python, on every "
        "platform) or 'process' (full Python in a restricted process; Linux only)",
    )  # fmt: skip

    @property
    def store_path(self) -> str:
        return self.store or str(default_store())


def option_table() -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return every option as (field, variable, metadata), from which the command line and the docs are made."""
    return [(item.name, PREFIX + item.name.upper(), item.metadata) for item in fields(Settings)]


def settings_from(options: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Parse the settings.

    Args:
        options: The texts of command line options, by field name.
        environment: The environment variables.

    Raises:
        SettingsError: If a value is not valid, or an `EVALTASKS_…` variable is not a setting.
    """
    values: dict[str, Any] = {}
    known = {variable for _, variable, _ in option_table()} | OTHER_VARIABLES
    if unknown := sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        raise SettingsError(f"{', '.join(unknown)}: unknown setting. Settings are: {', '.join(sorted(known))}.")
    for name, variable, metadata in option_table():
        text = options.get(name, environment.get(variable))
        if text is None:
            continue
        source = f"--{name.replace('_', '-')}" if name in options else variable
        try:
            values[name] = metadata["parse"](text)
        except SettingsError as error:
            raise SettingsError(f"{source}: {error}") from None
    return Settings(**values)


# Variables that are read but are not options of `serve`.
OTHER_VARIABLES = frozenset({PREFIX + "LOG_LEVEL", PREFIX + "HTTP_TOKEN", PREFIX + "ENGINE_KEY"})


@dataclass(frozen=True)
class AxAddress:
    """The address and key of AX, from the same variables as in the published clients. The repr omits the key."""

    base_url: str
    api_key: str = field(repr=False)


def ax_address(environment: Mapping[str, str]) -> AxAddress:
    """Read `ARIZE_API_KEY`, and `ARIZE_API_HOST`, `_SCHEME` and `_PORT` if the service is not api.arize.com.

    Raises:
        SettingsError: If the key is missing or a variable is not valid.
    """
    key = environment.get("ARIZE_API_KEY", "").strip()
    if not key:
        raise SettingsError(
            "backend 'ax' requires an API key in the environment variable ARIZE_API_KEY, which is not set. "
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
