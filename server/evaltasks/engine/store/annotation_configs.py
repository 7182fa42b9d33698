"""Annotation configs in the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from evaltasks.api.annotation_configs import VARIANT_FIELDS, AnnotationConfig, ListAnnotationConfigs
from evaltasks.engine.clock import from_us
from evaltasks.engine.store.store import Row, Transaction


def config_from_row(row: Row) -> AnnotationConfig:
    return AnnotationConfig(
        id=row["id"],
        name=row["name"],
        space_id=row["space_id"],
        created_at=from_us(row["created_us"]),
        type=row["type"],
        **json.loads(row["settings"]),
    )


def config_rows(tx: Transaction, query: ListAnnotationConfigs, before_seq: object) -> list[Row]:
    """Return the configs of a page and one more, newest first."""
    selectors = query.model_dump(exclude={"limit", "cursor"})
    return tx.fetch_all("annotation_configs.page", {**selectors, "before_seq": before_seq, "limit": query.limit + 1})


def find_config(tx: Transaction, config_id: str) -> AnnotationConfig | None:
    row = tx.fetch_one("annotation_configs.by_id", {"id": config_id})
    return None if row is None else config_from_row(row)


def find_config_by_name(tx: Transaction, space_id: str, name: str) -> AnnotationConfig | None:
    row = tx.fetch_one("annotation_configs.by_name", {"space_id": space_id, "name": name})
    return None if row is None else config_from_row(row)


def insert_config(tx: Transaction, config: AnnotationConfig, now_us: int) -> None:
    """Store a new config; its name must not be in use in its space."""
    tx.run(
        "annotation_configs.insert",
        {
            "id": config.id,
            "space_id": config.space_id,
            "name": config.name,
            "type": config.type,
            "settings": _settings(config),
            "now_us": now_us,
        },
    )


def update_config(tx: Transaction, config: AnnotationConfig) -> None:
    tx.run("annotation_configs.update", {"id": config.id, "name": config.name, "settings": _settings(config)})


def delete_config(tx: Transaction, config_id: str) -> None:
    tx.run("annotation_configs.delete", {"id": config_id})


def unknown_names(tx: Transaction, space_id: str, names: Iterable[str]) -> list[str]:
    """Return the names that no config of the space has."""
    names_json = json.dumps(sorted(set(names)))
    return [
        row["name"]
        for row in tx.fetch_all("annotation_configs.unknown_names", {"space_id": space_id, "names": names_json})
    ]


def _settings(config: AnnotationConfig) -> str:
    fields: dict[str, Any] = config.model_dump(mode="json")
    return json.dumps({name: fields[name] for name in VARIANT_FIELDS if name in fields}, ensure_ascii=False)
