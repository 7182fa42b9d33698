"""`evaltasks engine` with its ports for bulk calls."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pyarrow.flight as fl
import pytest

from evaltasks.engine.engine import Engine
from evaltasks.ports import FurtherPorts, open_further_ports, serve_engine
from evaltasks.settings import SettingsError


def test_serve_engine_prints_its_addresses_with_the_rest_api_first(tmp_path: Path) -> None:
    listeners = ("--port", "0", "--flight-port", "0", "--otlp-grpc-port", "0")
    command = [sys.executable, "-m", "evaltasks", "engine", *listeners, "--store", str(tmp_path / "s.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            rest, flight, otlp = (process.stdout.readline().strip() for _ in range(3))
            with fl.FlightClient(flight) as client:
                assert [action.type for action in client.list_actions()] == ["create_experiment_db_entry"]
        finally:
            process.terminate()
    assert rest.startswith("http://127.0.0.1:") and otlp.startswith("http://127.0.0.1:")


def test_a_port_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evaltasks.engine.flight.server", None)
    with pytest.raises(BaseExceptionGroup) as refused:
        anyio.run(partial(serve_engine, "127.0.0.1", 0, ":memory:", further=FurtherPorts(flight=0)))
    (error,) = refused.value.exceptions
    assert isinstance(error, SettingsError) and "evaltasks[flight]" in str(error)


async def test_a_taken_port_is_reported_and_not_shared() -> None:
    both = FurtherPorts(flight=0, otlp_grpc=0)
    async with (
        Engine.open(":memory:", environment={}) as engine,
        open_further_ports(engine, "127.0.0.1", both) as found,
    ):
        flight, otlp = (int(address.rpartition(":")[2]) for address in found)
        for taken in (FurtherPorts(flight=flight), FurtherPorts(otlp_grpc=otlp)):
            with pytest.raises(SettingsError, match="cannot serve on"):
                async with open_further_ports(engine, "127.0.0.1", taken):
                    raise AssertionError("the port was bound twice")
