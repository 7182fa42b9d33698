"""Plain English: words of an idiom that this project has left behind must not come back.

They are searched for in code, docs, schemas and tests. Names are split at underscores and capitals, so `_stands_in`
counts like the words.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (
    "server/evaltasks",
    "docs",
    "tool_schemas",
    "tests",
    "bench",
    "scripts",
    ".ci",
    "README.md",
    "CONTRIBUTING.md",
)
# Texts of others (licences, quotes of AX, prompts for judges, samples), and this table.
LEFT_OUT = ("demo/sample", "tests/fixtures", "judge-templates.md", "template_catalog.py", "judge_templates_page.py",
            "test_language.py", "node_modules", "__pycache__")  # fmt: skip
SUFFIXES = {".py", ".md", ".sql", ".json", ".sh", ".mjs", ".toml", ""}
# Write instead: error, problem, issue; environment; fix; process; is reported, is sent; resource; is not a; wake-up;
# storage error; is in; kept; kind; again; no one; missing; start; middleware.
WORDS = (
    r"faults?",
    r"surroundings",
    r"mend(s|ed|ing)?",
    r"work(s|ed|ing)? off",
    r"put right",
    r"tells?|told",
    r"nouns?",
    r"(?<!there )(is|are) no(?! longer| more| less| better)",
    r"bells?",
    r"troubles?",
    r"stands? (in(?! for)|behind|beside|there|here|on)",
    r"shelf|shelves",
    r"anew",
    r"nobody",
    r"cannot be told",
    r"(was|were) not given",
    r"begun",
    r"doom(s|ed)?",
    r"doorkeeper|doors?",
    r"whoever|befall|undergo|likeness|forthwith",
)
# What may contain one of the words: terms of testing and the folder of its tests; the published keys `faults`
# (`apply --json`) and `not_told` (`task_run_results`); what an agent is to do.
EXCEPTIONS = re.compile(
    r"fault[ -]?injections?|inject(ed|s|ing)?(?: the)? faults?|no faults|tests?[./]faults|faults/test|[\"`]faults[\"`]"
    r"|not told|tell the user"
)


@cache
def _text() -> str:
    found = []
    for place in PLACES:
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = file.relative_to(ROOT).as_posix()
            if file.is_file() and file.suffix in SUFFIXES and not any(part in name for part in LEFT_OUT):
                found.append(file.read_text(encoding="utf-8", errors="ignore"))
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", "\n".join(found))
    return EXCEPTIONS.sub(" ", re.sub(r"\s+(#|--)?\s*", " ", apart).lower())


@pytest.mark.parametrize("words", WORDS)
def test_words_of_the_old_idiom_do_not_come_back(words: str) -> None:
    found = [_text()[match.start() - 40 : match.end() + 40] for match in _pattern(words).finditer(_text())]
    assert not found, f"{found}: see the list above for plain words"


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])({words})(?![a-z])")
