"""Runs in the clients' environment: one process for each `ax` command, forked from one that has imported it all.

`ax` spends three seconds on imports and a tenth of one on the work. A line of JSON in is the arguments, the working
directory and the standard input; a line out is the exit code and what was printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

from ax.cli import app


def _child(order: dict[str, Any], out: int, err: int) -> None:
    os.chdir(order["folder"])
    source = os.open(os.devnull, os.O_RDONLY)
    if order["stdin"] is not None:
        source, into = os.pipe()
        os.write(into, order["stdin"].encode())
        os.close(into)
    os.dup2(source, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = ["ax", *order["arguments"]]
    code: object = 1
    try:
        code = app()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                _child(order, out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        answer = {"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
