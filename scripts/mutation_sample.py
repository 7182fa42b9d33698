"""Check that tests can fail: mutate a fixed random sample of lines, and run the tests that execute each of them.

    pip install cosmic-ray pytest-cov
    # once: which test executes which line (.coverage), and how long each test takes
    pytest --cov=evaltasks --cov-context=test --cov-report= --junitxml=times.xml
    python scripts/mutation_sample.py --sample 400 --seed 1 --times times.xml --out mutants.jsonl

A mutant is one change of one place by an operator of cosmic-ray. It is killed when a test that executes its line (or,
for a line that runs at import, any test that executes its file) fails. The quickest tests run first. A mutant whose
tests did not all run within SECONDS_MAX is "undecided", which counts as not killed. Survivors are printed at the end:
each needs a test, or a reason why the difference cannot be seen. A second call with the same --out continues where the
first finished; --again FILE:LINE runs the mutants of one line again, after a test for them was written.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import parso
import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from coverage import CoverageData

ROOT = Path(__file__).parents[1]
PACKAGE = Path("server/evaltasks")
# Operators whose mutants mean something here. Those on `|` change annotations, which are never evaluated.
OPERATORS = [
    f"core/{name}"
    for name in (
        "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
        "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop",
        "ExceptionReplacer", "ReplaceUnaryOperator_Delete_Not", "ReplaceComparisonOperator_Eq_NotEq",
        "ReplaceComparisonOperator_NotEq_Eq", "ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt",
        "ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_Is_IsNot",
        "ReplaceComparisonOperator_IsNot_Is", "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add",
        "ReplaceBinaryOperator_Mul_Div", "ReplaceBinaryOperator_Div_Mul",
    )
]  # fmt: skip
# Most mutants die in a few quick tests, so the tests run in groups that take so long together. What is slower than all
# of them is left out: a mutant that only such a test would kill is counted as a survivor.
GROUP_SECONDS = (1.0, 8.0, 40.0)
SECONDS_MAX = 600  # for all groups of one mutant
# What runs in processes of its own, where no coverage is measured, and the tests that start those.
OTHER_PROCESS = {"server/evaltasks/engine/sandbox/locked_worker.py": "tests/faults/test_sandbox.py"}
_SECONDS = itertools.count(1_000_000_000)


@dataclass(frozen=True)
class Mutant:
    """One change: the `occurrence`-th place in `file` where `operator` applies, on line `line`."""

    file: str
    operator: str
    occurrence: int
    line: int
    end_line: int


def all_mutants() -> Iterator[Mutant]:
    """Every mutant of every file, in a fixed order."""
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        tree = parso.parse(path.read_text(encoding="utf-8"))
        for name in OPERATORS:
            operator = get_operator(name)()
            places = [place for node in _nodes(tree) for place in operator.mutation_positions(node)]
            for occurrence, (start, end) in enumerate(places):
                yield Mutant(str(path.relative_to(ROOT)), name, occurrence, start[0], end[0])


def _nodes(node: parso.tree.NodeOrLeaf) -> Iterator[parso.tree.NodeOrLeaf]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def read_times(path: Path) -> dict[str, float]:
    """Return the seconds of each test that passed, by its node id, read from a JUnit report of pytest."""
    times: dict[str, float] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        module = case.get("classname", "").replace(".", "/")
        if not any(child.tag in {"failure", "error", "skipped"} for child in case):
            times[f"{module}.py::{case.get('name')}"] = float(case.get("time", "0"))
    return times


def tests_of(mutant: Mutant, data: CoverageData, measured: dict[str, str], times: dict[str, float]) -> list[str]:
    """Return the tests that execute the mutant's lines, else its file, else its folder; the quickest first.

    Lines that run at import, or in a process of their own (the sandbox's worker), have no test on record.
    """
    lines = range(mutant.line, mutant.end_line + 1)
    folder = str(Path(mutant.file).parent)
    tests = (
        {test for test in times if test.startswith(OTHER_PROCESS.get(mutant.file, "-"))}
        or _recorded(data, measured, [mutant.file], lines)
        or _recorded(data, measured, [mutant.file])
        or _recorded(data, measured, [name for name in measured if str(Path(name).parent) == folder])
    )
    # A test that fails by itself, or did not run, says nothing about a mutant.
    return sorted(tests & times.keys(), key=lambda test: (times[test], test))


def _recorded(data: CoverageData, measured: dict[str, str], files: list[str], lines: range | None = None) -> set[str]:
    """Return the tests that execute one of the lines (any line without `lines`) of the files."""
    tests: set[str] = set()
    for file in files:
        by_line = data.contexts_by_lineno(measured[file]) if file in measured else {}
        for line, contexts in by_line.items():
            if lines is None or line in lines:
                tests.update(context.partition("|")[0] for context in contexts if context)
    return tests


def groups(tests: list[str], times: dict[str, float]) -> Iterator[list[str]]:
    """Split the tests into groups that take GROUP_SECONDS."""
    rest = list(tests)
    for seconds_max in GROUP_SECONDS:
        group: list[str] = []
        seconds = 0.0
        while rest and seconds < seconds_max:
            seconds += times[rest[0]]
            group.append(rest.pop(0))
        if group:
            yield group


def verdict(mutant: Mutant, tests: list[str], times: dict[str, float], copy: Path, runner: Runner) -> str:
    """Run the tests on the mutated copy: killed, survived, undecided (no time left), not covered or not mutated."""
    if not tests:
        return "not covered"
    path = copy / mutant.file
    code = path.read_text(encoding="utf-8")
    mutated = mutate_code(code, get_operator(mutant.operator)(), mutant.occurrence)
    if mutated is None or mutated == code:
        return "not mutated"
    _write(path, mutated)
    ends_at = time.monotonic() + SECONDS_MAX
    try:
        for group in groups(tests, times):
            passed = runner.passes(group, copy, ends_at - time.monotonic())
            if passed is None:
                return "undecided"
            if not passed:
                return "killed"
    finally:
        _write(path, code)
    return "survived"


def _write(path: Path, code: str) -> None:
    """Write the file with a time no version of it had: bytecode is reused for a file of the same size and second."""
    path.write_text(code, encoding="utf-8")
    second = next(_SECONDS)
    os.utime(path, (second, second))


class Runner:
    """Runs groups of tests in forks of one process that has imported all libraries, but nothing of ours.

    Starting pytest again for each mutant would take longer than most groups.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def passes(self, tests: list[str], copy: Path, seconds: float) -> bool | None:
        """Return whether all tests pass; None when they did not end in time (each has a time-out of its own)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        (copy / "tests.txt").write_text("\n".join(tests), encoding="utf-8")
        self._process.stdin.write(json.dumps([str(copy), max(1.0, seconds)]) + "\n")
        self._process.stdin.flush()
        answer: bool | None = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answer each line on stdin, [folder, seconds], with true, false or null (out of time) on stdout."""
    probe = "import sys, pytest, hypothesis, evaltasks.app, evaltasks.engine.engine, evaltasks.cli; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "server")}
    names = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        if name.partition(".")[0] not in {"evaltasks", "__main__", "__mp_main__"}:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    for line in sys.stdin:
        folder, seconds = json.loads(line)
        process = os.fork()
        if process == 0:
            _run_tests(Path(folder))
        print(json.dumps(_wait(process, seconds)), flush=True)


def _run_tests(copy: Path) -> NoReturn:
    os.setsid()
    os.chdir(copy)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ["PYTHONPATH"] = str(copy / "server")
    sys.path[:0] = [str(copy), str(copy / "server")]
    code = 3
    try:
        # The plug-ins were imported before pytest could rewrite their assertions, which is not needed here.
        options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main([*options, "@tests.txt"]))
    finally:
        os._exit(code)


def _wait(process: int, seconds: float) -> bool | None:
    ends_at = time.monotonic() + seconds
    pause = 0.01
    while time.monotonic() < ends_at:
        finished, status = os.waitpid(process, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(pause)
        pause = min(0.2, pause * 1.2)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coverage", type=Path, default=ROOT / ".coverage")
    parser.add_argument("--times", type=Path, required=True, help="a JUnit report of the suite")
    parser.add_argument("--again", nargs="*", default=[], metavar="FILE:LINE", help="forget these and run them again")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    population = list(all_mutants())
    sample = random.Random(options.seed).sample(population, options.sample)
    seen = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    seen = [row for row in seen if f"{row['file']}:{row['line']}" not in options.again]
    options.out.write_text("".join(json.dumps(row) + "\n" for row in seen), encoding="utf-8")
    times = read_times(options.times) if options.times else {}
    known = {(row["file"], row["operator"], row["occurrence"]) for row in seen}
    todo = [mutant for mutant in sample if (mutant.file, mutant.operator, mutant.occurrence) not in known]
    data = CoverageData(str(options.coverage))
    data.read()
    measured = {str(Path(name).relative_to(ROOT)): name for name in data.measured_files()}
    print(f"{len(population)} mutants, sample of {len(sample)} (seed {options.seed}), {len(todo)} to do")
    work = [(mutant, tests_of(mutant, data, measured, times)) for mutant in todo]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        copies = [Path(folder) / str(number) for number in range(options.jobs)]
        for copy in copies:
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".hypothesis", ".mypy_cache"))

        places = [(copy, Runner()) for copy in copies]
        # Tests that fail without a mutant would kill every mutant.
        unmutated = next(groups(sorted({test for _, tests in work for test in tests[:1]}), times), [])
        assert all(runner.passes(unmutated, copy, SECONDS_MAX) for copy, runner in places), (
            "the tests fail by themselves"
        )

        def examine(item: tuple[Mutant, list[str]]) -> None:
            place = places.pop()
            try:
                row = {**asdict(item[0]), "tests": len(item[1]), "verdict": verdict(*item, times, *place)}
            finally:
                places.append(place)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

        list(pool.map(examine, work))
        for _, runner in places:
            runner.close()
    rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    counts = {name: sum(row["verdict"] == name for row in rows) for name in sorted({row["verdict"] for row in rows})}
    for row in rows:
        if row["verdict"] in {"survived", "undecided", "not covered"}:
            print(f"{row['verdict']}: {row['file']}:{row['line']} {row['operator']} #{row['occurrence']}")
    mutated = len(rows) - counts.get("not mutated", 0)
    print(counts, f"killed: {counts.get('killed', 0)} of {mutated}")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
