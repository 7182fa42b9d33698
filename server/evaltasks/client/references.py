"""Parsing of references to resources: an id, a web link that contains one, or a name. Sends no request."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import parse_qsl, unquote, urlsplit

from evaltasks.client.errors import NotResolved


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource.

    Attributes:
        resource: Its name in error messages.
        id_words: The kinds inside its global ids.
        link_words: The path segments before its id in a web link.
        link_parameters: The query parameters of web links that contain its id.
    """

    resource: str
    id_words: frozenset[str]
    link_words: frozenset[str]
    link_parameters: frozenset[str]


def _kind(resource: str, id_words: str, link_words: str, link_parameters: str = "") -> Kind:
    return Kind(
        resource, frozenset(id_words.split()), frozenset(link_words.split()), frozenset(link_parameters.split())
    )


SPACE = _kind("space", "Space", "spaces", "spaceid space_id")
PROJECT = _kind("project", "Model Project", "projects models", "projectid project_id modelid model_id")
DATASET = _kind("dataset", "Dataset", "datasets", "datasetid dataset_id")
EXPERIMENT = _kind("experiment", "Experiment", "experiments", "experimentid experiment_id")
EVALUATOR = _kind("evaluator", "Evaluator", "evaluators evals", "evaluatorid evaluator_id")
EVALUATOR_VERSION = _kind(
    "evaluator version", "EvaluatorVersion", "versions evaluator-versions",
    "versionid version_id version evaluatorversionid evaluator_version_id",
)  # fmt: skip
AI_INTEGRATION = _kind(
    "AI integration", "LlmIntegration", "ai-integrations llm-integrations integrations",
    "integrationid integration_id aiintegrationid ai_integration_id",
)  # fmt: skip
# Their links are like those of AI integrations; only the kind inside the id differs.
AGENT_INTEGRATION = _kind("agent integration", "RemoteEndpointIntegration", "", "")
TASK = _kind("task", "OnlineTask Task", "tasks online-tasks", "taskid task_id")
# Never resolved from names, but recognised if its id is passed for another resource.
TASK_RUN = _kind("task run", "TaskRun", "task-runs runs", "runid run_id taskrunid task_run_id")

KINDS = (
    SPACE, PROJECT, DATASET, EXPERIMENT, EVALUATOR, EVALUATOR_VERSION, AI_INTEGRATION, AGENT_INTEGRATION,
    TASK, TASK_RUN,
)  # fmt: skip

_LINK = re.compile(r"https?://", re.IGNORECASE)


def id_word(text: str) -> str | None:
    """Return the kind inside a global id (`Dataset` in base64 of `Dataset:12:aB3d`); None if the text is a name.

    As in the published clients, an id is strict, padded base64 of UTF-8 text with a colon. Other texts that look like
    ids, such as `task_abc123`, are names.
    """
    try:
        inner = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    word, colon, _ = inner.partition(":")
    return word if colon else None


def is_id(text: str) -> bool:
    """Whether the text is a global id."""
    return id_word(text) is not None


def id_in(text: str, kind: Kind) -> str | None:
    """Return the id of a resource from an id or a web link; None if the text can only be a name.

    Args:
        text: An id, a web link or a name.
        kind: The kind of the resource.

    Raises:
        NotResolved: If the text is the id of another known kind, or a web link without an id of this kind.
    """
    if _LINK.match(text):
        return _id_in_link(text, kind)
    word = id_word(text)
    if word is None:
        return None
    other = next((known for known in KINDS if word in known.id_words), kind)
    if other is not kind:
        raise NotResolved(
            f"This is the id of {_a(other.resource)}, but {_a(kind.resource)} is required. Use its name or id."
        )
    return text


def _id_in_link(link: str, kind: Kind) -> str:
    try:
        parts = urlsplit(link)
    except ValueError:
        raise NotResolved(f"The link is not a valid URL. Use the {kind.resource}'s name or id instead.") from None
    # Some pages have their path after the '#'.
    segments = [unquote(part) for part in f"{parts.path}/{parts.fragment}".split("/") if part]
    found: dict[Kind, str] = {}
    for word, value in pairwise(segments):
        _keep(found, next((known for known in KINDS if word.lower() in known.link_words), None), value)
    for parameter, value in parse_qsl(parts.query.replace("+", "%2B")):
        name = parameter.lower()
        _keep(found, next((known for known in KINDS if name in known.link_parameters), None), value)
    if kind in found:
        return found[kind]
    if not found:
        raise NotResolved(
            f"The link contains no id of {_a(kind.resource)}. Use the {kind.resource}'s name or id instead."
        )
    # Every link contains a space; its target is what follows.
    targets = [target for target in found if target is not SPACE] or [SPACE]
    raise NotResolved(
        f"The link leads to {_a(targets[-1].resource)}, but {_a(kind.resource)} is required. "
        f"Use the name, id or link of the {kind.resource}."
    )


def _keep(found: dict[Kind, str], kind: Kind | None, value: str) -> None:
    """Keep an id found at the place of `kind`, unless the kind inside it is another known one."""
    if kind is None:
        return
    # Browsers and chats remove the padding.
    value += "=" * (-len(value) % 4)
    word = id_word(value)
    known = {known_word for known_kind in KINDS for known_word in known_kind.id_words}
    if word is not None and (word in kind.id_words or word not in known):
        found[kind] = value


def _a(resource: str) -> str:
    return f"an {resource}" if resource[0] in "aeiouA" else f"a {resource}"
