"""The commands `evaltasks export` and `evaltasks apply`, as a user and a CI job use them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import pytest

from evaltasks.cli import main
from evaltasks.promote.plan import ContinuousPolicy
from evaltasks.promoting import DIFFERS, FAILED, ApplyOptions, apply_tasks, export_tasks
from evaltasks.settings import Settings
from tests.support.command_line import start_command
from tests.support.engines import EngineInTest, engine
from tests.support.starts import quick_command

KEY = "ak-Q7rP2wX9cV4bN6mL1zA5"


def evaltasks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return start_command(*arguments, start=quick_command, ARIZE_API_KEY=KEY)


@contextmanager
def engine_process(store: Path) -> Iterator[subprocess.Popen[str]]:
    command = quick_command("engine", "--port", "0", "--store", str(store))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@asynccontextmanager
async def rest_client(address: str) -> AsyncIterator[EngineInTest]:
    async with httpx2.AsyncClient(base_url=address) as http:
        yield EngineInTest(cast(Any, None), http)


async def seed(it: EngineInTest, *, only_project: bool = False) -> None:
    project = await it.seed_project("chat")
    if not only_project:
        made = await it.seed_code_evaluator("Has answer")
        await it.seed_task([made], name="Monitor", project_id=project, is_continuous=True, sampling_rate=0.5)


def test_export_and_apply_between_engines_in_other_processes(tmp_path: Path) -> None:
    out = tmp_path / "evals"
    with engine_process(tmp_path / "a.sqlite") as one_engine, engine_process(tmp_path / "b.sqlite") as another:
        assert one_engine.stdout is not None
        assert another.stdout is not None
        source, target = one_engine.stdout.readline().strip(), another.stdout.readline().strip()

        async def seed_both() -> None:
            async with rest_client(source) as one, rest_client(target) as other:
                await seed(one)
                await seed(other, only_project=True)

        async def tasks_there() -> list[dict[str, Any]]:
            async with rest_client(target) as other:
                found: list[dict[str, Any]] = (await other.ask("GET", "/v2/tasks"))["tasks"]
                return found

        anyio.run(seed_both)
        exported = evaltasks("export", "--backend", source, "--out", str(out))
        assert exported.returncode == 0, exported.stderr
        applied = evaltasks("apply", str(out), "--backend", target, "--yes", "--allow-continuous")
        assert applied.returncode == 0, applied.stderr
        again = evaltasks("apply", str(out), "--backend", target, "--json")
        (task,) = anyio.run(tasks_there)
    assert (task["name"], task["is_continuous"], task["sampling_rate"]) == ("Monitor", True, 0.5)
    document = json.loads(again.stdout)
    assert (again.returncode, document["differs"], document["applied"]) == (0, False, True)
    assert {step["action"] for step in document["steps"]} == {"unchanged"}
    printed = [text for done in (exported, applied, again) for text in (done.stdout, done.stderr)]
    printed += [file.read_text() for file in out.rglob("*.yaml")]
    assert not [text for text in printed if KEY in text]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", ".", "--exit-code"], "--dry-run"),
        (["apply", ".", "--allow-continuous", "--keep-paused"], "not allowed with"),
        (["export"], "--out"),
    ],
)
def test_invalid_command_line_exits_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert (code, words in capsys.readouterr().err) == (2, True)


class Person(io.StringIO):
    """A terminal with a person who answers."""

    def isatty(self) -> bool:
        return True


async def seeded_and_exported(tmp_path: Path) -> tuple[Settings, Path]:
    for name in ("a", "b"):
        async with engine(tmp_path / f"{name}.sqlite") as it:
            await seed(it, only_project=name == "b")
    out = tmp_path / "out"
    assert await export_tasks(Settings(store=str(tmp_path / "a.sqlite")), {}, out, [], False, False) == 0
    return Settings(store=str(tmp_path / "b.sqlite")), out


async def test_apply_asks_for_confirmation_that_can_be_declined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, out = await seeded_and_exported(tmp_path)
    paused = ApplyOptions(continuous=ContinuousPolicy.PAUSED)
    assert await apply_tasks(target, {}, out, ApplyOptions(yes=True)) == FAILED
    assert "--keep-paused" in capsys.readouterr().out
    look = ApplyOptions(dry_run=True, exit_code=True)
    assert await apply_tasks(target, {}, out, look) == DIFFERS
    assert "2 to create" in capsys.readouterr().out
    for answer, code, words in (("n\n", FAILED, "Nothing was changed."), ("", FAILED, "Nothing"), ("y\n", 0, "?")):
        monkeypatch.setattr(sys, "stdin", Person(answer))
        assert await apply_tasks(target, {}, out, paused) == code
        assert words in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    # Without changes no confirmation is needed.
    assert await apply_tasks(target, {}, out, paused) == 0
    assert (
        await apply_tasks(target, {}, out, ApplyOptions(dry_run=True, exit_code=True, continuous=paused.continuous))
        == 0
    )
    assert "Nothing to change: 2 unchanged." in capsys.readouterr().out


async def test_apply_shows_the_question_before_it_reads_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, out = await seeded_and_exported(tmp_path)
    shown = io.BytesIO()
    asked: list[str] = []

    class Reader(Person):
        def readline(self, size: int = -1, /) -> str:
            asked.append(shown.getvalue().decode())
            return "n\n"

    # As a terminal's: only whole lines are written without a flush.
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(shown, "utf-8", line_buffering=True))
    monkeypatch.setattr(sys, "stdin", Reader())
    assert await apply_tasks(target, {}, out, ApplyOptions(continuous=ContinuousPolicy.PAUSED)) == FAILED
    assert [text.endswith("? [y/N] ") for text in asked] == [True]


async def test_apply_stops_if_the_service_changed_before_confirmation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, out = await seeded_and_exported(tmp_path)
    paused = ApplyOptions(yes=True, continuous=ContinuousPolicy.PAUSED)
    assert await apply_tasks(target, {}, out, paused) == 0
    (out / "tasks/monitor.yaml").write_text((out / "tasks/monitor.yaml").read_text().replace("0.5", "0.75"))

    class Slow(Person):
        def readline(self, size: int = -1, /) -> str:
            anyio.run(somebody_else, target.store_path)
            return "y\n"

    monkeypatch.setattr(sys, "stdin", Slow())
    asked = ApplyOptions(continuous=ContinuousPolicy.PAUSED)
    assert await apply_tasks(target, {}, out, asked) == FAILED
    assert "changed in the meantime" in capsys.readouterr().err


async def somebody_else(store: str) -> None:
    async with engine(store) as it:
        (task,) = (await it.ask("GET", "/v2/tasks"))["tasks"]
        await it.ask("PATCH", f"/v2/tasks/{task['id']}", {"sampling_rate": 0.1})


async def test_invalid_files_exit_with_1_and_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, out = await seeded_and_exported(tmp_path)
    (out / "tasks/monitor.yaml").write_text("evaltasks: 1\nkind: task\nname: Monitor\ntype: nothing\n")
    assert await apply_tasks(target, {}, out, ApplyOptions()) == FAILED
    assert "tasks/monitor.yaml:4: type: is not one of the allowed values" in capsys.readouterr().err
    assert await apply_tasks(target, {}, out / "no", ApplyOptions(dry_run=True)) == FAILED
    (out / "tasks/monitor.yaml").write_text("mine: true\n")
    source = Settings(store=str(tmp_path / "a.sqlite"))
    assert await export_tasks(source, {}, out, [], False, False) == FAILED
    assert "not a file of evaltasks" in capsys.readouterr().err
