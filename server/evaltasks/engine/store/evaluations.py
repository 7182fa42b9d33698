"""Evaluations in the store: one of each name on a span, an experiment run, a trace or a session."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evaltasks.engine.store.store import Row, Transaction

EvaluatedRowKind: TypeAlias = Literal["span", "experiment_run"]


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """What is stored under `name`; `metadata` is the JSON text of an object."""

    name: str | None
    label: str | None
    score: float | None
    explanation: str | None
    metadata: str

    def values(self) -> dict[str, str | float | None]:
        """Return what the queries bind."""
        return {
            "name": self.name,
            "label": self.label,
            "score": self.score,
            "explanation": self.explanation,
            "metadata": self.metadata,
        }


def evaluation_rows(tx: Transaction, row_kind: EvaluatedRowKind, row_seqs: Iterable[int]) -> list[Row]:
    """Return row_seq, name, label, score and explanation of the evaluations on these rows."""
    values = {"row_kind": row_kind, "row_seqs": json.dumps(list(row_seqs))}
    return tx.fetch_all("ledger.evaluations_of_rows", values)


def put_evaluation(
    tx: Transaction, row_kind: EvaluatedRowKind, row_seq: int, evaluation: StoredEvaluation, now_us: int
) -> None:
    """Store an evaluation on a row, replacing one of the same name. Does nothing if the row does not exist."""
    tx.run(f"ledger.put_{row_kind}_evaluation", {**evaluation.values(), "row_seq": row_seq, "now_us": now_us})


def put_group_evaluation(
    tx: Transaction, project_id: str, row_kind: str, row_id: str, evaluation: StoredEvaluation, now_us: int
) -> None:
    """Store an evaluation on a trace or session, replacing one of the same name.

    Does nothing if the trace or session has no spans.
    """
    place = {"project_id": project_id, "row_kind": row_kind, "row_id": row_id}
    tx.run("groups.put_evaluation", {**evaluation.values(), **place, "now_us": now_us})
