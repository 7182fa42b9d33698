"""Spaces, which contain all other resources."""

from __future__ import annotations

from evaltasks.api.problems import BadRequest, Conflict, Forbidden, NotBuilt, NotFound
from evaltasks.api.spaces import CreateSpace, ListSpaces, Space, SpacePage, UpdateSpace
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.store import ai_integrations, spaces
from evaltasks.engine.store.store import Row, Transaction


def require_space(tx: Transaction, space_id: str) -> Space:
    """Return the space with this id. Raises NotFound if there is none."""
    space = spaces.find_space(tx, space_id)
    if space is None:
        raise NotFound("There is no space with this id.")
    return space


def require_default_space(tx: Transaction) -> Space:
    """Return the oldest space. Raises NotFound before `ensure_default_space` has created one."""
    space = spaces.find_default_space(tx)
    if space is None:
        raise NotFound("This store has no space yet.")
    return space


async def ensure_default_space(services: Services, name: str) -> Space:
    """Return the default space, creating it with this name in a store without spaces.

    A store keeps its first space as the default even if it is opened with another name later, so that ids in clients
    stay valid. Several processes may call this at once.
    """

    def work(tx: Transaction) -> Space:
        existing = spaces.find_default_space(tx)
        if existing is not None:
            return existing
        body = CreateSpace(name=name)
        spaces.insert_space(tx, services.new_id("Space"), body, to_us(services.clock.now()))
        return require_default_space(tx)

    return await services.store.write(work)


async def list_spaces(call: Call) -> SpacePage:
    """List spaces, newest first. The engine has one organization, so `org_id` has no effect."""
    query = call.query(ListSpaces)
    scope = scope_of("spaces", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        return spaces.space_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return SpacePage(spaces=[spaces.space_from_row(row) for row in page], pagination=pagination)


async def get_space(call: Call) -> Space:
    """Get a space."""
    return await call.services.store.read_by_key(lambda tx: require_space(tx, call.path["space_id"]))


async def create_space(call: Call) -> Space:
    """Create a space. Its name must be unique."""
    body, services = call.body(CreateSpace), call.services

    def work(tx: Transaction) -> Space:
        _refuse_name_in_use(tx, body.name)
        space_id = services.new_id("Space")
        spaces.insert_space(tx, space_id, body, to_us(services.clock.now()))
        return require_space(tx, space_id)

    return await services.store.write(work)


async def update_space(call: Call) -> Space:
    """Update a space. Null clears the description and the default LLM integration."""
    body = call.body(UpdateSpace)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if not changes:
        raise BadRequest("No fields to update: provide name, description, is_private or another field of a space.")
    if changes.pop("default_agent_runtime", None) is not None:
        raise NotBuilt("This engine has no agent runtimes; omit default_agent_runtime.")
    if changes.get("description", "") is None:
        changes["description"] = ""
    for name in ("name", "is_private", "ml_models_enabled", "gradient_start_color", "gradient_end_color"):
        if name in changes and changes[name] is None:
            raise BadRequest(f"{name} cannot be cleared; omit it to keep it.")

    def work(tx: Transaction) -> Space:
        old = require_space(tx, call.path["space_id"])
        new = old.model_copy(update=changes)
        if new.name != old.name:
            _refuse_name_in_use(tx, new.name)
        default = body.default_llm_integration
        if default is not None and ai_integrations.find_integration(tx, default.integration_id) is None:
            raise NotFound("There is no AI integration with the integration_id of default_llm_integration.")
        spaces.update_space(tx, new)
        return require_space(tx, old.id)

    return await call.services.store.write(work)


async def delete_space(call: Call) -> None:
    """Delete a space with everything in it. The last space cannot be deleted, because all resources need one."""

    def work(tx: Transaction) -> None:
        space = require_space(tx, call.path["space_id"])
        if spaces.is_last_space(tx, space.id):
            raise Forbidden("The last space of the engine cannot be deleted; create another one first.")
        spaces.delete_space(tx, space.id)

    await call.services.store.write(work)
    call.services.wake_signal.notify()


def _refuse_name_in_use(tx: Transaction, name: str) -> None:
    if spaces.find_space_by_name(tx, name) is not None:
        raise Conflict("A space with this name already exists; choose another name.")
