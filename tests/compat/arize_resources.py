"""Resources that tasks refer to, through the Python SDK."""

from __future__ import annotations

from tests.compat.arize_calls import (
    MANAGED,
    SPACE,
    SdkRow,
    categories,
    experiment_run,
    fields,
    judge,
    names,
    said_of,
    space_role,
    walk,
)

RESOURCE_ROWS: tuple[SdkRow, ...] = (
    # --- spaces
    SdkRow("spaces.list", lambda c, w: SPACE in names(c.spaces.list(name="OMPA").spaces)),
    SdkRow("spaces.list, pages of one", lambda c, w: walk(c.spaces.list, "spaces")),
    SdkRow("spaces.get", lambda c, w: c.spaces.get(space=SPACE).organization_id == w.organization_id),
    SdkRow(
        "spaces.create",
        lambda c, w: c.spaces.create(name="by the SDK", organization_id=w.organization_id, description="x").id,
    ),
    SdkRow(
        "spaces.update",
        lambda c, w: c.spaces.update(space=w.mine_space_id, description=None, is_private=True).is_private,
    ),
    SdkRow("spaces.delete", lambda c, w: c.spaces.delete(space=w.spare_space_id) is None),
    SdkRow(
        "spaces.add_user",
        lambda c, w: c.spaces.add_user(space=SPACE, user_id="x", role=space_role()),
        ("ForbiddenException", ""),
        "outside",
    ),
    # --- projects
    SdkRow("projects.list", lambda c, w: names(c.projects.list(space=SPACE, name="CHAT").projects) >= {"chat"}),
    SdkRow("projects.list, pages of one", lambda c, w: walk(c.projects.list, "projects", space=SPACE)),
    SdkRow("projects.get", lambda c, w: c.projects.get(project="chat", space=SPACE).id == w.project_id),
    SdkRow("projects.create", lambda c, w: c.projects.create(name="by the SDK", space=SPACE).space_id == w.space_id),
    SdkRow(
        "projects.update", lambda c, w: c.projects.update(project=w.mine_project_id, name="renamed").name == "renamed"
    ),
    SdkRow("projects.delete", lambda c, w: c.projects.delete(project=w.spare_project_id) is None),
    # --- datasets
    SdkRow("datasets.list", lambda c, w: names(c.datasets.list(space=SPACE).datasets) >= {"gold", "silver"}),
    SdkRow("datasets.list, pages of one", lambda c, w: walk(c.datasets.list, "datasets", space=SPACE)),
    SdkRow("datasets.get", lambda c, w: c.datasets.get(dataset="gold", space=SPACE).versions[0].dataset_id),
    SdkRow(
        "datasets.create",
        lambda c, w: c.datasets.create(name="by the SDK", space=SPACE, examples=[{"question": "q", "n": 1}]).versions,
    ),
    SdkRow(
        "datasets.update", lambda c, w: c.datasets.update(dataset=w.mine_dataset_id, name="renamed").name == "renamed"
    ),
    SdkRow(
        "datasets.list_examples",
        lambda c, w: len(c.datasets.list_examples(dataset="gold", space=SPACE, filter="question = 'q1'").examples) == 1,
    ),
    SdkRow(
        "datasets.list_examples, pages of one",
        lambda c, w: walk(c.datasets.list_examples, "examples", dataset=w.dataset_id),
    ),
    SdkRow(
        "datasets.append_examples",
        lambda c, w: len(
            c.datasets.append_examples(dataset=w.mine_dataset_id, examples=[{"question": "late"}]).example_ids
        ),
    ),
    SdkRow(
        "datasets.update_examples",
        lambda c, w: (
            c.datasets.update_examples(
                dataset=w.mine_dataset_id,
                examples=[{"id": w.mine_example_id, "question": "x"}, {"id": "no", "a": 1}],
                new_version="second",
            ).example_ids
            == [w.mine_example_id]
        ),
    ),
    SdkRow(
        "datasets.annotate_examples",
        lambda c, w: (
            c.datasets.annotate_examples(dataset=w.dataset_id, annotations=said_of(w.example_id)) is None
            and c.datasets.list_examples(dataset=w.dataset_id, filter="annotation.tone.label = 'good'")
            .examples[0]
            .annotations[0]
            .score
            == 1
        ),
    ),
    SdkRow(
        "datasets.delete_examples",
        lambda c, w: (
            c.datasets.delete_examples(
                dataset=w.spare_dataset_id,
                dataset_version_id=w.spare_dataset_version_id,
                examples=[w.spare_example_id, "no"],
            ).not_deleted_example_ids
            == ["no"]
        ),
    ),
    SdkRow("datasets.delete", lambda c, w: c.datasets.delete(dataset=w.spare_dataset_2_id) is None),
    # --- experiments
    SdkRow(
        "experiments.list",
        lambda c, w: "baseline" in names(c.experiments.list(dataset="gold", space=SPACE).experiments),
    ),
    SdkRow("experiments.list, pages of one", lambda c, w: walk(c.experiments.list, "experiments", space=w.space_id)),
    SdkRow(
        "experiments.get",
        lambda c, w: c.experiments.get(experiment="baseline", dataset="gold", space=SPACE).id == w.experiment_id,
    ),
    SdkRow(
        "experiments.get(an ambiguous name)",
        lambda c, w: c.experiments.get(experiment="baseline", space=SPACE),
        ("", "Multiple experiments named 'baseline' found"),
        "refused",
    ),
    SdkRow(
        "experiments.create",
        lambda c, w: (
            c.experiments.create(
                name="by the SDK itself",
                dataset="gold",
                space=SPACE,
                task_fields=fields(w),
                experiment_runs=[{"example_id": w.example_id, "output": "x", "cost": 1}],
            ).dataset_version_id
        ),
    ),
    SdkRow(
        "experiments.list_runs",
        lambda c, w: (
            len(c.experiments.list_runs(experiment=w.experiment_id, filter="output = 'answer 1'").experiment_runs) == 1
        ),
    ),
    SdkRow(
        "experiments.list_runs, pages of one",
        lambda c, w: walk(c.experiments.list_runs, "experiment_runs", experiment=w.experiment_id),
    ),
    SdkRow(
        "experiments.append_runs",
        lambda c, w: (
            len(c.experiments.append_runs(experiment=w.mine_experiment_id, experiment_runs=[experiment_run(w)]).run_ids)
            == 1
        ),
    ),
    SdkRow(
        "experiments.annotate_runs",
        lambda c, w: (
            c.experiments.annotate_runs(experiment=w.experiment_id, annotations=said_of(w.experiment_run_id)) is None
            and c.experiments.list_runs(experiment=w.experiment_id, filter="annotation.tone.score = 1")
            .experiment_runs[0]
            .annotations
        ),
    ),
    SdkRow("experiments.delete", lambda c, w: c.experiments.delete(experiment=w.spare_experiment_id) is None),
    # --- evaluators
    SdkRow("evaluators.list", lambda c, w: names(c.evaluators.list(space=SPACE).evaluators) >= {"matches", "correct"}),
    SdkRow("evaluators.list, pages of one", lambda c, w: walk(c.evaluators.list, "evaluators", space=SPACE)),
    SdkRow(
        "evaluators.get",
        lambda c, w: (
            c.evaluators.get(evaluator="correct", space=SPACE).version.template_config.use_function_calling is True
        ),
    ),
    SdkRow(
        "evaluators.create_template_evaluator",
        lambda c, w: (
            c.evaluators.create_template_evaluator(
                name="judge by the SDK", space=SPACE, commit_message="first", template_config=judge(w)
            ).version.id
        ),
    ),
    SdkRow(
        "evaluators.create_code_evaluator",
        lambda c, w: (
            c.evaluators.create_code_evaluator(
                name="code by the SDK", space=SPACE, commit_message="first", code_config=MANAGED
            ).type
            == "CODE"
        ),
    ),
    SdkRow(
        "evaluators.create_template_version",
        lambda c, w: (
            c.evaluators.create_template_version(
                evaluator="correct", space=SPACE, commit_message="more", template_config=judge(w)
            ).commit_hash
        ),
    ),
    SdkRow(
        "evaluators.create_code_version",
        lambda c, w: (
            c.evaluators.create_code_version(
                evaluator=w.mine_evaluator_id, commit_message="more", code_config=MANAGED
            ).id
        ),
    ),
    SdkRow(
        "evaluators.list_versions, pages of one",
        lambda c, w: walk(c.evaluators.list_versions, "evaluator_versions", evaluator=w.mine_evaluator_id),
    ),
    SdkRow(
        "evaluators.get_version",
        lambda c, w: c.evaluators.get_version(version_id=w.evaluator_version_id).template_config.name == "correct",
    ),
    SdkRow(
        "evaluators.delete_versions",
        lambda c, w: (
            c.evaluators.delete_versions(
                evaluator=w.mine_evaluator_id,
                version_ids=[c.evaluators.list_versions(evaluator=w.mine_evaluator_id).evaluator_versions[0].id],
            ).completed
        ),
    ),
    SdkRow(
        "evaluators.update(description=None)",
        lambda c, w: (
            c.evaluators.update(evaluator=w.mine_evaluator_id, name="renamed", description=None).name == "renamed"
        ),
    ),
    SdkRow(
        "evaluators.delete(one a task uses)",
        lambda c, w: c.evaluators.delete(evaluator=w.evaluator_id),
        ("ConflictException", "on spans"),
        "refused",
    ),
    SdkRow("evaluators.delete", lambda c, w: c.evaluators.delete(evaluator=w.spare_evaluator_id) is None),
    # --- AI integrations
    SdkRow("ai_integrations.list", lambda c, w: "local" in names(c.ai_integrations.list().ai_integrations)),
    SdkRow("ai_integrations.list, pages of one", lambda c, w: walk(c.ai_integrations.list, "ai_integrations")),
    SdkRow(
        "ai_integrations.get", lambda c, w: c.ai_integrations.get(integration="local", space=SPACE).provider == "CUSTOM"
    ),
    SdkRow(
        "ai_integrations.create",
        lambda c, w: (
            c.ai_integrations.create(name="by the SDK", provider="CUSTOM", base_url="http://127.0.0.1:9/v1").id
        ),
    ),
    SdkRow(
        "ai_integrations.create(api_key)",
        lambda c, w: c.ai_integrations.create(name="keyed", provider="OPEN_AI", api_key="never-stored"),
        ("UnprocessableEntityException", "api_key_env"),
        "keys",
    ),
    SdkRow(
        "ai_integrations.update",
        lambda c, w: (
            c.ai_integrations.update(integration=w.mine_ai_integration_id, model_names=["a", "b"]).model_names
            == ["a", "b"]
        ),
    ),
    SdkRow(
        "ai_integrations.delete", lambda c, w: c.ai_integrations.delete(integration=w.spare_ai_integration_id) is None
    ),
    # --- integrations: agents
    SdkRow(
        "integrations.create_agent",
        lambda c, w: (
            c.integrations.create_agent(name="agent one", endpoint="http://127.0.0.1:9/a", input_schema={}).type
            == "AGENT"
            and c.integrations.create_agent(name="agent two", endpoint="http://127.0.0.1:9/b", input_schema={}).id
        ),
    ),
    SdkRow("integrations.list, pages of one", lambda c, w: walk(c.integrations.list, "integrations")),
    # --- annotation configs
    SdkRow(
        "annotation_configs.list",
        lambda c, w: "tone" in names(c.annotation_configs.list(space=SPACE).annotation_configs),
    ),
    SdkRow(
        "annotation_configs.list, pages of one",
        lambda c, w: walk(c.annotation_configs.list, "annotation_configs", space=SPACE),
    ),
    SdkRow(
        "annotation_configs.get",
        lambda c, w: c.annotation_configs.get(annotation_config="tone", space=SPACE).values[0].label == "good",
    ),
    SdkRow(
        "annotation_configs.create_continuous",
        lambda c, w: (
            c.annotation_configs.create_continuous(
                name="by the SDK 1", space=SPACE, minimum_score=0, maximum_score=1
            ).maximum_score
            == 1
        ),
    ),
    SdkRow(
        "annotation_configs.create_categorical",
        lambda c, w: (
            c.annotation_configs.create_categorical(
                name="by the SDK 2", space=SPACE, values=categories(), optimization_direction="MAXIMIZE"
            ).values
        ),
    ),
    SdkRow(
        "annotation_configs.create_freeform",
        lambda c, w: c.annotation_configs.create_freeform(name="by the SDK 3", space=SPACE).type == "FREEFORM",
    ),
    SdkRow(
        "annotation_configs.update_freeform",
        lambda c, w: (
            c.annotation_configs.update_freeform(annotation_config=w.mine_annotation_config_id, name="renamed").name
            == "renamed"
        ),
    ),
    SdkRow(
        "annotation_configs.delete",
        lambda c, w: c.annotation_configs.delete(annotation_config=w.spare_annotation_config_id) is None,
    ),
)
