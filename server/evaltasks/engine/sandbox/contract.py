"""Check the source of a custom evaluator against AX's contract, without running it.

On AX, a task run with a class that breaks the contract ends cancelled, with 0/0/0 and no message. Here every problem is
reported when the evaluator is created, with its line and its repair.

The contract: the `imports` block imports EvaluationResult and CodeEvaluator from the path that AX's runtime has; `code`
contains one class that extends CodeEvaluator, and nothing else, imports included; its method `evaluate(self, *, a=None,
**kwargs)` has each variable as a keyword parameter; static parameters are read as `self.<name>`; it returns an
EvaluationResult.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from evaltasks.api.evaluator_kinds import CustomCodeConfig, StaticParamType
from evaltasks.engine.sandbox.contract_class import class_problems, parameter_problems
from evaltasks.engine.sandbox.contract_imports import Imports, parsed, read_imports
from evaltasks.engine.sandbox.program import Program, StaticValue

CODE_CHARS_MAX = 30_000  # parsing blocks the event loop
_PROBLEMS_MAX = 20


@dataclass(slots=True)
class Contract:
    """The result of the check. With problems, `program` has only the imports, so that they can be tried as well."""

    program: Program
    problems: list[str] = field(default_factory=list)


def read_contract(config: CustomCodeConfig) -> Contract:
    """Check every rule of the contract and report all problems at once."""
    problems: list[str] = []
    imports = Imports()
    problems += read_imports(config.imports or "", imports)
    problems += parameter_problems(config)
    code = config.code.replace("\r\n", "\n").replace("\r", "\n")
    tree = parsed(code, "code", CODE_CHARS_MAX, problems)
    kind: ast.ClassDef | None = None
    if tree is not None:
        problems += _foreign_statements(tree)
        kind = _the_class(tree, problems)
    if kind is not None:
        problems += class_problems(kind, imports, config)
    bare = _without_base(code, kind) if kind is not None and not problems else None
    if kind is not None and not problems and bare is None:
        problems.append("code cannot be read: it is nested too deeply")
    if kind is None or bare is None:
        more = [f"and {len(problems) - _PROBLEMS_MAX} more"] if len(problems) > _PROBLEMS_MAX else []
        return Contract(Program(tuple(imports.lines), imports.names), problems[:_PROBLEMS_MAX] + more)
    static = tuple(
        StaticValue(param.name, param.default_value, is_pattern=param.type is StaticParamType.REGEX)
        for param in config.static_params
    )
    return Contract(Program(tuple(imports.lines), imports.names, kind.name, code, bare, static))


def _foreign_statements(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield f"code line {node.lineno}: move this import into imports; code contains only the class"
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.ClassDef | ast.Import | ast.ImportFrom) or (place == 0 and _is_text(node)):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            remedy = "make it a method of a class that extends CodeEvaluator"
            yield f"code line {node.lineno}: '{node.name[:80]}' is a function outside the class; {remedy}"
        else:
            yield f"code line {node.lineno}: only the class belongs in code; move this into it"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _the_class(tree: ast.Module, problems: list[str]) -> ast.ClassDef | None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    problems += [
        f"code line {second.lineno}: a second class, '{second.name[:80]}'; code contains only one"
        for second in classes[1:]
    ]
    if not classes and not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body):
        problems.append("code has no class; write class MyEvaluator(CodeEvaluator): with a method evaluate")
    return classes[0] if classes else None


def _without_base(code: str, kind: ast.ClassDef) -> str | None:
    """Return the code with the base class blanked out, so that every line keeps its number; None if it is too deep."""
    base = kind.bases[0]
    lines = code.split("\n")
    line = lines[base.lineno - 1].encode()
    assert base.end_col_offset is not None
    blank = line[: base.col_offset] + b" " * (base.end_col_offset - base.col_offset) + line[base.end_col_offset :]
    lines[base.lineno - 1] = blank.decode()
    bare = "\n".join(lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(bare)
    except SyntaxError:
        # For example a trailing comma or a line break in the brackets: use a copy in normal form, with its own lines.
        kind.bases = []
        try:
            return ast.unparse(kind)
        except RecursionError:
            return None
    return bare
