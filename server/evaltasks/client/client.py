"""One client for both backends: AX and the embedded engine. Opened by `client.transport`."""

from __future__ import annotations

from evaltasks.client.ai_integrations import AiIntegrations
from evaltasks.client.annotation_configs import AnnotationConfigs
from evaltasks.client.caller import Caller
from evaltasks.client.datasets import Datasets
from evaltasks.client.engine import EngineCalls
from evaltasks.client.evaluators import Evaluators
from evaltasks.client.experiments import Experiments
from evaltasks.client.integrations import Integrations
from evaltasks.client.projects import Projects
from evaltasks.client.resolve import Resolver
from evaltasks.client.spaces import Spaces
from evaltasks.client.spans import Spans
from evaltasks.client.task_runs import TaskRuns
from evaltasks.client.tasks import Tasks
from evaltasks.client.traces import Traces


class Client:
    """The client of one service: a resource for each group of operations, and `resolve` from names to ids.

    Args:
        caller: What sends the operations.
        is_engine: Whether the service is an evaltasks engine, which has operations that AX does not have.
        default_space: The space (name or id) in which names are resolved if a call names no space.

    Attributes:
        is_engine: As passed.
        where: The name of the service in error messages.
        resolve: Resolves names, ids and web links.
    """

    def __init__(self, caller: Caller, *, is_engine: bool, default_space: str | None = None) -> None:
        self.is_engine = is_engine
        self.where = caller.where
        self.spaces = Spaces(caller)
        self.projects = Projects(caller)
        self.spans = Spans(caller)
        self.traces = Traces(caller)
        self.datasets = Datasets(caller)
        self.experiments = Experiments(caller)
        self.evaluators = Evaluators(caller)
        self.ai_integrations = AiIntegrations(caller)
        self.integrations = Integrations(caller)
        self.annotation_configs = AnnotationConfigs(caller)
        self.tasks = Tasks(caller)
        self.task_runs = TaskRuns(caller)
        self.engine = EngineCalls(caller)
        self.resolve = Resolver(
            spaces=self.spaces,
            projects=self.projects,
            datasets=self.datasets,
            experiments=self.experiments,
            evaluators=self.evaluators,
            ai_integrations=self.ai_integrations,
            integrations=self.integrations,
            tasks=self.tasks,
            default_space=default_space,
        )
