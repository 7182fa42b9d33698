"""The ledger of promises: what a task run does, sentence by sentence, and the tests that show it.

A test shows a promise by the mark `@pytest.mark.promise("select.window")`; it may carry several, and a promise may have
several tests. `test_promises.py` checks both ways: every promise has a test, every mark names a promise, and the table
in docs/engine.md is this ledger's (`python -m tests.contract.promises --write` writes it).

A promise whose part is not built yet stands in AWAITED as well. Whoever builds it marks the tests and takes it out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "engine.md"
BEGIN = "<!-- promises: written by `python -m tests.contract.promises --write` -->"
END = "<!-- end of the promises -->"

PROMISES: dict[str, str] = {
    "select.window": "A project task takes the spans of its window, both ends included.",
    "select.filters": "A row must fit the task's filter and the evaluator's own.",
    "select.sample": "Sampling is a stable hash of task and row: the same row is always in or out.",
    "select.resumed": "A task run that is gone on with has the rows it began with.",
    "select.newest": "The newest rows are taken, up to max_spans.",
    "select.trace": "Trace granularity evaluates all spans of a trace id as one row.",
    "select.session": "Session granularity evaluates all traces of a session as one row.",
    "select.experiments": "A dataset task takes the experiment runs of the experiments named.",
    "skip.labelled": "A row that already carries the evaluation is skipped.",
    "skip.override": "With override_evaluations it is evaluated anew.",
    "skip.all": "With nothing left to do it ends cancelled, 0/0/0, and the reason names override_evaluations.",
    "map.columns": "Variables are mapped to columns: attributes, short columns, any dotted path.",
    "map.experiment_runs": "Experiment runs have bare columns, and their example's columns behind them.",
    "map.unmapped": "A variable without a mapping means the column of its name.",
    "map.nothing": "A variable that finds nothing makes its row an error that names the variable and the path.",
    "judge.one_call": "A template becomes a prompt, and the prompt one call through the AI integration.",
    "judge.structured": "The verdict is asked for as a tool call or as structured output where the provider has it.",
    "judge.strict": "No label outside the choices is taken, whatever the judge says.",
    "judge.score": "The score is the one the choices give the label.",
    "judge.explanation": "An explanation is asked for and kept if wanted.",
    "code.managed": "The five managed code evaluators do what their names say.",
    "code.custom": "Custom Python evaluates rows in a sandbox.",
    "record.at_once": "An outcome is recorded as it comes, in one transaction with the counts.",
    "record.kinds": "An outcome is a success, an error with its reason, or skipped.",
    "record.spans": "An evaluation stands on its span as eval.<name>.label, .score and .explanation.",
    "record.granularity": "Evaluations of traces and sessions stand under trace_eval. and session_eval.",
    "record.experiment_runs": "An evaluation stands on its experiment run as flat columns of the same names.",
    "record.provenance": "An evaluation keeps its task run, evaluator version, model, tokens and latency.",
    "finish.completed": "A task run with some row errors is completed.",
    "finish.credentials": "Bad credentials or an unknown model fail it as a whole, at the first calls.",
    "finish.all_errors": "It fails when every row is an error.",
    "finish.cancelled": "It is cancelled on request within one row's call, and what was evaluated stays.",
    "finish.reason": "failure_reason says in words why it failed or was cancelled.",
    "experiment.first": "run_experiment makes the experiment first; its id is on the task run at once.",
    "experiment.each": "It fills one experiment run for each example, with the output or the error.",
    "experiment.chain": "Then it triggers the chained evaluation tasks on the new experiment.",
    "continuous.itself": "A continuous task evaluates new spans by itself while a process is alive.",
    "continuous.once": "It evaluates no span twice, however many processes share the store.",
    "continuous.sampled": "It evaluates at its sampling rate.",
    "survive.finished": "After a killed process, whoever opens the store next finishes its task runs.",
    "survive.recorded": "No recorded row is evaluated again by them.",
}

# Not built yet: no test may show them, and the document says so.
AWAITED: frozenset[str] = frozenset()


def marks() -> Iterator[tuple[str, str]]:
    """Every (promise, test) that a mark names, by reading the test files; a test is `file.py::name`."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
                        for argument in decorator.args:
                            name = f"{path.relative_to(TESTS.parent).as_posix()}::{node.name}"
                            yield str(ast.literal_eval(argument)), name


def shown_by() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for promise, test in marks():
        found.setdefault(promise, []).append(test)
    return found


def table() -> str:
    """The part of docs/engine.md between its two markers."""
    found = shown_by()
    lines = ["| a task run | shown by |", "| --- | --- |"]
    for promise, text in PROMISES.items():
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in found.get(promise, ()))
        lines.append(f"| {text} | {tests or 'not built yet'} |")
    return "\n".join(lines)


def document_with_table() -> str:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{DOCUMENT.name} has lost the markers around the table of promises")
    return f"{before}{BEGIN}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(document_with_table(), encoding="utf-8")
    else:
        sys.stdout.write(f"{table()}\n")
