"""What AX asks of a custom evaluator, read from its source without running it.

On AX a class that breaks the contract makes the task run end cancelled with 0/0/0 and no message. Here everything
that is wrong is said when the evaluator is made: each problem with its line and how to fix it.

The contract: the `imports` block imports EvaluationResult and CodeEvaluator from the path that AX's runtime has; `code`
holds one class that extends CodeEvaluator and nothing else, no import either; its `evaluate(self, *, a=None, **kwargs)`
names each variable as a keyword parameter; static parameters are read as `self.<name>`; it returns an EvaluationResult.
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

CODE_CHARS_MAX = 30_000  # read while no one else is served
_PROBLEMS_MAX = 20


@dataclass(slots=True)
class Contract:
    """`program` can be loaded when there are no problems; with problems it holds only the imports, to be tried too."""

    program: Program
    problems: list[str] = field(default_factory=list)


def read_contract(config: CustomCodeConfig) -> Contract:
    """Everything the contract asks, checked at once."""
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
        problems.append("code cannot be read: it is nested too deep")
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
            yield f"code line {node.lineno}: move this import into imports; code holds only the class"
    for place, node in enumerate(tree.body):
        if isinstance(node, ast.ClassDef | ast.Import | ast.ImportFrom) or (place == 0 and _is_text(node)):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            what = "make it a method of a class that extends CodeEvaluator"
            yield f"code line {node.lineno}: '{node.name[:80]}' is a function outside the class; {what}"
        else:
            yield f"code line {node.lineno}: only the class belongs into code; move this into it"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _the_class(tree: ast.Module, problems: list[str]) -> ast.ClassDef | None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    problems += [
        f"code line {one.lineno}: a second class, '{one.name[:80]}'; code holds only one" for one in classes[1:]
    ]
    if not classes and not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body):
        problems.append("code holds no class; write class MyEvaluator(CodeEvaluator): with a method evaluate")
    return classes[0] if classes else None


def _without_base(code: str, kind: ast.ClassDef) -> str | None:
    """The code with the base class blanked out, so that every line keeps its number; None when it is too deep."""
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
        # A trailing comma, a line break in the brackets: then the lines are those of a copy in plain form.
        kind.bases = []
        try:
            return ast.unparse(kind)
        except RecursionError:
            return None
    return bare
