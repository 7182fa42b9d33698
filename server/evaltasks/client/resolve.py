"""Resolution of names, ids and web links to ids, without guessing.

Names are compared exactly, over every page; the `name` filter of the service, a case-insensitive substring, only
shortens the list. A name of no resource or of several is an error with the most similar candidates. Nothing is cached
between calls: a renamed resource is found under its new name at once, and no longer under the old one.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeAlias

from evaltasks.api.ai_integrations import ListAiIntegrations
from evaltasks.api.datasets import ListDatasets
from evaltasks.api.evaluators import ListEvaluators
from evaltasks.api.experiments import ListExperiments
from evaltasks.api.integrations import IntegrationType, ListIntegrations
from evaltasks.api.projects import ListProjects
from evaltasks.api.spaces import ListSpaces
from evaltasks.api.tasks import ListTasks
from evaltasks.client.ai_integrations import AiIntegrations
from evaltasks.client.datasets import Datasets
from evaltasks.client.errors import NotResolved
from evaltasks.client.evaluators import Evaluators
from evaltasks.client.experiments import Experiments
from evaltasks.client.integrations import Integrations
from evaltasks.client.projects import Projects
from evaltasks.client.references import (
    AGENT_INTEGRATION,
    AI_INTEGRATION,
    DATASET,
    EVALUATOR,
    EVALUATOR_VERSION,
    EXPERIMENT,
    PROJECT,
    SPACE,
    TASK,
    Kind,
    id_in,
)
from evaltasks.client.spaces import Spaces
from evaltasks.client.tasks import Tasks

NAME_LENGTH_MAX = 255
CANDIDATES_MAX = 10
# If no name matches, at most this many are read to find similar ones; more cost more than they help.
NAMES_COMPARED_MAX = 1000
_HASH_PREFIX_MIN = 7


@dataclass(frozen=True, slots=True)
class Named:
    """A resolved resource. Its name is None if an id was passed, which costs no request."""

    id: str
    name: str | None = None


class _HasName(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


# Lists one kind in one scope; the argument is a part of the name (None for all names).
_Listing: TypeAlias = Callable[[str | None], AsyncIterator[_HasName]]


class Resolver:
    """Resolves references to resources.

    The argument `text` of every method is a name, an id or a web link. `space` is where names are searched: by default
    the default space if there is one, otherwise every space that the API key can see.

    Every method raises `NotResolved` if not exactly one resource matches, and `Problem` and `ClientError` as the list
    operation does.
    """

    def __init__(
        self,
        *,
        spaces: Spaces,
        projects: Projects,
        datasets: Datasets,
        experiments: Experiments,
        evaluators: Evaluators,
        ai_integrations: AiIntegrations,
        integrations: Integrations,
        tasks: Tasks,
        default_space: str | None,
    ) -> None:
        self._spaces = spaces
        self._projects = projects
        self._datasets = datasets
        self._experiments = experiments
        self._evaluators = evaluators
        self._ai_integrations = ai_integrations
        self._integrations = integrations
        self._tasks = tasks
        self._default_space = default_space

    async def space(self, text: str | None = None) -> Named:
        """Resolve a space; None means the default space or, without one, the only space that exists."""
        wanted = text if text is not None else self._default_space
        if wanted is None:
            return await self._only_space()
        if found := id_in(wanted, SPACE):
            return Named(found)
        return await _find(SPACE, wanted, lambda part: self._spaces.all(ListSpaces(name=part)))

    async def project(self, text: str, space: str | None = None) -> Named:
        """Resolve a project."""
        if found := id_in(text, PROJECT):
            return Named(found)
        scope = await self._scope(space)
        return await _find(
            PROJECT, text, lambda part: self._projects.all(ListProjects(space_id=scope, name=part)), scoped=bool(scope)
        )

    async def dataset(self, text: str, space: str | None = None) -> Named:
        """Resolve a dataset."""
        if found := id_in(text, DATASET):
            return Named(found)
        scope = await self._scope(space)
        return await _find(
            DATASET, text, lambda part: self._datasets.all(ListDatasets(space_id=scope, name=part)), scoped=bool(scope)
        )

    async def experiment(self, text: str, dataset_id: str | None = None, space: str | None = None) -> Named:
        """Resolve an experiment; with `dataset_id` only those of this dataset are searched, and `space` is ignored."""
        if found := id_in(text, EXPERIMENT):
            return Named(found)
        scope = None if dataset_id else await self._scope(space)

        def listing(part: str | None) -> AsyncIterator[_HasName]:
            return self._experiments.all(ListExperiments(dataset_id=dataset_id, space_id=scope, name=part))

        return await _find(EXPERIMENT, text, listing, scoped=bool(scope or dataset_id))

    async def evaluator(self, text: str, space: str | None = None) -> Named:
        """Resolve an evaluator."""
        if found := id_in(text, EVALUATOR):
            return Named(found)
        scope = await self._scope(space)
        return await _find(
            EVALUATOR, text,
            lambda part: self._evaluators.all(ListEvaluators(space_id=scope, name=part)), scoped=bool(scope),
        )  # fmt: skip

    async def ai_integration(self, text: str, space: str | None = None) -> Named:
        """Resolve an AI integration."""
        if found := id_in(text, AI_INTEGRATION):
            return Named(found)
        scope = await self._scope(space)
        return await _find(
            AI_INTEGRATION, text,
            lambda part: self._ai_integrations.all(ListAiIntegrations(space_id=scope, name=part)), scoped=bool(scope),
        )  # fmt: skip

    async def agent_integration(self, text: str, space: str | None = None) -> Named:
        """Resolve an agent integration."""
        if found := id_in(text, AGENT_INTEGRATION):
            return Named(found)
        scope = await self._scope(space)

        def listing(part: str | None) -> AsyncIterator[_HasName]:
            return self._integrations.all(ListIntegrations(type=IntegrationType.AGENT, space_id=scope, name=part))

        return await _find(AGENT_INTEGRATION, text, listing, scoped=bool(scope))

    async def task(self, text: str, space: str | None = None) -> Named:
        """Resolve a task."""
        if found := id_in(text, TASK):
            return Named(found)
        scope = await self._scope(space)
        return await _find(
            TASK, text, lambda part: self._tasks.all(ListTasks(space_id=scope, name=part)), scoped=bool(scope)
        )

    async def evaluator_version(self, text: str, evaluator_id: str) -> Named:
        """Resolve a version of an evaluator.

        Args:
            text: An id or link or, because versions have no names, a commit message, a commit hash, or at least its
                first 7 characters.
            evaluator_id: The id of the evaluator.

        Raises:
            NotResolved: If not exactly one version matches.
        """
        if found := id_in(text, EVALUATOR_VERSION):
            return Named(found)
        _check_name(EVALUATOR_VERSION, text)
        # By id, because an item may move to another page while the list is read.
        seen = {version.id: version async for version in self._evaluators.all_versions(evaluator_id)}
        versions = list(seen.values())
        named = [(version.commit_message or version.commit_hash or version.id, version.id) for version in versions]
        matches = [
            pair
            for pair, version in zip(named, versions, strict=True)
            if text in {version.commit_hash, version.commit_message}
            or (len(text) >= _HASH_PREFIX_MIN and version.commit_hash.startswith(text))
        ]
        if len(matches) == 1:
            return Named(matches[0][1], matches[0][0])
        if matches:
            raise _ambiguous(EVALUATOR_VERSION, text, matches, scoped=True)
        raise NotResolved(
            f"No version of this evaluator has the id, commit hash or commit message {_quoted(text)}.",
            candidates=named[:CANDIDATES_MAX],
        )

    async def _scope(self, space: str | None) -> str | None:
        """Return the id of the space to search; None for all of them."""
        wanted = space if space is not None else self._default_space
        return None if wanted is None else (await self.space(wanted)).id

    async def _only_space(self) -> Named:
        seen = {space.id: space.name async for space in self._spaces.all(ListSpaces())}
        spaces = [(name, id_) for id_, name in seen.items()]
        if len(spaces) == 1:
            return Named(spaces[0][1], spaces[0][0])
        if not spaces:
            raise NotResolved("This API key has access to no space. Ask the owner of the key for access to one.")
        raise NotResolved(
            f"A space is required: there are {len(spaces)}, and no default is set. Set `space`.",
            candidates=spaces[:CANDIDATES_MAX],
        )


async def _find(kind: Kind, name: str, listing: _Listing, *, scoped: bool = False) -> Named:
    """Find the only resource with exactly this name over all pages; raise NotResolved with candidates otherwise."""
    _check_name(kind, name)
    near = {item.id: item.name async for item in listing(name)}
    exact = [(found, id_) for id_, found in near.items() if found == name]
    if len(exact) == 1:
        return Named(exact[0][1], name)
    if exact:
        raise _ambiguous(kind, name, exact, scoped=scoped)
    others: dict[str, str] = {}
    async for item in listing(None):
        others[item.id] = item.name
        if len(others) >= NAMES_COMPARED_MAX:
            break
    where = " in the space searched" if scoped and kind is not EXPERIMENT else ""
    candidates = _nearest(name, [(found, id_) for id_, found in (near | others).items()])
    if candidates:
        advice = "Names are compared exactly, letter case included; use one of the candidates or an id."
    elif others:
        advice = f"List the {kind.resource}s, or use an id."
    else:
        advice = f"The API key can see no {kind.resource} there."
    raise NotResolved(f"No {kind.resource} is named {_quoted(name)}{where}. {advice}", candidates=candidates)


def _check_name(kind: Kind, name: str) -> None:
    if not name.strip():
        raise NotResolved(f"The {kind.resource} must not be empty. Use its name or id.")
    if len(name) > NAME_LENGTH_MAX:
        raise NotResolved(
            f"This is not the name of a {kind.resource}: it has {len(name)} characters, and names have at most "
            f"{NAME_LENGTH_MAX}. Use its name or id."
        )


def _ambiguous(kind: Kind, name: str, matches: list[tuple[str, str]], *, scoped: bool) -> NotResolved:
    remedy = "Use the id." if scoped or kind is SPACE else "Use the id, or set the space to search."
    return NotResolved(
        f"{len(matches)} {kind.resource}s are named {_quoted(name)}. {remedy}", candidates=matches[:CANDIDATES_MAX]
    )


def _nearest(wanted: str, named: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the most similar names: first those that differ in letter case only; all names if there are few."""
    pairs = list(named)
    folded = wanted.casefold()

    def similarity(pair: tuple[str, str]) -> tuple[bool, bool, float]:
        name = pair[0].casefold()
        # Truncated, because the comparison is quadratic and names may be long.
        share = difflib.SequenceMatcher(None, folded[:100], name[:100]).ratio()
        return name == folded, folded in name or name in folded, share

    ranked = sorted(((similarity(pair), pair) for pair in pairs), key=lambda scored: scored[0], reverse=True)
    few = len(pairs) <= CANDIDATES_MAX
    close = (pair for (same, part, share), pair in ranked if few or same or part or share >= 0.5)
    return list(islice(close, CANDIDATES_MAX))


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= 60 else f"'{text[:60]}…'"
