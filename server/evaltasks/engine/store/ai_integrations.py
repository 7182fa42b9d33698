"""AI integrations in the store. API keys are never stored: only the name of the environment variable that holds one.

The `AiIntegration` models returned here hold their header values in clear, because the executor sends them. Handlers
mask the values before they answer.
"""

from __future__ import annotations

import json

from evaltasks.api.ai_integrations import AiIntegration, ListAiIntegrations
from evaltasks.engine.clock import from_us, moved_us
from evaltasks.engine.store.store import Row, Transaction

# Fields that have columns of their own, and those that are computed for every response.
_NOT_SETTINGS = {"id", "name", "provider", "created_at", "updated_at", "has_api_key", "is_heuristic", "provider_plugin"}


def integration_from_row(row: Row) -> AiIntegration:
    return AiIntegration.model_validate(
        {
            **json.loads(row["settings"]),
            "id": row["id"],
            "name": row["name"],
            "provider": row["provider"],
            "created_at": from_us(row["created_us"]),
            "updated_at": from_us(row["updated_us"]),
        }
    )


def integration_rows(tx: Transaction, query: ListAiIntegrations, before_seq: object) -> list[Row]:
    """Return the integrations of a page and one more, newest first."""
    selectors = {"space_id": query.space_id, "space_name": query.space_name, "name": query.name}
    return tx.fetch_all("ai_integrations.page", {**selectors, "before_seq": before_seq, "limit": query.limit + 1})


def find_integration(tx: Transaction, integration_id: str) -> AiIntegration | None:
    row = tx.fetch_one("ai_integrations.by_id", {"id": integration_id})
    return None if row is None else integration_from_row(row)


def find_integration_by_name(tx: Transaction, name: str) -> AiIntegration | None:
    row = tx.fetch_one("ai_integrations.by_name", {"name": name})
    return None if row is None else integration_from_row(row)


def insert_integration(
    tx: Transaction, integration: AiIntegration, now_us: int, *, unless_name_exists: bool = False
) -> bool:
    """Store a new integration, created and updated at `now_us`.

    Returns:
        False if `unless_name_exists` is set and an integration of this name exists; nothing is stored then.
    """
    query = "ai_integrations.insert_if_absent" if unless_name_exists else "ai_integrations.insert"
    values = {"id": integration.id, "name": integration.name, "provider": str(integration.provider)}
    return tx.run(query, {**values, "settings": _settings(integration), "now_us": now_us}) > 0


def update_integration(tx: Transaction, integration: AiIntegration, now_us: int) -> None:
    """Replace name and settings of the integration with this id; its provider never changes."""
    row = tx.fetch_one("ai_integrations.by_id", {"id": integration.id})
    updated_us = now_us if row is None else moved_us(row["updated_us"], now_us)
    values = {"id": integration.id, "name": integration.name, "settings": _settings(integration)}
    tx.run("ai_integrations.update", {**values, "updated_us": updated_us})


def delete_integration(tx: Transaction, integration_id: str) -> None:
    tx.run("ai_integrations.delete", {"id": integration_id})


def task_names_using(tx: Transaction, integration_id: str) -> list[str]:
    """Return the names of the run_experiment tasks whose run configuration uses the AI integration, newest first."""
    return [row["name"] for row in tx.fetch_all("ai_integrations.tasks_of", {"id": integration_id})]


def _settings(integration: AiIntegration) -> str:
    return integration.model_dump_json(exclude=_NOT_SETTINGS)
