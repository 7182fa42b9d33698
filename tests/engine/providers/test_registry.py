"""The table of providers is complete, and no other module decides anything by a provider's name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from evaltasks.api.ai_integrations import Provider as ProviderName
from evaltasks.engine.providers.library import LibraryAdapter
from evaltasks.engine.providers.record import ProviderRecord
from evaltasks.engine.providers.registry import PROVIDERS, find_provider
from evaltasks.tools import create_ai_integration
from tests.support.exchanges import KINDS

ROOT = Path(__file__).parents[3]
SERVER = ROOT / "server" / "evaltasks"
REMOTE = [record for record in PROVIDERS.values() if not record.is_local]
every_record = pytest.mark.parametrize("record", PROVIDERS.values(), ids=list(PROVIDERS))

# Modules that may name a provider, and why.
MAY_NAME = {
    "engine/providers/registry.py": "the table itself",
    "api/ai_integrations.py": "the enumeration of the wire; HEURISTIC is written as CUSTOM for published clients",
    "engine/handlers/ai_integrations.py": "makes the built-in integration of the heuristic judge",
    "tools/create_ai_integration.py": "the words of an MCP tool, which may not import the engine; compared below",
}
# Words with other meanings too, such as the CUSTOM kind of a code evaluator: only enumeration members count.
AMBIGUOUS = {"CUSTOM", "HEURISTIC"}


def test_every_name_of_the_wire_has_one_record() -> None:
    assert set(PROVIDERS) == set(ProviderName)
    assert all(find_provider(name.value) is PROVIDERS[name] for name in ProviderName)


@every_record
def test_a_record_is_complete(record: ProviderRecord) -> None:
    assert callable(record.adapter)
    if record.is_local:
        assert (record.base_url, record.cloud, record.needs_key, record.requires_base_url) == (None, None, False, False)
        return
    assert record.base_url or record.requires_base_url or record.cloud, "nothing says where it is called"
    assert record.base_url is None or record.base_url.startswith("https://")
    assert record.cloud is None or (record.cloud.title and record.cloud.hosts and record.cloud.metadata_kind)
    assert not record.is_priced_by_name or record.price_list_name
    assert record.name in KINDS, "tests/support/exchanges.py has no exchanges for it"
    assert KINDS[record.name].is_library == isinstance(record.adapter, LibraryAdapter)
    assert f"`{record.name}`" in (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("record", REMOTE, ids=[record.name for record in REMOTE])
def test_a_price_list_name_is_in_the_price_list(record: ProviderRecord) -> None:
    if record.price_list_name is None:
        return
    # A quarter of a second to import, which every process would need to collect this file.
    from genai_prices import data as price_list

    assert record.price_list_name in {provider.id for provider in price_list.providers}


def test_the_mcp_tool_knows_the_same_providers() -> None:
    words = {record.name.lower(): record for record in REMOTE}

    assert set(get_args(create_ai_integration.ProviderWord)) == set(words)
    assert {word for word, record in words.items() if record.requires_base_url} == create_ai_integration._NEEDS_BASE_URL
    assert {
        word for word, record in words.items() if isinstance(record.adapter, LibraryAdapter)
    } == create_ai_integration._NEEDS_EXTRA


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"name": "my-provider"}, "not UPPER_SNAKE"), ({"name": "MINE", "key_header": "X-Key"}, "not in lower case")],
)
def test_a_record_that_cannot_work_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProviderRecord(adapter=PROVIDERS["CUSTOM"].adapter, **fields)  # type: ignore[arg-type]


def test_no_other_module_names_a_provider() -> None:
    modules = {path.relative_to(SERVER).as_posix(): path for path in SERVER.rglob("*.py")}
    naming = {place: found for place, path in modules.items() if (found := sorted(set(provider_names_in(path))))}

    assert {place: found for place, found in naming.items() if place not in MAY_NAME} == {}
    assert set(MAY_NAME) <= set(naming), "an exception is no longer needed"


def provider_names_in(path: Path) -> Iterator[str]:
    """The providers that a module's code names, as members of the enumeration or as text; docstrings do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    enumerations = {"Provider"} if path == SERVER / "api" / "ai_integrations.py" else set()
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "evaltasks.api.ai_integrations":
            enumerations |= {alias.asname or alias.name for alias in node.names if alias.name == "Provider"}
        if isinstance(node, ast.Expr):
            docstrings.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in enumerations:
            if node.attr in PROVIDERS:
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            word = node.value.upper()
            if word in PROVIDERS and word not in AMBIGUOUS:
                yield word
