"""The input and output types of operation handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from pydantic import BaseModel

from evaltasks.edge.clock import Clock
from evaltasks.engine.fault_injection import NO_FAULTS, FaultInjection
from evaltasks.engine.ids import NewId, new_id, new_row_id
from evaltasks.engine.runs.projection import Projections
from evaltasks.engine.runs.wake_signal import WakeSignal
from evaltasks.engine.sandbox.sandbox import Sandbox
from evaltasks.engine.store.store import Store

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Services:
    """What the engine's parts share; made once by `Engine.open`.

    Attributes:
        store: The database.
        clock: The time.
        wake_signal: Wakes the executor when a task run can start.
        environment: The environment variables with the keys that AI integrations name.
        sandbox: Runs the code of custom evaluators.
        fault_injection: The AX failures that are simulated on purpose.
        projections: Estimates of how many rows a day tasks would evaluate, cached.
        new_id: Makes global ids.
        new_row_id: Makes ids of examples and experiment runs.
    """

    store: Store
    clock: Clock
    wake_signal: WakeSignal
    environment: Mapping[str, str] = field(repr=False)
    sandbox: Sandbox
    fault_injection: FaultInjection = NO_FAULTS
    projections: Projections = field(default_factory=Projections)
    new_id: NewId = new_id
    new_row_id: Callable[[], str] = new_row_id


@dataclass(frozen=True)
class Call:
    """One request: its decoded path values, and its query and body as models of the operation."""

    services: Services
    path: Mapping[str, str]
    query_model: BaseModel | None
    body_model: BaseModel | None

    def query(self, kind: type[ModelT]) -> ModelT:
        assert isinstance(self.query_model, kind)
        return self.query_model

    def body(self, kind: type[ModelT]) -> ModelT:
        assert isinstance(self.body_model, kind)
        return self.body_model


Handler: TypeAlias = Callable[[Call], Awaitable[BaseModel | None]]
