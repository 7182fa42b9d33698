"""Annotates spans, traces, sessions, examples and experiment runs.

Every name must be that of an annotation config of the row's space. Annotations are visible at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from evaltasks.api.annotations import AnnotatedRecord, AnnotateRows, AnnotateSpans, Granularity
from evaltasks.api.problems import BadRequest, NotFound, Unprocessable
from evaltasks.engine.call import Call
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.datasets import require_dataset
from evaltasks.engine.handlers.experiments import require_experiment
from evaltasks.engine.handlers.projects import require_project
from evaltasks.engine.handlers.quoting import quoted_names
from evaltasks.engine.store import annotation_configs
from evaltasks.engine.store.annotations import (
    RowKind,
    SeqsOfId,
    example_seqs,
    experiment_run_seqs,
    put_annotations,
    session_seqs,
    span_rows_by_id,
)
from evaltasks.engine.store.store import Transaction

_WINDOW_DAYS_MAX = {Granularity.SPAN: 31, Granularity.TRACE: 31, Granularity.SESSION: 7}
_ROW_KINDS: dict[Granularity, RowKind] = {
    Granularity.SPAN: "span",
    Granularity.TRACE: "trace",
    Granularity.SESSION: "session",
}


async def annotate_examples(call: Call) -> None:
    """Annotate examples in every version that contains them. Ids that the dataset does not contain are ignored."""
    records, now_us = call.body(AnnotateRows).annotations, to_us(call.services.clock.now())

    def work(tx: Transaction) -> None:
        dataset = require_dataset(tx, call.path["dataset_id"])
        _require_configs(tx, dataset.space_id, records)
        rows = example_seqs(tx, dataset.id, _ids(records))
        put_annotations(tx, "example", records, rows, now_us)

    await call.services.store.write(work)


async def annotate_experiment_runs(call: Call) -> None:
    """Annotate experiment runs. Ids that the experiment does not contain are ignored."""
    records, now_us = call.body(AnnotateRows).annotations, to_us(call.services.clock.now())

    def work(tx: Transaction) -> None:
        experiment = require_experiment(tx, call.path["experiment_id"])
        _require_configs(tx, experiment.space_id, records)
        rows = experiment_run_seqs(tx, experiment.id, _ids(records))
        put_annotations(tx, "experiment_run", records, rows, now_us)

    await call.services.store.write(work)


async def annotate_spans(call: Call) -> None:
    """Annotate spans, traces or sessions, all or none: one that is not found in the window is a 404."""
    body, now = call.body(AnnotateSpans), call.services.clock.now()
    granularity = body.granularity or Granularity.SPAN
    _refuse_repeated(body.annotations)
    window_us = _window_us(body, granularity, now)

    def work(tx: Transaction) -> None:
        project = require_project(tx, body.project_id)
        _require_configs(tx, project.space_id, body.annotations)
        rows = _rows_in_project(tx, project.id, granularity, _ids(body.annotations), window_us)
        put_annotations(tx, _ROW_KINDS[granularity], body.annotations, rows, to_us(now))

    await call.services.store.write(work)


def _rows_in_project(
    tx: Transaction, project_id: str, granularity: Granularity, ids: Sequence[str], window_us: tuple[int, int]
) -> SeqsOfId:
    """Return id → numbers of the rows to annotate.

    Raises:
        NotFound: The project has no such row in the window.
        Unprocessable: A trace is named by a span that is not a root span.
    """
    if granularity is Granularity.SESSION:
        rows = session_seqs(tx, project_id, ids, window_us)
    else:
        spans = span_rows_by_id(tx, project_id, ids, window_us)
        if granularity is Granularity.TRACE:
            roots = {row["id"] for row in spans if row["parent_id"] is None}
            if inner := sorted({row["id"] for row in spans} - roots):
                raise Unprocessable(
                    f"A trace is annotated on its root span, but these spans have a parent: {_shown(inner)}."
                )
        seqs: dict[str, list[int]] = {}
        for row in spans:
            if granularity is Granularity.SPAN or row["parent_id"] is None:
                seqs.setdefault(row["id"], []).append(row["seq"])
        rows = seqs
    if missing := [id_ for id_ in ids if id_ not in rows]:
        resource = "session" if granularity is Granularity.SESSION else "span"
        raise NotFound(
            f"Nothing was written: the project has no {resource} with these ids in the window: {_shown(missing)}. "
            f"Without start_time the window is the last {_WINDOW_DAYS_MAX[granularity]} days before end_time."
        )
    return rows


def _window_us(body: AnnotateSpans, granularity: Granularity, now: datetime) -> tuple[int, int]:
    """Return start and end of the window in microseconds, both inclusive. Raises Unprocessable if it is not valid."""
    longest = timedelta(days=_WINDOW_DAYS_MAX[granularity])
    last = body.end_time or now
    first = body.start_time or last - longest
    if last > now or first > now:
        raise Unprocessable("start_time and end_time must not be in the future.")
    if first > last:
        raise Unprocessable("start_time is after end_time, so the window is empty.")
    if last - first > longest:
        raise Unprocessable(f"The window must not be longer than {longest.days} days; change start_time or end_time.")
    return to_us(first), to_us(last)


def _require_configs(tx: Transaction, space_id: str, records: Iterable[AnnotatedRecord]) -> None:
    names = [value.name for record in records for value in record.values]
    if unknown := annotation_configs.unknown_names(tx, space_id, names):
        raise Unprocessable(
            f"The space has no annotation config with these names: {_shown(unknown)}. Create one first."
        )


def _refuse_repeated(records: Sequence[AnnotatedRecord]) -> None:
    if repeated := [id_ for id_, count in Counter(_ids(records)).items() if count > 1]:
        raise BadRequest(f"Duplicate record_id: {_shown(repeated)}.")
    for record in records:
        names = Counter(value.name for value in record.values)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise BadRequest(f"A record has two values with the same name: {_shown(repeated)}.")


def _ids(records: Iterable[AnnotatedRecord]) -> list[str]:
    return [record.record_id for record in records]


def _shown(names: Sequence[str]) -> str:
    """Return the first of the names that the client sent, shortened to keep the message readable."""
    return quoted_names(names, shown_max=5, characters_max=80)
