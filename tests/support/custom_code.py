"""Custom code evaluators for tests, from the body of a method."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import dedent, indent
from typing import Any

from evaltasks.api.evaluator_kinds import CustomCodeConfig, StaticParam

IMPORTS = "from arize.experimental.datasets.experiments.evaluators.base import EvaluationResult, CodeEvaluator"


def custom_code(body: str, *, imports: str = "", variables: Sequence[str] = ("output",), extra: str = "") -> str:
    """Return a configuration with this body of `evaluate`; `extra` are further methods."""
    names = ", ".join(f"{name}=None" for name in variables)
    methods = f"def evaluate(self, *, {names}, **kwargs):\n{indent(dedent(body).strip(), '    ')}\n{dedent(extra)}"
    return "class Check(CodeEvaluator):\n" + indent(methods, "    ")


def custom_config(
    body: str = "return EvaluationResult(label=output)",
    *,
    imports: str = "",
    variables: Sequence[str] = ("output",),
    static: Sequence[dict[str, Any]] = (),
    extra: str = "",
    code: str | None = None,
    name: str = "check",
) -> CustomCodeConfig:
    return CustomCodeConfig(
        type="CUSTOM",
        name=name,
        imports=f"{imports}\n{IMPORTS}" if imports else IMPORTS,
        code=custom_code(body, variables=variables, extra=extra) if code is None else code,
        variables=list(variables),
        static_params=[StaticParam.model_validate(param) for param in static],
    )
