"""Only the store calls named queries, so that a column or query is renamed in one folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaltasks.engine.store.queries import named_parts, named_queries

PACKAGE = Path(__file__).parents[2] / "server" / "evaltasks"
STORE = PACKAGE / "engine" / "store"
CALLS = {"fetch_one", "fetch_all", "iterate", "run", "run_many"}


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def _calls_query(node: ast.AST) -> bool:
    """True for a call of one of the methods of `Transaction` that take the name of a query.

    `run` is the name of other methods, too: of these calls, those on a `tx` and those with a query's name count.
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in CALLS:
        return False
    if node.func.attr != "run":
        return True
    first = node.args[0] if node.args else None
    is_named = isinstance(first, ast.Constant) and first.value in named_queries()
    return is_named or (isinstance(node.func.value, ast.Name) and node.func.value.id == "tx")


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(STORE)),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_queries_are_called_only_in_the_store(path: Path) -> None:
    for node in _nodes(path):
        assert not _calls_query(node), f"{path.name}:{node.lineno} calls a query: add a function to engine/store"  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom):
            assert node.module != "evaltasks.engine.store.queries", f"{path.name}:{node.lineno} imports query texts"


def _texts() -> Iterator[str]:
    """Every text in the modules of the store as a pattern; a replacement field of an f-string matches one word."""
    for path in STORE.glob("*.py"):
        for node in _nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.escape(node.value)
            elif isinstance(node, ast.JoinedStr):
                yield "".join(re.escape(p.value) if isinstance(p, ast.Constant) else r"[a-z_]+" for p in node.values)


def test_every_query_and_part_is_used() -> None:
    patterns = {text for text in _texts() if re.match(r"[a-z_]+\\\.", text)}
    unused = [
        name for name in [*named_queries(), *named_parts()] if not any(re.fullmatch(text, name) for text in patterns)
    ]
    assert unused == []
