"""Processes of the command `evaltasks` that start in milliseconds.

An interpreter needs one or two seconds of CPU to import the protocol's library and ours, and the suite starts dozens.
`quick_command` names a process that behaves like `python -m evaltasks` (separate process, streams, environment,
signals, exit code, death by SIGKILL) but is forked from a nursery in which everything is imported. Tests whose subject
is the start itself, and one test of each command, use `true_command`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("launcher.py")


def true_command(*arguments: str) -> list[str]:
    """Return the command line of a new interpreter that runs `evaltasks` with these arguments."""
    return [sys.executable, "-m", "evaltasks", *arguments]


def quick_command(*arguments: str) -> list[str]:
    """Return the command line of a process forked from this test process's nursery."""
    return [sys.executable, "-I", "-S", str(_LAUNCHER), _nursery(), *arguments]


def quick_code(code: str) -> list[str]:
    """Return the command line of a forked process that runs this code, as `python -c` does."""
    return quick_command("-c", code)


def quick_module(module: str, *arguments: str) -> list[str]:
    """Return the command line of a forked process that runs a module, as `python -m` does."""
    return quick_command("-m", module, *arguments)


@functools.cache
def _nursery() -> str:
    """Start the nursery of this process, once; return the path of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="evaltasks-nursery-")
    path = str(Path(folder.name) / "socket")
    command = [sys.executable, "-m", "tests.support.starts", path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()  # the nursery ends with its standard input
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return path


def _serve(path: str) -> None:
    gc.disable()
    import evaltasks.cli
    import evaltasks.ports
    import evaltasks.promoting
    import evaltasks.serving  # noqa: F401
    import tests.support.engine_process  # noqa: F401

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers report to their launcher, so they need not be reaped
    os.write(1, b"ready\n")
    # No threads, because this process forks.
    while select.select([listener, 0], [], [])[0] == [listener]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                _keep(connection)
            finally:
                os._exit(1)
        connection.close()


def _keep(connection: socket.socket) -> None:
    """Fork the command, and send the launcher its pid and then its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        _run(connection, streams, request)
    for stream in (*streams, 0, 1, 2):
        os.close(stream)
    try:
        connection.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % status)
    except OSError:
        pass  # the launcher was killed, so the command will be killed too
    os._exit(0)


def _run(connection: socket.socket, streams: list[int], request: dict[str, object]) -> None:
    from evaltasks.cli import main

    code, arguments = 1, list(request["arguments"])  # type: ignore[call-overload]
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])  # type: ignore[call-overload]
        os.chdir(str(request["folder"]))
        threading.Thread(target=_die_with, args=(connection,), daemon=True).start()
        if arguments[0] == "-c":
            exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
            code = 0
        elif arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
            code = 0
        else:
            code = main(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _die_with(connection: socket.socket) -> None:
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1])
