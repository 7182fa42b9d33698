"""Validate the run configuration of a task before it is stored; the rules belong to its kind."""

from __future__ import annotations

from evaltasks.api.run_configurations import RunConfiguration
from evaltasks.engine.handlers.problem_list import ProblemList
from evaltasks.engine.runs.example_kinds import EXAMPLE_KINDS
from evaltasks.engine.store.store import Transaction


def validate_configuration(
    tx: Transaction, configuration: RunConfiguration, space_id: str | None, problems: ProblemList
) -> None:
    """Add every problem of the configuration to `problems`.

    Args:
        tx: A transaction that reads what the configuration refers to.
        configuration: The configuration of a request.
        space_id: The space of the task. None if it is unknown, which is a problem of its own; then nothing is said
            about whether what the configuration refers to may be used there.
        problems: Receives the problems.
    """
    for problem in EXAMPLE_KINDS[configuration.experiment_type].problems(tx, configuration, space_id):
        problems.add(problem)
