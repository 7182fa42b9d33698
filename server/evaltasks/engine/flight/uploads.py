"""Uploads over Flight: datasets, experiments, and evaluations, annotations and metadata of spans.

Every function writes in one transaction and returns the encoded protobuf message that the clients expect.
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
from evaltasks.engine.flight.downloads import dataset_by_name_or_id
from evaltasks.engine.handlers import creation
from evaltasks.engine.handlers.columns import columns_text
from evaltasks.engine.ingest.ingestor import ensure_project, project_by_name_or_id, space_by_name_or_id
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
    """Create a dataset from rows. A row keeps its `id` unless an earlier row has the same one.

    Raises:
        NotFound: There is no such space.
        Conflict: The space has a dataset with this name.
        BadRequest: A row has a value that JSON cannot represent.
        Unprocessable: There are no rows, or a row has only system columns.
    """
    examples: dict[str, str] = {}
    for index, row in enumerate(rows):
        columns = {name: value for name, value in row.items() if name not in _SYSTEM_COLUMNS}
        if not columns:
            raise Unprocessable(f"rows[{index}] has no columns besides {', '.join(sorted(_SYSTEM_COLUMNS))}.")
        id_ = row.get("id")
        is_usable = isinstance(id_, str) and id_ and id_ not in examples
        examples[str(id_) if is_usable else services.new_row_id()] = columns_text(columns, f"rows[{index}]")
    if not examples:
        raise Unprocessable("A dataset needs at least one row.")

    def work(tx: Transaction) -> bytes:
        space = space_by_name_or_id(tx, command.space_id)
        return message({1: creation.create_dataset(tx, services, space.id, command.dataset_name, examples)})

    return await services.store.write(work)


async def create_experiment_entry(services: Services, command: CreateExperimentEntry) -> bytes:
    """Create an experiment without experiment runs, and the project for its traces.

    Raises:
        NotFound: There is no such dataset.
        Conflict: The dataset has an experiment with this name.
    """

    def work(tx: Transaction) -> bytes:
        dataset = dataset_by_name_or_id(tx, command.space_id, command.dataset_id)
        name = command.experiment_name
        experiment_id = creation.create_experiment(tx, services, space_id=dataset.space_id, dataset=dataset, name=name)
        traces = ensure_project(tx, services, dataset.space_id, f"{name[:200]} {experiment_id}", ProjectType.EXPERIMENT)
        return message({1: experiment_id, 2: dataset.id, 3: traces.name})

    return await services.store.write(work)


async def post_experiment_data(services: Services, command: PostExperimentData, rows: Rows) -> bytes:
    """Add experiment runs to an existing experiment.

    Raises:
        NotFound: There is no such dataset or experiment.
        Conflict: An experiment run with one of the ids exists.
        BadRequest: A row has a value that JSON cannot represent.
        Unprocessable: An id or an error is not a string.
    """
    runs = [_experiment_run(services, row, f"rows[{index}]") for index, row in enumerate(rows)]

    def work(tx: Transaction) -> bytes:
        dataset = dataset_by_name_or_id(tx, command.space_id, command.dataset_id)
        experiment = experiments.find_experiment_by_name(
            tx, space_id=dataset.space_id, dataset_id=dataset.id, name=command.experiment_name
        )
        if experiment is None:
            raise NotFound("The dataset has no experiment with this name; create it first.")
        if existing_experiment_run_ids(tx, [run.id for run in runs]):
            raise Conflict("Experiment runs with some of these ids already exist; nothing was stored.")
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
    """Store evaluations on existing spans. The reply lists the ids that no span has.

    Raises:
        NotFound: There is no such space or project.
        BadRequest: A row has no span id, or a value has the wrong type.
    """
    evaluations = evaluations_from(rows)

    def work(tx: Transaction) -> bytes:
        project = project_by_name_or_id(tx, space_by_name_or_id(tx, command.space_id).id, command.external_model_id)
        updated, unmatched = client_writes.put_evaluations(tx, project.id, evaluations, to_us(services.clock.now()))
        return message({1: updated, 2: unmatched})

    return await services.store.write(work)


async def write_annotations(services: Services, command: WriteAnnotations, rows: Rows) -> bytes:
    """Store annotations on existing spans. The reply lists the ids that no span has.

    Names do not need an annotation config here; a note is stored as an annotation named `notes`.

    Raises:
        NotFound: There is no such space or project.
        BadRequest: A row has no span id, or an annotation is not valid.
    """
    records = [record for index, row in enumerate(rows) if (record := _annotated_record(row, index))]

    def work(tx: Transaction) -> bytes:
        project = project_by_name_or_id(tx, space_by_name_or_id(tx, command.space_id).id, command.external_model_id)
        span_ids = dict.fromkeys(record.record_id for record in records)
        spans = client_writes.spans_by_id(tx, project.id, span_ids)
        seqs = {id_: [span["seq"] for span in spans_of_id] for id_, spans_of_id in spans.items()}
        put_annotations(tx, "span", records, seqs, to_us(services.clock.now()))
        return message({1: len(seqs), 2: [id_ for id_ in span_ids if id_ not in seqs]})

    return await services.store.write(work)


def _annotated_record(row: JsonObject, index: int) -> AnnotatedRecord | None:
    fields_by_name: dict[str, dict[str, Any]] = {}
    for column, value in row.items():
        if match := _ANNOTATION.fullmatch(column):
            name, field = match.groups()
            fields_by_name.setdefault(name, {})[field] = value if field == "score" else str(value)
    if notes := row.get(_NOTES):
        texts = [_note(note) for note in (notes if isinstance(notes, list) else [notes])]
        fields_by_name["notes"] = {"text": "\n".join(texts)}
    if not fields_by_name:
        return None
    span_id = row.get(SPAN_ID)
    if not isinstance(span_id, str) or not span_id:
        raise BadRequest(f"rows[{index}].{SPAN_ID} must be the id of the annotated span.")
    try:
        values = [AnnotationInput(name=name, **fields) for name, fields in fields_by_name.items()]
    except ValueError:
        raise BadRequest(f"rows[{index}]: an annotation needs a name, and its score must be a number.") from None
    return AnnotatedRecord(record_id=span_id, values=values)


def _note(note: object) -> str:
    """Return the text of a note, which the SDK wraps in JSON."""
    try:
        return str(json.loads(str(note))["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return str(note)


async def write_metadata(services: Services, command: WriteMetadata, rows: Rows) -> bytes:
    """Merge a patch into the metadata of each span: objects are merged, null is stored as null, as AX does.

    The reply lists the rows that could not be applied with their span's id; the others are applied.

    Raises:
        NotFound: There is no such space or project.
    """
    patches = [(str(row.get(SPAN_ID) or ""), _parse_patch(row.get("patch_document"))) for row in rows]

    def work(tx: Transaction) -> bytes:
        project = project_by_name_or_id(tx, space_by_name_or_id(tx, command.space_id).id, command.external_model_id)
        errors: list[bytes] = []
        for id_, patch in patches:
            # Read again for every row, so that a span that appears twice is patched twice.
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


def _parse_patch(document: object) -> JsonObject | None:
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
