"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest

from evaltasks import doctor
from evaltasks.cli import HANDLERS
from evaltasks.settings import Settings
from evaltasks.tools.context import Refused
from tests.support.command_line import ROOT, run_command, start_command
from tests.support.engines import engine
from tests.support.starts import quick_command


@pytest.fixture
def spans_file(tmp_path: Path) -> Path:
    file = tmp_path / "spans.jsonl"
    rows = [
        {"name": "a", "start_time": f"2026-01-01T00:00:0{n}Z", "attributes": {"output.value": "x"}} for n in range(5)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_help_names_every_command_and_exits_zero() -> None:
    shown = start_command("--help")
    assert shown.returncode == 0
    assert all(
        word in shown.stdout for word in ("serve", "engine", "demo", "load", "export", "apply", "schemas", "doctor")
    )


def test_help_of_serve_names_every_option_with_its_variable() -> None:
    shown = " ".join(run_command("serve", "--help").stdout.split())
    for option in (
        "BACKEND",
        "STORE",
        "SPACE",
        "PATIENCE_SECONDS",
        "ALLOW_DIR",
        "HTTP",
        "ALLOW_HOST",
        "GROUPS",
        "READ_ONLY",
        "IN_FLIGHT",
        "LEASE_SECONDS",
    ):
        assert f"--{option.lower().replace('_', '-')}" in shown
        assert f"[EVALTASKS_{option}]" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--backend", "mars"], "--backend"),
        (["serve", "--backend", "ax"], "ARIZE_API_KEY"),
        (["serve", "--http", "nowhere"], "HOST:PORT"),
        (["engine", "--host", "0.0.0.0"], "127.0.0.1"),
        (["engine", "--lease-seconds", "0.1"], "--lease-seconds"),
        (["load", "examples", "x.jsonl", "--project", "p"], "--dataset"),
    ],
)
def test_an_invalid_setting_exits_with_2_and_is_named(arguments: list[str], words: str) -> None:
    refused = run_command(*arguments, ARIZE_API_KEY="")
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_serving_http_beyond_this_machine_needs_a_token(tmp_path: Path) -> None:
    refused = start_command("serve", "--http", "0.0.0.0:0", "--store", str(tmp_path / "s.sqlite"))
    assert refused.returncode == 1
    assert "EVALTASKS_HTTP_TOKEN" in refused.stderr


def test_a_file_that_is_not_a_store_exits_with_1_and_a_repair(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no database, but some text that is long enough to look at" * 20)
    refused = run_command(
        "load", "spans", str(tmp_path / "broken"), "--project", "p", "--store", str(tmp_path / "broken")
    )
    assert refused.returncode == 1
    assert "--store" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_load_spans_fills_a_project_that_doctor_reports(tmp_path: Path, spans_file: Path) -> None:
    store = str(tmp_path / "store.sqlite")
    loaded = start_command("load", "spans", str(spans_file), "--project", "shop", "--store", store)
    assert loaded.returncode == 0, loaded.stderr
    assert "5" in loaded.stdout
    examined = run_command("doctor", "--store", store)
    assert examined.returncode == 0, examined.stdout
    assert "All checks passed." in examined.stdout
    assert "final results (8 of 8 done: 8 ok, 0 errors, 0 skipped)" in examined.stdout


def test_load_examples_creates_a_dataset(tmp_path: Path) -> None:
    file = tmp_path / "examples.csv"
    file.write_text("question,answer\nWhy?,Because.\nHow?,So.\n", encoding="utf-8")
    loaded = run_command("load", "examples", str(file), "--dataset", "faq", "--store", str(tmp_path / "s.sqlite"))
    assert loaded.returncode == 0, loaded.stderr
    assert "2" in loaded.stdout


def test_load_of_a_bad_file_loads_nothing_and_names_the_row(tmp_path: Path, spans_file: Path) -> None:
    with spans_file.open("a", encoding="utf-8") as file:
        file.write('{"name": "no time"}\n')
    store = str(tmp_path / "store.sqlite")
    refused = run_command("load", "spans", str(spans_file), "--project", "shop", "--store", store)
    assert refused.returncode == 1
    assert "6" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_doctor_names_a_missing_key_and_exits_with_1(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"

    async def make_integration() -> None:
        async with engine(store) as it:
            body = {"name": "judge", "provider": "CUSTOM", "base_url": "http://127.0.0.1:9", "model_names": ["m"]}
            await it.ask("POST", "/v2/ai-integrations", {**body, "api_key_env": "JUDGE_KEY_OF_TEST"})

    anyio.run(make_integration)
    without = run_command("doctor", "--store", str(store))
    with_key = run_command("doctor", "--store", str(store), JUDGE_KEY_OF_TEST="sk-aT4mB8zQ1wX6")
    failures = [line for line in without.stdout.splitlines() if line.startswith("FAIL")]
    assert (without.returncode, len(failures)) == (1, 1)
    assert failures[0].startswith("FAIL keys of AI integrations: 'judge' requires JUDGE_KEY_OF_TEST")
    assert with_key.returncode == 0, with_key.stdout
    assert "sk-aT4mB8zQ1wX6" not in with_key.stdout + with_key.stderr


def test_doctor_names_an_unreachable_backend_and_checks_the_rest() -> None:
    examined = run_command("doctor", "--backend", "http://127.0.0.1:9")
    assert examined.returncode == 1
    assert "FAIL backend" in examined.stdout
    assert "ok   one evaluation" in examined.stdout


def test_the_committed_schemas_match_the_tools() -> None:
    checked = run_command("schemas", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_schemas_check_shows_changed_and_orphaned_schemas_with_the_fix(tmp_path: Path) -> None:
    assert run_command("schemas", "--write", "--folder", str(tmp_path)).returncode == 0
    (tmp_path / "get_task.json").write_text("{}\n")
    (tmp_path / "gone.json").write_text("{}\n")
    checked = run_command("schemas", "--check", "--folder", str(tmp_path))
    assert checked.returncode == 1
    assert "tool_schemas/get_task.json" in checked.stdout and "gone.json" in checked.stdout
    assert "--write" in checked.stderr
    assert run_command("schemas", "--write", "--folder", str(tmp_path)).returncode == 0
    assert not (tmp_path / "gone.json").exists()


def test_the_engine_serves_its_port_and_rejects_web_pages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evaltasks", "engine", "--port", "0", "--store", str(tmp_path / "s.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with httpx2.Client(base_url=address, trust_env=False) as http:
                assert http.get("/v2/spaces").json()["spaces"][0]["name"] == "default"
                assert http.get("/v2/spaces", headers={"Origin": "https://evil.example"}).status_code == 403
                assert http.get("/v2/spaces", headers={"Host": "evil.example"}).status_code == 403
                assert http.get("/nowhere").json()["status"] == 404
        finally:
            process.terminate()
    assert process.returncode in {0, 143, -15}


def test_an_engine_with_injected_faults_warns_that_it_is_for_tests(tmp_path: Path) -> None:
    store = str(tmp_path / "s.sqlite")
    command = quick_command("engine", "--port", "0", "--store", store)
    staged = [*command, "--stage", "stuck-pending:slow*,judge-failure=5"]
    with subprocess.Popen(staged, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with httpx2.Client(base_url=address, trust_env=False) as http:
                reported = http.get("/evaltasks/v1/info").json()["staged"]
        finally:
            process.terminate()
        assert process.stderr is not None
        warning = process.stderr.read()
    assert reported == ["stuck-pending:slow*", "judge-failure=5:*"]
    assert warning.startswith("*** STAGED FAILURES: THIS ENGINE IS FOR TESTS") and all(
        one in warning for one in reported
    )


def test_only_the_engine_command_has_the_stage_option() -> None:
    refused = run_command("engine", "--stage", "stuck")
    assert refused.returncode == 2 and "--stage: unknown failure 'stuck'" in refused.stderr
    assert run_command("serve", "--stage", "stuck-pending").returncode == 2
    assert "for tests" in run_command("engine", "--help").stdout


def test_a_checkout_runs_without_installation() -> None:
    shown = subprocess.run(
        [sys.executable, "server", "--version"], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )
    assert shown.stdout.startswith("evaltasks ")


def test_an_interrupted_command_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(HANDLERS, "schemas", interrupt)
    assert run_command("schemas", "--check").returncode == 130


def test_of_several_errors_the_expected_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise BaseExceptionGroup("a task group", [ValueError("a bug"), ExceptionGroup("inner", [Refused("no rows")])])

    monkeypatch.setitem(HANDLERS, "schemas", fail)
    failed = run_command("schemas", "--check")
    assert (failed.returncode, failed.stderr) == (1, "evaltasks: no rows\n")


def test_an_unexpected_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ExceptionGroup("a task group", [ValueError("a bug")])

    monkeypatch.setitem(HANDLERS, "schemas", fail)
    with pytest.raises(ExceptionGroup):
        run_command("schemas", "--check")


@pytest.mark.parametrize(
    ("status", "failure_reason", "reason"),
    [("failed", "the window is empty", "the window is empty"), ("cancelled", None, "without a reason")],
)
async def test_doctor_names_the_reason_of_a_task_run_that_did_not_complete(
    status: str, failure_reason: str | None, reason: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    class Trigger:
        name = "trigger_task_run"

        async def call(self, arguments: object, context: object) -> Any:
            answer = {"task_run": {"status": status, "failure_reason": failure_reason}}
            return SimpleNamespace(model_dump=lambda mode: answer)

    monkeypatch.setattr(doctor, "TOOLS", (Trigger(), *doctor.TOOLS))
    assert await doctor.run_checks(Settings(store=str(tmp_path / "s.sqlite"))) == 1
    (failed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert failed == f"FAIL one evaluation from spans to scores: the task run ended {status}: {reason}"
