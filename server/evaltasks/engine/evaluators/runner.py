"""How the embedded engine validates and runs one kind of evaluator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.api.evaluator_kinds import EvaluatorKind
from evaltasks.api.wire import JsonObject
from evaltasks.engine.evaluators.outcome import Evaluator
from evaltasks.engine.providers.catalog import Providers
from evaltasks.engine.sandbox.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Resources:
    """What an evaluator may use while it runs.

    Attributes:
        providers: The clients of the providers of language models.
        integration: The AI integration that the configuration names; None if it names none or it was deleted.
        sandbox: Runs the code of custom evaluators.
    """

    providers: Providers
    integration: AiIntegration | None
    sandbox: Sandbox


def _no_judge_problems(_config: Any, _integration: AiIntegration) -> list[str]:
    return []


def _no_repairs(_config: Any) -> JsonObject:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """The engine's part of a kind. The callables take a configuration of the kind's own class.

    Attributes:
        problems: Returns a sentence for everything that prevents evaluators with this configuration, checked when a
            version is created. May raise Unavailable.
        make: Returns an evaluator for the rows of one task run. Raises PermanentFailure or ValueError if it cannot
            evaluate any row.
        judge_problems: Returns a sentence for everything that the AI integration cannot judge.
        repairs: Returns fields for the problem document that say how to repair the configuration.
    """

    problems: Callable[[Any, Sandbox], Awaitable[list[str]]]
    make: Callable[[Any, Resources], Evaluator]
    judge_problems: Callable[[Any, AiIntegration], list[str]] = _no_judge_problems
    repairs: Callable[[Any], JsonObject] = _no_repairs


@dataclass(frozen=True, kw_only=True)
class RunnableKind(EvaluatorKind):
    """A kind of an installed package, with the engine's part of it."""

    runner: Runner
