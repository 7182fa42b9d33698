"""Resources around tasks, through `ax`: each command in scope, wrong names, and what is out of scope."""

from __future__ import annotations

import json

from tests.compat.ax_tasks import fails, holds, lists, shows, succeeds
from tests.compat.rows import AxRow, AxWalk, Check

_NEW = ("--space", "compat")
_EXAMPLES = json.dumps([{"question": "late", "expected": "a"}])
_RUNS = json.dumps([{"example_id": "{example_id}", "output": "answer"}])
_MANAGED = (
    "--commit-message", "first", "--code-type", "managed", "--managed-evaluator", "JSON_PARSEABLE", "--code-name",
    "parses", "--variables", '["output"]',
)  # fmt: skip
_CUSTOM = (
    "--commit-message", "first", "--code-type", "custom", "--code-name", "own", "--variables", '["output"]', "--code",
    "class Own(CodeEvaluator):\n    def evaluate(self, *, output=None, **kwargs):\n        "
    "return EvaluationResult(score=1)\n",
    "--imports", "from arize.experimental.datasets.experiments.evaluators.base import EvaluationResult, CodeEvaluator",
)  # fmt: skip
_JUDGE = (
    "--commit-message", "first", "--template-name", "correct", "--template", "Is {output} right?",
    "--ai-integration-id", "{ai_integration_id}", "--model-name", "judge", "--include-explanations",
    "--use-function-calling", "--classification-choices", '{"yes": 1, "no": 0}',
)  # fmt: skip


def _said_of(record: str) -> str:
    return json.dumps([{"record_id": record, "values": [{"name": "tone", "label": "good", "score": 1}]}])


def _row(line: str, check: Check, *more: str, why_not: str | None = None, stdin: str | None = None) -> AxRow:
    """Return a row. `line` is split at blanks; arguments that contain blanks follow in `more`."""
    return AxRow((*line.split(), *more), check, why_not, stdin)


RESOURCE_ROWS: tuple[AxRow, ...] = (
    # --- spaces
    _row("spaces list", lists("spaces", "compat")),
    _row("spaces get compat", shows(id="{space_id}", name="compat", organization_id="{organization_id}")),
    _row("spaces get {space_id}", shows(name="compat")),
    _row("spaces create --name made-by-ax --organization-id {organization_id}", shows(name="made-by-ax")),
    _row("spaces update {mine_space_id} --name renamed-by-ax --description", shows(name="renamed-by-ax"), "of ax"),
    _row("spaces delete {spare_space_id} --force", succeeds()),
    # --- projects
    _row("projects list --space compat --name CHAT", lists("projects", "chat", "chat two")),
    _row("projects get chat --space compat", shows(id="{project_id}", project_type="APPLICATION")),
    _row("projects create --name made-by-ax --space compat", shows(space_id="{space_id}")),
    _row("projects update {mine_project_id} --name renamed-by-ax", shows(name="renamed-by-ax")),
    _row("projects delete {spare_project_id} --force", succeeds()),
    # --- datasets
    _row("datasets list --space compat", lists("datasets", "gold", "silver")),
    _row("datasets get gold --space compat", shows(id="{dataset_id}", space_id="{space_id}")),
    _row("datasets create --name made-by-ax --space compat --json", shows(name="made-by-ax"), _EXAMPLES),
    _row("datasets create --name gold --space compat --json", fails(4, "409"), _EXAMPLES, why_not="refused"),
    _row("datasets export gold --space compat --stdout", holds(3, "id", "question")),
    _row("datasets export {dataset_id} --stdout --filter", holds(1, "question"), "question = 'q1'"),
    _row("datasets append {mine_dataset_id} --json", shows(id="{mine_dataset_id}"), _EXAMPLES),
    _row("datasets update-examples {mine_dataset_id} --json", shows(id="{mine_dataset_id}"),
         '[{"id": "{mine_example_id}", "question": "changed"}]'),
    _row("datasets update-examples {mine_dataset_id} --new-version second --json", shows(id="{mine_dataset_id}"),
         '[{"id": "{mine_example_id}", "question": "changed again"}]'),
    _row("datasets delete-examples {spare_dataset_id} --version-id {spare_dataset_version_id} --force --example-ids",
         succeeds("{spare_example_id}"), '["{spare_example_id}"]'),
    _row("datasets annotate-examples gold --space compat --file -", succeeds(), stdin=_said_of("{example_id}")),
    _row("datasets update {mine_dataset_id} --name renamed-by-ax", shows(name="renamed-by-ax")),
    _row("datasets delete {spare_dataset_2_id} --force", succeeds()),
    # --- experiments
    _row("experiments list --dataset gold --space compat", lists("experiments", "baseline")),
    _row("experiments list --space compat", lists("experiments", "baseline")),
    _row("experiments get baseline --dataset gold --space compat", shows(id="{experiment_id}")),
    _row("experiments export baseline --dataset gold --space compat --stdout", holds(3, "id", "output", "example_id")),
    _row("experiments list-runs {experiment_id} --filter", holds(1, "output"), "output = 'answer 1'"),
    _row("experiments create --name made-by-ax --dataset gold --space compat --file runs.csv",
         shows(dataset_id="{dataset_id}")),
    _row("experiments create --name alone-by-ax --space compat --file runs.csv", shows(space_id="{space_id}")),
    _row("experiments annotate-runs {experiment_id} --file -", succeeds(), stdin=_said_of("{experiment_run_id}")),
    _row("experiments delete {spare_experiment_id} --force", succeeds()),
    # --- evaluators
    _row("evaluators list --space compat", lists("evaluators", "matches", "correct")),
    _row("evaluators get correct --space compat", shows(id="{template_evaluator_id}", type="TEMPLATE")),
    _row("evaluators get {template_evaluator_id} --version-id {evaluator_version_id}", shows(name="correct")),
    _row("evaluators list-versions correct --space compat",
         lists("evaluator_versions", "{evaluator_version_id}", by="id")),
    _row("evaluators get-version {evaluator_version_id}", shows(type="TEMPLATE")),
    _row("evaluators create-evaluator template --name judge-by-ax --space compat", shows(type="TEMPLATE"), *_JUDGE),
    _row("evaluators create-evaluator code --name code-by-ax --space compat", shows(type="CODE"), *_MANAGED),
    _row("evaluators create-evaluator code --name own-by-ax --space compat", shows(type="CODE"), *_CUSTOM),
    _row("evaluators create-evaluator remote --name r --space compat --integration-id x --commit-message m",
         fails(4, "501"), why_not="not built"),
    _row("evaluators create-evaluator-version template correct --space compat", shows(type="TEMPLATE"), *_JUDGE),
    _row("evaluators create-evaluator-version code {mine_evaluator_id}", shows(type="CODE"), *_MANAGED),
    _row("evaluators create-evaluator-version code correct --space compat", fails(4, "422"), *_MANAGED,
         why_not="refused"),
    _row("evaluators update {mine_evaluator_id} --name renamed-by-ax", shows(name="renamed-by-ax")),
    _row("evaluators delete {evaluator_id} --force", fails(4, "409", "on spans"), why_not="refused"),
    _row("evaluators delete {spare_evaluator_id} --force", succeeds()),
    # --- AI integrations
    _row("ai-integrations list", lists("ai_integrations", "local", "heuristic")),
    _row("ai-integrations get local --space compat", shows(id="{ai_integration_id}", provider="CUSTOM")),
    _row("ai-integrations create --name made-by-ax --provider CUSTOM --base-url http://127.0.0.1:9/v1 --model-name m",
         shows(has_api_key=False)),
    _row("ai-integrations create --name keyed --provider OPEN_AI --api-key sk-never-stored", fails(4), why_not="keys"),
    _row("ai-integrations update {mine_ai_integration_id} --model-name m --model-name n", shows(provider="CUSTOM")),
    _row("ai-integrations delete {ai_integration_id} --force", fails(4, "409"), why_not="in use"),
    _row("ai-integrations delete {spare_ai_integration_id} --force", succeeds()),
    # --- annotation configs
    _row("annotation-configs list --space compat", lists("annotation_configs", "tone")),
    _row("annotation-configs get tone --space compat", shows(type="CATEGORICAL")),
    _row("annotation-configs create categorical --name by-ax-1 --space compat --value good --value bad",
         shows(type="CATEGORICAL")),
    _row("annotation-configs create continuous --name by-ax-2 --space compat --min-score 0 --max-score 1",
         shows(type="CONTINUOUS", maximum_score=1)),
    _row("annotation-configs create freeform --name by-ax-3 --space compat", shows(type="FREEFORM")),
    _row("annotation-configs update freeform {mine_annotation_config_id} --new-name renamed-by-ax",
         shows(name="renamed-by-ax")),
    _row("annotation-configs delete {spare_annotation_config_id} --force", succeeds()),
    # --- spans and traces
    _row("spans export chat --space compat --stdout --filter", holds(8, "context", "attributes"),
         "context.span_id LIKE 'span-%'"),
    _row("spans export chat --space compat --stdout --trace-id trace-1", holds(2, "context")),
    _row("spans export chat --space compat --stdout --session-id talk --filter", holds(4, "context"),
         "parent_id = null AND context.span_id LIKE 'span-%'"),
    _row("spans annotate chat --space compat --file -", succeeds(), stdin=_said_of("span-1")),
    _row("spans annotate chat --space compat --days 7 --file -", fails(4, "404"), stdin=_said_of("nowhere"),
         why_not="refused"),
    _row("spans delete chat --space compat --span-id spare-ax --force", succeeds("1 of 1 span(s) deleted")),
    _row("traces list chat --space compat --output json", lists("traces", "trace-0", "trace-3", by="trace_id")),
    _row("traces export chat --space compat --stdout --filter", succeeds("trace-2"),
         "attributes.input.value = 'question 5'"),
    # --- wrong names
    _row("spaces get nowhere", fails(4, "space 'nowhere' not found."), why_not="refused"),
    _row("spaces get Compat", fails(4, "space 'Compat' not found."), why_not="refused"),
    _row("projects get cha --space compat", fails(4, "project 'cha' not found. Available projects:", "chat two"),
         why_not="refused"),
    _row("projects get chat", fails(4, "project 'chat' not found. Provide 'space' so the project name can be resolved"),
         why_not="client"),
    _row("projects get chat --space nowhere", fails(4, "space 'nowhere' not found."), why_not="refused"),
    _row("datasets get zzz --space compat", fails(4, "dataset 'zzz' not found."), why_not="refused"),
    _row("evaluators get zzz --space compat", fails(4, "evaluator 'zzz' not found."), why_not="refused"),
    _row("experiments get zzz --dataset gold --space compat", fails(4, "experiment 'zzz' not found. Available"),
         why_not="refused"),
    _row("experiments get baseline --space compat",
         fails(4, "Multiple experiments named 'baseline' found.", "Matching IDs"), why_not="refused"),
    _row("ai-integrations get zzz --space compat", fails(4, "AI integration 'zzz' not found."), why_not="refused"),
    _row("annotation-configs get zzz --space compat", fails(4, "annotation config 'zzz' not found."),
         why_not="refused"),
    _row("tasks update zzz --space compat --name x", fails(4, "task 'zzz' not found."), why_not="refused"),
    # --- out of scope
    _row("organizations list", lists("organizations", "evaltasks")),
    _row("prompts list --space compat", lists("prompts")),
    _row("prompts get zzz --space compat", fails(4, "prompt 'zzz' not found."), why_not="refused"),
    _row("users list", lists("users")),
    _row("annotation-queues list --space compat", lists("annotation_queues")),
    _row("spaces add-user compat --user-id x --role MEMBER", fails(4, "403"), why_not="outside"),
)  # fmt: skip


def _walk(line: str, resource: str, by: str = "id") -> AxWalk:
    return AxWalk(tuple(line.split()), resource, by)


WALKS: tuple[AxWalk, ...] = (
    _walk("spaces list", "spaces"),
    _walk("projects list --space compat", "projects"),
    _walk("datasets list --space compat", "datasets"),
    _walk("experiments list --space compat", "experiments"),
    _walk("evaluators list --space compat", "evaluators"),
    _walk("evaluators list-versions {mine_evaluator_id}", "evaluator_versions"),
    _walk("ai-integrations list", "ai_integrations"),
    _walk("annotation-configs list --space compat", "annotation_configs"),
    _walk("tasks list --space compat", "tasks"),
    _walk("tasks list-runs {task_id}", "task_runs"),
    _walk("traces list chat --space compat --output json", "traces", by="root_span_id"),
)
