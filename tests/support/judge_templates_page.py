"""`docs/judge-templates.md`, made from the catalogue: `python -m tests.support.judge_templates_page` writes it."""

from __future__ import annotations

from pathlib import Path

from evaltasks.api.evaluator_kinds import Direction
from evaltasks.engine.evaluators.template_catalog import CATALOG

PAGE = Path(__file__).parents[2] / "docs" / "judge-templates.md"
_PAGE_BEGINS = """\
# Judge templates

What `from_template` of the tool `create_evaluator` and `GET /v2/evaluator-templates` offer. Each is a prompt for a
language model in our own words; take it as it is, or as the start of your own. The variables are in single braces
and are mapped to columns by the task (`column_mappings`). `faithfulness`, `relevance`, `correctness` and `refusal` also
have a local heuristic of the same purpose, which needs no key and is not a language model.

This page is made from the catalogue (`python -m tests.support.judge_templates_page`); a test holds the two
together.

| name | question | labels and scores | better | level |
| --- | --- | --- | --- | --- |
"""
_BETTER = {Direction.MAXIMIZE: "high", Direction.MINIMIZE: "low", Direction.NONE: "–"}


def catalog_page() -> str:
    """Return the text of `docs/judge-templates.md`."""
    lines = []
    for one in CATALOG:
        labels = ", ".join(f"{label} {score:g}" for label, score in one.choices.items())
        cells = (f"[{one.column_name}](#{one.column_name})", one.purpose, labels)
        lines.append(f"| {' | '.join(cells)} | {_BETTER[one.direction]} | {one.granularity.lower()} |")
    for one in CATALOG:
        lines += [f"\n## {one.column_name}\n", f"{one.display_name}. {one.purpose}\n"]
        lines += [f"* `{{{name}}}`: {meaning}" for name, meaning in one.variables.items()]
        lines.append(f"\n```text\n{one.template}\n```")
    return _PAGE_BEGINS + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(catalog_page(), encoding="utf-8")
