"""Paging omits nothing and repeats nothing, for any size of the pages."""

from __future__ import annotations

from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engines import EngineInTest, engine

PAGE_SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


async def _walk(
    it: EngineInTest, path: str, items: str, page_sizes: list[int], *, search: dict[str, object] | None = None
) -> list[dict[str, Any]]:
    """Read all items, with these page sizes in turn."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for turn in range(200):
        limit = page_sizes[turn % len(page_sizes)]
        if search is None:
            page = await it.ask("GET", path, limit=limit, cursor=cursor)
        else:
            page = await it.ask("POST", path, {**search, "limit": limit, "cursor": cursor})
        assert len(page[items]) <= limit
        found += page[items]
        assert page["pagination"]["has_more"] == bool(page["pagination"].get("next_cursor"))
        cursor = page["pagination"].get("next_cursor")
        if cursor is None:
            return found
    raise AssertionError("the walk does not end")


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 12), page_sizes=PAGE_SIZES)
def test_paging_datasets_lists_each_once_newest_first(count: int, page_sizes: list[int]) -> None:
    async def law() -> None:
        async with engine() as it:
            made = [await it.seed_dataset([{"n": n}]) for n in range(count)]
            walked = await _walk(it, "/v2/datasets", "datasets", page_sizes)
            assert [one["id"] for one in walked] == made[::-1]

    anyio.run(law)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 30), page_sizes=PAGE_SIZES, appended=st.integers(1, 5))
def test_paging_examples_lists_each_once_in_order_after_an_append(
    count: int, page_sizes: list[int], appended: int
) -> None:
    async def law() -> None:
        async with engine() as it:
            dataset_id = await it.seed_dataset([{"n": n, "even": n % 2 == 0} for n in range(count)])
            path = f"/v2/datasets/{dataset_id}/examples"
            rows = [{"n": n, "even": n % 2 == 0} for n in range(count, count + appended)]
            await it.ask("POST", path, {"examples": rows})
            walked = await _walk(it, path, "examples", page_sizes)
            odd = await _walk(it, f"{path}/search", "examples", page_sizes, search={"filter": "even = 0"})
            assert [one["n"] for one in walked] == list(range(count + appended))
            assert [one["n"] for one in odd] == [n for n in range(count + appended) if n % 2]

    anyio.run(law)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 12), new=st.integers(1, 4))
def test_paging_is_stable_when_items_are_created_meanwhile(count: int, new: int) -> None:
    async def law() -> None:
        async with engine() as it:
            made = [await it.seed_dataset([{"n": n}]) for n in range(count)]
            first = await it.ask("GET", "/v2/datasets", limit=1)
            for n in range(new):
                await it.seed_dataset([{"n": n}])
            rest = await it.ask("GET", "/v2/datasets", limit=100, cursor=first["pagination"]["next_cursor"])
            assert [one["id"] for one in [*first["datasets"], *rest["datasets"]]] == made[::-1]

    anyio.run(law)
