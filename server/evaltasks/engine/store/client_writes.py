"""Evaluations and metadata that clients write to existing spans.

An evaluation by a client is treated as one by the engine: lists and filters show it, and task runs skip its row as
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
    """An evaluation of a span. It replaces an earlier one of the same name, written by a client or by the engine."""

    span_id: str
    name: str
    label: str | None = None
    score: float | None = None
    explanation: str | None = None


def spans_by_id(tx: Transaction, project_id: str, ids: Iterable[str]) -> Mapping[str, Sequence[Row]]:
    """Return seq, span_id and attributes of the project's spans with these ids, by id.

    Several traces may have a span of the same id.
    """
    spans: dict[str, list[Row]] = {}
    for row in tx.fetch_all("client_writes.spans", {"project_id": project_id, "ids": json.dumps(sorted(set(ids)))}):
        spans.setdefault(row["span_id"], []).append(row)
    return spans


def put_evaluations(
    tx: Transaction, project_id: str, evaluations: Sequence[ClientEvaluation], now_us: int
) -> tuple[int, list[str]]:
    """Store the evaluations.

    Returns:
        The number of span ids that were evaluated, and the ids that no span of the project has.
    """
    spans = spans_by_id(tx, project_id, [evaluation.span_id for evaluation in evaluations])
    tx.run_many(
        "ledger.put_span_evaluation",
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
    span_ids = dict.fromkeys(evaluation.span_id for evaluation in evaluations)
    return sum(id_ in spans for id_ in span_ids), [id_ for id_ in span_ids if id_ not in spans]


def put_metadata(tx: Transaction, span: Row, flat_metadata: JsonObject) -> None:
    """Replace the metadata of a span.

    Args:
        tx: The transaction.
        span: A row of `spans_by_id`.
        flat_metadata: The new metadata by flat names with the prefix `metadata.`.
    """
    attributes = json.loads(span["attributes"])
    kept = {
        name: value
        for name, value in attributes.items()
        if name != "metadata" and not name.startswith(_METADATA_PREFIX)
    }
    text = json.dumps({**kept, **flat_metadata}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    tx.run("client_writes.set_attributes", {"seq": span["seq"], "attributes": text})
