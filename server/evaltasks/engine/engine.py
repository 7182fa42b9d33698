"""The embedded engine: the REST API and the executor of task runs, over one store.

`async with Engine.open(path) as engine:` owns the store, the executor's task group and the clock. Leaving the block
stops the executor between two rows. Unfinished task runs stay in the store; the next engine that opens it continues
them.
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
from evaltasks.engine.providers.catalog import Providers, open_providers
from evaltasks.engine.runs.executor import Executor, ExecutorLimits
from evaltasks.engine.runs.wake_signal import WakeSignal
from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from evaltasks.engine.sandbox.sandbox import open_sandbox
from evaltasks.engine.store.store import OnCommit, Store
from evaltasks.engine.unsupported import unsupported_routes


class Engine:
    """A running engine; made by `Engine.open`.

    Attributes:
        services: What the parts of the engine share.
        app: The ASGI app of the REST API.
        executor: Runs the task runs.
        ingestor: Stores incoming telemetry.
    """

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
        providers: AbstractAsyncContextManager[Providers] | None = None,
        sandbox: SandboxKind = SandboxKind.MONTY,
        sandbox_limits: SandboxLimits | None = None,
        body_bytes_max: int | None = None,
        fault_injection: FaultInjection = NO_FAULTS,
    ) -> AsyncIterator[Engine]:
        """Open a store and start processing its unfinished task runs.

        Args:
            path: The SQLite file; `:memory:` for a store of this engine only.
            clock: The time; by default the machine's.
            environment: The variables with the keys of AI integrations; by default those of the process.
            limits: Concurrency, timeouts and retries of the executor.
            default_space: The name of the space that is created if the store has none.
            on_commit: Is called before and after every commit, for crash tests.
            providers: Replaces the LLM providers, including their network access.
            sandbox: What runs the code of custom evaluators.
            sandbox_limits: Time and memory of that code.
            body_bytes_max: The largest request body; None leaves each route its own limit.
            fault_injection: AX failures to simulate in tests; no request can change them.

        Raises:
            StoreError: If the store cannot be opened.
            SandboxUnavailable: If the sandbox cannot run here.
        """
        limits = limits or ExecutorLimits()
        environment = IntegrationEnvironment(os.environ if environment is None else environment)
        # Closed in reverse order: the executor stops before its connections and its store are closed.
        async with (
            Store.open(path, on_commit=on_commit) as store,
            providers or open_providers(environment) as providers_open,
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
            executor = Executor(services, limits, providers_open)
            tasks.start_soon(executor.run)
            try:
                ingestor = Ingestor(services)
                further = [*ingest_routes(ingestor, body_bytes_max), document_route(), *unsupported_routes()]
                app = make_app(services, HANDLERS, further, body_bytes_max or BODY_BYTES_MAX)
                yield cls(services, app, executor, ingestor)
            finally:
                tasks.cancel_scope.cancel()
