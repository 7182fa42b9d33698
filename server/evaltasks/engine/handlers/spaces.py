"""Spaces: what everything else lives in."""

from __future__ import annotations

from evaltasks.api.problems import Conflict, NotFound
from evaltasks.api.spaces import CreateSpace, ListSpaces, Space, SpacePage
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.store import spaces
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
    return SpacePage(spaces=[spaces.space_of(row) for row in page], pagination=pagination)


async def get_space(call: Call) -> Space:
    return await call.services.store.read_point(lambda tx: require_space(tx, call.path["space_id"]))


async def create_space(call: Call) -> Space:
    body, services = call.body(CreateSpace), call.services

    def work(tx: Transaction) -> Space:
        if spaces.find_space_by_name(tx, body.name) is not None:
            raise Conflict("A space of this name exists already; names of spaces are unique.")
        space_id = services.new_id("Space")
        spaces.insert_space(tx, space_id, body, to_us(services.clock.now()))
        return require_space(tx, space_id)

    return await services.store.write(work)
