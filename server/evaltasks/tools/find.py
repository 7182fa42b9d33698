"""`find`: search resources by name, id or web link; exact matches first, then similar names."""

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

# At most this many names of one kind are compared; a note says so if there are more.
NAMES_READ_MAX = 2000
_SIMILARITY_MIN = 0.55
_EXACT, _SAME_LETTERS, _PART, _SIMILAR = range(4)
_MATCH_NAMES = {
    _EXACT: "exact",
    _SAME_LETTERS: "same letters, other case",
    _PART: "part of the name",
    _SIMILAR: "similar name",
}


def _read_kind(value: object) -> object:
    word = read_word(value)
    return word.removesuffix("s") if isinstance(word, str) else word


class FindInput(Input):
    text: Text | None = Field(None, description="Name, part of a name, id, or web link. Default: list all resources.")
    kind: Annotated[KindWord, BeforeValidator(_read_kind)] | None = Field(
        None, description="Search only this kind of resource. Default: all kinds."
    )
    space: Text | None = Field(None, description="Name or id of the space to search. Default: the default space.")
    limit: Limit = Field(20, description="Maximum number of matches to return, 1-100. Default 20.")


class Match(BaseModel):
    """One resource. `in_kind`, `in_id` and `in_name` are the project, dataset or space it belongs to."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str
    name: str | None = None
    type: str | None = None
    in_kind: str | None = None
    in_id: str | None = None
    in_name: str | None = None
    match: str | None = Field(None, description="How it matched, such as: exact, part of the name, similar name.")


class FindOutput(Output):
    matches: list[Match]
    found: dict[str, int] = Field(description="Number of matches of each kind, whether shown or not.")
    cut: str | None = Field(None, description="What was omitted, and how to see it.")
    next_step: str

    def text(self) -> str:
        lines = [f"{m.kind} {m.name or ''} ({m.id})" + (f", {m.match}" if m.match else "") for m in self.matches]
        return "\n".join([*lines, *([self.cut] if self.cut else []), self.next_step])


_NEXT = {
    "space": "Pass its id as `space` in other calls.",
    "project": "Evaluate its spans: create_evaluation_task with project={id}.",
    "dataset": "Run a model over it with create_run_experiment_task, or store existing outputs with create_experiment.",
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
    items = await _list_kinds(kinds, space_id, call.text, context)
    if call.text is not None and not any(items.values()):
        items = await _list_kinds(kinds, space_id, None, context)
    ranked = sorted(
        (entry for kind, of_kind in items.items() for entry in _ranked(kind, of_kind, call.text)),
        key=lambda entry: entry[0],
    )
    counts = {kind: sum(1 for _, entry_kind, _ in ranked if entry_kind == kind) for kind in kinds}
    if call.text is None:
        ranked = _mix_kinds(ranked, kinds, call.limit)
    names = {item.id: item.name for of_kind in items.values() for item in of_kind}
    matches = [
        _match(kind, item, names, None if call.text is None else _MATCH_NAMES[rank[0]])
        for rank, kind, item in ranked[: call.limit]
    ]
    return FindOutput(
        matches=matches,
        found={kind: count for kind, count in counts.items() if count},
        cut=_cut(sum(counts.values()), len(matches), call),
        next_step=_next_step(matches, call.text),
    )


async def _by_id(text: str, kind: KindWord | None, context: ToolContext) -> Match | None:
    """Return the resource whose id or link the text is, or None if the text is a name.

    Raises:
        NotResolved: The text is a link that names no resource.
    """
    not_resolved: NotResolved | None = None
    # Innermost first, because a link to an experiment also contains its dataset and its space.
    for resource_name, resource_kind in RESOURCE_KINDS.items():
        try:
            id_ = id_in(text, resource_kind.reference)
        except NotResolved as error:
            not_resolved = error
            continue
        if id_ is None:
            return None
        if kind is None or kind == resource_name:
            try:
                item = await resource_kind.get(context.client, id_)
            except NotFound:
                # The form of this id fits any kind, or the resource was deleted: the text may still be a name.
                if text == id_:
                    return None
                raise
            return _match(resource_name, item, {}, "exact")
    try:
        run_id = id_in(text, TASK_RUN)
    except NotResolved as error:
        raise not_resolved or error from None
    if run_id is None or kind is not None:
        return None
    task_run = await context.client.task_runs.get(run_id)
    return Match(kind="task_run", id=task_run.id, in_kind="task", in_id=task_run.task_id, match="exact")


async def _list_kinds(
    kinds: list[str] | list[KindWord], space_id: str | None, part: str | None, context: ToolContext
) -> dict[str, list[Any]]:
    """List the resources of each kind concurrently. A kind that cannot be listed is left out with a note."""
    items: dict[str, list[Any]] = {kind: [] for kind in kinds}
    failed: dict[str, Exception] = {}

    async def list_kind(kind: str) -> None:
        try:
            async for item in RESOURCE_KINDS[kind].list_all(context.client, space_id, part):
                items[kind].append(item)
                if len(items[kind]) == NAMES_READ_MAX:
                    context.note(
                        f"Only the first {NAMES_READ_MAX} resources of kind {kind} were compared; pass more of the "
                        "name."
                    )
                    return
        except (Problem, ClientError) as error:
            failed[kind] = error

    async with anyio.create_task_group() as tasks:
        for kind in kinds:
            tasks.start_soon(list_kind, kind)
    if len(failed) == len(kinds):
        raise failed[kinds[0]]
    if failed:
        context.note(f"These kinds could not be listed, so matches may be missing: {', '.join(failed)}.")
    return items


_Ranked: TypeAlias = tuple[tuple[int, float, str], str, Any]


def _ranked(kind: str, items: list[Any], text: str | None) -> list[_Ranked]:
    """Return the resources that match, with their rank; without a text all of them, sorted by name."""
    if text is None:
        return [((_EXACT, 0.0, item.name.casefold()), kind, item) for item in items]
    folded = text.casefold()
    ranked: list[_Ranked] = []
    for item in items:
        name = item.name.casefold()
        # The comparison is quadratic and names may be long, so both texts are cut.
        similarity = difflib.SequenceMatcher(None, folded[:100], name[:100]).ratio()
        if text in {item.name, item.id}:
            rank = _EXACT
        elif name == folded:
            rank = _SAME_LETTERS
        elif folded in name or (len(name) > 3 and name in folded):
            rank = _PART
        elif similarity >= _SIMILARITY_MIN:
            rank = _SIMILAR
        else:
            continue
        ranked.append(((rank, -similarity, name), kind, item))
    return ranked


def _mix_kinds(ranked: list[_Ranked], kinds: list[Any], limit: int) -> list[_Ranked]:
    """Return some resources of every kind, then others in order up to the limit."""
    share = max(1, limit // len(kinds))
    first: list[_Ranked] = []
    for kind in kinds:
        first += islice((entry for entry in ranked if entry[1] == kind), share)
    rest = [entry for entry in ranked if all(entry is not chosen for chosen in first)]
    kept = (first + rest)[:limit]
    return sorted(kept, key=lambda entry: (kinds.index(entry[1]), entry[0]))


def _match(kind: str, item: Any, names: dict[str, str], how: str | None) -> Match:
    resource_kind = RESOURCE_KINDS[kind]
    parent = resource_kind.parent(item)
    return Match(
        kind=kind,
        id=item.id,
        name=item.name,
        type=resource_kind.type(item),
        in_kind=parent[0] if parent else None,
        in_id=parent[1] if parent else None,
        in_name=names.get(parent[1]) if parent else None,
        match=how,
    )


def _cut(found: int, shown: int, call: FindInput) -> str | None:
    if shown >= found:
        return None
    narrower = "more of the name" if call.text else "text"
    kind = "" if call.kind else ", kind"
    return f"{shown} of {found} are shown. Pass {narrower}{kind}, or a larger limit."


def _next_step(matches: list[Match], text: str | None) -> str:
    if not matches:
        return (
            "There are no resources yet. Start with import_spans or create_dataset, then create_evaluator."
            if text is None
            else "Nothing matches. Call find without text to list all resources, or with another space."
        )
    exact = [match for match in matches if match.match == "exact"]
    if text is not None and len(exact) == 1:
        return _NEXT[exact[0].kind].format(id=exact[0].id)
    if text is not None and not exact:
        return "No resource has exactly this name. If one of these is the right one, use its id."
    return "Use the ids in other calls; names work where they are unique."


SPEC = ToolSpec(
    name="find",
    title="Find resources",
    description=(
        "Find resources by name, id or web link, or list all of them. Use it to resolve a name or a link. "
        "Searches spaces, projects, datasets, experiments, evaluators, AI integrations and tasks. Returns "
        "kind, id, name and the parent of each, exact matches first, otherwise the most similar names. Other "
        "tools accept names directly, so you need not look up every name first."
    ),
    effect=Effect.READS,
    group=Group.CATALOG,
    input=FindInput,
    output=FindOutput,
    handler=_find,
    example={"text": "support-bot", "kind": "project"},
    idempotent=True,
)
