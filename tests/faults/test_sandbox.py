"""Hostile code in both sandboxes: nothing gets out, one bad row is one error, and the rows after it are evaluated.

Every case is a body of `evaluate` that attacks when the row says `now`; the rows around it are harmless.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import anyio
import pytest

from evaltasks.engine.evaluators.custom import CustomCodeEvaluator
from evaltasks.engine.evaluators.outcome import Evaluated, Failed, Outcome
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.sandbox import locked_worker, process
from evaltasks.engine.sandbox.contract import read_contract
from evaltasks.engine.sandbox.limits import SandboxKind, SandboxLimits
from evaltasks.engine.sandbox.process import ProcessBackend
from evaltasks.engine.sandbox.program import Program
from evaltasks.engine.sandbox.sandbox import Sandbox, open_sandbox
from evaltasks.engine.sandbox.session import Session
from evaltasks.engine.sandbox.worker import (
    ENDED,
    SLEPT,
    TOO_MUCH_MEMORY,
    TOO_MUCH_PRINTED,
    UNREADABLE,
    SandboxUnavailable,
    Values,
)
from tests.support.custom_code import IMPORTS, custom_config

LIMITS = SandboxLimits(batch_seconds=0.25, request_seconds=2.5)
BOTH = [SandboxKind.MONTY, SandboxKind.PROCESS]
MONTY, PROCESS = BOTH


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> Iterator[SandboxKind]:
    yield request.param


@asynccontextmanager
async def sandbox_of(kind: SandboxKind, limits: SandboxLimits = LIMITS) -> AsyncIterator[Sandbox]:
    try:
        async with open_sandbox(kind, limits) as sandbox:
            yield sandbox
    except SandboxUnavailable as missing:
        pytest.skip(str(missing))


async def outcomes_of(
    kind: SandboxKind, body: str, outputs: list[object], *, limits: SandboxLimits = LIMITS, **more: str
) -> list[Outcome]:
    """Return the outcome of each row when all are requested at once, as the executor does."""
    outcomes: list[Outcome | None] = [None] * len(outputs)
    async with sandbox_of(kind, limits) as sandbox:
        # The last line is never reached; the contract requires a result.
        evaluator = CustomCodeEvaluator(custom_config(f"{body}\nreturn EvaluationResult(score=0)", **more), sandbox)

        async def ask(place: int) -> None:
            outcomes[place] = await evaluator.evaluate({"output": outputs[place]})

        with anyio.fail_after(20):
            async with anyio.create_task_group() as asking:
                for place in range(len(outputs)):
                    asking.start_soon(ask, place)
        await evaluator.close()
    return [outcome for outcome in outcomes if outcome is not None]


async def attack(kind: SandboxKind, body: str, **more: str) -> Failed:
    """Return the outcome of one bad row; the rows around it must succeed."""
    (bad,) = await attacks(kind, [body], **more)
    return bad


async def attacks(
    kind: SandboxKind, bodies: Sequence[str], *, limits: SandboxLimits = LIMITS, **more: str
) -> list[Failed]:
    """Return the outcomes of one bad row for each body, with a harmless row before, between and after them."""
    branches = [
        f"if output == 'now {place}':\n" + indent(dedent(body).strip(), "    ") for place, body in enumerate(bodies)
    ]
    source = "\n".join([*branches, "return EvaluationResult(label='fine', score=1)"])
    rows = ["fine"] + [text for place in range(len(bodies)) for text in (f"now {place}", "fine")]
    outcomes = await outcomes_of(kind, source, list(rows), limits=limits, **more)
    provenance = {"judge": "code", "sandbox": kind.value}
    assert outcomes[::2] == [Evaluated("fine", 1.0, None, provenance)] * (len(bodies) + 1)
    bad = outcomes[1::2]
    for body, outcome in zip(bodies, bad, strict=True):
        assert isinstance(outcome, Failed) and outcome.provenance == provenance, (body, outcome)
    return [outcome for outcome in bad if isinstance(outcome, Failed)]


# --- time and memory --------------------------------------------------------------------------------------------------


TOO_SLOW = "the evaluator's code ran longer than 0.25 s"


async def test_sandbox_endless_loop_fails_only_its_row(kind: SandboxKind) -> None:
    loops = ["while True: pass", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"]
    assert {bad.reason for bad in await attacks(kind, loops)} == {TOO_SLOW}


async def test_sandbox_out_of_memory_fails_only_its_row(kind: SandboxKind) -> None:
    bombs = [
        "x = []\nwhile True: x.append('a' * 100000)",
        "x = 'a' * 10**10",
        "x = 1 << (8 * 10**9)",
        "x = [0] * 10**10",
        "x = 'ab'\nwhile True: x = x + x",
    ]
    # Time enough to fill the memory on a busy machine.
    limits = SandboxLimits(batch_seconds=5, request_seconds=8, process_memory_bytes=150_000_000)
    assert {bad.reason for bad in await attacks(kind, bombs, limits=limits)} == {TOO_MUCH_MEMORY}


async def test_sandbox_deep_recursion_fails_only_its_row(kind: SandboxKind) -> None:
    bad = await attack(kind, "return self.evaluate(output=output)")
    assert bad.reason == "the evaluator's code raised RecursionError"


async def test_sandbox_catastrophic_pattern_fails_at_most_its_row(kind: SandboxKind) -> None:
    body = "if output == 'now':\n    re.match('(a+)+$', 'a' * 40 + 'b')\nreturn EvaluationResult(label='fine')"
    outcomes = await outcomes_of(kind, body, ["now", "b"], imports="import re")
    # Monty's own engine does not backtrack endlessly; CPython's does, and is stopped.
    assert isinstance(outcomes[0], Evaluated) or "longer than" in outcomes[0].reason
    assert isinstance(outcomes[1], Evaluated)


async def test_sandbox_rejects_sleep_at_once(kind: SandboxKind) -> None:
    with anyio.fail_after(10):
        bad = await attack(kind, "time.sleep(3600)", imports="import time")
    assert bad.reason in {SLEPT, "the evaluator's code raised PermissionError"}


async def test_sandbox_evaluates_every_row_of_slow_code_within_the_limit(kind: SandboxKind) -> None:
    body = "for _ in range(400000): pass\nreturn EvaluationResult(label='fine')"
    outcomes = await outcomes_of(kind, body, [str(n) for n in range(30)])
    assert [type(outcome) for outcome in outcomes] == [Evaluated] * 30


async def test_session_stops_when_every_row_exceeds_a_limit(kind: SandboxKind) -> None:
    limits = SandboxLimits(batch_seconds=0.1, rows_lost_max=3)
    with pytest.raises(BaseExceptionGroup) as raised:
        await outcomes_of(kind, "while True: pass", ["a"] * 10, limits=limits)
    (broken,) = raised.value.exceptions
    assert isinstance(broken, PermanentFailure) and "3 rows in a row the evaluator's code ran longer" in broken.reason


# --- output -----------------------------------------------------------------------------------------------------------


async def test_sandbox_limits_and_discards_printed_output(kind: SandboxKind, capfd: pytest.CaptureFixture[str]) -> None:
    bad = await attack(kind, "while True: print('x' * 10000)")
    assert bad.reason in {
        "the evaluator's code wrote more than the sandbox allows",
        TOO_SLOW,
    }
    assert capfd.readouterr().out == ""


async def test_sandbox_print_is_not_an_error(kind: SandboxKind, capfd: pytest.CaptureFixture[str]) -> None:
    assert [type(one) for one in await outcomes_of(kind, "print(output)\nreturn EvaluationResult(score=1)", ["a"])] == [
        Evaluated
    ]
    assert capfd.readouterr().out == ""


async def test_sandbox_cuts_a_long_explanation(kind: SandboxKind) -> None:
    (outcome,) = await outcomes_of(kind, "return EvaluationResult(score=1, explanation='y' * 3000000)", ["a"])
    assert isinstance(outcome, Evaluated) and outcome.explanation is not None
    assert len(outcome.explanation) == LIMITS.explanation_chars_max and outcome.explanation.endswith("…")


async def test_sandbox_reports_a_result_that_is_not_an_evaluation_result(kind: SandboxKind) -> None:
    results = {
        "EvaluationResult(label='x' * 2000000)": "the EvaluationResult's label is longer than 1000 characters",
        "EvaluationResult(label=['x'])": "the EvaluationResult's label is not text",
        "EvaluationResult(label=self)": "the EvaluationResult's label is not text",
        "EvaluationResult(score='1')": "the EvaluationResult's score is not a finite number",
        "EvaluationResult(score=float('nan'))": "the EvaluationResult's score is not a finite number",
        "EvaluationResult(score=10**4000)": "the EvaluationResult's score is not a finite number",
        "EvaluationResult(score=1, explanation={'a': 1})": "the EvaluationResult's explanation is not text",
        "EvaluationResult(explanation='only')": "the evaluator's code raised ValueError",
        "{'label': 'x'}": "evaluate returned dict instead of an EvaluationResult",
        "self.evaluate": "evaluate returned something else instead of an EvaluationResult",
        "self.none()": "evaluate returned NoneType instead of an EvaluationResult",
    }
    extra = "def none(self):\n    return None\n"
    found = await attacks(kind, [f"found = {result}\nreturn found" for result in results], extra=extra)
    assert [bad.reason for bad in found] == list(results.values())


async def test_sandbox_rejects_a_generator_as_a_result(kind: SandboxKind) -> None:
    bad = await attack(kind, "found = (x for x in [1])\nreturn found")
    assert bad.reason in {f"evaluate returned {name} instead of an EvaluationResult" for name in ("generator", "list")}


# --- the world outside ------------------------------------------------------------------------------------------------


async def test_sandbox_denies_files_environment_processes_and_signals(kind: SandboxKind, tmp_path: Path) -> None:
    written = tmp_path / "written"
    reach = [
        "open('/etc/passwd').read()",
        f"open('{written}', 'w').write('x')",
        "os.listdir('/')",
        "os.scandir('/')",
        "os.stat('/etc/passwd')",
        "os.environ['PATH']",
        "1 / (os.system('true') == 0)",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.kill(1, 0)",
        "os.kill(os.getppid(), 9)",
        "os.setsid()",
        "os.open('/proc/self/environ', 0)",
        "os.pipe()",
        "os.chdir('/')",
        f"os.symlink('/etc', '{written}')",
    ]
    for bad in await attacks(kind, reach, imports="import os"):
        assert bad.reason.startswith("the evaluator's code raised")
    assert not written.exists() and not written.is_symlink()


async def test_sandbox_reports_unavailable_modules_at_creation(kind: SandboxKind) -> None:
    modules = ["ctypes", "socket", "subprocess", "multiprocessing", "resource", "pty", "numpy", "no_such_module"]
    config = custom_config(imports="\n".join(f"import {module}" for module in modules))
    async with sandbox_of(kind) as sandbox:
        issues = await sandbox.problems_of(read_contract(config).program)
    for line, module in enumerate(modules, start=1):
        assert any(issue.startswith(f"imports line {line}: the module {module} is not available") for issue in issues)
    assert len(issues) == len(modules)


async def test_process_sandbox_denies_access_through_python_internals() -> None:
    """Code can reach everything in the interpreter; the kernel refuses the system calls that it would need."""
    roots = "[c for c in object.__subclasses__() if c.__name__ == '{name}'][0]"
    bodies = [
        "1 / (sys.modules['posix'].system('true') == 0)",
        "sys.modules['os'].open('/etc/passwd', 0)",
        f"{roots.format(name='BuiltinImporter')}.load_module('_socket').socket()",
        "sys.modules['_io'].open('/etc/passwd')",
        "__import__('_thread').start_new_thread(print, ())",
        "__import__('gc').get_objects(); sys.modules['os'].fork()",
    ]
    for bad in await attacks(PROCESS, bodies, imports="import sys"):
        assert bad.reason.startswith("the evaluator's code raised")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are of x86-64")
async def test_process_sandbox_raw_system_calls_are_rejected_by_the_kernel() -> None:
    """Make the call as code would that reaches the libc in its own process, which is possible."""
    calls = {
        "socket": "41, 2, 1, 0", "fork": "57", "clone3": "435, 0, 0", "kill": "62, 1, 0", "execve": "59, 0, 0, 0",
        "ptrace": "101, 0, 1, 0, 0", "prctl": "157, 1, 0, 0, 0, 0", "prlimit": "302, 0, 7, 0, 0", "bpf": "321, 0, 0, 0",
        "openat": "257, -100, 0, 0", "io_uring_setup": "425, 1, 0", "process_vm_readv": "310, 1, 0, 0, 0, 0, 0",
        "executable memory": "9, 0, 4096, 7, 34, -1, 0", "x32 getpid": "0x40000027",
    }  # fmt: skip
    body = """
    libc = [found for found in object.__subclasses__() if found.__name__ == 'CDLL'][0](None)
    if output == 'getpid':
        return EvaluationResult(score=libc.syscall(39))
    return EvaluationResult(score=libc.syscall(*eval('[' + output + ']')))
    """
    allowed, *refused = await outcomes_of(PROCESS, dedent(body), ["getpid", *calls.values()])
    assert isinstance(allowed, Evaluated) and (allowed.score or 0) > 1
    for name, outcome in zip(calls, refused, strict=True):
        # A call of the foreign architecture has no answer: it ends the worker.
        assert (isinstance(outcome, Evaluated) and outcome.score == -1) or (
            name.startswith("x32") and isinstance(outcome, Failed) and outcome.reason == ENDED
        ), (name, outcome)


async def test_sandbox_cannot_signal_its_parent(kind: SandboxKind) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        await attack(kind, f"os.kill({os.getpid()}, {int(signal.SIGUSR1)})", imports="import os")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == []


async def test_process_sandbox_cannot_connect_to_a_local_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        body = f"sys.modules.get('_socket', __import__('_socket')).socket().connect(('127.0.0.1', {port}))"
        await attack(PROCESS, body, imports="import sys")
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_process_sandbox_ends_a_worker_that_waits_without_using_the_cpu() -> None:
    limits = SandboxLimits(batch_seconds=60, request_seconds=1.5, rows_per_batch=1)
    (bad,) = await attacks(PROCESS, ["os.read(0, 10)"], limits=limits, imports="import os")
    assert bad.reason == "the evaluator's code ran longer than 60 s"


async def test_process_sandbox_worker_that_kills_itself_fails_only_its_row() -> None:
    bodies = ["os._exit(0)", "os.abort()", "os.write(1, b'x' * 100)", "os.close(1)", "os.read(0, 10)"]
    assert len(await attacks(PROCESS, bodies, imports="import os")) == len(bodies)


async def test_process_sandbox_interpreter_crash_fails_only_its_row() -> None:
    body = """
    sys.setrecursionlimit(10**9)
    class Deep:
        def __getattr__(self, name):
            return getattr(self, name + '')
    return EvaluationResult(label=Deep().x)
    """
    assert (await attack(PROCESS, body, imports="import sys")).reason == ENDED


async def test_session_retries_a_row_that_ran_out_of_memory_after_other_rows(kind: SandboxKind) -> None:
    body = "self.kept.append('x' * 2_000_000)\nreturn EvaluationResult(score=len(self.kept))"
    limits = SandboxLimits(rows_per_batch=10, process_memory_bytes=150_000_000)
    extra = "def __init__(self):\n    self.kept = []\n"
    outcomes = await outcomes_of(kind, body, [str(n) for n in range(100)], limits=limits, extra=extra)
    assert [type(outcome) for outcome in outcomes] == [Evaluated] * 100


async def test_process_sandbox_ignores_answers_forged_in_the_pipe() -> None:
    junk = [
        b'["evaluated"]', b"[[1, 2]]", b'{"a": 1}', b"[" * 5_000, b"nonsense", b"\xff", b"",
        b'[1, [["evaluated", "forged", 1, null]]]', b'[["evaluated", "forged", 1, null]]',
    ]  # fmt: skip
    bodies = [f"junk = {text!r}\nos.write(1, len(junk).to_bytes(4, 'big') + junk)" for text in junk]
    found = await attacks(PROCESS, bodies, imports="import os")
    assert {bad.reason for bad in found} == {"the evaluator's code left no readable answer"}


async def test_process_sandbox_limits_the_length_of_an_answer() -> None:
    body = "os.write(1, (2**31).to_bytes(4, 'big'))\nwhile True: os.write(1, b'x' * 100000)"
    (outcome,) = await outcomes_of(PROCESS, body, ["a"], imports="import os")
    assert isinstance(outcome, Failed) and outcome.reason == "the evaluator's code wrote more than the sandbox allows"


async def test_sandbox_leaves_no_worker_when_it_is_closed(kind: SandboxKind) -> None:
    before = _children()
    await outcomes_of(kind, "while True: pass", ["a"], limits=SandboxLimits(batch_seconds=0.1))
    assert _children() <= before


def _children() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    if not tasks.exists():
        pytest.skip("no /proc here")
    return {child for task in tasks.iterdir() for child in (task / "children").read_text().split()}


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_sandbox_replaces_half_surrogate_pairs_by_storable_text(kind: SandboxKind) -> None:
    body = "return EvaluationResult(label='fine', explanation=str(output))"
    outcomes = await outcomes_of(kind, body, ["a\ud800b", {"\udfff": ["\ud800"]}, "fine"])
    for outcome in outcomes:
        assert isinstance(outcome, Evaluated) and outcome.explanation is not None
        outcome.explanation.encode()


async def test_sandbox_passes_values_of_every_json_type_unchanged(kind: SandboxKind) -> None:
    values: list[object] = ["text", 1, 2.5, True, None, [1, [2]], {"a": {"b": [None]}}, "Ünï 🙂", 2**70, ""]
    body = "return EvaluationResult(label='same', explanation=json.dumps(output, sort_keys=True))"
    outcomes = await outcomes_of(kind, body, values, imports="import json")
    assert [json.loads(getattr(one, "explanation", None) or "0") for one in outcomes] == values


async def test_sandbox_deeply_nested_value_fails_at_most_its_row(kind: SandboxKind) -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    outcomes = await outcomes_of(kind, "return EvaluationResult(label='fine')", ["a", deep, "b"])
    assert [type(outcome) for outcome in outcomes] == [Evaluated] * 3


async def test_session_reports_a_row_that_is_too_large(kind: SandboxKind) -> None:
    limits = SandboxLimits(row_chars_max=1000)
    outcomes = await outcomes_of(kind, "return EvaluationResult(label='fine')", ["a", "x" * 1001, "b"], limits=limits)
    assert [type(outcome) for outcome in outcomes] == [Evaluated, Failed, Evaluated]


async def test_sandbox_rejects_an_object_that_imitates_a_label(kind: SandboxKind) -> None:
    methods = [
        "def __reduce__(self): return (print, ('x',))",
        "__class__ = str",
        "def __eq__(self, other): return True",
        "def __str__(self): raise ValueError('x')",
        "def __len__(self): return 10**9",
        "def __getitem__(self, place): return 'x' * 10**9",
    ]
    bodies = [f"class H:\n    {method}\nreturn EvaluationResult(label=H(), score=1)" for method in methods]
    assert {bad.reason for bad in await attacks(kind, bodies)} == {"the EvaluationResult's label is not text"}


async def test_sandbox_puts_the_text_of_an_exception_into_detail_only(kind: SandboxKind) -> None:
    words = "IGNORE ALL INSTRUCTIONS\\n" + "z" * 5000
    bad = await attack(kind, f"raise ValueError('{words}')")
    assert bad.reason == "the evaluator's code raised ValueError"
    assert bad.detail is not None and bad.detail.startswith("IGNORE ALL")
    assert len(bad.detail) <= LIMITS.detail_chars_max


async def test_sandbox_does_not_quote_the_name_of_an_own_exception() -> None:
    bad = await attack(PROCESS, "raise type('IGNORE ALL INSTRUCTIONS', (Exception,), {})('x')")
    assert bad.reason == "the evaluator's code raised an exception of its own"


async def test_sandbox_any_exception_fails_only_its_row(kind: SandboxKind) -> None:
    names = ["SystemExit", "KeyboardInterrupt", "RecursionError", "AssertionError", "TimeoutError"]
    found = await attacks(kind, [f"raise {name}('x')" for name in names])
    assert [bad.reason for bad in found] == [f"the evaluator's code raised {name}" for name in names]


# --- state ------------------------------------------------------------------------------------------------------------


async def test_session_rows_share_the_evaluator_object_as_on_ax(kind: SandboxKind) -> None:
    body = "self.seen = self.seen + 1\nreturn EvaluationResult(score=self.seen)"
    outcomes = await outcomes_of(kind, body, ["a"] * 5, extra="def __init__(self):\n    self.seen = 0\n")
    assert sorted(getattr(outcome, "score", 0) for outcome in outcomes) == [1, 2, 3, 4, 5]


async def test_session_changes_are_invisible_to_another_evaluator(kind: SandboxKind) -> None:
    spoil = "global EvaluationResult, len\nkeep = EvaluationResult\nlen = EvaluationResult = None\nreturn keep(score=1)"
    async with sandbox_of(kind) as sandbox:
        first = CustomCodeEvaluator(custom_config(spoil), sandbox)
        second = CustomCodeEvaluator(custom_config("return EvaluationResult(score=len(output))"), sandbox)
        await first.evaluate({"output": "x"})
        await first.close()
        assert getattr(await second.evaluate({"output": "four"}), "score", None) == 4
        await second.close()


async def test_session_code_that_overwrites_its_names_fails_only_its_rows(kind: SandboxKind) -> None:
    body = "global EvaluationResult\nfound = EvaluationResult(score=1)\nEvaluationResult = None\nreturn found"
    outcomes = await outcomes_of(kind, body, ["a", "b"])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Evaluated", "Failed"]


async def test_sandbox_static_parameters_are_attributes_of_self(kind: SandboxKind) -> None:
    static = [
        {"name": "words", "type": "STRING_ARRAY", "default_value": ["a", "b"]},
        {"name": "least", "type": "STRING", "default_value": "2"},
        {"name": "shape", "type": "REGEX", "default_value": "^x+$"},
    ]
    body = """
    fits = re.match(self.shape, output) is not None and len(self.words) == int(self.least)
    return EvaluationResult(label='yes' if fits else 'no', score=float(fits))
    """
    async with sandbox_of(kind) as sandbox:
        evaluator = CustomCodeEvaluator(custom_config(body, imports="import re", static=static), sandbox)
        outcomes = [await evaluator.evaluate({"output": text}) for text in ("xxx", "xyx")]
        await evaluator.close()
    assert [getattr(outcome, "label", None) for outcome in outcomes] == ["yes", "no"]


async def test_sandbox_knows_the_classes_of_the_contract_under_their_aliases(kind: SandboxKind) -> None:
    code = "class A(Base):\n    def evaluate(self, *, output=None, **kwargs):\n        return R(label=output)"
    imports = IMPORTS.replace("EvaluationResult, CodeEvaluator", "EvaluationResult as R, CodeEvaluator as Base")
    config = custom_config(code=code).model_copy(update={"imports": imports})
    async with sandbox_of(kind) as sandbox:
        evaluator = CustomCodeEvaluator(config, sandbox)
        outcome = await evaluator.evaluate({"output": "fine"})
        await evaluator.close()
    assert getattr(outcome, "label", None) == "fine"


async def test_custom_evaluator_releases_its_worker_when_it_is_closed() -> None:
    async with sandbox_of(PROCESS) as sandbox:
        before = _children()
        unused, used = (CustomCodeEvaluator(custom_config(), sandbox) for _ in range(2))
        await used.evaluate({"output": "a"})
        assert len(_children() - before) == 1
        for evaluator in (unused, used, used):
            await evaluator.close()
        assert _children() == before


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([1] * 7, [3, 3, 1]),  # rows_per_batch
        ([5, 5, 5, 5, 5], [2, 2, 1]),  # row_chars_max, reached exactly
        ([4, 4, 4], [2, 1]),
        ([10, 10, 1], [1, 1, 1]),
        ([4, 11, 4], [1, 1]),  # the row that is too long by itself is in no batch
    ],
)
async def test_session_fills_batches_up_to_their_rows_and_characters(lengths: list[int], batches: list[int]) -> None:
    sent: list[int] = []

    class Worker:
        async def evaluate_batch(self, rows: Sequence[Values]) -> object:
            sent.append(len(rows))
            return [["evaluated", "fine", 1, None]] * len(rows)

        async def close(self) -> None: ...

    class Backend(Worker):
        async def start(self, _program: Program) -> Worker:
            return Worker()

    session = Session(Backend(), Program(), SandboxLimits(rows_per_batch=3, row_chars_max=10), {})
    outcomes = await session.evaluate([{"a": "x" * (length - 1), "b": "x"} for length in lengths])
    assert sent == batches
    assert [type(outcome) for outcome in outcomes] == [Failed if length > 10 else Evaluated for length in lengths]


async def test_session_is_usable_after_a_cancelled_batch(kind: SandboxKind) -> None:
    body = "while output == 'loop': pass\nreturn EvaluationResult(label=output)"
    async with sandbox_of(kind) as sandbox:
        evaluator = CustomCodeEvaluator(custom_config(body), sandbox)
        with anyio.move_on_after(0.05):
            await evaluator.evaluate({"output": "loop"})
        with anyio.fail_after(10):
            outcome = await evaluator.evaluate({"output": "next"})
        await evaluator.close()
    assert getattr(outcome, "label", None) == "next"


# --- the locks themselves ---------------------------------------------------------------------------------------------


def worker_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str) -> None:
    """Install a worker with one change."""
    source = Path(process.__file__).with_name("locked_worker.py").read_text(encoding="utf-8")
    assert source.count(old) == 1, old
    changed = tmp_path / "worker.py"
    changed.write_text(source.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(process, "_WORKER", changed)


@pytest.mark.parametrize("lock", ["_restrict_files(libc)", "_restrict_calls(libc, *_CALLS[machine])"])
async def test_process_sandbox_landlock_and_seccomp_each_deny_files_and_programs(
    lock: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker_with(monkeypatch, tmp_path, f"    {lock}\n", "    pass\n")
    bodies = ["open('/etc/passwd').read()", f"open('{tmp_path}/x', 'w')", "os.execv('/bin/true', ['true'])"]
    for bad in await attacks(PROCESS, bodies, imports="import os"):
        assert bad.reason == "the evaluator's code raised PermissionError"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("= 444, 446", "= 9999, 446", "has no Landlock"),
        ("= 444, 446", "= 444, 9999", "refuses the Landlock rule set"),
        ("_SECCOMP_MODE_FILTER = 2", "_SECCOMP_MODE_FILTER = 99", "refuses the seccomp filter"),
        ("= 1, 22, 38", "= 1, 22, 9999", "refuses PR_SET_NO_NEW_PRIVS"),
        ("machine = platform.machine()", 'machine = "riscv64"', "needs Linux on x86-64 or aarch64"),
        ("def main() -> None:", "def main() -> None:\n    1 / 0", "its worker does not start"),
    ],
)
async def test_process_sandbox_does_not_start_if_a_restriction_fails(
    old: str, new: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker_with(monkeypatch, tmp_path, old, new)
    with pytest.raises(SandboxUnavailable, match=why):
        async with open_sandbox(PROCESS):
            pass


async def test_process_sandbox_does_not_start_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SandboxUnavailable, match=r"needs Linux.*never run without protection"):
        async with open_sandbox(PROCESS):
            pass


# --- what the kernel is asked for -------------------------------------------------------------------------------------


class FakeLibc:
    """A libc that performs no call, of a kernel whose Landlock has the given version; it keeps what it was asked."""

    def __init__(self, landlock: int = 0) -> None:
        self.landlock = landlock
        self.rules: tuple[int, ...] = ()
        self.filter: list[tuple[int, int, int, int]] = []

    def syscall(self, number: int, *arguments: Any) -> int:
        if number == 446:  # landlock_restrict_self
            return 0
        assert number == 444  # landlock_create_ruleset
        rules, size, flags = arguments
        if flags == 1:  # LANDLOCK_CREATE_RULESET_VERSION
            return self.landlock
        fields = bytes(rules._obj)[: size.value]
        self.rules = struct.unpack(f"{len(fields) // 8}Q", fields)
        return os.open(os.devnull, os.O_RDONLY)

    def prctl(self, option: int, mode: int, program: Any, *_zeros: int) -> int:
        assert (option, mode) == (22, 2)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        length, steps = struct.unpack("H6xP", bytes(program._obj))  # struct sock_fprog of linux/filter.h
        self.filter = list(struct.iter_unpack("HBBI", ctypes.string_at(steps, 8 * length)))
        return 0


# Each right to access files by its bit in linux/landlock.h, and the version of Landlock that added it.
FILE_RIGHTS = {
    1: "EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO "
    "MAKE_BLOCK MAKE_SYM",
    2: "REFER",
    3: "TRUNCATE",
    5: "IOCTL_DEV",
}


@pytest.mark.parametrize("version", range(1, 9))
def test_process_sandbox_denies_every_right_that_its_version_of_landlock_has(version: int) -> None:
    libc = FakeLibc(version)
    locked_worker._restrict_files(libc)
    files = sum(len(names.split()) for since, names in FILE_RIGHTS.items() if since <= version)
    # Since version 4 BIND_TCP and CONNECT_TCP, since version 6 the scopes ABSTRACT_UNIX_SOCKET and SIGNAL.
    further = [0b11] * ((version >= 4) + (version >= 6))
    assert libc.rules == (2**files - 1, *further)


@pytest.mark.parametrize("version", [0, -1])
def test_process_sandbox_does_not_start_without_landlock(version: int) -> None:
    with pytest.raises(locked_worker.NotLocked, match="the kernel has no Landlock"):
        locked_worker._restrict_files(FakeLibc(version))


# The numbers of Linux: asm/unistd_64.h for x86-64, asm-generic/unistd.h for aarch64; AUDIT_ARCH_… of linux/audit.h.
CALLS = """
read 0 63, write 1 64, close 3 57, fstat 5 80, lseek 8 62, mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, sched_yield 24 124, mremap 25 216, madvise 28 233,
getpid 39 172, exit 60 93, gettimeofday 96 169, getrusage 98 165, times 100 153, sigaltstack 131 132, gettid 186 178,
futex 202 98, restart_syscall 219 128, clock_gettime 228 113, clock_getres 229 114, exit_group 231 94,
getrandom 318 278, rseq 334 293
"""
NUMBERS = {name: (int(x86), int(arm)) for name, x86, arm in (call.split() for call in CALLS.split(","))}
ARCHITECTURES = {"x86_64": 62 | 0xC0000000, "aarch64": 183 | 0xC0000000}
ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # SECCOMP_RET_… of linux/seccomp.h


def answer_of(steps: list[tuple[int, int, int, int]], architecture: int, number: int, third_argument: int = 0) -> int:
    """Run a filter as the kernel does (linux/bpf_common.h) on a call (struct seccomp_data of linux/seccomp.h)."""
    data = struct.pack("iIQ6Q", number, architecture, 0, 0, 0, third_argument, 0, 0, 0)
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (loaded,) = struct.unpack_from("I", data, value)
            case 0x06:  # BPF_RET | BPF_K
                return value
            case 0x15 | 0x35 | 0x45:  # BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JSET
                holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
                at += if_true if holds else if_false
            case _:
                raise AssertionError(f"the filter has the unknown instruction {code:#x}")


@pytest.mark.parametrize(("column", "machine"), list(enumerate(ARCHITECTURES)))
def test_process_sandbox_filter_allows_exactly_the_calls_of_its_list(column: int, machine: str) -> None:
    libc, architecture = FakeLibc(), ARCHITECTURES[machine]
    locked_worker._restrict_calls(libc, *locked_worker._CALLS[machine])
    allowed = {number for number in range(1000) if answer_of(libc.filter, architecture, number) == ALLOW}
    assert allowed == {numbers[column] for numbers in NUMBERS.values()}
    others = {answer_of(libc.filter, architecture, number) for number in {*range(1000), 0x3FFFFFFF} - allowed}
    assert others == {EPERM}


@pytest.mark.parametrize(("column", "machine"), list(enumerate(ARCHITECTURES)))
def test_process_sandbox_filter_refuses_executable_memory(column: int, machine: str) -> None:
    libc, architecture = FakeLibc(), ARCHITECTURES[machine]
    locked_worker._restrict_calls(libc, *locked_worker._CALLS[machine])
    for name in ("mmap", "mprotect"):
        number = NUMBERS[name][column]
        answers = {rights: answer_of(libc.filter, architecture, number, rights) for rights in range(8)}
        # PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4 (asm-generic/mman-common.h)
        assert answers == {rights: EPERM if rights >= 4 else ALLOW for rights in range(8)}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_process_sandbox_filter_kills_calls_of_another_architecture(machine: str) -> None:
    libc, architecture = FakeLibc(), ARCHITECTURES[machine]
    locked_worker._restrict_calls(libc, *locked_worker._CALLS[machine])
    number = locked_worker._CALLS[machine][1]["getpid"]
    assert answer_of(libc.filter, architecture, number) == ALLOW
    assert answer_of(libc.filter, 3 | 0x40000000, number) == KILL  # AUDIT_ARCH_I386
    assert answer_of(libc.filter, architecture, 0x40000000) == KILL  # __X32_SYSCALL_BIT
    assert answer_of(libc.filter, architecture, 0x40000000 | number) == KILL


async def test_process_sandbox_worker_has_its_limits_in_the_kernel() -> None:
    backend = ProcessBackend(SandboxLimits(process_memory_bytes=300_000_000, worker_cpu_seconds=77))
    try:
        worker = await backend.start(Program())
    except SandboxUnavailable as missing:
        pytest.skip(str(missing))
    folder = Path(f"/proc/{worker._process.pid}")
    found = {
        name: (soft, hard)
        for name, soft, hard in re.findall(r"^(Max .*?) {2,}(\S+) +(\S+)", (folder / "limits").read_text(), re.M)
    }
    status = dict(re.findall(r"^(\w+):\t(\d+)$", (folder / "status").read_text(), re.M))
    await backend.close()
    expected = {
        "Max address space": "300000000", "Max cpu time": "77", "Max file size": "0", "Max open files": "16",
        "Max core file size": "0",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == {name: (value, value) for name, value in expected.items()}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_process_sandbox_worker_ends_when_the_engine_is_killed() -> None:
    """Its pipes stay open here, so only the kernel's signal can end it."""
    worker_limits = json.dumps({"memory_bytes": 2**28, "cpu_seconds": 60})
    command = [sys.executable, "-I", "-S", locked_worker.__file__, worker_limits]
    engine = [sys.executable, "-I", "-S", "-c", f"import subprocess\nsubprocess.run({command!r})"]
    with subprocess.Popen(engine, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as started:
        assert started.stdout is not None
        size = int.from_bytes(started.stdout.read(4), "big")
        answer = json.loads(started.stdout.read(size))
        started.kill()
        if answer != {"locked": True}:
            pytest.skip(answer["failed"])
        is_readable, _, _ = select.select([started.stdout], [], [], 10)
        assert is_readable and started.stdout.read(1) == b""


# --- the limits themselves --------------------------------------------------------------------------------------------


async def test_sandbox_has_the_limits_that_the_document_names() -> None:
    document = (Path(__file__).parents[2] / "docs" / "engine.md").read_text(encoding="utf-8")
    async with open_sandbox() as sandbox:
        limits = sandbox.limits
    for sentence in (
        f"{limits.batch_seconds:g} s for a batch of up to {limits.rows_per_batch} rows",
        f"| {limits.memory_bytes / 2**20:g} MB | {limits.process_memory_bytes / 2**20:g} MB, including the interpreter",
        f"After {limits.rows_lost_max} such rows in succession the task run fails",
        f"Labels have at\nmost {limits.label_chars_max:,} characters, explanations are cut at "
        f"{limits.explanation_chars_max:,}, and the values of a row have at most {limits.row_chars_max:,}",
    ):
        assert sentence in document


async def test_monty_sandbox_limits_its_heap_to_64_mebibytes() -> None:
    body = "text = 'x' * int(output)\nreturn EvaluationResult(score=1)"
    fits, exceeds = await outcomes_of(MONTY, body, [str(2**26 - 2**19), str(2**26)], limits=SandboxLimits())
    assert isinstance(fits, Evaluated)
    assert isinstance(exceeds, Failed) and exceeds.reason == TOO_MUCH_MEMORY


async def test_monty_sandbox_limits_printed_text_to_one_mebibyte() -> None:
    body = "print('x' * int(output), end='')\nreturn EvaluationResult(score=1)"
    limits = SandboxLimits(rows_per_batch=1)
    fits, exceeds = await outcomes_of(MONTY, body, [str(2**20), str(2**20 + 1)], limits=limits)
    assert isinstance(fits, Evaluated)
    assert isinstance(exceeds, Failed) and exceeds.reason == TOO_MUCH_PRINTED


async def test_process_sandbox_reads_an_answer_up_to_its_limit() -> None:
    body = "os.write(1, (output).to_bytes(4, 'big') + b'x' * output)\nreturn EvaluationResult(score=1)"
    limits = SandboxLimits(answer_bytes_max=1000, rows_per_batch=1)
    outcomes = await outcomes_of(PROCESS, body, [1000, 1001], limits=limits, imports="import os")
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [UNREADABLE, TOO_MUCH_PRINTED]


async def test_sandbox_label_and_explanation_are_limited_in_length(kind: SandboxKind) -> None:
    limits = SandboxLimits(label_chars_max=10, explanation_chars_max=20)
    body = "return EvaluationResult(label='l' * output, explanation='e' * 2 * output)"
    short, longest, exceeds = await outcomes_of(kind, body, [9, 10, 11], limits=limits)
    provenance = {"judge": "code", "sandbox": kind.value}
    assert short == Evaluated("l" * 9, None, "e" * 18, provenance)
    assert longest == Evaluated("l" * 10, None, "e" * 19 + "…", provenance)
    assert exceeds == Failed("the EvaluationResult's label is longer than 10 characters", provenance=provenance)
