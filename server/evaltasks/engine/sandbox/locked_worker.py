"""The worker of the sandbox `process`: CPython that restricts itself before it reads any untrusted code.

It is started as a script (`python -I -S`), so it imports nothing of evaltasks. It imports every module that
evaluators may use, then gives up the right to open files, sockets and processes, and only then reads the program. The
restrictions:

* rlimits: address space, CPU time, no file may grow, sixteen descriptors, no core dump;
* no_new_privs, and SIGKILL when the parent ends;
* Landlock with an empty rule set: no path of any file system, no TCP port, no signal to another process;
* seccomp: some thirty system calls remain, all others return EPERM. Above all there is no clone, so no child process
  and no thread; no open, no socket, no kill, no sleep; and no memory that is both writable and executable.

If a step fails, the worker ends with a message: it never continues without a restriction. Linux on x86-64 and aarch64
only. A message is its length in four bytes, then JSON. The first message is `{"locked": true}` or `{"failed": why}`.
The answer to the program is its problems; the answer to `[number, rows]` is `[number, answers]`.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import resource
import signal
import struct
import sys
import time
from typing import Any

# The modules that evaluators may import. They are loaded now, because files cannot be opened later.
MODULES = """
abc array ast base64 binascii bisect calendar cmath collections collections.abc colorsys contextlib copy csv dataclasses
datetime decimal difflib enum fractions functools graphlib hashlib heapq hmac html html.entities html.parser io
ipaddress itertools json keyword locale math numbers operator os pprint queue random re reprlib secrets statistics
string stringprep struct sys textwrap time timeit tokenize tomllib traceback types typing unicodedata urllib.parse uuid
warnings weakref xml.etree.ElementTree zlib
_strptime encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.punycode
encodings.raw_unicode_escape encodings.unicode_escape encodings.utf_16 encodings.utf_32 encodings.utf_8
encodings.utf_8_sig
"""

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_VERSION = 1
# Rights to handle, by version of the kernel's interface: a right that is handled and not granted is denied.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS, _SCOPES = 0b11, 0b11

# machine → (the kernel's number for it, the system calls that remain allowed)
_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
            "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25,
            "madvise": 28, "getpid": 39, "exit": 60, "gettimeofday": 96, "getrusage": 98, "times": 100,
            "sigaltstack": 131, "gettid": 186, "futex": 202, "restart_syscall": 219, "clock_gettime": 228,
            "clock_getres": 229, "exit_group": 231, "getrandom": 318, "rseq": 334,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226,
            "munmap": 215, "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
            "sched_yield": 124, "mremap": 216, "madvise": 233, "getpid": 172, "exit": 93, "gettimeofday": 169,
            "getrusage": 165, "times": 153, "sigaltstack": 132, "gettid": 178, "futex": 98, "restart_syscall": 128,
            "clock_gettime": 113, "clock_getres": 114, "exit_group": 94, "getrandom": 278, "rseq": 293,
        },
    ),
}  # fmt: skip
_EPERM = 1
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | _EPERM, 0x80000000
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_X32_FROM = 0x40000000
_PROT_EXEC = 4
_ANNOTATIONS = 0x1000000  # __future__.annotations: annotations are not evaluated, so they cannot prevent loading


class NotLocked(Exception):
    """A restriction is not available on this system."""


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def apply_restrictions(memory_bytes: int, cpu_seconds: int) -> None:
    """Apply every restriction, which cannot be undone. Raises NotLocked if one is not available."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _CALLS or sys.maxsize < 2**32:
        raise NotLocked("it needs Linux on x86-64 or aarch64")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise NotLocked("the kernel refuses PR_SET_PDEATHSIG")
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotLocked("the kernel refuses PR_SET_NO_NEW_PRIVS")
    _restrict_files(libc)
    _restrict_calls(libc, *_CALLS[machine])


def _restrict_files(libc: Any) -> None:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        raise NotLocked("the kernel has no Landlock (Linux 5.13 or newer, with landlock among its security modules)")
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    rules = _Ruleset(rights, _NET_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    descriptor = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if descriptor < 0 or libc.syscall(_LANDLOCK_RESTRICT, descriptor, 0) != 0:
        raise NotLocked("the kernel refuses the Landlock rule set")
    os.close(descriptor)


def _restrict_calls(libc: Any, architecture: int, calls: dict[str, int]) -> None:
    plain = sorted(number for name, number in calls.items() if name not in {"mmap", "mprotect"})
    guarded = [calls["mmap"], calls["mprotect"]]
    refuse, allow, kill = ("refuse", "allow", "kill")
    steps: list[tuple[int, str | None, str | None, int]] = [
        (_LOAD, None, None, _ARCH_AT),
        (_EQUAL, None, kill, architecture),
        (_LOAD, None, None, _NUMBER_AT),
        (_GREATER, kill, None, _X32_FROM),
        *((_EQUAL, allow, None, number) for number in plain),
        *((_EQUAL, "argument", None, number) for number in guarded),
        (_RETURN, None, None, _REFUSE),
    ]
    at = {"argument": len(steps), allow: len(steps) + 2, refuse: len(steps) + 3, kill: len(steps) + 4}
    steps += [
        (_LOAD, None, None, _THIRD_ARGUMENT_AT),
        (_ANY_BIT, refuse, None, _PROT_EXEC),
        (_RETURN, None, None, _ALLOW),
        (_RETURN, None, None, _REFUSE),
        (_RETURN, None, None, _KILL),
    ]
    packed = b"".join(
        struct.pack("HBBI", code, at[yes] - place - 1 if yes else 0, at[no] - place - 1 if no else 0, value)
        for place, (code, yes, no, value) in enumerate(steps)
    )
    program = _Filter(len(steps), packed)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise NotLocked("the kernel refuses the seccomp filter")


# --- messages ---------------------------------------------------------------------------------------------------------


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive() -> Any:
    return json.loads(_read_exactly(int.from_bytes(_read_exactly(4), "big")))


def send(message: Any, encode: Any = json.dumps, write: Any = os.write) -> None:
    try:
        body = encode(message, default=lambda _: {}).encode()
    except (ValueError, RecursionError):
        body = b"null"
    body = memoryview(len(body).to_bytes(4, "big") + body)
    while body:
        body = body[write(1, body) :]


# --- the evaluator ----------------------------------------------------------------------------------------------------


def load(program: dict[str, Any], space: dict[str, Any]) -> list[str]:
    """Load the program into `space` and return what prevents it, one sentence each."""
    exec(compile(program["prelude"] + program["evaluate_batch"], "<prelude>", "exec"), space)  # noqa: S102  ours
    space["__evaltasks_kind"] = space["EvaluationResult"]
    problems = []
    for line in program["imports"]:
        try:
            exec(compile(line["source"], "<imports>", "exec"), space)  # noqa: S102  the restrictions are for this
        except BaseException as error:
            name = getattr(error, "name", None)
            is_known = isinstance(error, ImportError) and isinstance(name, str)
            subject = f"the module {name}" if is_known else "the imported name"
            if is_known and not isinstance(error, ModuleNotFoundError):
                subject = f"a name imported from {subject}"
            problems.append(f"imports line {line['line']}: {subject} is not available; the sandbox 'process' has "
                            "only the standard library's modules for data and text")  # fmt: skip
    if program["class_name"]:
        problems += _load_class(program, space)
    for static in program["static"]:
        if static["is_pattern"]:
            try:
                sys.modules["re"].compile(static["value"])
            except Exception:
                problems.append(
                    f"static parameter '{static['name']}' is a REGEX, but its value is not a regular expression here"
                )
    return problems


def _load_class(program: dict[str, Any], space: dict[str, Any]) -> list[str]:
    try:
        for alias, name in program["names"].items():
            space[alias] = space[name]
        exec(compile(program["code"], "<evaluator>", "exec", flags=_ANNOTATIONS), space)  # noqa: S102  the same
        kind = space[program["class_name"]]
        for static in program["static"]:
            setattr(kind, static["name"], static["value"])
        space["__evaltasks_evaluator"] = kind()
    except BaseException as error:
        trace, line = error.__traceback__, None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<evaluator>":
                line = trace.tb_lineno
            trace = trace.tb_next
        name = type(error).__name__
        shown = name if hasattr(sys.modules["builtins"], name) else "an exception of its own"
        return [f"code{f' line {line}' if line else ''}: loading the class raised {shown}"]
    return []


class _NullWriter(io.TextIOBase):
    """A text stream that discards everything."""

    def write(self, text: str) -> int:
        return len(text)

    def writable(self) -> bool:
        return True


def main() -> None:
    limits = json.loads(sys.argv[1])
    for name in MODULES.split():
        __import__(name)
    # Some modules read files at their first use, which is not possible later.
    time.tzset()
    time.localtime()
    sys.modules["random"].seed()
    try:
        apply_restrictions(limits["memory_bytes"], limits["cpu_seconds"])
    except (NotLocked, OSError, ValueError) as error:
        send({"failed": str(error)})
        return
    del sys.modules["ctypes"], sys.modules["_ctypes"], sys.modules["resource"]
    sys.argv[:] = [""]
    # Output of the code is discarded: descriptor 1 carries the answers.
    sys.stdout = sys.stderr = _NullWriter()
    send({"locked": True})
    space: dict[str, Any] = {"__name__": "evaluator"}
    send({"problems": load(receive(), space)})
    evaluate_batch, kind = space["__evaltasks_evaluate_batch"], space["__evaltasks_kind"]
    while True:
        number, rows = receive()
        evaluator = space.get("__evaltasks_evaluator")
        send(
            [number, evaluate_batch(rows, evaluator, kind, limits["explanation_chars_max"], limits["detail_chars_max"])]
        )


if __name__ == "__main__":
    main()
