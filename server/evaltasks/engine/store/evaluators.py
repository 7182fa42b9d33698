"""Evaluators and their versions in the store.

A version never changes once it is stored; the latest one is the one stored last. An evaluator whose versions were all
deleted is kept without a version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from evaltasks.api.evaluator_kinds import code_kinds, code_tag
from evaltasks.api.evaluators import CreateEvaluatorVersion, Evaluator, EvaluatorVersion, ListEvaluators
from evaltasks.api.wire import READING
from evaltasks.engine.clock import from_us, moved_us
from evaltasks.engine.store.store import Row, Transaction


def evaluator_from_row(row: Row) -> Evaluator:
    return Evaluator(
        id=row["id"],
        name=row["name"],
        type=row["type"],
        space_id=row["space_id"],
        description=row["description"],
        created_at=from_us(row["created_us"]),
        updated_at=from_us(row["updated_us"]),
    )


def version_from_row(row: Row) -> EvaluatorVersion:
    """Return a stored version. Code of a kind whose package is no longer installed is read as OtherCodeConfig."""
    config = json.loads(row["config"])
    return EvaluatorVersion.model_validate(
        {
            **config,
            "id": row["id"],
            "evaluator_id": row["evaluator_id"],
            "type": row["type"],
            "commit_hash": row["commit_hash"],
            "commit_message": row["commit_message"],
            "created_at": from_us(row["created_us"]),
        },
        context=None if code_tag(config.get("code_config")) in (None, *code_kinds()) else READING,
    )


def evaluator_rows(tx: Transaction, query: ListEvaluators, before_us: object, before_seq: object) -> list[Row]:
    """Return the evaluators of a page and one more, most recently updated first."""
    return tx.fetch_all(
        "evaluators.page",
        {
            "space_id": query.space_id,
            "space_name": query.space_name,
            "name": query.name,
            "before_us": before_us,
            "before_seq": before_seq,
            "limit": query.limit + 1,
        },
    )


def find_evaluator(tx: Transaction, evaluator_id: str) -> Evaluator | None:
    row = tx.fetch_one("evaluators.by_id", {"id": evaluator_id})
    return None if row is None else evaluator_from_row(row)


def find_evaluator_by_name(tx: Transaction, space_id: str, name: str) -> Evaluator | None:
    row = tx.fetch_one("evaluators.by_name", {"space_id": space_id, "name": name})
    return None if row is None else evaluator_from_row(row)


def find_version(tx: Transaction, version_id: str) -> EvaluatorVersion | None:
    row = tx.fetch_one("evaluators.version_by_id", {"id": version_id})
    return None if row is None else version_from_row(row)


def latest_version(tx: Transaction, evaluator_id: str) -> EvaluatorVersion | None:
    row = tx.fetch_one("evaluators.latest_version", {"evaluator_id": evaluator_id})
    return None if row is None else version_from_row(row)


def version_rows(tx: Transaction, evaluator_id: str, before_seq: object, limit: int) -> list[Row]:
    """Return the versions of a page and one more, newest first."""
    return tx.fetch_all(
        "evaluators.versions_page", {"evaluator_id": evaluator_id, "before_seq": before_seq, "limit": limit + 1}
    )


def insert_evaluator(
    tx: Transaction,
    *,
    evaluator_id: str,
    space_id: str,
    name: str,
    type_: str,
    description: str | None,
    now_us: int,
) -> None:
    """Store an evaluator without versions; the caller adds the first one in the same transaction."""
    tx.run(
        "evaluators.insert",
        {
            "id": evaluator_id,
            "space_id": space_id,
            "name": name,
            "type": type_,
            "description": description,
            "now_us": now_us,
        },
    )


def insert_version(
    tx: Transaction, *, version_id: str, evaluator_id: str, version: CreateEvaluatorVersion, now_us: int
) -> None:
    """Store a new latest version."""
    config = version.model_dump_json(exclude={"commit_message"}, exclude_none=True)
    content = json.dumps([json.loads(config), version.commit_message], sort_keys=True)
    tx.run(
        "evaluators.insert_version",
        {
            "id": version_id,
            "evaluator_id": evaluator_id,
            "type": version.type.value,
            # Identifies the content, as a commit hash does; it has no part in security.
            "commit_hash": hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest(),
            "commit_message": version.commit_message,
            "config": config,
            "now_us": now_us,
        },
    )


def update_evaluator(tx: Transaction, evaluator_id: str, *, name: str, description: str | None, now_us: int) -> None:
    row = tx.fetch_one("evaluators.by_id", {"id": evaluator_id})
    updated_us = now_us if row is None else moved_us(row["updated_us"], now_us)
    tx.run(
        "evaluators.update",
        {"id": evaluator_id, "name": name, "description": description, "updated_us": updated_us},
    )


def delete_evaluator(tx: Transaction, evaluator_id: str) -> None:
    tx.run("evaluators.delete", {"id": evaluator_id})


def task_names_using(tx: Transaction, evaluator_id: str) -> list[str]:
    """Return the names of the tasks that use an evaluator, newest task first."""
    return [row["name"] for row in tx.fetch_all("evaluators.tasks_of", {"evaluator_id": evaluator_id})]


def versions_among(tx: Transaction, evaluator_id: str, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that are versions of the evaluator."""
    rows = tx.fetch_all("evaluators.versions_among", {"evaluator_id": evaluator_id, "ids": json.dumps(list(ids))})
    return {row["id"] for row in rows}


def version_count(tx: Transaction, evaluator_id: str) -> int:
    row = tx.fetch_one("evaluators.version_count", {"evaluator_id": evaluator_id})
    return 0 if row is None else int(row["n"])


def delete_versions(tx: Transaction, evaluator_id: str, ids: Sequence[str]) -> None:
    """Delete versions. Tasks that pinned one of them use the latest version from now on."""
    tx.run("evaluators.delete_versions", {"evaluator_id": evaluator_id, "ids": json.dumps(list(ids))})


def evaluator_names_judged_by(tx: Transaction, integration_id: str) -> list[str]:
    """Return the names of the evaluators that need the AI integration: in their latest or a pinned version."""
    return [row["name"] for row in tx.fetch_all("evaluators.judged_by", {"integration_id": integration_id})]
