"""The client has a method for every operation of the table."""

from __future__ import annotations

import ast
from pathlib import Path

import evaltasks.client
from evaltasks.api import operations as ops


def test_every_operation_is_called_by_a_resource() -> None:
    folder = Path(evaltasks.client.__file__).parent
    called = {
        node.attr
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ops"
    }
    named = {name for name, value in vars(ops).items() if isinstance(value, ops.Operation)}
    assert called == named
