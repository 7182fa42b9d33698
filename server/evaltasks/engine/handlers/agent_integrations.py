"""Agent integrations (`/v2/integrations`, type AGENT): HTTP endpoints that run_experiment tasks call.

A person writes the endpoint into an integration; text of spans, examples and models never becomes an address. A
loopback or private host is allowed, because the engine often runs on the same machine as the agent. Values of secret
headers are never stored: `api_key_env` and `headers_env` name environment variables.
"""

from __future__ import annotations

import json

from evaltasks.api.integrations import (
    AgentConfig,
    CreateIntegration,
    Integration,
    IntegrationPage,
    IntegrationType,
    ListIntegrations,
    UpdateIntegration,
)
from evaltasks.api.problems import Conflict, NotBuilt, NotFound, Unprocessable
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.evaluators.input_template import schema_problem
from evaltasks.engine.handlers.addresses import address_problem, header_problems
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.handlers.quoting import quoted_names
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import agent_integrations
from evaltasks.engine.store.store import Row, Transaction

SCHEMA_BYTES_MAX = 64 * 1024
# Headers that contain secrets, and headers that the engine sets itself.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
_ENGINE_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"}
)


def require_agent(tx: Transaction, integration_id: str) -> Integration:
    """Return an agent integration with its header values in clear.

    Raises:
        NotFound: There is no agent integration with this id.
    """
    agent = agent_integrations.find_agent(tx, integration_id)
    if agent is None:
        raise NotFound(
            "There is no agent integration with this id. Integrations of type LLM are at /v2/ai-integrations."
        )
    return agent


async def list_integrations(call: Call) -> IntegrationPage:
    """List the agent integrations, newest first. With a space, only those that can be used there are listed.

    The list of type EVALUATOR is empty, because the engine has no remote evaluators.
    """
    query = call.query(ListIntegrations)
    if query.type is IntegrationType.LLM:
        raise NotBuilt("This engine lists integrations of type LLM at /v2/ai-integrations, not here.")
    scope = scope_of("integrations", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return [] if query.type is IntegrationType.EVALUATOR else agent_integrations.agent_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return IntegrationPage(
        integrations=[_public_view(agent_integrations.agent_from_row(row)) for row in page], pagination=pagination
    )


async def create_integration(call: Call) -> Integration:
    """Create an agent integration."""
    body, services = call.body(CreateIntegration), call.services
    agent = _new_agent(services, body)
    _validate(agent)

    def work(tx: Transaction) -> Integration:
        _require_free_name(tx, body.name)
        agent_integrations.insert_agent(tx, agent, to_us(services.clock.now()))
        return require_agent(tx, agent.id)

    return _public_view(await services.store.write(work))


async def get_integration(call: Call) -> Integration:
    return _public_view(
        await call.services.store.read_by_key(lambda tx: require_agent(tx, call.path["integration_id"]))
    )


async def update_integration(call: Call) -> Integration:
    """Replace the fields in the body; null clears a field."""
    body, services = call.body(UpdateIntegration), call.services

    def work(tx: Transaction) -> Integration:
        before = require_agent(tx, call.path["integration_id"])
        after = _with_changes(before, body)
        _validate(after)
        if after.name != before.name:
            _require_free_name(tx, after.name)
        agent_integrations.update_agent(tx, after, to_us(services.clock.now()))
        return require_agent(tx, before.id)

    return _public_view(await services.store.write(work))


async def delete_integration(call: Call) -> None:
    """Delete an agent integration, unless a run_experiment task calls it."""

    def work(tx: Transaction) -> None:
        agent = require_agent(tx, call.path["integration_id"])
        users = agent_integrations.task_names_using(tx, agent.id)
        if users:
            raise Conflict(
                f"These tasks call this agent: {quoted_names(users)}. First change their run_configuration, or delete "
                "them."
            )
        agent_integrations.delete_agent(tx, agent.id)

    await call.services.store.write(work)


def _new_agent(services: Services, body: CreateIntegration) -> Integration:
    now = services.clock.now()
    fields = body.model_dump(exclude_none=True)
    id_ = services.new_id("RemoteEndpointIntegration")
    return Integration.model_validate({**fields, "id": id_, "created_at": now, "updated_at": now})


def _with_changes(before: Integration, body: UpdateIntegration) -> Integration:
    """Return the integration with the fields of the body replaced.

    Raises:
        Unprocessable: A required field is null.
    """
    fields = body.model_dump(exclude_unset=True, exclude={"type"})
    config = fields.pop("config", None) or {}
    for field, value in (("name", fields.get("name", "")), ("config.endpoint", config.get("endpoint", ""))):
        if value is None:
            raise Unprocessable(f"{field} cannot be cleared; leave it out to keep it")
    kept = before.model_dump()
    changed = {**kept, **fields, "config": {**kept["config"], **config}}
    # null clears a field. One whose default is not null returns to its default.
    for part, names in ((changed, ("scopings",)), (changed["config"], ("input_schema", "request_presets"))):
        for name in names:
            if part[name] is None:
                del part[name]
    return Integration.model_validate(changed)


def _public_view(agent: Integration) -> Integration:
    """Return the integration as it is answered: without header values."""
    config = agent.config
    has_headers = bool(config.headers or config.headers_env or config.api_key_env)
    public_config = config.model_copy(update={"headers": None, "has_headers": has_headers})
    return agent.model_copy(update={"config": public_config})


def _validate(agent: Integration) -> None:
    """Check that the engine can call an agent with these settings.

    Raises:
        NotBuilt: The integration has request_presets, which the engine does not support.
        Unprocessable: The settings cannot work; the detail has all problems.
    """
    config = agent.config
    if config.request_presets:
        raise NotBuilt(
            "This engine does not support request_presets; set the input_template of a run configuration instead."
        )
    problems = ProblemList()
    if problem := address_problem("config.endpoint", config.endpoint or ""):
        problems.unprocessable(problem)
    for problem in _config_problems(config):
        problems.unprocessable(problem)
    problems.raise_any()


def _config_problems(config: AgentConfig) -> list[str]:
    plain, named = config.headers or {}, config.headers_env or {}
    problems = header_problems(plain) + header_problems(dict.fromkeys(named, ""))
    lower = [name.lower() for name in (*plain, *named)]
    if len(set(lower)) < len(lower):
        problems.append("config.headers and config.headers_env contain a header twice; remove one")
    if _ENGINE_HEADERS & set(lower):
        problems.append(
            f"config: the engine sets these headers itself; remove {', '.join(sorted(_ENGINE_HEADERS & set(lower)))}"
        )
    if secret := sorted(_SECRET_HEADERS & {name.lower() for name in plain}):
        problems.append(
            f"config.headers: {', '.join(secret)} would be stored in clear text. Put the value into an environment "
            "variable where the engine runs and name it in config.headers_env (config.api_key_env for a "
            "bearer token)"
        )
    if config.api_key_env and "authorization" in lower:
        problems.append("config.api_key_env and the header authorization exclude each other; remove one")
    if len(json.dumps(config.input_schema)) > SCHEMA_BYTES_MAX:
        problems.append(f"config.input_schema is larger than {SCHEMA_BYTES_MAX} bytes")
    elif problem := schema_problem(config.input_schema):
        problems.append(f"config.input_schema {problem}")
    return problems


def _require_free_name(tx: Transaction, name: str) -> None:
    if agent_integrations.find_agent_by_name(tx, name) is not None:
        raise Conflict("An agent integration with this name already exists; choose another name.")
