"""Agent integrations in the store. Secrets are never stored: only names of environment variables.

The `Integration` models returned here hold their header values in clear, because the executor sends them. Handlers
remove the values before they answer.
"""

from __future__ import annotations

import json

from evaltasks.api.integrations import Integration, IntegrationType, ListIntegrations
from evaltasks.engine.clock import from_us, moved_us
from evaltasks.engine.store.store import Row, Transaction


def agent_from_row(row: Row) -> Integration:
    return Integration.model_validate(
        {
            **json.loads(row["settings"]),
            "type": IntegrationType.AGENT,
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "created_at": from_us(row["created_us"]),
            "updated_at": from_us(row["updated_us"]),
        }
    )


def agent_rows(tx: Transaction, query: ListIntegrations, before_seq: object) -> list[Row]:
    """Return the agent integrations of a page and one more, newest first."""
    selectors = {"space_id": query.space_id, "space_name": query.space_name, "name": query.name}
    return tx.fetch_all("agent_integrations.page", {**selectors, "before_seq": before_seq, "limit": query.limit + 1})


def find_agent(tx: Transaction, integration_id: str) -> Integration | None:
    row = tx.fetch_one("agent_integrations.by_id", {"id": integration_id})
    return None if row is None else agent_from_row(row)


def find_agent_by_name(tx: Transaction, name: str) -> Integration | None:
    row = tx.fetch_one("agent_integrations.by_name", {"name": name})
    return None if row is None else agent_from_row(row)


def insert_agent(tx: Transaction, agent: Integration, now_us: int) -> None:
    """Store a new integration, created and updated at `now_us`."""
    tx.run("agent_integrations.insert", {**_columns(agent), "now_us": now_us})


def update_agent(tx: Transaction, agent: Integration, now_us: int) -> None:
    """Replace name, description, scopings and configuration of the integration with this id."""
    row = tx.fetch_one("agent_integrations.by_id", {"id": agent.id})
    updated_us = now_us if row is None else moved_us(row["updated_us"], now_us)
    tx.run("agent_integrations.update", {**_columns(agent), "updated_us": updated_us})


def delete_agent(tx: Transaction, integration_id: str) -> None:
    tx.run("agent_integrations.delete", {"id": integration_id})


def task_names_using(tx: Transaction, integration_id: str) -> list[str]:
    """Return the names of the run_experiment tasks that call the agent, newest first."""
    return [row["name"] for row in tx.fetch_all("agent_integrations.tasks_of", {"id": integration_id})]


def _columns(agent: Integration) -> dict[str, object]:
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "settings": agent.model_dump_json(include={"scopings", "config"}),
    }
