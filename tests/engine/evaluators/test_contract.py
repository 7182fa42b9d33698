"""The contract of custom evaluators, checked without running code: all problems together, each with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaltasks.engine.sandbox.contract import CODE_CHARS_MAX, read_contract
from evaltasks.engine.sandbox.contract_imports import IMPORTS_CHARS_MAX
from tests.support.custom_code import IMPORTS, custom_code, custom_config

RESULT = "return EvaluationResult(label=output)"
WRONG = (  # code, what the one problem says
    ("def evaluate(output): return 1", "code line 1: 'evaluate' is a function outside the class"),
    ("class A(CodeEvaluator):\n    pass", "code line 1: the class has no method evaluate; write def evaluate(self, *,"),
    (f"class A:\n  def evaluate(self, *, output=None, **kwargs): {RESULT}", "code line 1: the class must extend CodeE"),
    (f"class A(CodeEvaluator, int):\n  def evaluate(self, *, output=None, **k): {RESULT}", "line 1: the class must ex"),
    ("import re\n" + custom_code(RESULT), "code line 1: move this import into imports"),
    (custom_code(f"import re\n{RESULT}"), "code line 3: move this import into imports"),
    (custom_code(RESULT) + "\nLIMIT = 3", "code line 5: only the class belongs in code"),
    (custom_code(RESULT) + "\nclass B: pass", "code line 5: a second class, 'B'"),
    (custom_code("return {'label': 1}"), "code line 3: return EvaluationResult(label=…, score=…, explanation=…) inste"),
    (custom_code("return"), "code line 3: return EvaluationResult("),
    (custom_code("x = output"), "code line 2: evaluate returns nothing"),
    (custom_code(f"yield 1\n{RESULT}"), "code line 2: evaluate yields"),
    (custom_code("return EvaluationResult(label=output, reason='x')"), "code line 3: EvaluationResult has no 'reason'"),
    (custom_code("return EvaluationResult(label=self.wrds)"), "code line 3: nothing sets self.wrds; did you mean self"),
    (custom_code(RESULT).replace("def evaluate", "async def evaluate"), "code line 2: evaluate must be a plain method"),
    (custom_code(RESULT).replace("    def", "    @staticmethod\n    def"), "code line 3: evaluate must be a plain met"),
    (custom_code(RESULT).replace("self, *, output=None, ", "self, "), "code line 2: evaluate has no parameter 'output"),
    (custom_code(RESULT).replace("self, *, ", "self, "), "code line 2: output must be keyword parameters; write def e"),
    (custom_code(RESULT).replace("self, *, ", "*, "), "code line 2: the first parameter of evaluate must be self"),
    (custom_code(RESULT).replace("*, ", "*args, "), "code line 2: evaluate must not have *args"),
    (custom_code(RESULT).replace(", **kwargs", ""), "code line 2: evaluate must end with **kwargs"),
    (custom_code(RESULT).replace("output=None", "output"), "code line 2: the parameter 'output' needs a default"),
    (custom_code(RESULT).replace("output=None", "output=None, b=None"), "line 2: the parameter 'b' is missing from va"),
    (custom_code(RESULT).replace("output=None", "output=None, words=None"), "line 2: 'words' is a static parameter: r"),
    (custom_code(RESULT, extra="def __init__(self, x):\n    pass"), "code line 4: __init__ must need no arguments"),
    (custom_code(RESULT, extra="def words(self):\n    pass"), "code line 4: the method 'words' has a static parameter"),
    ("class A(CodeEvaluator:\n  pass", "code line 1: this is not Python"),
    ("(" * 5_000, "code"),
    ("\x00", "code"),
    ("#" * (CODE_CHARS_MAX + 1), "code is longer than"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "problem"), WRONG, ids=range(len(WRONG)))
def test_contract_breach_is_reported_with_its_line(code: str, problem: str) -> None:
    static = [{"name": "words", "type": "STRING_ARRAY", "default_value": ["a"]}]
    (found,) = read_contract(custom_config(code=code, static=static)).problems
    assert problem in found


@pytest.mark.parametrize(
    ("imports", "problem"),
    [
        ("", "imports must import EvaluationResult and CodeEvaluator: add from arize.experimental"),
        ("import re", "imports must import EvaluationResult and CodeEvaluator: add from arize.experimental"),
        (IMPORTS.replace(", CodeEvaluator", ""), "imports must import CodeEvaluator: add"),
        (
            IMPORTS.replace("arize.experimental.datasets", "phoenix"),
            "line 1: AX's runtime has EvaluationResult and CodeEv",
        ),
        (
            "import arize.experiments.evaluators.base",
            "line 1: AX's runtime has EvaluationResult and CodeEvaluator at one",
        ),
        (f"{IMPORTS}, run_experiment", "imports line 1: 'run_experiment' cannot be imported from there"),
        (f"{IMPORTS}\nx = 1", "imports line 2: only import statements belong in imports"),
        (f"{IMPORTS}\nfrom math import *", "imports line 2: import each name"),
        (f"{IMPORTS}\nfrom . import x", "imports line 2: import each name"),
        (f"{IMPORTS}\nimport (", "imports line 2: this is not Python"),
    ],
)
def test_imports_must_use_the_module_path_of_ax(imports: str, problem: str) -> None:
    config = custom_config().model_copy(update={"imports": imports})
    (found,) = read_contract(config).problems
    assert problem in found


def test_contract_reports_all_problems_together() -> None:
    config = custom_config(
        code="import os\nclass A:\n    def evaluate(self, a, *args):\n        return {'x': self.nothing}\n",
        variables=["b", "b", "not a name"],
        static=[{"name": "_x", "type": "STRING", "default_value": ""}] * 2,
    ).model_copy(update={"imports": "x = 1"})
    problems = read_contract(config).problems
    assert len(problems) == 15
    assert problems[-1].startswith("code line 4: return EvaluationResult")


@pytest.mark.parametrize(("num_problems", "more"), [(20, []), (21, ["and 1 more"]), (23, ["and 3 more"])])
def test_contract_lists_twenty_problems_and_counts_the_others(num_problems: int, more: list[str]) -> None:
    config = custom_config().model_copy(update={"imports": IMPORTS + "\nx = 1" * num_problems})
    problems = read_contract(config).problems
    assert [problem.partition(":")[0] for problem in problems] == [f"imports line {n}" for n in range(2, 22)] + more


@pytest.mark.parametrize(("over", "problems"), [(0, []), (1, ["code is longer than 30000 characters"])])
def test_contract_accepts_code_up_to_its_greatest_length(over: int, problems: list[str]) -> None:
    code = custom_code(RESULT)
    code += "\n" + "#" * (CODE_CHARS_MAX - len(code) - 1 + over)
    assert read_contract(custom_config(code=code)).problems == problems


@pytest.mark.parametrize(("over", "problems"), [(0, []), (1, ["imports is longer than 10000 characters"])])
def test_contract_accepts_imports_up_to_their_greatest_length(over: int, problems: list[str]) -> None:
    imports = f"{IMPORTS}\n{'#' * (IMPORTS_CHARS_MAX - len(IMPORTS) - 1 + over)}"
    config = custom_config().model_copy(update={"imports": imports})
    assert read_contract(config).problems == problems


def test_contract_quotes_80_characters_of_a_name() -> None:
    long = "n" * 81
    code = custom_code(RESULT, variables=["output", long]).replace(f"{long}=None", long)
    (needs_default,) = read_contract(custom_config(code=code, variables=["output", long])).problems
    assert needs_default == f"code line 2: the parameter '{long[:80]}' needs a default; write {long[:80]}=None"
    (missing,) = read_contract(custom_config(code=code)).problems
    assert f"the parameter '{long[:80]}' is missing from variables" in missing
    (twice,) = read_contract(
        custom_config(
            code=custom_code(RESULT, variables=[long]).replace("label=output", f"label={long}"), variables=[long, long]
        )
    ).problems
    assert twice == f"variable '{long[:80]}' is in variables twice"


def test_valid_code_becomes_a_program_with_the_same_line_numbers() -> None:
    code = '"""A check."""\n\nclass Check(CodeEvaluator):  # base\n' + custom_code(RESULT).partition("\n")[2]
    config = custom_config(code=code, imports="from __future__ import annotations\nimport re, json as j")
    contract = read_contract(config)
    assert contract.problems == []
    assert [(line.line, line.source) for line in contract.program.imports] == [(2, "import re, json as j")]
    assert contract.program.bare_code.splitlines()[2] == "class Check(             ):  # base"
    assert len(contract.program.bare_code) == len(code)


@pytest.mark.parametrize(
    "imports",
    [
        IMPORTS.replace("experimental.datasets.", ""),
        IMPORTS.replace("EvaluationResult, CodeEvaluator", "(\n CodeEvaluator,\n EvaluationResult, JSONSerializable)"),
    ],
)  # fmt: skip
def test_imports_accept_both_module_paths_and_multiple_lines(imports: str) -> None:
    assert read_contract(custom_config().model_copy(update={"imports": imports})).problems == []


def test_imports_accept_aliases() -> None:
    imports = IMPORTS.replace("EvaluationResult, CodeEvaluator", "EvaluationResult as R, CodeEvaluator as Base")
    code = "class A(Base):\n    def evaluate(self, *, output=None, **kwargs):\n        return R(label=output)"
    contract = read_contract(custom_config(code=code).model_copy(update={"imports": imports}))
    assert contract.problems == []
    assert contract.program.names == {"R": "EvaluationResult", "Base": "CodeEvaluator"}


@pytest.mark.parametrize("base", ["(CodeEvaluator,)", "(\n    CodeEvaluator\n)", "( CodeEvaluator )"])
def test_base_class_is_accepted_in_any_formatting(base: str) -> None:
    contract = read_contract(custom_config(code=custom_code(RESULT).replace("(CodeEvaluator)", base)))
    assert contract.problems == [] and "CodeEvaluator" not in contract.program.bare_code


@given(st.text(max_size=300), st.text(max_size=100))
def test_read_contract_never_raises_for_any_text(code: str, imports: str) -> None:
    config = custom_config().model_copy(update={"code": code or "x", "imports": imports})
    assert read_contract(config).problems


@pytest.mark.parametrize("base", ["CodeEvaluator", "CodeEvaluator,"])
@pytest.mark.parametrize("nested", ["-" * 20_000 + "1", "1" + "+1" * 10_000, "[" * 90 + "]" * 90, "x" + ".x" * 10_000])
def test_read_contract_never_crashes_on_deeply_nested_code(nested: str, base: str) -> None:
    code = custom_code(f"y = {nested}\n{RESULT}").replace("CodeEvaluator", base)
    for problem in read_contract(custom_config(code=code)).problems:
        assert "cannot be read" in problem or "is not Python" in problem


@given(st.data())
def test_read_contract_never_crashes_on_code_damaged_anywhere(data: st.DataObject) -> None:
    whole = custom_code("if output:\n    return EvaluationResult(label=self.x)\n" + RESULT, extra="x = [1, (2, '3')]\n")
    cut = data.draw(st.integers(0, len(whole)))
    put = data.draw(st.sampled_from(["", "(", '"', "\\", "\n", "\t", "\r", "é", "class", "lambda: ", "import x\n"]))
    read_contract(custom_config(code=whole[:cut] + put + whole[cut:]))
