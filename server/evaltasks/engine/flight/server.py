"""The Arrow Flight server of the engine, for bulk calls of the published clients.

Flight serves in threads of its own; a portal runs everything that uses the store on the event loop of the engine.
`open_flight` owns both: when its context ends, calls in progress finish and the port is closed.

Errors are sent with their message, unexpected ones with a reference number. All are sent as Flight's own errors,
although these have no code for "not found" or "conflict": pyarrow adds a traceback with local paths to all others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import pyarrow as pa
import pyarrow.flight as fl
from anyio import to_thread
from anyio.from_thread import BlockingPortal

from evaltasks.api.problems import BadRequest, Problem, Unavailable
from evaltasks.engine.call import Services
from evaltasks.engine.flight import commands, downloads, uploads
from evaltasks.engine.ingest.uploads import rows_of
from evaltasks.engine.internal_error import report_internal_error
from evaltasks.engine.keys import INVALID_KEY, Keys
from evaltasks.engine.store.bulk import count_spans
from evaltasks.engine.store.store import StoreError, Transaction

logger = logging.getLogger(__name__)

CALLS_MAX = 8
UPLOAD_BYTES_MAX = 512 * 2**20
BATCH_ROWS = 5000
_GRACE_SECONDS = 10

_DOWNLOADS: Mapping[type[commands.Command], Callable[..., pa.Table]] = {
    commands.GetDataset: downloads.dataset_table,
    commands.GetExperiment: downloads.experiment_table,
    commands.ExportSpans: downloads.span_table,
}
_ACTIONS: Mapping[type[commands.Command], Callable[..., Coroutine[Any, Any, bytes]]] = {
    commands.CreateExperimentEntry: uploads.create_experiment_entry,
}
_UPLOADS: Mapping[type[commands.Command], Callable[..., Coroutine[Any, Any, bytes]]] = {
    commands.CreateDataset: uploads.create_dataset,
    commands.PostExperimentData: uploads.post_experiment_data,
    commands.WriteEvaluations: uploads.write_evaluations,
    commands.WriteAnnotations: uploads.write_annotations,
    commands.WriteMetadata: uploads.write_metadata,
}


@asynccontextmanager
async def open_flight(services: Services, host: str, port: int, keys: Keys | None = None) -> AsyncIterator[str]:
    """Serve Flight while the context is open.

    Args:
        services: The services of the engine.
        host: The address to bind to.
        port: The port; 0 picks a free one.
        keys: If set, calls must send one of these keys in the header `auth-token-bin`.

    Yields:
        The address for clients, `grpc+tcp://host:port`.

    Raises:
        OSError: The address is in use.
    """
    shown = f"[{host}]" if ":" in host else host
    # Bind before entering the portal: inside it an error would be wrapped in an exception group.
    portal = BlockingPortal()
    try:
        server = FlightListener(services, portal, f"grpc+tcp://{shown}:{port}", keys)
    except pa.ArrowException as error:
        raise OSError(f"Flight cannot serve on {shown}:{port}") from error
    async with portal:
        try:
            yield f"grpc+tcp://{shown}:{server.port}"
        finally:
            with anyio.move_on_after(_GRACE_SECONDS, shield=True):
                await to_thread.run_sync(server.shutdown, abandon_on_cancel=True)


class FlightListener(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """Dispatches Flight calls to the functions of `downloads` and `uploads`. Created by `open_flight`."""

    def __init__(self, services: Services, portal: BlockingPortal, location: str, keys: Keys | None) -> None:
        super().__init__(location, middleware={"keys": _KeyCheck(keys)} if keys else None)
        self._services = services
        self._portal = portal
        self._places = threading.BoundedSemaphore(CALLS_MAX)

    def get_flight_info(self, _context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        """Return the number of spans of an export; the ticket is the command itself."""
        with self._call():
            command = commands.get_from(descriptor.command)
            if not isinstance(command, commands.ExportSpans):
                raise BadRequest(
                    "GetFlightInfo supports exports of spans only; fetch datasets and experiments with DoGet."
                )
            total = self._read(lambda tx: count_spans(tx, downloads.span_selection(tx, command)))
            endpoint = fl.FlightEndpoint(fl.Ticket(descriptor.command), [])
            return fl.FlightInfo(pa.schema([]), descriptor, [endpoint], total, -1)

    def do_get(self, _context: fl.ServerCallContext, ticket: fl.Ticket) -> fl.FlightDataStream:
        with self._call():
            command = commands.get_from(ticket.ticket)
            table = self._read(lambda tx: _DOWNLOADS[type(command)](tx, command))
            rows = command.stream_chunk_size if isinstance(command, commands.ExportSpans) else None
            batches = table.to_batches(max_chunksize=min(rows or BATCH_ROWS, BATCH_ROWS))
            return fl.RecordBatchStream(pa.RecordBatchReader.from_batches(table.schema, batches))

    def do_put(
        self,
        _context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        with self._call():
            command = commands.put_from(descriptor.command)
            rows: list[dict[str, Any]] = []
            size = 0
            for chunk in reader:
                size += chunk.data.nbytes
                if size > UPLOAD_BYTES_MAX:
                    raise BadRequest(f"The table is larger than {UPLOAD_BYTES_MAX // 2**20} MiB; send it in parts.")
                rows += rows_of(chunk.data)
            writer.write(self._portal.call(_UPLOADS[type(command)], self._services, command, rows))
            self._portal.call(self._notify)

    def do_action(self, _context: fl.ServerCallContext, action: fl.Action) -> Iterator[fl.Result]:
        with self._call():
            command = commands.action_from(action.body.to_pybytes())
            return iter([fl.Result(self._portal.call(_ACTIONS[type(command)], self._services, command))])

    def list_actions(self, _context: fl.ServerCallContext) -> list[tuple[str, str]]:
        return [("create_experiment_db_entry", "create an experiment without experiment runs")]

    async def _notify(self) -> None:
        self._services.wake_signal.notify()

    def _read(self, work: Callable[[Transaction], Any]) -> Any:
        return self._portal.call(self._services.store.read, work)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Limit the number of concurrent calls, and raise every error as one of Flight."""
        if not self._places.acquire(blocking=False):
            raise fl.FlightUnavailableError(f"The engine is already processing {CALLS_MAX} Flight calls; retry later.")
        try:
            yield
        except Problem as problem:
            kind = fl.FlightUnavailableError if isinstance(problem, Unavailable) else fl.FlightServerError
            raise kind(problem.detail.rstrip(".")) from None  # Arrow adds a full stop
        except StoreError as error:
            raise fl.FlightUnavailableError(str(error)) from None
        except Exception as error:
            if isinstance(error, fl.FlightError):
                raise
            raise fl.FlightServerError(report_internal_error(logger, "Flight")) from None
        finally:
            self._places.release()


class _KeyCheck(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow has no types
    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def start_call(self, _info: fl.CallInfo, headers: Mapping[str, list[str | bytes]]) -> None:
        tokens = [token.encode() if isinstance(token, str) else token for token in headers.get("auth-token-bin", [])]
        if not any(self._keys.caller(token) for token in tokens):
            raise fl.FlightUnauthenticatedError(INVALID_KEY)
