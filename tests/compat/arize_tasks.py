"""Tasks, spans and traces through the Python SDK, and what is out of scope."""

from __future__ import annotations

from tests.compat.arize_calls import SPACE, SdkRow, attached, generation, names, said_of, walk, window

TASK_ROWS: tuple[SdkRow, ...] = (
    # --- tasks
    SdkRow("tasks.list(space)", lambda c, w: "on spans" in names(c.tasks.list(space=SPACE).tasks)),
    SdkRow(
        "tasks.list(project, space, task_type)",
        lambda c, w: names(c.tasks.list(project="chat", space=SPACE, task_type="CODE_EVALUATION").tasks),
    ),
    SdkRow("tasks.list, pages of one", lambda c, w: walk(c.tasks.list, "tasks", space=w.space_id)),
    SdkRow("tasks.get(id)", lambda c, w: c.tasks.get(task=w.task_id).evaluators[0].evaluator_id == w.evaluator_id),
    SdkRow("tasks.get(name, space)", lambda c, w: c.tasks.get(task="on spans", space=SPACE).id == w.task_id),
    SdkRow(
        "tasks.get(run_experiment task)",
        lambda c, w: c.tasks.get(task=w.run_experiment_task_id).run_configuration.messages[0].role == "USER",
    ),
    SdkRow(
        "tasks.get(unknown id)",
        lambda c, w: c.tasks.get(task="T25saW5lVGFzazoxOm5vbmU="),
        ("NotFoundException", "There is no task"),
        "refused",
    ),
    SdkRow(
        "tasks.get(unknown name)",
        lambda c, w: c.tasks.get(task="zzz", space=SPACE),
        ("", "task 'zzz' not found."),
        "refused",
    ),
    SdkRow(
        "tasks.create_evaluation_task(project)",
        lambda c, w: (
            c.tasks.create_evaluation_task(
                name="by the SDK",
                task_type="CODE_EVALUATION",
                evaluators=attached(w.evaluator_id),
                project="chat",
                space=SPACE,
                sampling_rate=0.5,
                is_continuous=False,
            ).sampling_rate
            == 0.5
        ),
    ),
    SdkRow(
        "tasks.create_evaluation_task(dataset)",
        lambda c, w: (
            c.tasks.create_evaluation_task(
                name="by the SDK, dataset",
                task_type="CODE_EVALUATION",
                evaluators=attached(w.evaluator_id),
                dataset=w.dataset_id,
                experiment_ids=[w.experiment_id],
            ).experiment_ids
            == [w.experiment_id]
        ),
    ),
    SdkRow(
        "tasks.create_evaluation_task(a name that is taken)",
        lambda c, w: c.tasks.create_evaluation_task(
            name="on spans", task_type="CODE_EVALUATION", evaluators=attached(w.evaluator_id), project=w.project_id
        ),
        ("ConflictException", ""),
        "refused",
    ),
    SdkRow(
        "tasks.create_run_experiment_task",
        lambda c, w: (
            c.tasks.create_run_experiment_task(
                name="by the SDK, generation", dataset="gold", space=SPACE, run_configuration=generation(w)
            ).run_configuration.model_name
            == "judge"
        ),
    ),
    SdkRow(
        "tasks.update(evaluation task)",
        lambda c, w: (
            c.tasks.update(
                task=w.mine_task_id, name="renamed by the SDK", sampling_rate=0.25, query_filter="span_kind = 'LLM'"
            ).query_filter
            == "span_kind = 'LLM'"
        ),
    ),
    SdkRow(
        "tasks.update(query_filter=None)",
        lambda c, w: c.tasks.update(task=w.mine_task_id, query_filter=None).query_filter is None,
    ),
    SdkRow(
        "tasks.update(run_experiment task)",
        lambda c, w: c.tasks.update(task=w.mine_experiment_task_id, run_configuration=generation(w)).id,
    ),
    SdkRow(
        "tasks.trigger_run and tasks.wait_for_run",
        lambda c, w: (
            c.tasks.wait_for_run(
                run_id=c.tasks.trigger_run(
                    task="on spans", space=SPACE, max_spans=2, override_evaluations=True, **window(w)
                ).id,
                poll_interval=0.2,
            ).num_successes
            == 2
        ),
    ),
    SdkRow(
        "tasks.trigger_run(run_experiment task)",
        lambda c, w: (
            c.tasks.wait_for_run(
                run_id=c.tasks.trigger_run(
                    task=w.run_experiment_task_id, experiment_name="by the SDK", max_examples=1
                ).id,
                poll_interval=0.2,
            ).experiment_id
        ),
    ),
    SdkRow(
        "tasks.list_runs(status)",
        lambda c, w: (
            {run.status for run in c.tasks.list_runs(task=w.task_id, status="COMPLETED").task_runs} == {"COMPLETED"}
        ),
    ),
    SdkRow("tasks.list_runs, pages of one", lambda c, w: walk(c.tasks.list_runs, "task_runs", task=w.task_id)),
    SdkRow("tasks.get_run", lambda c, w: c.tasks.get_run(run_id=w.task_run_id).status == "COMPLETED"),
    SdkRow("tasks.cancel_run", lambda c, w: c.tasks.cancel_run(run_id=w.spare_task_run_id).status == "CANCELLED"),
    SdkRow(
        "tasks.cancel_run(a run that is over)",
        lambda c, w: c.tasks.cancel_run(run_id=w.task_run_id),
        ("BadRequestException", ""),
        "refused",
    ),
    SdkRow("tasks.delete", lambda c, w: c.tasks.delete(task=w.spare_task_id) is None),
    # --- spans and traces
    SdkRow(
        "spans.list",
        lambda c, w: (
            c.spans.list(project="chat", space=SPACE, filter="eval.is_answer.label IS NOT NULL", limit=500)
            .spans[0]
            .evaluations[0]
            .metadata
        ),
    ),
    SdkRow(
        "spans.list(included_columns, truncate_string_length)",
        lambda c, w: (
            c.spans.list(project=w.project_id, included_columns=["input.value"], truncate_string_length=4)
            .spans[0]
            .attributes
            == {"input.value": "que…"}
        ),
    ),
    SdkRow(
        "spans.list(both lists of columns)",
        lambda c, w: c.spans.list(project=w.project_id, included_columns=["a"], excluded_columns=["b"]),
        ("", ""),
        "refused",
    ),
    SdkRow("spans.list, pages of one", lambda c, w: walk(c.spans.list, "spans", project=w.project_id)),
    SdkRow(
        "spans.annotate",
        lambda c, w: (
            c.spans.annotate(project="chat", space=SPACE, annotations=said_of("span-2")) is None
            and c.spans.list(project=w.project_id, filter="context.span_id = 'span-2'").spans[0].annotations[0].label
            == "good"
        ),
    ),
    SdkRow(
        "spans.annotate(granularity=TRACE)",
        lambda c, w: (
            c.spans.annotate(project=w.project_id, annotations=said_of("span-4"), granularity="TRACE") is None
            and c.spans.list(project=w.project_id, filter="context.span_id = 'span-4'").spans[0].trace_annotations
        ),
    ),
    SdkRow(
        "spans.delete",
        lambda c, w: c.spans.delete(project=w.project_id, span_ids=["spare-arize"]).deleted_span_ids == ["spare-arize"],
    ),
    SdkRow(
        "traces.list",
        lambda c, w: (
            [
                len(trace.spans)
                for trace in c.traces.list(
                    project="chat", space=SPACE, filter="attributes.input.value = 'question 3'"
                ).traces
            ]
            == [2]
        ),
    ),
    SdkRow("traces.list, pages of one", lambda c, w: walk(c.traces.list, "traces", project=w.project_id)),
    # --- out of scope
    SdkRow("prompts.list", lambda c, w: c.prompts.list(space=SPACE).prompts == []),
    SdkRow("organizations.list", lambda c, w: names(c.organizations.list().organizations) == {"evaltasks"}),
    SdkRow("users.list", lambda c, w: c.users.list().users == []),
)
