"""AI integrations: address and settings of an LLM provider.

Keys are never accepted and never stored. An integration names an environment variable (`api_key_env`), which is read
where the engine runs, at each call.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaltasks.api.ai_integrations import (
    AiIntegration,
    AiIntegrationPage,
    AuthType,
    CreateAiIntegration,
    ListAiIntegrations,
    Provider,
    UpdateAiIntegration,
)
from evaltasks.api.models import HeuristicModel
from evaltasks.api.problems import Conflict, NotBuilt, NotFound, Unprocessable
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.addresses import address_problem, header_problems
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.handlers.quoting import quoted_names
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.providers.access import ambient_credentials_error
from evaltasks.engine.providers.registry import find_provider, providers_with_plugins
from evaltasks.engine.store import ai_integrations, evaluators
from evaltasks.engine.store.store import Row, Transaction

BUILTIN_NAME = "heuristic"
MASK = "***"


async def ensure_builtin_integrations(services: Services) -> None:
    """Create the integration of the local heuristic judge if it is missing. Several processes may do so at once."""
    builtin = _new_integration(
        services, CreateAiIntegration(name=BUILTIN_NAME, provider=Provider.HEURISTIC)
    ).model_copy(update={"model_names": [model.value for model in HeuristicModel]})
    now_us = to_us(services.clock.now())
    await services.store.write(
        lambda tx: ai_integrations.insert_integration(tx, builtin, now_us, unless_name_exists=True)
    )


def require_integration(tx: Transaction, integration_id: str) -> AiIntegration:
    """Return an AI integration with its header values in clear.

    Raises:
        NotFound: There is no AI integration with this id.
    """
    integration = ai_integrations.find_integration(tx, integration_id)
    if integration is None:
        raise NotFound("There is no AI integration with this id.")
    return integration


async def list_ai_integrations(call: Call) -> AiIntegrationPage:
    """List the AI integrations, newest first. With a space, only those that can be used there are listed."""
    query = call.query(ListAiIntegrations)
    scope = scope_of("ai_integrations", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return ai_integrations.integration_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    shown = [_public_view(call.services, ai_integrations.integration_from_row(row)) for row in page]
    return AiIntegrationPage(ai_integrations=shown, pagination=pagination)


async def create_ai_integration(call: Call) -> AiIntegration:
    """Create an AI integration of a provider that is built in or added by a plug-in."""
    body, services = call.body(CreateAiIntegration), call.services
    _refuse_key(body.api_key)
    integration = _new_integration(services, body)
    _validate(integration)

    def work(tx: Transaction) -> AiIntegration:
        _require_free_name(tx, body.name)
        ai_integrations.insert_integration(tx, integration, to_us(services.clock.now()))
        return require_integration(tx, integration.id)

    return _public_view(services, await services.store.write(work))


async def get_ai_integration(call: Call) -> AiIntegration:
    integration_id = call.path["integration_id"]
    integration = await call.services.store.read_by_key(lambda tx: require_integration(tx, integration_id))
    return _public_view(call.services, integration)


async def update_ai_integration(call: Call) -> AiIntegration:
    """Replace the fields in the body; null clears a field. `api_key: null` clears `api_key_env` as well."""
    body, services = call.body(UpdateAiIntegration), call.services
    _refuse_key(body.api_key)

    def work(tx: Transaction) -> AiIntegration:
        before = require_integration(tx, call.path["integration_id"])
        after = _with_changes(before, body)
        _validate(after)
        if after.name != before.name:
            if before.name == BUILTIN_NAME:
                raise Conflict(f"The integration '{BUILTIN_NAME}' is part of this engine and keeps its name.")
            _require_free_name(tx, after.name)
        ai_integrations.update_integration(tx, after, to_us(services.clock.now()))
        return require_integration(tx, before.id)

    return _public_view(services, await services.store.write(work))


async def delete_ai_integration(call: Call) -> None:
    """Delete an AI integration, unless an evaluator or a run_experiment task uses it or it is the built-in one."""

    def work(tx: Transaction) -> None:
        integration = require_integration(tx, call.path["integration_id"])
        if integration.name == BUILTIN_NAME:
            raise Conflict(f"The integration '{BUILTIN_NAME}' is part of this engine and cannot be deleted.")
        users = evaluators.evaluator_names_judged_by(tx, integration.id)
        if users:
            raise Conflict(
                f"These evaluators judge with this AI integration: {quoted_names(users)}. First create a version "
                "of each with another AI integration, or delete them."
            )
        task_names = ai_integrations.task_names_using(tx, integration.id)
        if task_names:
            raise Conflict(
                f"These tasks run experiments with this AI integration: {quoted_names(task_names)}. First change "
                "their run_configuration, or delete them."
            )
        ai_integrations.delete_integration(tx, integration.id)

    await call.services.store.write(work)


def _new_integration(services: Services, body: CreateAiIntegration) -> AiIntegration:
    now = services.clock.now()
    fields = body.model_dump(exclude_none=True, exclude={"api_key"})
    return AiIntegration.model_validate(
        {**fields, "id": services.new_id("LlmIntegration"), "created_at": now, "updated_at": now}
    )


def _with_changes(before: AiIntegration, body: UpdateAiIntegration) -> AiIntegration:
    """Return the integration with the fields of the body replaced.

    Raises:
        Unprocessable: A required field is null, or a masked header has no stored value.
    """
    fields = body.model_dump(exclude_unset=True, exclude={"api_key", "headers"})
    if "name" in fields and fields["name"] is None:
        raise Unprocessable("name cannot be cleared; leave it out to keep it")
    if "api_key" in body.model_fields_set:
        fields.setdefault("api_key_env", None)
    if "headers" in body.model_fields_set:
        fields["headers"] = _unmasked(body.headers, before.headers or {})
    # null clears a field: an optional one becomes null, the others return to their default.
    cleared = {name for name, value in fields.items() if value is None}
    kept = before.model_dump(exclude=cleared)
    return AiIntegration.model_validate({**kept, **{n: v for n, v in fields.items() if v is not None}})


def _unmasked(headers: Mapping[str, str] | None, before: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers to store. A masked value, as an answer shows it, keeps the stored value."""
    if headers is None:
        return None
    if any(value == MASK and name not in before for name, value in headers.items()):
        raise Unprocessable(f"headers: '{MASK}' keeps a stored value, and one of these headers has none; set its value")
    return {name: before[name] if value == MASK else value for name, value in headers.items()}


def _public_view(services: Services, integration: AiIntegration) -> AiIntegration:
    """Return the integration as it is answered: header values masked, `has_api_key` from the current environment."""
    headers = integration.headers
    return integration.model_copy(
        update={
            "provider_plugin": None if integration.provider in Provider.__members__ else str(integration.provider),
            "has_api_key": bool(services.environment.get(integration.api_key_env or "", "").strip()),
            "headers": None if headers is None else dict.fromkeys(headers, MASK),
        }
    )


def _refuse_key(api_key: str | None) -> None:
    if api_key is not None:
        raise Unprocessable(
            "api_key: keys are never stored. Put the key into an environment variable where the engine runs and "
            "set api_key_env to that variable's name."
        )


def _validate(integration: AiIntegration) -> None:
    """Check that the engine can call a provider with these settings.

    Raises:
        NotBuilt: The engine does not have this provider or this kind of authentication.
        Unprocessable: The settings cannot work; the detail has all problems.
    """
    record = find_provider(integration.provider)
    if record is None:
        names = ", ".join(providers_with_plugins())
        raise NotBuilt(
            f"This engine cannot call {integration.provider}; it can call {names}. Any OpenAI-compatible address works "
            "as CUSTOM with a base_url."
        )
    if integration.auth_type == AuthType.OAUTH2_CLIENT_CREDENTIALS:
        raise NotBuilt("This engine does not support OAUTH2_CLIENT_CREDENTIALS; use a key or headers.")
    problems = ProblemList()
    if record.requires_base_url and not integration.base_url:
        problems.unprocessable(f"base_url is required with provider {record.name}")
    if integration.base_url and (problem := address_problem("base_url", integration.base_url)):
        problems.unprocessable(problem)
    if record.is_local and (integration.base_url or integration.api_key_env or integration.headers):
        problems.unprocessable(f"{record.name} judges inside the engine: it takes no base_url, api_key_env or headers")
    metadata = integration.provider_metadata
    if metadata and (record.cloud is None or metadata.get("kind") != record.cloud.metadata_kind):
        every = providers_with_plugins().values()
        kinds = ", ".join(f"{one.name} ({one.cloud.metadata_kind})" for one in every if one.cloud is not None)
        problems.unprocessable(
            f"provider_metadata of this kind is not for {record.name}; only these providers have it: {kinds}"
        )
    if problem := ambient_credentials_error(record, integration):
        problems.unprocessable(problem)
    for problem in header_problems(integration.headers or {}):
        problems.unprocessable(problem)
    problems.raise_any()


def _require_free_name(tx: Transaction, name: str) -> None:
    if ai_integrations.find_integration_by_name(tx, name) is not None:
        raise Conflict("An AI integration with this name already exists; choose another name.")
