"""What a handler is given and what it answers with."""

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
    """What the engine's parts work with; made once by `Engine.open`.

    `environment` holds the keys that AI integrations name. `wake_signal` wakes the executor when there is work.
    `sandbox` runs the code of custom evaluators. `fault_injection` lists the AX failures that are simulated on purpose.
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
    """One request: path values decoded, query and body parsed to the models of the operation."""

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
