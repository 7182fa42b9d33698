"""All tools, in the order in which agents see them. Only this list decides order and presence."""

from __future__ import annotations

from typing import Any

from evaltasks.tools import (
    cancel_task_run,
    create_agent_integration,
    create_ai_integration,
    create_dataset,
    create_evaluation_task,
    create_evaluator,
    create_experiment,
    create_run_experiment_task,
    create_task,
    delete_task,
    find,
    get_task,
    get_task_run,
    import_spans,
    list_task_runs,
    list_tasks,
    task_run_results,
    trigger_task_run,
    update_task,
    wait_for_task_run,
)
from evaltasks.tools.spec import ToolSpec

TOOLS: tuple[ToolSpec[Any, Any], ...] = (
    list_tasks.SPEC,
    get_task.SPEC,
    create_task.SPEC,
    create_evaluation_task.SPEC,
    create_run_experiment_task.SPEC,
    update_task.SPEC,
    delete_task.SPEC,
    trigger_task_run.SPEC,
    list_task_runs.SPEC,
    get_task_run.SPEC,
    cancel_task_run.SPEC,
    wait_for_task_run.SPEC,
    task_run_results.SPEC,
    find.SPEC,
    import_spans.SPEC,
    create_dataset.SPEC,
    create_experiment.SPEC,
    create_evaluator.SPEC,
    create_ai_integration.SPEC,
    create_agent_integration.SPEC,
)

# Old name → current name. A renamed tool can still be called by its old name. None has been renamed yet.
ALIASES: dict[str, str] = {}
BY_NAME: dict[str, ToolSpec[Any, Any]] = {spec.name: spec for spec in TOOLS}
