"""Reading and writing a folder that people edit and that may contain hostile files."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evaltasks.promote.documents import AgentIntegrationFile, AiIntegrationFile, EvaluatorFile, TaskFile
from evaltasks.promote.folder import BadFiles, Bundle, read_folder, write_folder
from evaltasks.promote.yaml_text import BYTES_MAX
from tests.support.promoting import KEY

TASK = "evaltasks: 1\nkind: task\nname: t\ntype: code_evaluation\nproject: chat\nevaluators:\n- evaluator: Words\n"


def put(folder: Path, **files: str | bytes) -> Path:
    """`tasks__a` is tasks/a.yaml."""
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(BadFiles) as bad:
        read_folder(folder)
    return [str(issue) for issue in bad.value.issues]


def test_read_folder_reports_all_errors_of_all_files_with_file_and_line(tmp_path: Path) -> None:
    integration = f"evaltasks: 1\nkind: ai_integration\nname: i\nprovider: open_ia\napi_key: {KEY}\nheaders: {{a: b}}\n"
    put(
        tmp_path,
        tasks__a=TASK + "  colum_mappings: {a: b}\nsampling_rate: 3\nevaluator_id: RXZhbHVhdG9yOjE6YQ==\n",
        tasks__b=TASK,
        tasks__c=TASK
        + "run_configuration:\n  experiment_type: llm_generation\n  prompt_version_id: x\n  messages: []\n",
        evaluators__e="evaltasks: 2\nkind: evaluator\nname: e\n",
        evaluators__f="evaltasks: 1\nkind: evaluator\nname: f\ntype: code\nversions: [code_config: {type: managed}]\n",
        ai_integrations__i=integration,
    )
    (tmp_path / "tasks" / "notes.md").write_text("for people")
    found = problems_of(tmp_path)
    assert [issue.partition("; ")[0] for issue in found] == [
        "ai_integrations/i.yaml:4: provider: is not one of the allowed values",
        "ai_integrations/i.yaml:5: api_key: contains what looks like a key or password",
        "ai_integrations/i.yaml:5: api_key: must not be in a file",
        "ai_integrations/i.yaml:6: headers: must not be in a file",
        "evaluators/e.yaml:1: evaltasks: is another version of the file format",
        "evaluators/f.yaml:5: versions[0].code_config.name: is required",
        "evaluators/f.yaml:5: versions[0].code_config.variables: is required",
        "evaluators/f.yaml:5: versions[0].code_config.managed_evaluator: is required",
        "tasks/a.yaml:8: evaluators[0].colum_mappings: is not a field of this object",
        "tasks/a.yaml:9: sampling_rate: must be at most 1",
        "tasks/a.yaml:10: evaluator_id: is an id, which is valid on one service only",
        "tasks/c.yaml:8: run_configuration.ai_integration: is required",
        "tasks/c.yaml:8: run_configuration.input_variable_format: is required",
        "tasks/c.yaml:10: run_configuration.prompt_version_id: is an id, which is valid on one service only",
        "tasks/c.yaml:11: run_configuration.messages: needs at least 1 item(s)",
    ]
    assert not [issue for issue in found if KEY in issue]


def test_read_folder_reports_two_files_with_the_same_name(tmp_path: Path) -> None:
    put(tmp_path, tasks__a=TASK, tasks__b=TASK)
    assert problems_of(tmp_path) == ["tasks/b.yaml:3: name: tasks/a.yaml already has this name; rename one of them"]


def test_read_folder_refuses_a_folder_without_files(tmp_path: Path) -> None:
    assert "has no YAML files" in problems_of(tmp_path)[0]


BOMB = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{o}, *{o}, *{o}]\n" for o, n in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB, "anchors and aliases"),
        (TASK + "query_filter: !!python/object/apply:os.system [id]\n", "tags (!) are not supported"),
        (TASK + "<<: *x\n", "anchors and aliases"),
        (TASK + "name: u\n", "is duplicated (first on line 3)"),
        (TASK + "---\n" + TASK, "a second document"),
        (TASK + "query_filters: " + "[" * 100_000, "nested deeper"),
        (TASK + "query_filters: [" + "a," * 100_000 + "]\n", "more than 20000 values"),
        (TASK + "query_filters: {" + "a," * 100_000 + "}\n", "is duplicated"),
        (TASK + "? [a, b]\n: c\n", "a key is not plain text"),
        (TASK + "query_filter: 'open\n", "end of stream"),
        (TASK + "query_filter: \x00\n", "characters that YAML does not allow"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"#" + b"x" * BYTES_MAX, "larger than"),
        ("just text", "is not a task file"),
        ("[1, 2]", "is not a task file"),
        ("", "is not a task file"),
        ("evaltasks: 1\nkind: evaluator\nname: x\n", "is not a task file"),
    ],
)
@pytest.mark.timeout(10)
def test_read_folder_reports_hostile_or_broken_yaml(content: str | bytes, words: str, tmp_path: Path) -> None:
    put(tmp_path, tasks__a=content)
    assert any(words in issue for issue in problems_of(tmp_path)), problems_of(tmp_path)


def test_read_folder_reads_yaml_1_1_words_as_text(tmp_path: Path) -> None:
    put(tmp_path, tasks__a=TASK.replace("name: t", "name: on") + "  column_mappings: {yes: no, 1: 12:30, null: 0x1F}\n")
    task = read_folder(tmp_path).tasks["on"].content
    assert task.evaluators is not None
    assert task.evaluators[0].column_mappings == {"yes": "no", "1": "12:30", "null": "0x1F"}


def task(name: str) -> TaskFile:
    return TaskFile.model_validate({"name": name, "type": "code_evaluation", "project": "p"})


def test_write_folder_keeps_renamed_files_and_never_overwrites_other_files(tmp_path: Path) -> None:
    write_folder(tmp_path, [task("My task")])
    (tmp_path / "tasks/my-task.yaml").rename(tmp_path / "tasks/mine.yml")
    assert write_folder(tmp_path, [task("My task")]).unchanged == ["tasks/mine.yml"]
    (tmp_path / "tasks/other.yaml").write_text("mine: true\n")
    with pytest.raises(BadFiles, match="not a file of evaltasks"):
        write_folder(tmp_path, [task("My task"), task("other")])


def test_write_folder_gives_similar_names_separate_stable_files(tmp_path: Path) -> None:
    names = ["A b", "a-b", "Ünïcode", "日本", "../../etc/passwd"]
    first = write_folder(tmp_path, [task(name) for name in names])
    assert len({*first.changed}) == len(names)
    assert all(path.count("/") == 1 and ".." not in path for path in first.changed)
    assert write_folder(tmp_path, [task(name) for name in reversed(names)]).changed == []
    assert set(read_folder(tmp_path).tasks) == set(names)


def test_write_folder_reports_stale_files_and_removes_them_with_prune(tmp_path: Path) -> None:
    write_folder(tmp_path, [task("a"), task("b")])
    (tmp_path / "tasks/notes.yaml").write_text("mine: true\n")
    assert write_folder(tmp_path, [task("a")]).stale == ["tasks/b.yaml"]
    assert write_folder(tmp_path, [task("a")], prune=True).removed == ["tasks/b.yaml"]
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["a.yaml", "notes.yaml"]


def test_write_folder_writes_prompts_as_block_texts(tmp_path: Path) -> None:
    config = {
        "name": "n", "template": "First {output}\n\nSecond: #1\n", "include_explanations": True,
        "llm_config": {"ai_integration": "i", "model_name": "m"},
    }  # fmt: skip
    file = {"name": "e", "type": "template", "versions": [{"template_config": config}]}
    write_folder(tmp_path, [EvaluatorFile.model_validate(file)])
    written = (tmp_path / "evaluators/e.yaml").read_text()
    assert "    template: |\n      First {output}\n\n      Second: #1\n" in written


def test_write_folder_cuts_file_names_at_80_characters(tmp_path: Path) -> None:
    longest = write_folder(tmp_path / "a", [task("n" * 80)]).changed
    cut = write_folder(tmp_path / "b", [task("n" * 81)]).changed
    assert longest == cut == [f"tasks/{'n' * 80}.yaml"]
    both = write_folder(tmp_path / "c", [task("n" * 80), task("n" * 81)]).changed
    assert len({*both}) == 2 and {*longest} & {*both} == set()


@pytest.mark.parametrize(
    ("task_name", "ai_integrations", "agent_integrations"),
    [("model", ["same"], []), ("agent", [], ["same"])],
)
def test_bundle_select_distinguishes_ai_and_agent_integrations_of_one_name(
    task_name: str, ai_integrations: list[str], agent_integrations: list[str]
) -> None:
    generation = {"experiment_type": "llm_generation", "ai_integration": "same", "input_variable_format": "mustache"}
    configurations: dict[str, dict[str, Any]] = {
        "model": {**generation, "messages": [{"role": "user", "content": "{{question}}"}]},
        "agent": {"experiment_type": "agent_call", "agent_integration": "same", "input_template": {}},
    }
    bundle = Bundle.from_files(
        [
            *(
                TaskFile.model_validate(
                    {"name": name, "type": "run_experiment", "dataset": "d", "run_configuration": configuration}
                )
                for name, configuration in configurations.items()
            ),
            AiIntegrationFile.model_validate({"name": "same", "provider": "open_ai"}),
            AgentIntegrationFile.model_validate({"name": "same", "endpoint": "http://127.0.0.1:9/ask"}),
        ]
    )
    chosen = bundle.select([task_name])
    assert (list(chosen.tasks), list(chosen.ai_integrations), list(chosen.agent_integrations)) == (
        [task_name], ai_integrations, agent_integrations,
    )  # fmt: skip


def task_of_bytes(size: int) -> bytes:
    """Return a task's file that is filled up with a comment."""
    return (TASK + "# ").ljust(size, "x").encode()


@pytest.mark.parametrize(("size", "allowed"), [(BYTES_MAX, True), (BYTES_MAX + 1, False)])
def test_read_folder_allows_a_file_of_exactly_512_kib(tmp_path: Path, size: int, allowed: bool) -> None:
    put(tmp_path, tasks__a=task_of_bytes(size))
    with nullcontext() if allowed else pytest.raises(BadFiles, match="the file is larger than 512 KiB"):
        assert list(read_folder(tmp_path).tasks) == ["t"]


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("constant", "limit", "problem"),
    [("FILES_MAX", 1, "holds more than 1 files"), ("FOLDER_BYTES_MAX", 2**20, "holds more than 1 MiB")],
)
def test_read_folder_allows_exactly_the_size_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constant: str, limit: int, problem: str, allowed: bool
) -> None:
    monkeypatch.setattr(f"evaltasks.promote.folder.{constant}", limit)
    half = limit // 2 if constant == "FOLDER_BYTES_MAX" else len(TASK) + 2
    put(tmp_path, tasks__a=task_of_bytes(half))
    if constant == "FOLDER_BYTES_MAX":
        put(tmp_path, tasks__b=task_of_bytes(half + (not allowed)).replace(b"name: t", b"name: u"))
    elif not allowed:
        put(tmp_path, tasks__b=TASK.replace("name: t", "name: u"))
    with nullcontext() if allowed else pytest.raises(BadFiles, match=problem):
        assert "t" in read_folder(tmp_path).tasks
