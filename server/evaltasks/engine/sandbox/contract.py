"""What AX asks of a custom evaluator, read from its source without running it.

On AX a class that breaks the contract makes the task run end cancelled with 0/0/0 and no message. Here everything
that is wrong is said when the evaluator is made: each fault with its line and how to mend it.

The contract: the `imports` block imports EvaluationResult and CodeEvaluator from the path that AX's runtime has; `code`
holds one class that extends CodeEvaluator and nothing else, no import either; its `evaluate(self, *, a=None, **kwargs)`
names each variable as a keyword parameter; static parameters are read as `self.<name>`; it returns an EvaluationResult.
"""

from __future__ import annotations

import ast
import keyword
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from evaltasks.api.evaluators import CustomCodeConfig, StaticParamType
from evaltasks.engine.sandbox.program import ImportLine, Program, StaticValue

CONTRACT_MODULES = ("arize.experimental.datasets.experiments.evaluators.base", "arize.experiments.evaluators.base")
IMPORT_SENTENCE = f"from {CONTRACT_MODULES[0]} import EvaluationResult, CodeEvaluator"
CODE_CHARS_MAX = 30_000  # read while nobody else is served
IMPORTS_CHARS_MAX = 10_000
_NEEDED = ("EvaluationResult", "CodeEvaluator")
_GIVEN = (*_NEEDED, "Evaluator", "JSONSerializable")
_SIGNATURE = "write def evaluate(self, *, {names}, **kwargs)"
_RESULT_FIELDS = ("score", "label", "explanation", "metadata")
_BASE_ATTRIBUTES = frozenset({"name", "kind"})
_DYNAMIC = frozenset({"getattr", "setattr", "hasattr", "vars", "delattr"})
_FAULTS_MAX = 20


@dataclass(slots=True)
class Contract:
    """`program` can be loaded when there are no faults; with faults it holds only the imports, to be tried as well."""

    program: Program
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Imports:
    lines: list[ImportLine] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # as the code says it → what it is

    def called(self, name: str) -> set[str]:
        return {alias for alias, meant in self.names.items() if meant == name} or {name}


def read_contract(config: CustomCodeConfig) -> Contract:
    """Everything the contract asks, checked at once."""
    faults: list[str] = []
    imports = _Imports()
    faults += _read_imports(config.imports or "", imports)
    faults += _parameter_faults(config)
    code = config.code.replace("\r\n", "\n").replace("\r", "\n")
    tree = _parsed(code, "code", CODE_CHARS_MAX, faults)
    kind: ast.ClassDef | None = None
    if tree is not None:
        faults += _foreign_statements(tree)
        kind = _the_class(tree, faults)
    if kind is not None:
        faults += _class_faults(kind, imports, config)
    if faults or kind is None:
        more = [f"and {len(faults) - _FAULTS_MAX} more"] if len(faults) > _FAULTS_MAX else []
        return Contract(Program(tuple(imports.lines), imports.names), faults[:_FAULTS_MAX] + more)
    static = tuple(
        StaticValue(param.name, param.default_value, is_pattern=param.type is StaticParamType.REGEX)
        for param in config.static_params
    )
    bare = _without_base(code, kind)
    return Contract(Program(tuple(imports.lines), imports.names, kind.name, code, bare, static))


def _parsed(source: str, where: str, chars_max: int, faults: list[str]) -> ast.Module | None:
    if len(source) > chars_max:
        faults.append(f"{where} is longer than {chars_max} characters")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        line = f" line {error.lineno}" if error.lineno else ""
        faults.append(f"{where}{line}: this is no Python ({_plain(error.msg)})")
    except (ValueError, RecursionError, MemoryError):
        faults.append(f"{where} cannot be read as Python: it is nested too deep or holds signs that no source may hold")
    return None


def _plain(message: str) -> str:
    return "".join(sign for sign in message[:100] if sign.isascii() and sign.isprintable())


# --- imports ----------------------------------------------------------------------------------------------------------


def _read_imports(source: str, into: _Imports) -> list[str]:
    faults: list[str] = []
    tree = _parsed(source, "imports", IMPORTS_CHARS_MAX, faults)
    wrong_path = False
    for node in tree.body if tree else ():
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, ast.ImportFrom) and node.module in CONTRACT_MODULES and node.level == 0:
            for name in node.names:
                if name.name in _GIVEN:
                    into.names[name.asname or name.name] = name.name
                else:
                    faults.append(
                        f"imports line {node.lineno}: '{name.name[:80]}' is not to be had from there; "
                        f"name {' and '.join(_NEEDED)}"
                    )
            continue
        if not isinstance(node, ast.Import | ast.ImportFrom):
            faults.append(f"imports line {node.lineno}: only import statements belong into imports; remove the rest")
            continue
        if isinstance(node, ast.ImportFrom) and (node.level or any(name.name == "*" for name in node.names)):
            faults.append(
                f"imports line {node.lineno}: name each thing and its full module; no '*', no relative import"
            )
            continue
        taken = [name.name for name in node.names if name.name in _NEEDED]
        module = node.module if isinstance(node, ast.ImportFrom) else None
        if (
            taken
            or any(name.name.split(".")[0] == "arize" for name in node.names)
            or (module or "").startswith("arize")
        ):
            wrong_path = True
            faults.append(
                f"imports line {node.lineno}: AX's runtime has {' and '.join(taken or _NEEDED)} at one path only; "
                f"write {IMPORT_SENTENCE}"
            )
            into.names.update({name: name for name in taken})
            continue
        into.lines.append(ImportLine(node.lineno, ast.unparse(node)))
    missing = [name for name in _NEEDED if name not in into.names.values()]
    if tree is not None and missing and not wrong_path:
        faults.append(f"imports must import {' and '.join(missing)}: add {IMPORT_SENTENCE}")
    return faults


# --- variables and static parameters ----------------------------------------------------------------------------------


def _parameter_faults(config: CustomCodeConfig) -> Iterator[str]:
    if not config.variables:
        yield "variables is empty; name each keyword parameter of evaluate"
    for name in dict.fromkeys(config.variables):
        if not _is_name(name):
            yield f"variable '{name[:80]}' cannot be a parameter of evaluate; use letters, digits and _"
        if config.variables.count(name) > 1:
            yield f"variable '{name[:80]}' stands in variables twice"
    names = [param.name for param in config.static_params]
    for name in dict.fromkeys(names):
        if not _is_name(name) or name.startswith("_"):
            yield (
                f"static parameter '{name[:80]}' cannot be read as self.<name>; use letters, digits and _, "
                "beginning with a letter"
            )
        if names.count(name) > 1:
            yield f"two static parameters have the same name, '{name[:80]}'"


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


# --- the class --------------------------------------------------------------------------------------------------------


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


def _the_class(tree: ast.Module, faults: list[str]) -> ast.ClassDef | None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    faults += [f"code line {one.lineno}: a second class, '{one.name[:80]}'; code holds only one" for one in classes[1:]]
    if not classes and not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body):
        faults.append("code holds no class; write class MyEvaluator(CodeEvaluator): with a method evaluate")
    return classes[0] if classes else None


def _class_faults(kind: ast.ClassDef, imports: _Imports, config: CustomCodeConfig) -> Iterator[str]:
    bases = [base.id for base in kind.bases if isinstance(base, ast.Name)]
    if len(kind.bases) != 1 or kind.keywords or not set(bases) <= imports.called("CodeEvaluator"):
        yield f"code line {kind.lineno}: the class must extend CodeEvaluator and nothing else"
    methods = {node.name: node for node in kind.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    start = methods.get("__init__")
    if start is not None and _required(start.args) > 1:
        yield f"code line {start.lineno}: __init__ must need no arguments; read static parameters as self.<name>"
    for name in {param.name for param in config.static_params} & methods.keys():
        yield f"code line {methods[name].lineno}: the method '{name}' has a static parameter's name; rename one of them"
    yield from _unknown_attributes(kind, methods, config)
    yield from _result_faults(kind, imports)
    evaluate = methods.get("evaluate")
    if evaluate is None:
        signature = _SIGNATURE.format(names=_as_parameters(config.variables))
        yield f"code line {kind.lineno}: the class has no method evaluate; {signature}"
    elif isinstance(evaluate, ast.AsyncFunctionDef) or evaluate.decorator_list:
        yield f"code line {evaluate.lineno}: evaluate must be a plain method; no async, no decorator"
    else:
        yield from _signature_faults(evaluate, config)
        yield from _return_faults(evaluate, imports)


def _required(arguments: ast.arguments) -> int:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)


def _as_parameters(names: list[str]) -> str:
    return ", ".join(f"{name[:80]}=None" for name in dict.fromkeys(names) if _is_name(name)) or "output=None"


def _signature_faults(evaluate: ast.FunctionDef, config: CustomCodeConfig) -> Iterator[str]:
    arguments, at = evaluate.args, f"code line {evaluate.lineno}"
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    keywords = {
        argument.arg: default for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
    signature = _SIGNATURE.format(names=_as_parameters(config.variables))
    if positional[:1] != ["self"]:
        yield f"{at}: the first parameter of evaluate must be self; {signature}"
    if len(positional) > 1:
        yield f"{at}: {', '.join(name[:80] for name in positional[1:])} must be keyword parameters; {signature}"
        keywords |= {name: ast.Constant(None) for name in positional[1:]}
    if arguments.vararg is not None:
        yield f"{at}: evaluate takes no *{arguments.vararg.arg[:80]}; {signature}"
    if arguments.kwarg is None:
        yield f"{at}: evaluate must end with **kwargs, because it is given more than it names; {signature}"
    static = {param.name for param in config.static_params}
    for name, default in keywords.items():
        if name in static:
            yield f"{at}: '{name[:80]}' is a static parameter: take it out of evaluate and read self.{name[:80]}"
        elif name not in config.variables:
            yield f"{at}: the parameter '{name[:80]}' is missing in variables; add it there, or take it out of evaluate"
        elif default is None:
            yield f"{at}: the parameter '{name[:80]}' needs a default; write {name[:80]}=None"
    for name in dict.fromkeys(config.variables):
        if name not in keywords and _is_name(name):
            yield f"{at}: evaluate has no parameter '{name}', which variables names; {signature}"


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What stands in a function, without the functions and classes inside it."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, inner):
            todo.extend(ast.iter_child_nodes(node))


def _return_faults(evaluate: ast.FunctionDef, imports: _Imports) -> Iterator[str]:
    result = min(imports.called("EvaluationResult"))
    instead = f"return {result}(label=…, score=…, explanation=…)"
    nodes = sorted(_own(evaluate), key=lambda node: getattr(node, "lineno", 0))
    returns = [node for node in nodes if isinstance(node, ast.Return)]
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes):
        yield f"code line {evaluate.lineno}: evaluate yields; it must {instead}"
    elif not returns and not any(isinstance(node, ast.Raise) for node in nodes):
        yield f"code line {evaluate.lineno}: evaluate returns nothing; it must {instead}"
    literal = (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.Set, ast.JoinedStr, ast.Compare, ast.DictComp)
    for node in returns:
        if node.value is None or isinstance(node.value, literal):
            yield f"code line {node.lineno}: {instead} instead of this"


def _result_faults(kind: ast.ClassDef, imports: _Imports) -> Iterator[str]:
    called = imports.called("EvaluationResult")
    for node in ast.walk(kind):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in called:
            for given in node.keywords:
                if given.arg is not None and given.arg not in _RESULT_FIELDS:
                    yield (
                        f"code line {node.lineno}: EvaluationResult has no '{given.arg[:80]}'; "
                        "it has label, score and explanation"
                    )


def _unknown_attributes(
    kind: ast.ClassDef, methods: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef], config: CustomCodeConfig
) -> Iterator[str]:
    """`self.<name>` that nothing sets: most often a static parameter that is missing or written otherwise."""
    read: dict[str, int] = {}
    known = {param.name for param in config.static_params} | methods.keys() | _BASE_ATTRIBUTES
    for node in ast.walk(kind):
        if isinstance(node, ast.Name) and node.id in _DYNAMIC:
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            if isinstance(node.ctx, ast.Load):
                read.setdefault(node.attr, node.lineno)
            else:
                known.add(node.attr)
    known |= _bound_names(kind)
    for name, line in sorted(read.items(), key=lambda item: item[1]):
        if name in known or name.startswith("__"):
            continue
        near = get_close_matches(name, known, 1)
        hint = (
            f"did you mean self.{near[0]}?" if near else f"add a static parameter '{name[:80]}', or set it in __init__"
        )
        yield f"code line {line}: nothing sets self.{name[:80]}; {hint}"


def _bound_names(kind: ast.ClassDef) -> set[str]:
    """Names that the class body binds."""
    found = set()
    for node in kind.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


# --- for monty --------------------------------------------------------------------------------------------------------


def _without_base(code: str, kind: ast.ClassDef) -> str:
    """The code with the base class blanked out, so that every line keeps its number."""
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
        return ast.unparse(kind)
    return bare
