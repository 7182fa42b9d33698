"""What is sent over Flight: datasets, results of experiments, and what clients say of spans.

Every function writes in one transaction and answers with the bytes of the message the clients wait for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evaltasks.api.annotations import AnnotatedRecord, AnnotationInput
from evaltasks.api.problems import BadRequest, Conflict, NotFound, Unprocessable
from evaltasks.api.projects import ProjectType
from evaltasks.api.wire import JsonObject
from evaltasks.engine.call import Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.flight.commands import (
    CreateDataset,
    CreateExperimentEntry,
    PostExperimentData,
    WriteAnnotations,
    WriteEvaluations,
    WriteMetadata,
)
from evaltasks.engine.flight.downloads import dataset_named
from evaltasks.engine.handlers import creation
from evaltasks.engine.handlers.columns import columns_text
from evaltasks.engine.ingest.ingestor import ensure_project, project_named, space_named
from evaltasks.engine.ingest.messages import message
from evaltasks.engine.ingest.spans import flatten
from evaltasks.engine.ingest.uploads import SPAN_ID, evaluations_from
from evaltasks.engine.store import client_writes, experiments
from evaltasks.engine.store.annotations import put_annotations
from evaltasks.engine.store.bulk import existing_experiment_run_ids
from evaltasks.engine.store.experiments import NewExperimentRun
from evaltasks.engine.store.functions import lookup
from evaltasks.engine.store.store import Transaction

Rows = Sequence[JsonObject]

_SYSTEM_COLUMNS = frozenset({"id", "created_at", "updated_at"})
_RUN_COLUMNS = frozenset({"id", "example_id", "output", "result", "error"})
_ANNOTATION = re.compile(r"annotation\.(.+)\.(label|score|text)", re.DOTALL)
_NOTES = "annotation.notes"


async def create_dataset(services: Services, command: CreateDataset, rows: Rows) -> bytes:
    """Raises NotFound, Conflict, BadRequest, Unprocessable."""
    texts: dict[str, str] = {}
    for nth, row in enumerate(rows):
        columns = {name: value for name, value in row.items() if name not in _SYSTEM_COLUMNS}
        if not columns:
            raise Unprocessable(f"row {nth} has no columns of its own")
        id_ = row.get("id")
        texts[id_ if isinstance(id_, str) and id_ and id_ not in texts else services.new_row_id()] = columns_text(
            columns, f"row {nth}"
        )
    if not texts:
        raise Unprocessable("A dataset needs at least one row.")

    def work(tx: Transaction) -> bytes:
        space = space_named(tx, command.space_id)
        return message({1: creation.create_dataset(tx, services, space.id, command.dataset_name, texts)})

    return await services.store.write(work)


async def create_experiment_entry(services: Services, command: CreateExperimentEntry) -> bytes:
    """An experiment without runs, and the project its traces go to. Raises NotFound, Conflict."""

    def work(tx: Transaction) -> bytes:
        dataset = dataset_named(tx, command.space_id, command.dataset_id)
        name = command.experiment_name
        experiment_id = creation.create_experiment(tx, services, space_id=dataset.space_id, dataset=dataset, name=name)
        traces = ensure_project(tx, services, dataset.space_id, f"{name[:200]} {experiment_id}", ProjectType.EXPERIMENT)
        return message({1: experiment_id, 2: dataset.id, 3: traces.name})

    return await services.store.write(work)


async def post_experiment_data(services: Services, command: PostExperimentData, rows: Rows) -> bytes:
    """Put runs at the end of an experiment that has its entry. Raises NotFound, BadRequest, Unprocessable."""
    runs = [_experiment_run(services, row, f"rows[{index}]") for index, row in enumerate(rows)]

    def work(tx: Transaction) -> bytes:
        dataset = dataset_named(tx, command.space_id, command.dataset_id)
        experiment = experiments.find_experiment_by_name(
            tx, space_id=dataset.space_id, dataset_id=dataset.id, name=command.experiment_name
        )
        if experiment is None:
            raise NotFound("The dataset has no experiment of this name; create its entry first.")
        if existing_experiment_run_ids(tx, [run.id for run in runs]):
            raise Conflict("Some of these experiment runs were posted before; nothing was stored.")
        creation.append_experiment_runs(tx, services, experiment.id, runs)
        return message({1: experiment.id, 2: dataset.id})

    return await services.store.write(work)


def _experiment_run(services: Services, row: JsonObject, where: str) -> NewExperimentRun:
    run_id = row.get("id")
    if not isinstance(run_id, str | None):
        raise Unprocessable(f"{where}.id must be a string.")
    output = row.get("output", row.get("result"))
    return creation.experiment_run(
        row,
        where,
        run_id=run_id or services.new_row_id(),
        output=output if isinstance(output, str | None) else json.dumps(output, ensure_ascii=False),
        further={name: value for name, value in row.items() if name not in _RUN_COLUMNS},
    )


async def write_evaluations(services: Services, command: WriteEvaluations, rows: Rows) -> bytes:
    """Raises NotFound for the project, BadRequest; spans that are not there are told by id."""
    evaluations = evaluations_from(rows)

    def work(tx: Transaction) -> bytes:
        project = project_named(tx, space_named(tx, command.space_id).id, command.external_model_id)
        updated, unmatched = client_writes.put_evaluations(tx, project.id, evaluations, to_us(services.clock.now()))
        return message({1: updated, 2: unmatched})

    return await services.store.write(work)


async def write_annotations(services: Services, command: WriteAnnotations, rows: Rows) -> bytes:
    """As `write_evaluations`. Names need no annotation config here; a note is an annotation named `notes`."""
    records = [record for nth, row in enumerate(rows) if (record := _annotated(row, nth))]

    def work(tx: Transaction) -> bytes:
        project = project_named(tx, space_named(tx, command.space_id).id, command.external_model_id)
        wanted = dict.fromkeys(record.record_id for record in records)
        spans = client_writes.spans_by_id(tx, project.id, wanted)
        seqs = {id_: [span["seq"] for span in found] for id_, found in spans.items()}
        put_annotations(tx, "span", records, seqs, to_us(services.clock.now()))
        return message({1: len(seqs), 2: [id_ for id_ in wanted if id_ not in seqs]})

    return await services.store.write(work)


def _annotated(row: JsonObject, nth: int) -> AnnotatedRecord | None:
    said: dict[str, dict[str, Any]] = {}
    for column, value in row.items():
        if match := _ANNOTATION.fullmatch(column):
            name, field = match.groups()
            said.setdefault(name, {})[field] = value if field == "score" else str(value)
    if notes := row.get(_NOTES):
        said["notes"] = {"text": "\n".join(_note(note) for note in (notes if isinstance(notes, list) else [notes]))}
    if not said:
        return None
    span_id = row.get(SPAN_ID)
    if not isinstance(span_id, str) or not span_id:
        raise BadRequest(f"row {nth}: {SPAN_ID} must be the id of the span that is annotated.")
    try:
        values = [AnnotationInput(name=name, **fields) for name, fields in said.items()]
    except ValueError:
        raise BadRequest(f"row {nth}: an annotation needs a name, and a number as its score.") from None
    return AnnotatedRecord(record_id=span_id, values=values)


def _note(note: object) -> str:
    """The text of a note, which the SDK wraps in JSON."""
    try:
        return str(json.loads(str(note))["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return str(note)


async def write_metadata(services: Services, command: WriteMetadata, rows: Rows) -> bytes:
    """Merge a patch into each span's metadata: objects are merged, null is kept as null, as the service does.

    A row that cannot be applied is told with its span's id and spoils nothing else. Raises NotFound for the project.
    """
    patches = [(str(row.get(SPAN_ID) or ""), _patch(row.get("patch_document"))) for row in rows]

    def work(tx: Transaction) -> bytes:
        project = project_named(tx, space_named(tx, command.space_id).id, command.external_model_id)
        errors: list[bytes] = []
        for id_, patch in patches:
            # Read again for every row: a span that comes twice is patched twice.
            spans = client_writes.spans_by_id(tx, project.id, [id_]).get(id_, ())
            if patch is None or not spans:
                reason = (
                    "No span of the project has this id." if patch is not None else "The patch is not a JSON object."
                )
                errors.append(message({1: id_, 2: reason}))
                continue
            for span in spans:
                before = lookup(json.loads(span["attributes"]), "metadata")
                merged = _merged(before if isinstance(before, dict) else {}, patch)
                client_writes.put_metadata(tx, span, flatten({"metadata": merged}))
        return message({1: len(patches), 2: len(patches) - len(errors), 3: len(errors), 4: errors})

    return await services.store.write(work)


def _patch(document: object) -> JsonObject | None:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document, dict) else None


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> JsonObject:
    merged = dict(before)
    for name, value in patch.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
