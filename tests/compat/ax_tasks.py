"""Every `ax tasks …` command of the vendor's page, with enum values in capitals, as the current client requires."""

from __future__ import annotations

import json
from pathlib import Path

from tests.compat.rows import AxRow, Check, Ended, World, filled


def shows(**fields: object) -> Check:
    """Expect success and one printed object with these fields; texts may contain `{placeholders}`."""

    def check(ended: Ended, world: World) -> None:
        assert ended.code == 0, ended.said
        for name, value in fields.items():
            wanted = world.get(value[1:-1], value) if isinstance(value, str) and value.startswith("{") else value
            assert ended.data.get(name) == wanted, f"{name} is {ended.data.get(name)!r}, expected {wanted!r}"
        assert ended.data["id"]

    return check


def lists(resource: str, *names: str, by: str = "name") -> Check:
    """Expect success and a printed list with these names; an empty list if none is named."""

    def check(ended: Ended, world: World) -> None:
        assert ended.code == 0, ended.said
        found = [item[by] for item in ended.data[resource]]
        wanted = [world.get(name[1:-1], name) if name.startswith("{") else name for name in names]
        missing = set(wanted) - set(found)
        assert not missing, f"{sorted(missing)} missing among {found}"
        assert names or not found, f"expected an empty list, got {found}"

    return check


def holds(count: int, *columns: str) -> Check:
    """Expect success and that many printed rows, each with these columns (also among user columns)."""

    def check(ended: Ended, world: World) -> None:
        assert ended.code == 0, ended.said
        rows = (
            ended.data if isinstance(ended.data, list) else next(v for v in ended.data.values() if isinstance(v, list))
        )
        assert len(rows) == count, f"{len(rows)} rows"
        for row in rows:
            missing = set(columns) - {*row, *row.get("additional_properties", {})}
            assert not missing, f"{sorted(missing)} missing among {sorted(row)}"

    return check


def succeeds(*said: str) -> Check:
    def check(ended: Ended, world: World) -> None:
        assert ended.code == 0, ended.said
        for text in said:
            assert filled(text, world) in ended.said + ended.out, ended.said

    return check


def fails(code: int, *said: str) -> Check:
    def check(ended: Ended, world: World) -> None:
        assert ended.code == code, f"ended with {ended.code}: {ended.said}"
        for text in said:
            assert text in ended.said, ended.said

    return check


def saves(file: str, resource: str) -> Check:
    def check(ended: Ended, world: World) -> None:
        assert ended.code == 0, ended.said
        assert json.loads(Path(world["folder"], file).read_text())[resource]

    return check


EVALUATORS = json.dumps([{"evaluator_id": "{evaluator_id}", "query_filter": None, "column_mappings": None}])
TEMPLATE_EVALUATORS = json.dumps([{"evaluator_id": "{template_evaluator_id}"}])
RUN_CONFIGURATION = json.dumps(
    {"experiment_type": "LLM_GENERATION", "ai_integration_id": "{ai_integration_id}", "model_name": "gpt-4o",
     "messages": [{"role": "USER", "content": "{{input}}"}], "input_variable_format": "MUSTACHE"}
)  # fmt: skip
# As on the vendor's page: without input_variable_format.
SEED_RUN_CONFIGURATION = json.dumps(
    {"experiment_type": "LLM_GENERATION", "ai_integration_id": "{ai_integration_id}", "model_name": "gpt-4o",
     "messages": [{"role": "USER", "content": "{{input}}"}]}
)  # fmt: skip
UNKNOWN_TASK_ID = "T25saW5lVGFzazoxOm5vbmU="


def _tasks(*arguments: str) -> tuple[str, ...]:
    return ("tasks", *arguments)


TASK_ROWS: tuple[AxRow, ...] = (
    AxRow(_tasks("list", "--space", "{space_id}"), lists("tasks", "on spans", "on experiments", "summaries")),
    AxRow(_tasks("list", "--space", "{space_id}", "--task-type", "TEMPLATE_EVALUATION"), lists("tasks", "waits")),
    AxRow(_tasks("list", "--project", "{project_id}", "--output", "tasks.json"), saves("tasks.json", "tasks")),
    AxRow(_tasks("list", "--space", "compat", "--dataset", "gold"), lists("tasks", "on experiments", "summaries")),
    AxRow(_tasks("list", "--space", "compat", "--project", "chat", "--name", "ON SPA"), lists("tasks", "on spans")),
    AxRow(_tasks("list", "--space", "nowhere"), lists("tasks")),
    AxRow(_tasks("list", "--task-type", "template_evaluation"), fails(2, "template_evaluation"), "client"),
    AxRow(
        _tasks("create", "--name", "Relevance Monitor", "--task-type", "TEMPLATE_EVALUATION", "--project",
               "{project_id}", "--evaluators", TEMPLATE_EVALUATORS, "--is-continuous", "--sampling-rate", "0.1"),
        shows(type="TEMPLATE_EVALUATION", is_continuous=True, sampling_rate=0.1, project_id="{project_id}"),
    ),
    AxRow(
        _tasks("create", "--name", "Experiment Evaluation", "--task-type", "TEMPLATE_EVALUATION", "--dataset",
               "{dataset_id}", "--experiment-ids", "{experiment_id},{mine_experiment_id}", "--evaluators",
               TEMPLATE_EVALUATORS, "--no-continuous"),
        shows(dataset_id="{dataset_id}", is_continuous=False),
    ),
    AxRow(
        _tasks("create", "--name", "GPT-4o Summarization", "--task-type", "RUN_EXPERIMENT", "--dataset",
               "{dataset_id}", "--run-configuration", RUN_CONFIGURATION),
        shows(type="RUN_EXPERIMENT", dataset_id="{dataset_id}"),
    ),
    AxRow(
        _tasks("create", "--name", "As the page shows it", "--task-type", "RUN_EXPERIMENT", "--dataset",
               "{dataset_id}", "--run-configuration", SEED_RUN_CONFIGURATION),
        fails(2, "input_variable_format"), "format",
    ),
    AxRow(
        _tasks("create-evaluation", "--name", "Relevance Monitor 2", "--task-type", "CODE_EVALUATION", "--project",
               "chat", "--space", "compat", "--evaluators", EVALUATORS, "--sampling-rate", "0.1", "--is-continuous"),
        shows(type="CODE_EVALUATION", sampling_rate=0.1),
    ),
    AxRow(
        _tasks("create-evaluation", "--name", "Filtered", "--task-type", "CODE_EVALUATION", "--project", "{project_id}",
               "--evaluators", EVALUATORS, "--query-filter", "span_kind = 'LLM'"),
        shows(query_filter="span_kind = 'LLM'"),
    ),
    AxRow(
        _tasks("create-evaluation", "--name", "on spans", "--task-type", "CODE_EVALUATION", "--project", "{project_id}",
               "--evaluators", EVALUATORS),
        fails(4, "409"), "refused",
    ),
    AxRow(
        _tasks("create-run-experiment", "--name", "GPT-4o Summarization 2", "--dataset", "{dataset_id}",
               "--run-configuration", "./run_config.json"),
        shows(type="RUN_EXPERIMENT"),
    ),
    AxRow(
        _tasks("create-run-experiment", "--name", "GPT-4o Summarization 4", "--dataset", "{dataset_id}",
               "--run-configuration", "@./run_config.json"),
        fails(2, "File not found: @./run_config.json"), "sign",
    ),
    AxRow(
        _tasks("create-run-experiment", "--name", "GPT-4o Summarization 3", "--dataset", "gold", "--space", "compat",
               "--run-configuration", RUN_CONFIGURATION),
        shows(dataset_id="{dataset_id}"),
    ),
    AxRow(_tasks("get", "{task_id}"), shows(name="on spans", type="CODE_EVALUATION")),
    AxRow(_tasks("get", "on spans"), fails(4, "Provide 'space' so the task name can be resolved"), "client"),
    AxRow(_tasks("get", UNKNOWN_TASK_ID), fails(4, "404", "There is no task with this id"), "refused"),
    AxRow(
        _tasks("update", "{mine_task_id}", "--name", "Relevance Monitor v2", "--sampling-rate", "0.25"),
        shows(name="Relevance Monitor v2", sampling_rate=0.25),
    ),
    AxRow(_tasks("update", "waits", "--space", "compat", "--query-filter", ""), shows(name="waits")),
    AxRow(_tasks("update", "{mine_task_id}", "--evaluators", EVALUATORS), shows(type="CODE_EVALUATION")),
    AxRow(
        _tasks("update", "{mine_experiment_task_id}", "--run-configuration", RUN_CONFIGURATION),
        shows(type="RUN_EXPERIMENT"),
    ),
    AxRow(_tasks("update", "{run_experiment_task_id}", "--sampling-rate", "0.5"), fails(4, "sampling_rate"), "client"),
    AxRow(_tasks("delete", "{spare_task_id}", "--force"), succeeds()),
    AxRow(_tasks("delete", "nothing", "--space", "compat", "--force"), fails(4, "task 'nothing' not found"), "refused"),
    AxRow(_tasks("trigger-run", "{task_id}"), shows(status="PENDING", task_id="{task_id}")),
    AxRow(
        _tasks("trigger-run", "{task_id}", "--data-start-time", "2024-01-01T00:00:00Z", "--data-end-time",
               "2024-02-01T00:00:00Z"),
        fails(4, "422", "30 days"), "window",
    ),
    AxRow(
        _tasks("trigger-run", "{task_id}", "--data-start-time", "2024-01-01T00:00:00Z", "--data-end-time",
               "2024-01-31T00:00:00Z"),
        shows(data_start_time="2024-01-01T00:00:00Z"),
    ),
    AxRow(
        _tasks("trigger-run", "{task_id}", "--data-start-time", "{start}", "--data-end-time", "{end}",
               "--override-evaluations", "--max-spans", "3", "--wait"),
        shows(status="COMPLETED", num_successes=3, num_errors=0),
    ),
    AxRow(
        _tasks("trigger-run", "{dataset_task_id}", "--experiment-ids", "{experiment_id}", "--wait", "--timeout", "300",
               "--poll-interval", "10"),
        shows(status="COMPLETED", num_successes=3),
    ),
    AxRow(
        _tasks("trigger-run", "{run_experiment_task_id}", "--experiment-name", "made by ax", "--max-examples", "2",
               "--tracing-metadata", '{"team": "a"}', "--evaluation-task-ids", "{dataset_task_id}", "--wait",
               "--poll-interval", "1"),
        shows(status="COMPLETED", num_successes=2),
    ),
    AxRow(
        _tasks("trigger-run", "{run_experiment_task_id}", "--experiment-name", "made by ax too", "--example-ids",
               "{example_id}", "--dataset-version-id", "{dataset_version_id}", "--wait", "--poll-interval", "1"),
        shows(status="COMPLETED", num_successes=1),
    ),
    AxRow(_tasks("trigger-run", "{mine_task_id}"), fails(4, "400", "data_start_time"), "refused"),
    AxRow(_tasks("list-runs", "{task_id}"), lists("task_runs", "{task_run_id}", by="id")),
    AxRow(
        _tasks("list-runs", "{task_id}", "--status", "COMPLETED"), lists("task_runs", "{task_run_id}", by="id")
    ),
    AxRow(_tasks("list-runs", "{task_id}", "--status", "FAILED", "--output", "runs.json"), succeeds()),
    AxRow(_tasks("get-run", "{task_run_id}"), shows(status="COMPLETED", num_successes=11)),
    AxRow(_tasks("get-run", "run_abc123"), fails(4, "404"), "refused"),
    AxRow(_tasks("cancel-run", "{spare_task_run_id}", "--force"), shows(status="CANCELLED")),
    AxRow(_tasks("cancel-run", "{spare_task_run_2_id}"), succeeds("CANCELLED"), stdin="y\n"),
    AxRow(_tasks("cancel-run", "{task_run_id}", "--force"), fails(4, "400"), "refused"),
    AxRow(_tasks("wait-for-run", "{task_run_id}"), shows(status="COMPLETED")),
    AxRow(
        _tasks("wait-for-run", "{task_run_id}", "--timeout", "300", "--poll-interval", "10"), shows(status="COMPLETED")
    ),
    AxRow(_tasks("wait-for-run", "{held_task_run_id}", "--timeout", "2", "--poll-interval", "1"), fails(4), "refused"),
)  # fmt: skip
