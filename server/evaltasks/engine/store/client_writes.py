"""What clients write onto spans that are there already: evaluations of their own, and metadata.

An evaluation by a client stands where the engine's own would: in lists and filters, and task runs take its row as
already labelled. Its metadata says that a client wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaltasks.api.wire import JsonObject
from evaltasks.engine.store.store import Row, Transaction

_METADATA = json.dumps({"written_by": "client"})
_METADATA_PREFIX = "metadata."


@dataclass(frozen=True, slots=True)
class ClientEvaluation:
    """The newest of a name takes the place of the one before, whoever wrote that."""

    span_id: str
    name: str
    label: str | None = None
    score: float | None = None
    explanation: str | None = None


def spans_by_id(tx: Transaction, project_id: str, ids: Iterable[str]) -> Mapping[str, Sequence[Row]]:
    """seq, span_id and attributes of the project's spans of these ids, by id."""
    found: dict[str, list[Row]] = {}
    for row in tx.fetch_all("client_writes.spans", {"project_id": project_id, "ids": json.dumps(sorted(set(ids)))}):
        found.setdefault(row["span_id"], []).append(row)
    return found


def put_evaluations(
    tx: Transaction, project_id: str, evaluations: Sequence[ClientEvaluation], now_us: int
) -> tuple[int, list[str]]:
    """How many spans were written on, and the ids that no span of the project has."""
    spans = spans_by_id(tx, project_id, [evaluation.span_id for evaluation in evaluations])
    tx.run_many(
        "ledger.evaluate_span",
        [
            {
                "row_seq": span["seq"],
                "name": evaluation.name,
                "label": evaluation.label,
                "score": evaluation.score,
                "explanation": evaluation.explanation,
                "metadata": _METADATA,
                "now_us": now_us,
            }
            for evaluation in evaluations
            for span in spans.get(evaluation.span_id, ())
        ],
    )
    wanted = dict.fromkeys(evaluation.span_id for evaluation in evaluations)
    return sum(id_ in spans for id_ in wanted), [id_ for id_ in wanted if id_ not in spans]


def put_metadata(tx: Transaction, span: Row, flat_metadata: JsonObject) -> None:
    """Replace the span's metadata by this one, given by its flat names with their prefix `metadata.`."""
    attributes = json.loads(span["attributes"])
    kept = {
        name: value
        for name, value in attributes.items()
        if name != "metadata" and not name.startswith(_METADATA_PREFIX)
    }
    text = json.dumps({**kept, **flat_metadata}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    tx.run("client_writes.set_attributes", {"seq": span["seq"], "attributes": text})
