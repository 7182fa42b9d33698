"""Rules for the class of a custom evaluator, its variables and its static parameters; each problem has its line."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from evaltasks.api.evaluator_kinds import CustomCodeConfig
from evaltasks.engine.sandbox.contract_imports import Imports

_SIGNATURE = "write def evaluate(self, *, {names}, **kwargs)"
_RESULT_FIELDS = ("score", "label", "explanation", "metadata")
_BASE_ATTRIBUTES = frozenset({"name", "kind"})
_DYNAMIC = frozenset({"getattr", "setattr", "hasattr", "vars", "delattr"})


def parameter_problems(config: CustomCodeConfig) -> Iterator[str]:
    """Yield the problems of the names of variables and static parameters."""
    if not config.variables:
        yield "variables is empty; name each keyword parameter of evaluate"
    for name in dict.fromkeys(config.variables):
        if not _is_name(name):
            yield f"variable '{name[:80]}' cannot be a parameter of evaluate; use letters, digits and _"
        if config.variables.count(name) > 1:
            yield f"variable '{name[:80]}' is in variables twice"
    names = [param.name for param in config.static_params]
    for name in dict.fromkeys(names):
        if not _is_name(name) or name.startswith("_"):
            yield (
                f"static parameter '{name[:80]}' cannot be read as self.<name>; use letters, digits and _, "
                "and start with a letter"
            )
        if names.count(name) > 1:
            yield f"two static parameters have the same name, '{name[:80]}'"


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def class_problems(kind: ast.ClassDef, imports: Imports, config: CustomCodeConfig) -> Iterator[str]:
    """Yield the problems of the class and its method `evaluate`."""
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
    yield from _result_problems(kind, imports)
    evaluate = methods.get("evaluate")
    if evaluate is None:
        signature = _SIGNATURE.format(names=_as_parameters(config.variables))
        yield f"code line {kind.lineno}: the class has no method evaluate; {signature}"
    elif isinstance(evaluate, ast.AsyncFunctionDef) or evaluate.decorator_list:
        yield f"code line {evaluate.lineno}: evaluate must be a plain method; no async, no decorator"
    else:
        yield from _signature_problems(evaluate, config)
        yield from _return_problems(evaluate, imports)


def _required(arguments: ast.arguments) -> int:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)


def _as_parameters(names: list[str]) -> str:
    return ", ".join(f"{name[:80]}=None" for name in dict.fromkeys(names) if _is_name(name)) or "output=None"


def _signature_problems(evaluate: ast.FunctionDef, config: CustomCodeConfig) -> Iterator[str]:
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
        yield f"{at}: evaluate must not have *{arguments.vararg.arg[:80]}; {signature}"
    if arguments.kwarg is None:
        yield f"{at}: evaluate must end with **kwargs, because it is called with further arguments; {signature}"
    static = {param.name for param in config.static_params}
    for name, default in keywords.items():
        if name in static:
            yield f"{at}: '{name[:80]}' is a static parameter: remove it from evaluate and read self.{name[:80]}"
        elif name not in config.variables:
            yield f"{at}: the parameter '{name[:80]}' is missing from variables; add it there or remove it here"
        elif default is None:
            yield f"{at}: the parameter '{name[:80]}' needs a default; write {name[:80]}=None"
    for name in dict.fromkeys(config.variables):
        if name not in keywords and _is_name(name):
            yield f"{at}: evaluate has no parameter '{name}', which variables names; {signature}"


def _nodes_of(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions and classes inside it."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, inner):
            todo.extend(ast.iter_child_nodes(node))


def _return_problems(evaluate: ast.FunctionDef, imports: Imports) -> Iterator[str]:
    result = min(imports.called("EvaluationResult"))
    instead = f"return {result}(label=…, score=…, explanation=…)"
    nodes = sorted(_nodes_of(evaluate), key=lambda node: getattr(node, "lineno", 0))
    returns = [node for node in nodes if isinstance(node, ast.Return)]
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes):
        yield f"code line {evaluate.lineno}: evaluate yields; it must {instead}"
    elif not returns and not any(isinstance(node, ast.Raise) for node in nodes):
        yield f"code line {evaluate.lineno}: evaluate returns nothing; it must {instead}"
    literal = (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.Set, ast.JoinedStr, ast.Compare, ast.DictComp)
    for node in returns:
        if node.value is None or isinstance(node.value, literal):
            yield f"code line {node.lineno}: {instead} instead of this"


def _result_problems(kind: ast.ClassDef, imports: Imports) -> Iterator[str]:
    called = imports.called("EvaluationResult")
    for node in ast.walk(kind):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in called:
            for keyword_argument in node.keywords:
                name = keyword_argument.arg
                if name is not None and name not in _RESULT_FIELDS:
                    yield (
                        f"code line {node.lineno}: EvaluationResult has no '{name[:80]}'; "
                        "it has label, score and explanation"
                    )


def _unknown_attributes(
    kind: ast.ClassDef, methods: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef], config: CustomCodeConfig
) -> Iterator[str]:
    """Yield each `self.<name>` that nothing sets: most often a static parameter that is missing or misspelt."""
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
    """Return the names that the class body binds."""
    names = set()
    for node in kind.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return names
