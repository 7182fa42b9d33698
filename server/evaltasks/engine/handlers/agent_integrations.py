"""Agent integrations (`/v2/integrations`, type AGENT): HTTP endpoints that run_experiment tasks call.

The endpoint is what a person wrote into an integration; text of spans, examples and models never becomes an address.
A loopback or private host is allowed: the engine runs where the person runs it, and calls the agent beside it. Values
of secret headers are never stored: `api_key_env` and `headers_env` name environment variables.
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
from evaltasks.engine.handlers.ai_integrations import listed
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import agent_integrations
from evaltasks.engine.store.store import Row, Transaction

SCHEMA_BYTES_MAX = 64 * 1024
# Headers that carry secrets; the rest of a request's head is the engine's to write.
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"})


def require_agent(tx: Transaction, integration_id: str) -> Integration:
    """Header values in clear. Raises NotFound."""
    agent = agent_integrations.find_agent(tx, integration_id)
    if agent is None:
        raise NotFound(
            "There is no agent integration with this id. Integrations of type LLM stand at /v2/ai-integrations."
        )
    return agent


async def list_integrations(call: Call) -> IntegrationPage:
    """Newest first; with a space only those that may be used there. There are no remote evaluators to list."""
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
        integrations=[_shown(agent_integrations.agent_from_row(row)) for row in page], pagination=pagination
    )


async def create_integration(call: Call) -> Integration:
    body, services = call.body(CreateIntegration), call.services
    agent = _new_agent(services, body)
    _check(agent)

    def work(tx: Transaction) -> Integration:
        _refuse_taken(tx, body.name)
        agent_integrations.insert_agent(tx, agent, to_us(services.clock.now()))
        return require_agent(tx, agent.id)

    return _shown(await services.store.write(work))


async def get_integration(call: Call) -> Integration:
    return _shown(await call.services.store.read_by_key(lambda tx: require_agent(tx, call.path["integration_id"])))


async def update_integration(call: Call) -> Integration:
    """Given fields replace what stands; null clears."""
    body, services = call.body(UpdateIntegration), call.services

    def work(tx: Transaction) -> Integration:
        before = require_agent(tx, call.path["integration_id"])
        after = _changed(before, body)
        _check(after)
        if after.name != before.name:
            _refuse_taken(tx, after.name)
        agent_integrations.update_agent(tx, after, to_us(services.clock.now()))
        return require_agent(tx, before.id)

    return _shown(await services.store.write(work))


async def delete_integration(call: Call) -> None:
    """Refused while a run_experiment task calls it."""

    def work(tx: Transaction) -> None:
        agent = require_agent(tx, call.path["integration_id"])
        users = agent_integrations.task_names_using(tx, agent.id)
        if users:
            raise Conflict(
                f"These tasks call this agent: {listed(users)}. Change their run_configuration, or delete them, first."
            )
        agent_integrations.delete_agent(tx, agent.id)

    await call.services.store.write(work)


def _new_agent(services: Services, body: CreateIntegration) -> Integration:
    now = services.clock.now()
    given = body.model_dump(exclude_none=True)
    id_ = services.new_id("RemoteEndpointIntegration")
    return Integration.model_validate({**given, "id": id_, "created_at": now, "updated_at": now})


def _changed(before: Integration, body: UpdateIntegration) -> Integration:
    """Raises Unprocessable for a null where a value must stay."""
    given = body.model_dump(exclude_unset=True, exclude={"type"})
    config = given.pop("config", None) or {}
    for field, value in (("name", given.get("name", "")), ("config.endpoint", config.get("endpoint", ""))):
        if value is None:
            raise Unprocessable(f"{field} cannot be cleared; leave it out to keep it")
    kept = before.model_dump()
    changed = {**kept, **given, "config": {**kept["config"], **config}}
    # A null clears: what has another default than null goes back to it.
    for part, fields in ((changed, ("scopings",)), (changed["config"], ("input_schema", "request_presets"))):
        for field in fields:
            if part[field] is None:
                del part[field]
    return Integration.model_validate(changed)


def _shown(agent: Integration) -> Integration:
    """As it is answered: without header values."""
    config = agent.config
    sends = bool(config.headers or config.headers_env or config.api_key_env)
    shown = config.model_copy(update={"headers": None, "has_headers": sends})
    return agent.model_copy(update={"config": shown})


def _check(agent: Integration) -> None:
    """Raises NotBuilt for what this engine does not keep, Unprocessable with every other problem."""
    config = agent.config
    if config.request_presets:
        raise NotBuilt(
            "This engine keeps no request_presets: the input_template of a run configuration says what is sent."
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
        problems.append("config.headers and config.headers_env name a header twice")
    if _OURS & set(lower):
        problems.append(f"config: the engine writes these headers itself: {', '.join(sorted(_OURS & set(lower)))}")
    if secret := sorted(_SECRET & {name.lower() for name in plain}):
        problems.append(
            f"config.headers: {', '.join(secret)} would be stored in clear. Put the value into an environment variable "
            "where the engine runs and name it in config.headers_env, or name a bearer token's in config.api_key_env"
        )
    if config.api_key_env and "authorization" in lower:
        problems.append("config.api_key_env and a header authorization exclude each other")
    if len(json.dumps(config.input_schema)) > SCHEMA_BYTES_MAX:
        problems.append(f"config.input_schema is larger than {SCHEMA_BYTES_MAX} bytes")
    elif problem := schema_problem(config.input_schema):
        problems.append(f"config.input_schema {problem}")
    return problems


def _refuse_taken(tx: Transaction, name: str) -> None:
    if agent_integrations.find_agent_by_name(tx, name) is not None:
        raise Conflict("An agent integration with this name already exists; choose another name.")
