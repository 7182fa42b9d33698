"""Converts integrations to files, and files to requests. Keys and header values are never included."""

from __future__ import annotations

from typing import Any

from evaltasks.api.ai_integrations import AiIntegration, CreateAiIntegration, UpdateAiIntegration
from evaltasks.api.integrations import CreateIntegration, Integration, UpdateIntegration
from evaltasks.promote.documents import AgentIntegrationFile, AiIntegrationFile
from evaltasks.promote.names import to_file_model

# Every embedded engine creates this integration itself.
BUILTIN_NAME = "heuristic"

_AI_FIELDS = (
    "base_url", "model_names", "api_key_env", "auth_type", "enable_default_models", "function_calling_enabled",
    "provider_metadata",
)  # fmt: skip
_AGENT_FIELDS = ("endpoint", "api_key_env", "headers_env", "input_schema", "output_path")


def is_builtin(integration: AiIntegration) -> bool:
    return integration.is_heuristic and integration.name == BUILTIN_NAME


def ai_integration_file(integration: AiIntegration) -> AiIntegrationFile:
    """Return an AI integration as the model of its file.

    Raises:
        NotExportable: It has a value that files cannot hold.
    """
    fields = {name: getattr(integration, name) for name in _AI_FIELDS}
    fields |= {
        "name": integration.name,
        "provider": integration.provider,
        "model_names": integration.model_names or None,
    }
    return to_file_model(AiIntegrationFile, {**fields, "this_space_only": bool(integration.scopings)})


def agent_integration_file(agent: Integration) -> AgentIntegrationFile:
    """Return an agent integration as the model of its file.

    Raises:
        NotExportable: It has a value that files cannot hold.
    """
    fields = {name: getattr(agent.config, name) or None for name in _AGENT_FIELDS}
    fields |= {"name": agent.name, "description": agent.description or None}
    return to_file_model(AgentIntegrationFile, {**fields, "this_space_only": bool(agent.scopings)})


def notes_of_ai(integration: AiIntegration) -> list[str]:
    """Return notes on what the file of an AI integration leaves out."""
    notes = []
    if integration.headers:
        notes.append(_headers_note(f"AI integration '{integration.name}'", ", ".join(sorted(integration.headers))))
    if len(integration.scopings) > 1:
        notes.append(
            f"AI integration '{integration.name}': its file says this_space_only, but other spaces see it too."
        )
    return notes


def notes_of_agent(agent: Integration) -> list[str]:
    """Return notes on what the file of an agent integration leaves out."""
    config = agent.config
    if config.headers or (config.has_headers and not (config.headers_env or config.api_key_env)):
        return [_headers_note(f"Agent integration '{agent.name}'", ", ".join(sorted(config.headers or ())))]
    return []


def _headers_note(what: str, names: str) -> str:
    which = f" ({names})" if names else ""
    return f"{what}: its headers{which} were left out, because headers may hold secrets. Set them on the other service."


def ai_creation(file: AiIntegrationFile, space_id: str) -> CreateAiIntegration:
    fields: dict[str, Any] = {name: getattr(file, name) for name in _AI_FIELDS}
    return CreateAiIntegration.model_validate(
        {**fields, "name": file.name, "provider": file.provider, "scopings": _scopings(file.this_space_only, space_id)}
    )


def ai_update(file: AiIntegrationFile, changed: set[str], space_id: str) -> UpdateAiIntegration:
    """Return the request that updates the fields `changed` of an AI integration. Headers and keys stay unchanged."""
    fields: dict[str, Any] = {name: getattr(file, name) for name in _AI_FIELDS if name in changed}
    if "this_space_only" in changed:
        fields["scopings"] = _scopings(file.this_space_only, space_id) or []
    return UpdateAiIntegration.model_validate(fields)


def agent_creation(file: AgentIntegrationFile, space_id: str) -> CreateIntegration:
    config = {name: value for name in _AGENT_FIELDS if (value := getattr(file, name)) is not None}
    fields = {"type": "AGENT", "name": file.name, "description": file.description, "config": config}
    return CreateIntegration.model_validate({**fields, "scopings": _scopings(file.this_space_only, space_id)})


def agent_update(file: AgentIntegrationFile, changed: set[str], space_id: str) -> UpdateIntegration:
    fields: dict[str, Any] = {"type": "AGENT"}
    if "description" in changed:
        fields["description"] = file.description
    if config := {name: getattr(file, name) for name in _AGENT_FIELDS if name in changed}:
        fields["config"] = config
    if "this_space_only" in changed:
        fields["scopings"] = _scopings(file.this_space_only, space_id) or []
    return UpdateIntegration.model_validate(fields)


def _scopings(this_space_only: bool, space_id: str) -> list[dict[str, str]] | None:
    return [{"space_id": space_id}] if this_space_only else None
