"""The `ax://` URIs: which resources exist, their URI templates, and parsing of URIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SCHEME = "ax://"


@dataclass(frozen=True, slots=True)
class Place:
    """One kind of resource. `template` is its URI template (RFC 6570), and `parameters` are the variables of it."""

    template: str
    name: str
    title: str
    description: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.template)

    def uri(self, **values: str) -> str:
        """Return the URI with its variables replaced, each confined to its own segment."""
        return re.sub(r"\{(\w+)\}", lambda part: quote(values[part[1]], safe=""), self._path)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the values of the variables in a URI without its query; None if it does not match."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self._path))
        match = re.fullmatch(pattern, path)
        return {name: unquote(value) for name, value in match.groupdict().items()} if match else None

    @property
    def _path(self) -> str:
        return self.template.partition("{?")[0]


SPACES = Place("ax://spaces", "spaces", "Spaces", "The spaces the server can see, with their ids.")
TASKS = Place(
    "ax://tasks{?cursor}", "tasks", "Tasks", "Evaluation tasks, a page at a time; next_cursor leads to the next page."
)
TASK = Place("ax://tasks/{task_id}", "task", "Task", "One task: what it evaluates, with what, and how it is set up.")
TASK_RUNS = Place(
    "ax://tasks/{task_id}/runs", "task-runs", "Runs of a task", "The runs of one task, newest first, with counts."
)
TASK_RUN = Place("ax://task-runs/{run_id}", "task-run", "Task run", "State, counts and pace of one task run.")
RESULTS = Place(
    "ax://task-runs/{run_id}/results", "task-run-results", "Results of a task run",
    "Labels, scores, worst rows and errors by reason of one task run.",
)  # fmt: skip
EVALUATOR = Place(
    "ax://evaluators/{evaluator_id}", "evaluator", "Evaluator", "One evaluator: its name, its type and its space."
)

PLACES: tuple[Place, ...] = (SPACES, TASKS, TASK, TASK_RUNS, TASK_RUN, RESULTS, EVALUATOR)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URI: the kind of resource, the values of its variables, and the cursor of a page."""

    place: Place
    values: Mapping[str, str]
    cursor: str | None = None


def parse_address(uri: str) -> Address | None:
    """Parse a URI; None if it is not one of ours."""
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    cursor = query.pop("cursor", None)
    if parts.scheme != "ax" or parts.fragment or query:
        return None
    path = f"{SCHEME}{parts.netloc}{parts.path}".rstrip("/")
    for place in PLACES:
        values = place.match(path)
        if values is not None:
            return None if cursor is not None and place is not TASKS else Address(place, values, cursor or None)
    return None
