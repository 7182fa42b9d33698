"""The recipes of CONTRIBUTING.md, for tests that follow them literally."""

from __future__ import annotations

import re
from pathlib import Path

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def code_blocks(recipe: str, language: str) -> list[str]:
    """Return the code blocks of one language in a recipe.

    Args:
        recipe: The heading of the recipe, such as "A tool".
        language: The language after the fence, such as "python".
    """
    text = CONTRIBUTING.read_text(encoding="utf-8")
    section = re.search(rf"^### {re.escape(recipe)}\n(.*?)(?=^##)", text, flags=re.DOTALL | re.MULTILINE)
    assert section is not None, f"CONTRIBUTING.md has no recipe '{recipe}'"
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], flags=re.DOTALL | re.MULTILINE)
