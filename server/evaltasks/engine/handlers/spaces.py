"""Spaces: what everything else lives in."""

from __future__ import annotations

from evaltasks.api.problems import BadRequest, Conflict, Forbidden, NotBuilt, NotFound
from evaltasks.api.spaces import CreateSpace, ListSpaces, Space, SpacePage, UpdateSpace
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.store import ai_integrations, spaces
from evaltasks.engine.store.store import Row, Transaction


def require_space(tx: Transaction, space_id: str) -> Space:
    """The space of that id. Raises NotFound; lists that are scoped to a space use it too."""
    space = spaces.find_space(tx, space_id)
    if space is None:
        raise NotFound("There is no space with this id.")
    return space


def require_default_space(tx: Transaction) -> Space:
    """The oldest space. Raises NotFound in a store that `ensure_default_space` has not seen yet."""
    space = spaces.find_default_space(tx)
    if space is None:
        raise NotFound("This store has no space yet.")
    return space


async def ensure_default_space(services: Services, name: str) -> Space:
    """The default space, made under `name` in a store that has none.

    A store keeps its first space as the default, whatever name later openings ask for: ids that clients remember
    stay valid. Safe when several processes open the store at once.
    """

    def work(tx: Transaction) -> Space:
        found = spaces.find_default_space(tx)
        if found is not None:
            return found
        body = CreateSpace(name=name)
        spaces.insert_space(tx, services.new_id("Space"), body, to_us(services.clock.now()))
        return require_default_space(tx)

    return await services.store.write(work)


async def list_spaces(call: Call) -> SpacePage:
    """Newest first. The engine knows one organization, so `org_id` narrows nothing."""
    query = call.query(ListSpaces)
    scope = scope_of("spaces", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        return spaces.space_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return SpacePage(spaces=[spaces.space_from_row(row) for row in page], pagination=pagination)


async def get_space(call: Call) -> Space:
    return await call.services.store.read_by_key(lambda tx: require_space(tx, call.path["space_id"]))


async def create_space(call: Call) -> Space:
    body, services = call.body(CreateSpace), call.services

    def work(tx: Transaction) -> Space:
        _refuse_taken(tx, body.name)
        space_id = services.new_id("Space")
        spaces.insert_space(tx, space_id, body, to_us(services.clock.now()))
        return require_space(tx, space_id)

    return await services.store.write(work)


async def update_space(call: Call) -> Space:
    """Null clears the description and the default LLM integration; what is left out stays."""
    body = call.body(UpdateSpace)
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if not given:
        raise BadRequest("No fields to update: give name, description, is_private or another field of a space.")
    if given.pop("default_agent_runtime", None) is not None:
        raise NotBuilt("This engine has no agent runtimes; leave default_agent_runtime out.")
    if given.get("description", "") is None:
        given["description"] = ""
    for name in ("name", "is_private", "ml_models_enabled", "gradient_start_color", "gradient_end_color"):
        if name in given and given[name] is None:
            raise BadRequest(f"{name} cannot be cleared; leave it out to keep it.")

    def work(tx: Transaction) -> Space:
        before = require_space(tx, call.path["space_id"])
        after = before.model_copy(update=given)
        if after.name != before.name:
            _refuse_taken(tx, after.name)
        chosen = body.default_llm_integration
        if chosen is not None and ai_integrations.find_integration(tx, chosen.integration_id) is None:
            raise NotFound("There is no AI integration with the integration_id of default_llm_integration.")
        spaces.update_space(tx, after)
        return require_space(tx, before.id)

    return await call.services.store.write(work)


async def delete_space(call: Call) -> None:
    """Everything in the space goes with it. The last space stays: nothing could be made without one."""

    def work(tx: Transaction) -> None:
        space = require_space(tx, call.path["space_id"])
        if spaces.is_last_space(tx, space.id):
            raise Forbidden("This is the engine's last space, and everything else needs one; create another one first.")
        spaces.delete_space(tx, space.id)

    await call.services.store.write(work)
    call.services.wake_signal.notify()


def _refuse_taken(tx: Transaction, name: str) -> None:
    if spaces.find_space_by_name(tx, name) is not None:
        raise Conflict("A space of this name exists already; names of spaces are unique.")
