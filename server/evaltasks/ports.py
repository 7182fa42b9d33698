"""Serving on ports: MCP over streamable HTTP, and the embedded engine's REST API with its other ports."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import uvicorn

from evaltasks.access import OPEN, Access
from evaltasks.app import open_server
from evaltasks.engine.engine import Engine
from evaltasks.engine.fault_injection import NO_FAULTS, FaultInjection
from evaltasks.engine.request_log import logger as request_logger
from evaltasks.engine.runs.limits import ExecutorLimits
from evaltasks.engine.sandbox.limits import SandboxKind
from evaltasks.face.http import GracefulServer, bracketed, listen_on, serve_http
from evaltasks.settings import Settings, SettingsError

GRACE_SECONDS = 2
_FAULT_INJECTION_WARNING = """\
*** STAGED FAILURES: THIS ENGINE IS FOR TESTS. Its task runs fail, hang or find nothing on purpose:
{shown}
*** Start it without --stage for real work.
"""


async def serve_on_http(settings: Settings, environment: Mapping[str, str]) -> int:
    """Serve MCP on the address of the settings until a signal arrives; return the exit code."""
    assert settings.http is not None
    async with open_server(settings, environment) as server:
        token = environment.get("EVALTASKS_HTTP_TOKEN") or None
        return await serve_http(server, *settings.http, token=token, allowed_hosts=settings.allow_host)


@dataclass(frozen=True)
class FurtherPorts:
    """The engine's other ports, for bulk calls of the published clients; None keeps a port closed."""

    flight: int | None = None
    otlp_grpc: int | None = None


@asynccontextmanager
async def open_further_ports(
    engine: Engine, host: str, ports: FurtherPorts, access: Access = OPEN
) -> AsyncIterator[list[str]]:
    """Open the ports while the block is open, with the keys of `access`, and yield their addresses.

    Raises:
        SettingsError: If a port cannot be opened, or its extra is not installed.
    """
    async with AsyncExitStack() as stack:
        addresses = []
        try:
            if ports.flight is not None:
                # Both import libraries of an optional extra, 170 and 19 MB.
                from evaltasks.engine.flight.server import open_flight  # noqa: PLC0415  see above

                opened = open_flight(engine.services, host, ports.flight, access.keys)
                addresses.append(await stack.enter_async_context(opened))
            if ports.otlp_grpc is not None:
                from evaltasks.engine.flight.otlp import open_otlp  # noqa: PLC0415  see above

                opened = open_otlp(engine.ingestor, host, ports.otlp_grpc, access.keys, access.body_bytes_max)
                addresses.append(await stack.enter_async_context(opened))
        except ImportError:
            raise SettingsError(
                "engine: --flight-port and --otlp-grpc-port require the extra: install evaltasks[flight]"
            ) from None
        except OSError as error:
            raise SettingsError(f"engine: {error}") from None
        yield addresses


async def serve_engine(
    host: str,
    port: int,
    store: str,
    sandbox: SandboxKind = SandboxKind.MONTY,
    further: FurtherPorts = FurtherPorts(),
    access: Access = OPEN,
    fault_injection: FaultInjection = NO_FAULTS,
    limits: ExecutorLimits | None = None,
) -> int:
    """Serve the embedded engine until a signal arrives; return the exit code.

    Its addresses are printed on stdout when all ports listen, that of the REST API first. An engine with injected
    faults warns on stderr before it opens its store.
    """
    if fault_injection.injected:
        sys.stderr.write(
            _FAULT_INJECTION_WARNING.format(
                shown="\n".join(f"***   {injected}" for injected in fault_injection.injected)
            )
        )
    opening = Engine.open(
        store,
        environment=os.environ,
        sandbox=sandbox,
        body_bytes_max=access.body_bytes_max,
        fault_injection=fault_injection,
        limits=limits or ExecutorLimits(),
    )
    async with (
        opening as engine,
        open_further_ports(engine, host, further, access) as addresses,
    ):
        config = uvicorn.Config(
            access.around(engine.app), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
        )
        if access.keys is not None:
            request_logger.info("keys in their order: %s", ", ".join(access.keys.fingerprints))
        try:
            listener = listen_on(host, port)
        except OSError as error:
            raise SettingsError(
                f"engine: cannot bind to {host}:{port} ({error.strerror}); choose another port or address"
            ) from None
        with listener:
            sys.stdout.write("\n".join([f"http://{bracketed(host)}:{listener.getsockname()[1]}", *addresses, ""]))
            sys.stdout.flush()
            return await GracefulServer(config).serve_until_signal(listener)
