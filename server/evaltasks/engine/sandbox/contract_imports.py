"""Rules for the `imports` block of a custom evaluator: import statements only, the contract's from AX's path."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field

from evaltasks.engine.sandbox.program import ImportLine

CONTRACT_MODULES = ("arize.experimental.datasets.experiments.evaluators.base", "arize.experiments.evaluators.base")
IMPORT_SENTENCE = f"from {CONTRACT_MODULES[0]} import EvaluationResult, CodeEvaluator"
IMPORTS_CHARS_MAX = 10_000
_NEEDED = ("EvaluationResult", "CodeEvaluator")
_PROVIDED = (*_NEEDED, "Evaluator", "JSONSerializable")


@dataclass(slots=True)
class Imports:
    """The statements of the block, and the names under which the contract's classes are imported."""

    lines: list[ImportLine] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # the name in the code → the name in the contract

    def called(self, name: str) -> set[str]:
        """Return the names of a contract's class in the code."""
        return {alias for alias, original in self.names.items() if original == name} or {name}


def read_imports(source: str, into: Imports) -> list[str]:
    """Read the block into `into` and return its problems."""
    problems: list[str] = []
    tree = parsed(source, "imports", IMPORTS_CHARS_MAX, problems)
    wrong_path = False
    for node in tree.body if tree else ():
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, ast.ImportFrom) and node.module in CONTRACT_MODULES and node.level == 0:
            for name in node.names:
                if name.name in _PROVIDED:
                    into.names[name.asname or name.name] = name.name
                else:
                    problems.append(
                        f"imports line {node.lineno}: '{name.name[:80]}' cannot be imported from there; "
                        f"import {' and '.join(_NEEDED)}"
                    )
            continue
        if not isinstance(node, ast.Import | ast.ImportFrom):
            problems.append(f"imports line {node.lineno}: only import statements belong in imports; remove the rest")
            continue
        if isinstance(node, ast.ImportFrom) and (node.level or any(name.name == "*" for name in node.names)):
            problems.append(
                f"imports line {node.lineno}: import each name from its full module; no '*' and no relative import"
            )
            continue
        wanted = [name.name for name in node.names if name.name in _NEEDED]
        module = node.module if isinstance(node, ast.ImportFrom) else None
        if (
            wanted
            or any(name.name.split(".")[0] == "arize" for name in node.names)
            or (module or "").startswith("arize")
        ):
            wrong_path = True
            problems.append(
                f"imports line {node.lineno}: AX's runtime has {' and '.join(wanted or _NEEDED)} at one path only; "
                f"write {IMPORT_SENTENCE}"
            )
            into.names.update({name: name for name in wanted})
            continue
        into.lines.append(ImportLine(node.lineno, ast.unparse(node)))
    missing = [name for name in _NEEDED if name not in into.names.values()]
    if tree is not None and missing and not wrong_path:
        problems.append(f"imports must import {' and '.join(missing)}: add {IMPORT_SENTENCE}")
    return problems


def parsed(source: str, where: str, chars_max: int, problems: list[str]) -> ast.Module | None:
    """Parse Python source; add a problem and return None if that is not possible."""
    if len(source) > chars_max:
        problems.append(f"{where} is longer than {chars_max} characters")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        line = f" line {error.lineno}" if error.lineno else ""
        problems.append(f"{where}{line}: this is not Python ({_plain(error.msg)})")
    except (ValueError, RecursionError, MemoryError):
        problems.append(
            f"{where} cannot be read as Python: it is nested too deeply or has characters that are not allowed"
        )
    return None


def _plain(message: str) -> str:
    return "".join(character for character in message[:100] if character.isascii() and character.isprintable())
