"""The ledgers of promises: what a task run and what our client does, sentence by sentence, and the tests that show it.

A test shows a promise by the mark `@pytest.mark.promise("select.window")`; it may carry several, and a promise may have
several tests. `test_promises.py` checks both ways: every promise has a test, every mark names a promise, and the tables
in docs/engine.md and docs/client.md are the ledgers' (`python -m tests.contract.promises --write` writes them).

A promise whose part is not built yet is in AWAITED as well. Whoever builds it marks the tests and takes it out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
BEGIN = "<!-- promises: written by `python -m tests.contract.promises --write` -->"
END = "<!-- end of the promises -->"

OF_TASK_RUNS: dict[str, str] = {
    "select.window": "A project task takes the spans of its window, both ends included.",
    "select.filters": "A row must fit the task's filter and the evaluator's own.",
    "select.sample": "Sampling is a stable hash of task and row: the same row is always in or out.",
    "select.resumed": "A task run that is gone on with has the rows it began with.",
    "select.newest": "The newest rows are taken, up to max_spans.",
    "select.trace": "Trace granularity evaluates all spans of a trace id as one row.",
    "select.session": "Session granularity evaluates all traces of a session as one row.",
    "select.experiments": "A dataset task takes the experiment runs of the experiments named.",
    "skip.labelled": "A row that already carries the evaluation is skipped.",
    "skip.override": "With override_evaluations it is evaluated again.",
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
    "record.spans": "An evaluation is on its span as eval.<name>.label, .score and .explanation.",
    "record.granularity": "Evaluations of traces and sessions stand under trace_eval. and session_eval.",
    "record.experiment_runs": "An evaluation is on its experiment run as flat columns of the same names.",
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

OF_THE_CLIENT: dict[str, str] = {
    "write.exact": "It sends the method, path, query and body of its operation, and nothing besides.",
    "write.known": "It cannot send AX a member, parameter or word that AX does not know.",
    "write.tools": "What the tools ask of AX is what AX has; what is evaltasks' own goes to an engine alone.",
    "write.upper": "It sends enumerations in upper case and times in UTC, however they were given.",
    "write.nulls": "It sends no null in a creation; in a change exactly what was set, and a null clears.",
    "write.path": "It keeps an id inside its path segment, or refuses it before anything is sent.",
    "read.whole": "It loses nothing of an answer that it knows, and none of the user's own columns.",
    "read.tolerant": "It reads past members and words of a service that is newer than itself.",
    "read.encoding": "It reads JSON under any content type, packed, and with a byte order mark in front.",
    "read.page": "It takes no page of a proxy for an answer, whatever its status, and repeats none of its text.",
    "repeat.reading": "It repeats a read after a passing failure: a cut connection, a time-out, 502, 503, 504.",
    "repeat.unsent": "It repeats a call that changes only when it cannot have taken effect: never sent, or a 429.",
    "repeat.never": "It never repeats a change that may have taken effect, and says to look first.",
    "repeat.asked": "It waits as long as Retry-After says, in seconds or as a date; more than a minute is only told.",
    "repeat.bounded": "It gives up after four attempts or 90 s, and at once where repeating cannot help.",
    "bound.time": "It bounds each attempt as a whole, a dripping body included.",
    "bound.size": "It reads no more than 128 MiB of an answer, counted unpacked.",
    "page.every": "It walks a list to its end: every item once and in order, whatever the size of the pages.",
    "page.end": "It ends no list early in silence and follows none for ever.",
    "name.exact": "It takes a name for the one resource of exactly that name, and guesses never.",
    "name.pages": "It looks for a name on every page, also while the list changes under it.",
    "name.ambiguous": "It refuses a name that several bear, and shows their ids.",
    "name.fresh": "It remembers no name between calls.",
    "name.id": "It takes an id or a link as it is, without a request, and refuses one of another kind.",
    "tell.class": "It raises an error answer as the class of its status, with the service's reason and members.",
    "tell.words": "Every failure has a message that says what is wrong and what to do next.",
    "tell.401": "It tells a 401 with its readings: no valid key, another account, a space the key may not see.",
    "tell.404": "It tells a 404 with both: it does not exist, or this key cannot see it.",
    "key.secret": "It shows the key in no error, log or repr, also when the service says it back.",
    "key.redirect": "It follows no redirect, for the key would go along.",
    "key.plain": "It sends the key over plain HTTP to this machine only, unless that was allowed.",
    "engine.known": "It asks once whether an engine is there; arize.com is AX without asking.",
}

# Not built yet: no test may show them, and the document says so.
AWAITED: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ledger:
    """Promises, what makes them, and the document that has their table between the markers."""

    document: Path
    who: str
    promises: Mapping[str, str]

    def table(self) -> str:
        found = shown_by()
        lines = [f"| {self.who} | shown by |", "| --- | --- |"]
        for promise, text in self.promises.items():
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in found.get(promise, ()))
            lines.append(f"| {text} | {tests or 'not built yet'} |")
        return "\n".join(lines)

    def document_with_table(self) -> str:
        before, _, rest = self.document.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"{self.document.name} has lost the markers around the table of promises")
        return f"{before}{BEGIN}\n{self.table()}\n{end}{after}"


LEDGERS = (
    Ledger(DOCS / "engine.md", "a task run", OF_TASK_RUNS),
    Ledger(DOCS / "client.md", "our client", OF_THE_CLIENT),
)


def promises() -> list[str]:
    """The ids of all ledgers; one that is in two is twice in the list."""
    return [promise for ledger in LEDGERS for promise in ledger.promises]


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


if __name__ == "__main__":
    for ledger in LEDGERS:
        if "--write" in sys.argv[1:]:
            ledger.document.write_text(ledger.document_with_table(), encoding="utf-8")
        else:
            sys.stdout.write(f"{ledger.table()}\n")
