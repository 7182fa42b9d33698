"""The layers of the package: every import of every module is checked, deferred and type-only ones too."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "server" / "evaltasks"

# folder → what of ours it may import (docs/architecture.md shows the same table).
MAY_IMPORT: dict[str, set[str]] = {
    "edge": set(),
    "api": {"edge"},
    "client": {"api", "edge"},
    "engine": {"api", "edge"},
    "insight": {"api", "client"},
    "promote": {"api", "client", "insight"},
    "tools": {"api", "client", "insight", "edge"},
    "face": {"tools", "insight", "client", "api", "edge"},
    # The top: modules that may import everything, and the demo, which uses the whole package.
    "": {"edge", "api", "client", "engine", "insight", "promote", "tools", "face", "demo"},
    "demo": {"", "api", "client", "tools", "insight"},
}

# third party → the only places that may import it. What is not named here may not be imported at all.
OWNERS: dict[str, set[str]] = {
    "pydantic": {"api", "client", "engine", "insight", "promote", "tools", "face", ""},
    "pydantic_core": {"api", "client", "insight", "tools"},
    "httpx2": {"client", "engine/providers"},
    "httpcore2": {"engine/providers"},
    "tenacity": {"client"},
    "starlette": {"edge", "engine", "face", ""},
    "anyio": {"edge", "client", "engine", "tools", "face", "", "demo"},
    "sqlite3": {"engine/store"},
    "mcp": {"face", "demo"},
    "mcp_types": {"face"},
    "uvicorn": {"face", ""},
    "platformdirs": {""},
    "yaml": {"promote"},
    "pyarrow": {"tools", "engine/ingest", "engine/flight"},
    "opentelemetry": {"engine/ingest"},
    "grpc": {"engine/flight"},
    "re2": {"engine/evaluators"},
    "referencing": {"engine/evaluators"},
    "regex": {"engine/evaluators"},
    "pydantic_monty": {"engine/sandbox"},
    "xllamacpp": {"demo"},
    # Prices of calls, and the libraries of the extra `providers`: each loaded at the first call that needs it.
    "genai_prices": {"engine/providers"},
    "pydantic_ai": {"engine/providers"},
    "anthropic": {"engine/providers"},
    # protobuf, and the credentials of Google's clouds.
    "google": {"engine/ingest", "engine/providers"},
    "boto3": {"engine/providers"},
    "botocore": {"engine/providers"},
}


@functools.cache
def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _folder(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@functools.cache
def _nodes(path: Path) -> list[ast.AST]:
    """Return every syntax node of a file, which is parsed once for all tests."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def _imports(path: Path) -> frozenset[str]:
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _ours(path: Path) -> set[Path]:
    """Return our modules that a file imports."""
    found = set()
    for name in _imports(path):
        if name.split(".")[0] != "evaltasks":
            continue
        target = PACKAGE.joinpath(*name.split(".")[1:])
        for candidate in (target.with_suffix(".py"), target / "__init__.py"):
            if candidate.exists() and candidate.name != "__init__.py":
                found.add(candidate)
    return found - {path}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_layers(path: Path) -> None:
    folder = _folder(path)
    assert folder in MAY_IMPORT, f"the folder '{folder}' has no row in the table"
    for target in _ours(path):
        to = _folder(target)
        assert to == folder or to in MAY_IMPORT[folder], f"{folder or 'top'} may not import {to or 'top'}"


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_third_party_package_is_imported_only_by_its_owner(path: Path) -> None:
    place = str(path.parent.relative_to(PACKAGE)).replace(".", "", 1)
    for name in {name.split(".")[0] for name in _imports(path)} - {"evaltasks", "__future__", ""}:
        if name in sys.stdlib_module_names and name not in OWNERS:
            continue
        owners = OWNERS.get(name)
        assert owners is not None, f"{name} is imported by no one yet: add its owner on purpose"
        assert any(place == owner or place.startswith(f"{owner}/") for owner in owners if owner) or (
            place == "" and "" in owners
        ), f"{name} belongs to {sorted(owners)}, not to '{place}'"


def test_there_are_no_import_cycles_including_deferred_and_type_only_imports() -> None:
    graph = {path: _ours(path) for path in _modules()}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " → ".join(str(p.relative_to(PACKAGE)) for p in (*trail, path))
        if path in done:
            return
        for target in graph[path]:
            visit(target, (*trail, path))
        done.add(path)

    for path in graph:
        visit(path, ())


def test_server_is_a_source_root_and_not_a_package() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()
    assert sorted(p.name for p in PACKAGE.parent.iterdir() if not p.name.startswith(("__", "."))) == ["evaltasks"]


def test_sql_is_only_in_sql_files() -> None:
    """No SQL statement is in Python code, except those that open and close transactions in the store."""
    verbs = ("SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM")
    for path in _modules():
        # Filters are compiled at run time and inserted into a named query.
        if path.is_relative_to(PACKAGE / "engine/filters"):
            continue
        for node in _nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.lstrip().startswith(verbs), f"{path.name}:{node.lineno} holds SQL"


def test_nothing_that_serve_reaches_prints_to_stdout() -> None:
    """stdout belongs to the protocol; only commands that print results may write there."""
    printing = {"cli.py", "ports.py", "doctor.py", "loading.py", "promoting.py", "demo"}
    for path in _modules():
        if path.relative_to(PACKAGE).parts[0] in printing:
            continue
        for node in _nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


def test_no_module_has_a_catch_all_name() -> None:
    banned = {"utils", "helpers", "common", "manager", "misc"}
    assert not [path for path in _modules() if path.stem in banned]
