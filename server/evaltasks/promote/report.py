"""Renders plans and exports as text, and plans as JSON. Text that looks like a key is hidden."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from evaltasks.insight.key_shapes import looks_like_key, url_holds_secret
from evaltasks.promote.differences import Difference
from evaltasks.promote.export import Exported
from evaltasks.promote.folder import HIDDEN, WriteResult
from evaltasks.promote.plan import Action, Plan, Step

VALUE_CHARACTERS_MAX = 200
LINES_MAX = 200
# Characters that control a terminal; names and prompts are untrusted text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WORDS = {Action.CREATE: "create", Action.UPDATE: "update", Action.UNCHANGED: "unchanged", Action.KEPT: "differs"}


def plan_text(plan: Plan) -> str:
    """Return a plan as text for a terminal."""
    lines = [f"Plan for {plan.where}, space '{plan.space}':"]
    for step in plan.steps:
        if step.action is not Action.UNCHANGED or step.notes:
            lines += _step_lines(step)
    lines.append(_summary_line(plan))
    if plan.issues:
        count = "1 problem" if len(plan.issues) == 1 else f"{len(plan.issues)} problems"
        lines += ["", f"{count}; nothing was changed:", *(f"  - {issue}" for issue in plan.issues)]
    if plan.undecided:
        names = ", ".join(f"'{name}'" for name in plan.undecided)
        lines += [
            "",
            f"These tasks would start to evaluate new spans continuously, which may cost money: {names}.",
            "Apply with --allow-continuous if intended, or with --keep-paused to apply them paused.",
        ]
    return escape_controls("\n".join(lines))


def _summary_line(plan: Plan) -> str:
    counts = (
        (plan.count(Action.CREATE), "to create"),
        (plan.count(Action.UPDATE), "to update"),
        (plan.count(Action.KEPT), "different but not changed"),
        (plan.count(Action.UNCHANGED), "unchanged"),
    )
    counted = [f"{count} {what}" for count, what in counts if count]
    return f"{'' if plan.differs else 'Nothing to change: '}{', '.join(counted) or 'no files'}."


def _step_lines(step: Step) -> Iterator[str]:
    yield f"  {_WORDS[step.action]:<9} {step.kind.replace('_', ' ')} '{step.name}' ({step.file})"
    for difference in step.differences:
        yield from _difference_lines(difference)
    for note in step.notes:
        yield f"              note: {note}"


def _difference_lines(difference: Difference) -> Iterator[str]:
    if (
        isinstance(difference.before, str)
        and isinstance(difference.after, str)
        and "\n" in difference.before + difference.after
    ):
        yield f"            {difference.field}:"
        compared = difflib.unified_diff(difference.before.splitlines(), difference.after.splitlines(), lineterm="", n=2)
        lines = list(compared)[2:]  # without the names of the files
        yield from (f"              {_hide_keys(line)}" for line in lines[:LINES_MAX])
        if len(lines) > LINES_MAX:
            more = len(lines) - LINES_MAX
            yield f"              … {more} more {'line' if more == 1 else 'lines'}"
        return
    yield f"            {difference.field}: {_value(difference.before)} → {_value(difference.after)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = _hide_keys(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    text = text.replace("\n", "⏎")
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}…"


def _hide_keys(text: str) -> str:
    return HIDDEN if looks_like_key(text) or url_holds_secret(text) else text


def escape_controls(text: str) -> str:
    """Return the text with terminal control characters escaped."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def plan_json(plan: Plan, *, applied: bool) -> str:
    """Return a plan as one JSON object. `differs` decides the exit code with `--exit-code`."""
    steps = [
        {
            "kind": step.kind, "name": step.name, "file": step.file, "action": step.action.value,
            "differences": [
                {"field": difference.field, "before": _masked(difference.before), "after": _masked(difference.after)}
                for difference in step.differences
            ],
            "notes": step.notes,
        }
        for step in plan.steps
    ]  # fmt: skip
    issues = [
        {
            "file": error.file, "line": error.line, "where": error.issue.argument, "problem": error.issue.problem,
            "remedy": error.issue.remedy,
        }
        for error in plan.issues
    ]  # fmt: skip
    document = {
        "where": plan.where, "space": plan.space, "differs": plan.differs, "applied": applied, "steps": steps,
        "faults": issues, "undecided": plan.undecided,
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False, indent=2)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _hide_keys(value)
    if isinstance(value, dict):
        return {_hide_keys(key): _masked(part) for key, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list) else value


def export_text(exported: Exported, written: WriteResult, directory: str) -> str:
    """Return the result of an export as text for a terminal."""
    kinds = {"task": 0, "evaluator": 0, "ai_integration": 0, "agent_integration": 0}
    for file in exported.files:
        kinds[file.kind] += 1
    counted = ", ".join(
        f"{count} {kind.replace('_', ' ')}{'' if count == 1 else 's'}" for kind, count in kinds.items() if count
    )
    lines = [
        f"{counted or 'No task'} in {directory}: "
        f"{len(written.changed)} files written, {len(written.unchanged)} unchanged."
    ]
    lines += [f"  wrote   {path}" for path in sorted(written.changed)]
    lines += [f"  removed {path}" for path in written.removed]
    if written.stale:
        lines.append("Files of resources that were not exported now (--prune removes them):")
        lines += [f"  {path}" for path in written.stale]
    lines += [f"Left out: {note}" for note in exported.notes]
    lines += [f"NOT exported: {reason}" for reason in exported.left_out]
    return escape_controls("\n".join(lines))
