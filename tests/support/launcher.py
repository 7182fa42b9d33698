"""Replacement for a command that a nursery runs (`tests.support.starts`): same standard streams, signals and exit code.

Started as `python -I -S launcher.py SOCKET ARGUMENT...`. It hands its streams, environment and folder to the nursery,
which forks a process with the package already imported. That process dies when this one does, even by SIGKILL.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    request = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109  pathlib takes longer than the rest
    socket.send_fds(connection, [b"f"], [0, 1, 2])
    connection.sendall(json.dumps(request).encode() + b"\n")
    answers = connection.makefile("r")
    pid = int(answers.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    for stream in (0, 1, 2):
        os.close(stream)  # the other end must see when the real process closes it
    status = int(answers.readline() or signal.SIGKILL)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


main()
