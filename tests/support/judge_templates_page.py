"""Generate `docs/judge-templates.md` from the catalogue: `python -m tests.support.judge_templates_page`."""

from __future__ import annotations

from pathlib import Path

from evaltasks.api.evaluator_kinds import Direction
from evaltasks.engine.evaluators.template_catalog import CATALOG

PAGE = Path(__file__).parents[2] / "docs" / "judge-templates.md"
_PAGE_BEGINS = """\
# Judge templates

The templates that `from_template` of the tool `create_evaluator` accepts and `GET /v2/evaluator-templates` lists. Each
is a prompt for a language model, to be used as it is or as the start of your own. Variables are in single braces; a
task maps them to columns (`column_mappings`). `faithfulness`, `relevance`, `correctness` and `refusal` also have a
local heuristic for the same purpose, which needs no key and is not a language model.

This page is generated from the catalogue (`python -m tests.support.judge_templates_page`); a test checks that it is
up to date.

| name | question | labels and scores | better | level |
| --- | --- | --- | --- | --- |
"""
_BETTER = {Direction.MAXIMIZE: "high", Direction.MINIMIZE: "low", Direction.NONE: "–"}


def catalog_page() -> str:
    """Return the text of `docs/judge-templates.md`."""
    lines = []
    for template in CATALOG:
        labels = ", ".join(f"{label} {score:g}" for label, score in template.choices.items())
        cells = (f"[{template.column_name}](#{template.column_name})", template.purpose, labels)
        lines.append(f"| {' | '.join(cells)} | {_BETTER[template.direction]} | {template.granularity.lower()} |")
    for template in CATALOG:
        lines += [f"\n## {template.column_name}\n", f"{template.display_name}. {template.purpose}\n"]
        lines += [f"* `{{{name}}}`: {meaning}" for name, meaning in template.variables.items()]
        lines.append(f"\n```text\n{template.template}\n```")
    return _PAGE_BEGINS + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(catalog_page(), encoding="utf-8")
