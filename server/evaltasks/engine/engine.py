"""The embedded engine: the REST side and the executor over one store.

`async with Engine.open(path) as engine:` owns everything: the store, the task group the executor works in, the
clock. Leaving the block stops the executor between two rows; unfinished runs stay in the store and are finished by
whoever opens it next.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
from starlette.applications import Starlette

from evaltasks.edge.clock import Clock, SystemClock
from evaltasks.engine.app import BODY_BYTES_MAX, make_app
from evaltasks.engine.call import Services
from evaltasks.engine.document import document_route
from evaltasks.engine.fault_injection import NO_FAULTS, FaultInjection
from evaltasks.engine.handlers.ai_integrations import ensure_builtin_integrations
from evaltasks.engine.handlers.spaces import ensure_default_space
from evaltasks.engine.handlers.table import HANDLERS
from evaltasks.engine.ingest.ingestor import Ingestor
from evaltasks.engine.ingest.routes import ingest_routes
from evaltasks.engine.integration_environment import IntegrationEnvironment
from evaltasks.engine.providers.catalog import Judges, open_judges
from evaltasks.engine.runs.executor import Executor, ExecutorLimits
from evaltasks.engine.runs.wake_signal import WakeSignal
from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from evaltasks.engine.sandbox.sandbox import open_sandbox
from evaltasks.engine.store.store import OnCommit, Store
from evaltasks.engine.unsupported import unsupported_routes


class Engine:
    """Made by `Engine.open`. `app` is the ASGI app that answers the operations; `ingestor` is where telemetry
    enters."""

    def __init__(self, services: Services, app: Starlette, executor: Executor, ingestor: Ingestor) -> None:
        self.services = services
        self.app = app
        self.executor = executor
        self.ingestor = ingestor

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | Path,
        *,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
        limits: ExecutorLimits | None = None,
        default_space: str = "default",
        on_commit: OnCommit | None = None,
        judges: AbstractAsyncContextManager[Judges] | None = None,
        sandbox: SandboxKind = SandboxKind.MONTY,
        sandbox_limits: SandboxLimits | None = None,
        body_bytes_max: int | None = None,
        fault_injection: FaultInjection = NO_FAULTS,
    ) -> AsyncIterator[Engine]:
        """Open the store at `path` (`:memory:` for a private one) and start processing its unfinished runs.

        `environment` is where AI integrations find their keys (the process's own by default); `judges` replaces the
        providers, network and all. `sandbox` runs the code of custom evaluators. `body_bytes_max` bounds the body of
        every request (None: each route has its own bound). `fault_injection` is for tests: failures of AX to show on
        purpose, which no request can ask for. Raises StoreError, SandboxUnavailable.
        """
        limits = limits or ExecutorLimits()
        environment = IntegrationEnvironment(os.environ if environment is None else environment)
        # Closed from the last to the first: the executor stops before its connections and its store go.
        async with (
            Store.open(path, on_commit=on_commit) as store,
            judges or open_judges(environment) as judges_open,
            open_sandbox(sandbox, sandbox_limits) as sandbox_open,
            anyio.create_task_group() as tasks,
        ):
            services = Services(
                store=store,
                clock=clock or SystemClock(),
                wake_signal=WakeSignal(),
                environment=environment,
                sandbox=sandbox_open,
                fault_injection=fault_injection,
            )
            await ensure_default_space(services, default_space)
            await ensure_builtin_integrations(services)
            executor = Executor(services, limits, judges_open)
            tasks.start_soon(executor.run)
            try:
                ingestor = Ingestor(services)
                further = [*ingest_routes(ingestor, body_bytes_max), document_route(), *unsupported_routes()]
                app = make_app(services, HANDLERS, further, body_bytes_max or BODY_BYTES_MAX)
                yield cls(services, app, executor, ingestor)
            finally:
                tasks.cancel_scope.cancel()
