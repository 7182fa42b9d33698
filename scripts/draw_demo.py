"""Update the picture of the README: run the demo and render its output as docs/demo.svg.

pip install rich && python scripts/draw_demo.py
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parents[1] / "docs" / "demo.svg"


def main() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "evaltasks", "demo"], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout
    shown = re.sub(r"\S+/evaltasks-demo-\w+/", "/tmp/evaltasks-demo/", shown)
    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True)
    for line in shown.strip().splitlines():
        # Renderers treat several spaces in a row differently, but not non-breaking spaces.
        text = Text(line.replace(" ", "\u00a0"))
        text.highlight_regex(r"^\[\d+\].*", "bold cyan")
        text.highlight_regex("completed|\\b0\u00a0errors", "green")
        text.highlight_regex("heuristic,\u00a0not\u00a0a\u00a0language\u00a0model", "yellow")
        console.print(text)
    svg = console.export_svg(title="evaltasks demo")
    # Remove the renderer's web fonts: a document must not load anything from another address.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    TARGET.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
