"""Assembly of the parts: settings → client → tools → MCP server. Only this module chooses the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from evaltasks.client.client import Client
from evaltasks.client.transport import open_app_client, open_remote_client
from evaltasks.engine.engine import Engine
from evaltasks.engine.integration_environment import IntegrationEnvironment
from evaltasks.engine.runs.executor import ExecutorLimits
from evaltasks.face.server import EvaltasksServer, ToolApp, make_server
from evaltasks.settings import Settings, ax_address
from evaltasks.tools.catalog import TOOLS
from evaltasks.tools.context import ToolSettings
from evaltasks.tools.spec import Effect


@asynccontextmanager
async def open_client(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Client]:
    """Open a client of the chosen backend. The embedded engine runs while the block is open.

    Raises:
        SettingsError: If a setting of the backend is missing or not valid.
        StoreError: If the store of the embedded engine cannot be opened.
        ClientError: If the address or the key of a remote backend is not valid, or it is unreachable.
    """
    if settings.backend == "embedded":
        limits = ExecutorLimits(in_flight_max=settings.in_flight).with_lease(settings.lease_seconds)
        async with (
            Engine.open(
                settings.store_path, environment=environment, limits=limits, sandbox=settings.sandbox
            ) as engine,
            open_app_client(engine.app, default_space=settings.space) as client,
        ):
            yield client
    elif settings.backend == "ax":
        address = ax_address(environment)
        async with open_remote_client(
            address.base_url, address.api_key, default_space=settings.space, is_engine=False
        ) as client:
            yield client
    else:
        async with open_remote_client(
            settings.backend,
            environment.get("ARIZE_API_KEY", ""),
            default_space=settings.space,
            allow_plain_http=settings.allow_plain_http,
        ) as client:
            yield client


def tool_settings(settings: Settings, environment: Mapping[str, str]) -> ToolSettings:
    """Return the settings of tool calls."""
    return ToolSettings(
        call_wait_seconds_max=settings.patience_seconds,
        allowed_dirs=settings.allow_dir,
        default_space=settings.space,
        environment=IntegrationEnvironment(environment),
    )


@asynccontextmanager
async def open_server(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[EvaltasksServer]:
    """Open the MCP server of the chosen backend, for any transport.

    Raises:
        SettingsError: As `open_client`, and its other errors.
    """
    tools = tuple(
        spec
        for spec in TOOLS
        if spec.group in settings.groups and (spec.effect is Effect.READS or not settings.read_only)
    )
    async with open_client(settings, environment) as client:
        yield make_server(ToolApp(client=client, settings=tool_settings(settings, environment), tools=tools))
