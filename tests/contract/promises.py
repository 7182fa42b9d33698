"""The ledgers of promises: what a task run and our client do, sentence by sentence, and the tests that show it.

A test shows a promise by the mark `@pytest.mark.promise("select.window")`; it may carry several, and a promise may have
several tests. `test_promises.py` checks both ways: every promise has a test, every mark names a promise, and the tables
in docs/engine.md and docs/client.md are the ledgers' (`python -m tests.contract.promises --write` writes them).

A promise that is not implemented yet is also in AWAITED. When it is implemented, mark the tests and remove it there.
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
    "select.filters": "A row must match the filter of the task and that of the evaluator.",
    "select.sample": "Sampling is a stable hash of task and row: the same row is always in or out.",
    "select.resumed": "A resumed task run has the rows it started with.",
    "select.newest": "The newest rows are taken, up to max_spans.",
    "select.trace": "Trace granularity evaluates all spans of a trace id as one row.",
    "select.session": "Session granularity evaluates all traces of a session as one row.",
    "select.experiments": "A dataset task takes the experiment runs of the named experiments.",
    "skip.labelled": "A row that already has the evaluation is skipped.",
    "skip.override": "With override_evaluations such a row is evaluated again.",
    "skip.all": "If all rows are skipped, it ends cancelled, 0/0/0, with a reason that names override_evaluations.",
    "map.columns": "Variables are mapped to columns: attributes, short columns, any dotted path.",
    "map.experiment_runs": "Experiment runs have bare columns, and then the columns of their example.",
    "map.unmapped": "A variable without a mapping is mapped to the column of its name.",
    "map.nothing": "If a variable has no value, the row is an error that names the variable and the path.",
    "judge.one_call": "A template is rendered to a prompt, and the prompt is one call through the AI integration.",
    "judge.structured": "The verdict is requested as a tool call or structured output if the provider supports it.",
    "judge.strict": "A label outside the choices is never accepted.",
    "judge.score": "The score is the one that the choices assign to the label.",
    "judge.explanation": "An explanation is requested and stored if the evaluator asks for it.",
    "code.managed": "The five managed code evaluators evaluate rows without a model.",
    "code.custom": "Custom Python evaluates rows in a sandbox.",
    "record.at_once": "An outcome is recorded immediately, in one transaction with the counts.",
    "record.kinds": "An outcome is a success, an error with its reason, or skipped.",
    "record.spans": "An evaluation is on its span as eval.<name>.label, .score and .explanation.",
    "record.granularity": "Evaluations of traces and sessions are in the columns trace_eval. and session_eval.",
    "record.experiment_runs": "An evaluation is on its experiment run as flat columns of the same names.",
    "record.provenance": "An evaluation keeps its task run, evaluator version, model, tokens and latency.",
    "finish.completed": "A task run with some row errors is completed.",
    "finish.credentials": "Invalid credentials or an unknown model fail the whole task run, at the first calls.",
    "finish.all_errors": "It fails if every row is an error.",
    "finish.cancelled": "It is cancelled on request within the call of one row, and existing evaluations are kept.",
    "finish.reason": "failure_reason is a sentence that says why it failed or was cancelled.",
    "experiment.first": "run_experiment creates the experiment first; the task run has its id immediately.",
    "experiment.each": "It creates one experiment run for each example, with the output or the error.",
    "experiment.chain": "Then it triggers the chained evaluation tasks on the new experiment.",
    "continuous.itself": "A continuous task evaluates new spans automatically while a process is running.",
    "continuous.once": "It evaluates no span twice, however many processes share the store.",
    "continuous.sampled": "It evaluates at its sampling rate.",
    "survive.finished": "After a process was killed, the next process that opens the store finishes its task runs.",
    "survive.recorded": "Recorded rows are not evaluated again.",
}

OF_THE_CLIENT: dict[str, str] = {
    "write.exact": "It sends the method, path, query and body of its operation, and nothing else.",
    "write.known": "It cannot send AX a member, parameter or enum value that AX does not know.",
    "write.tools": "The tools send AX only what AX supports; operations of evaltasks itself go only to an engine.",
    "write.upper": "It sends enumerations in upper case and times in UTC, however they were passed.",
    "write.nulls": "It sends no null in a creation; in an update exactly what was set, where null clears.",
    "write.path": "It keeps an id inside its path segment, or refuses it before anything is sent.",
    "read.whole": "It keeps every known member of a response, and all columns of the user.",
    "read.tolerant": "It ignores unknown members and enum values of a newer service.",
    "read.encoding": "It reads JSON with any content type, compression, or a byte order mark.",
    "read.page": "It never accepts a proxy page as a response, whatever its status, and does not quote its text.",
    "repeat.reading": "It retries a read after a transient failure: a cut connection, a timeout, 502, 503, 504.",
    "repeat.unsent": "It retries a write only if it cannot have taken effect: never sent, or a 429.",
    "repeat.never": "It never retries a write that may have taken effect, and advises to check first.",
    "repeat.asked": "It waits as long as Retry-After says, in seconds or as a date; more than 60 s is reported.",
    "repeat.bounded": "It stops after four attempts or 90 s, and immediately if a retry cannot help.",
    "bound.time": "It limits the total time of each attempt, slow bodies included.",
    "bound.size": "It reads at most 128 MiB of a response, counted after decompression.",
    "page.every": "It reads a list to its end: every item once and in order, whatever the page size.",
    "page.end": "It never ends a list early without an error, and never follows one forever.",
    "name.exact": "It resolves a name only to the one resource with exactly that name.",
    "name.pages": "It searches a name on every page, also while the list changes.",
    "name.ambiguous": "It refuses an ambiguous name and lists the ids.",
    "name.fresh": "It does not cache names between calls.",
    "name.id": "It uses an id or a link without a request, and refuses one of another kind of resource.",
    "report.class": "It raises an error response as the class of its status, with the service's reason and members.",
    "report.words": "Every failure has a message that says what is wrong and what to do next.",
    "report.401": "It reports a 401 with its possible causes: invalid key, other account, a space the key cannot see.",
    "report.404": "It reports a 404 with both possible causes: it does not exist, or this key cannot see it.",
    "key.secret": "It shows the key in no error, log or repr, even if the service returns it.",
    "key.redirect": "It follows no redirect, because the key would be sent along.",
    "key.plain": "It sends the key over plain HTTP only to this machine, unless that is allowed.",
    "engine.known": "It asks once whether the service is an engine; arize.com is taken for AX without a request.",
}

# Not implemented yet: no test may have their marks, and the document says so.
AWAITED: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ledger:
    """Promises, who makes them, and the document with their table between the markers."""

    document: Path
    who: str
    promises: Mapping[str, str]

    def table(self) -> str:
        found = shown_by()
        lines = [f"| {self.who} | shown by |", "| --- | --- |"]
        for promise, text in self.promises.items():
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in found.get(promise, ()))
            lines.append(f"| {text} | {tests or 'not implemented yet'} |")
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
    """Return the ids of all ledgers; an id in two ledgers is in the list twice."""
    return [promise for ledger in LEDGERS for promise in ledger.promises]


def marks() -> Iterator[tuple[str, str]]:
    """Return every (promise, test) of a mark, read from the test files; a test is `file.py::name`."""
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
