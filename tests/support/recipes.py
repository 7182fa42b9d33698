"""The recipes of CONTRIBUTING.md, for tests that follow them literally."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "server" / "evaltasks"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

# file → (a text to insert, the text before which it goes)
Edits = Mapping[str, Sequence[tuple[str, str]]]


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


def copy_package(directory: Path, edits: Edits) -> Path:
    """Copy our package into a folder, insert texts, and return the folder of the copy.

    Args:
        directory: Where the folder `evaltasks` is created.
        edits: What is inserted into which file; each text goes before the first place that has the other text.
    """
    copy = directory / "evaltasks"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, insertions in edits.items():
        text = (copy / name).read_text(encoding="utf-8")
        for added, before in insertions:
            assert before in text, f"{name} no longer has: {before}"
            text = text.replace(before, added + before, 1)
        (copy / name).write_text(text, encoding="utf-8")
    return copy


def run_with_copy(directory: Path, module: str, *arguments: str) -> str:
    """Run a module of the tests in an interpreter of its own that uses the copy in `directory`; return its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])},
        cwd=directory, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def package_trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of our package: its path in the package, and its syntax tree."""
    for path in PACKAGE.rglob("*.py"):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def names_in(node: ast.AST) -> set[str]:
    """Return the names and attributes in a syntax tree."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
