"""`find`: any resource by name, id or pasted link, exact first and then the nearest."""

from __future__ import annotations

import difflib
from itertools import islice
from typing import Annotated, Any, Literal, TypeAlias

import anyio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from evaltasks.api.problems import NotFound, Problem
from evaltasks.client.errors import ClientError, NotResolved
from evaltasks.client.references import TASK_RUN, id_in
from evaltasks.tools.context import ToolContext
from evaltasks.tools.inputs import Limit, Text, read_word
from evaltasks.tools.resource_kinds import RESOURCE_KINDS
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec

KindWord: TypeAlias = Literal["space", "project", "dataset", "experiment", "evaluator", "ai_integration", "task"]

# Names of one kind read for a comparison; past this the answer says that it did not look at all of them.
NAMES_READ_MAX = 2000
_LIKE = 0.55
_EXACT, _SAME_LETTERS, _PART, _SIMILAR = range(4)
_HOW = {_EXACT: "exact", _SAME_LETTERS: "same letters, other case", _PART: "part of the name", _SIMILAR: "similar name"}


def _read_kind(value: object) -> object:
    word = read_word(value)
    return word.removesuffix("s") if isinstance(word, str) else word


class FindInput(Input):
    text: Text | None = Field(
        None, description="Name, part of a name, id, or web link. Without it everything there is is listed."
    )
    kind: Annotated[KindWord, BeforeValidator(_read_kind)] | None = Field(
        None, description="Look only among this kind of resource. Default: all kinds."
    )
    space: Text | None = Field(None, description="Name or id of the space to look in. Default: the default space.")
    limit: Limit = Field(20, description="Most matches to answer, 1-100. Default 20.")


class Match(BaseModel):
    """One resource; `in_id` is what it belongs to (a project, dataset or space)."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str
    name: str | None = None
    type: str | None = None
    in_kind: str | None = None
    in_id: str | None = None
    in_name: str | None = None
    match: str | None = Field(None, description="How it matched: exact, part of the name, similar name …")


class FindOutput(Output):
    matches: list[Match]
    found: dict[str, int] = Field(description="How many were found of each kind, shown or not.")
    cut: str | None = Field(None, description="What is not shown, and how to see it.")
    next_step: str

    def text(self) -> str:
        lines = [f"{m.kind} {m.name or ''} ({m.id})" + (f", {m.match}" if m.match else "") for m in self.matches]
        return "\n".join([*lines, *([self.cut] if self.cut else []), self.next_step])


_NEXT = {
    "space": "Give the space's id as `space` in other calls.",
    "project": "Evaluate its spans: create_evaluation_task with project={id}.",
    "dataset": "Run a model over it with create_run_experiment_task, or give existing outputs with create_experiment.",
    "experiment": "Evaluate it: create_evaluation_task with dataset and experiment_ids=[{id}].",
    "evaluator": "Attach it to a task: evaluators=[{{evaluator_id: {id}}}].",
    "ai_integration": "Use it in create_evaluator or in a run_configuration: ai_integration_id={id}.",
    "task": "See it with get_task(task={id}), or start it with trigger_task_run(task={id}).",
    "task_run": "See it with get_task_run(run_id={id}), its scores with task_run_results(run_id={id}).",
}


async def _find(call: FindInput, context: ToolContext) -> FindOutput:
    if call.text is not None and (named := await _by_id(call.text, call.kind, context)) is not None:
        return FindOutput(matches=[named], found={named.kind: 1}, next_step=_next_step([named], call.text))
    kinds = [call.kind] if call.kind else list(RESOURCE_KINDS)
    wanted_space = call.space or context.settings.default_space
    space_id = (await context.client.resolve.space(wanted_space)).id if wanted_space else None
    items = await _look(kinds, space_id, call.text, context)
    if call.text is not None and not any(items.values()):
        items = await _look(kinds, space_id, None, context)
    ranked = sorted(
        (entry for kind, found in items.items() for entry in _ranked(kind, found, call.text)),
        key=lambda entry: entry[0],
    )
    found = {kind: sum(1 for _, one, _ in ranked if one == kind) for kind in kinds}
    if call.text is None:
        ranked = _spread(ranked, kinds, call.limit)
    names = {item.id: item.name for found_items in items.values() for item in found_items}
    matches = [
        _match(kind, item, names, None if call.text is None else _HOW[rank[0]])
        for rank, kind, item in ranked[: call.limit]
    ]
    return FindOutput(
        matches=matches,
        found={kind: count for kind, count in found.items() if count},
        cut=_cut(sum(found.values()), len(matches), call),
        next_step=_next_step(matches, call.text),
    )


async def _by_id(text: str, kind: KindWord | None, context: ToolContext) -> Match | None:
    """The resource whose id or link the text is; None when it is a name. Raises NotResolved for a useless link."""
    useless: NotResolved | None = None
    # Innermost first: a link to an experiment also names its dataset and its space.
    for one, resource_kind in RESOURCE_KINDS.items():
        try:
            id_ = id_in(text, resource_kind.reference)
        except NotResolved as error:
            useless = error
            continue
        if id_ is None:
            return None
        if kind is None or kind == one:
            try:
                item = await resource_kind.get(context.client, id_)
            except NotFound:
                # An id of a form that fits any kind, or one that is gone: as a name it may still be found.
                if text == id_:
                    return None
                raise
            return _match(one, item, {}, "exact")
    try:
        run_id = id_in(text, TASK_RUN)
    except NotResolved as error:
        raise useless or error from None
    if run_id is None or kind is not None:
        return None
    task_run = await context.client.task_runs.get(run_id)
    return Match(kind="task_run", id=task_run.id, in_kind="task", in_id=task_run.task_id, match="exact")


async def _look(kinds: list[str] | list[KindWord], space_id: str | None, part: str | None, context: ToolContext) -> (
    dict[str, list[Any]]
):  # fmt: skip
    """The resources of each kind, asked for side by side. A kind that cannot be listed is told and left out."""
    items: dict[str, list[Any]] = {kind: [] for kind in kinds}
    failed: dict[str, Exception] = {}

    async def look(kind: str) -> None:
        try:
            async for item in RESOURCE_KINDS[kind].listing(context.client, space_id, part):
                items[kind].append(item)
                if len(items[kind]) == NAMES_READ_MAX:
                    context.note(
                        f"Only the first {NAMES_READ_MAX} of kind {kind} were looked at; give more of the name."
                    )
                    return
        except (Problem, ClientError) as error:
            failed[kind] = error

    async with anyio.create_task_group() as tasks:
        for kind in kinds:
            tasks.start_soon(look, kind)
    if len(failed) == len(kinds):
        raise failed[kinds[0]]
    if failed:
        context.note(f"Could not look among: {', '.join(failed)}. What is missing here may be there.")
    return items


_Ranked: TypeAlias = tuple[tuple[int, float, str], str, Any]


def _ranked(kind: str, items: list[Any], text: str | None) -> list[_Ranked]:
    """Those that match, with their rank; all of them, by name, when nothing is looked for."""
    if text is None:
        return [((_EXACT, 0.0, item.name.casefold()), kind, item) for item in items]
    folded = text.casefold()
    ranked: list[_Ranked] = []
    for item in items:
        name = item.name.casefold()
        # Texts are cut: the comparison is quadratic, and names may be long.
        similarity = difflib.SequenceMatcher(None, folded[:100], name[:100]).ratio()
        if text in {item.name, item.id}:
            rank = _EXACT
        elif name == folded:
            rank = _SAME_LETTERS
        elif folded in name or (len(name) > 3 and name in folded):
            rank = _PART
        elif similarity >= _LIKE:
            rank = _SIMILAR
        else:
            continue
        ranked.append(((rank, -similarity, name), kind, item))
    return ranked


def _spread(ranked: list[_Ranked], kinds: list[Any], limit: int) -> list[_Ranked]:
    """A listing shows some of every kind, and fills up with the rest in order."""
    share = max(1, limit // len(kinds))
    first: list[_Ranked] = []
    for kind in kinds:
        first += islice((entry for entry in ranked if entry[1] == kind), share)
    rest = [entry for entry in ranked if all(entry is not one for one in first)]
    kept = (first + rest)[:limit]
    return sorted(kept, key=lambda entry: (kinds.index(entry[1]), entry[0]))


def _match(kind: str, item: Any, names: dict[str, str], how: str | None) -> Match:
    resource_kind = RESOURCE_KINDS[kind]
    home = resource_kind.home(item)
    return Match(
        kind=kind,
        id=item.id,
        name=item.name,
        type=resource_kind.type(item),
        in_kind=home[0] if home else None,
        in_id=home[1] if home else None,
        in_name=names.get(home[1]) if home else None,
        match=how,
    )


def _cut(found: int, shown: int, call: FindInput) -> str | None:
    if shown >= found:
        return None
    narrower = "more of the name" if call.text else "text"
    also = "" if call.kind else ", kind"
    return f"{shown} of {found} are shown. Give {narrower}{also}, or a larger limit."


def _next_step(matches: list[Match], text: str | None) -> str:
    if not matches:
        return (
            "Nothing is there yet. Begin with import_spans or create_dataset, then create_evaluator."
            if text is None
            else "Nothing matches. Call find without text to see what there is, or with another space."
        )
    exact = [match for match in matches if match.match == "exact"]
    if text is not None and len(exact) == 1:
        return _NEXT[exact[0].kind].format(id=exact[0].id)
    if text is not None and not exact:
        return "Nothing has exactly this name. If one of these is meant, use its id."
    return "Use the ids in other calls; names work where they are unique."


SPEC = ToolSpec(
    name="find",
    title="Find resources",
    description=(
        "Find resources by name, id or pasted web link, or list what exists. Use it to learn what a name or "
        "link means. Searches spaces, projects, datasets, experiments, evaluators, AI integrations and tasks; "
        "answers kind, id, name and what each belongs to, exact matches first and the nearest names "
        "otherwise. Without text it lists what there is. Other tools take names directly, so there is no need "
        "to look up every name first."
    ),
    effect=Effect.READS,
    group=Group.CATALOG,
    input=FindInput,
    output=FindOutput,
    handler=_find,
    example={"text": "support-bot", "kind": "project"},
    idempotent=True,
)
