"""A full disk and a locked, damaged, removed or read-only store are reported, lose nothing and stop no process."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from evaltasks.engine.runs import recording
from evaltasks.engine.store import opening
from evaltasks.engine.store.store import Store, StoreError
from tests.support.engines import QUICK, WINDOW, EngineInTest, ManualClock, engine
from tests.support.judges import JudgeServer, judge_server

SPANS = 60


@contextmanager
def full_disk(it: EngineInTest) -> Iterator[None]:
    """Simulate a full disk: the store cannot grow during the block."""
    writer = it.engine.services.store._connections.writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    try:
        yield
    finally:
        writer.execute("PRAGMA max_page_count = 1000000000")


async def started(it: EngineInTest, judge: JudgeServer, spans: int = SPANS) -> str:
    """Start a task run whose first calls are under way and not answered."""
    project = await it.seed_project()
    await it.seed_spans(project, spans, attributes={"long": "x" * 2000})
    evaluator = await it.seed_template_evaluator(judge.base_url)
    task = await it.seed_task([evaluator], "TEMPLATE_EVALUATION", project_id=project)
    judge.hold()
    task_run = await it.trigger(task, **WINDOW)
    with anyio.fail_after(10):
        await judge.wait_for_requests(QUICK.in_flight_max)
    return str(task_run["id"])


async def refused(it: EngineInTest) -> dict[str, Any]:
    """Return the answer to a request that writes, which must be a problem with a repair and a Retry-After."""
    body = {"name": "p" * 200, "space_id": await it.space_id()}
    reply = await it.http.post("/v2/projects", json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json")
    return {**reply.json(), "retry_after": reply.headers.get("retry-after")}


def replace_store(path: Path, by: Path) -> None:
    for beside in ("", "-wal", "-shm"):
        Path(f"{path}{beside}").unlink()
    shutil.copy(by, path)


async def test_full_disk_pauses_the_task_run_until_space_is_free(tmp_path: Path) -> None:
    async with judge_server() as judge, engine(tmp_path / "store.db") as it:
        task_run = await started(it, judge, 600)
        with full_disk(it):
            judge.release()
            examples = [{"question": "q" * 100_000}]
            dataset = {"name": "large", "space_id": await it.space_id(), "examples": examples}
            problem = await it.ask("POST", "/v2/datasets", dataset, status=503)
            assert "the disk is full" in problem["detail"] and "Nothing of this change was kept" in problem["detail"]
            # Calls stop when the largest number of answers waits to be recorded.
            asked = -1
            with anyio.fail_after(20):
                while True:
                    before, asked = asked, len(judge.requests)
                    if before == asked:
                        break
                    await anyio.sleep(0.3)
            assert asked < 600
            assert (await it.task_run(task_run))["status"] == "RUNNING"
        done = await it.ended(task_run, at_most_seconds=40)
        assert (done["status"], done["num_successes"]) == ("COMPLETED", 600)
        assert set(judge.num_by_prompt.values()) == {1}


async def test_store_locked_too_long_answers_503_and_the_task_run_resumes_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_BUSY_SECONDS", 0.05)
    path = tmp_path / "store.db"
    async with judge_server() as judge, engine(path) as it:
        task_run = await started(it, judge)
        with closing(sqlite3.connect(path, isolation_level=None)) as locker:
            locker.execute("BEGIN IMMEDIATE")
            judge.release()
            problem = await refused(it)
            assert "another process has kept it locked" in problem["detail"] and problem["retry_after"] == "5"
            assert (await it.task_run(task_run))["status"] == "RUNNING"  # readers are not blocked
            locker.execute("ROLLBACK")
        done = await it.ended(task_run)
        assert (done["status"], done["num_successes"]) == ("COMPLETED", SPANS)
        assert set(judge.num_by_prompt.values()) == {1}


@pytest.mark.parametrize("then", ["put back", "left"])
async def test_moved_store_is_no_longer_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    # How long closing the engine tries to record answers.
    monkeypatch.setattr(recording, "_FLUSH_SECONDS", 0.1)
    path, elsewhere = tmp_path / "store.db", tmp_path / "elsewhere.db"
    async with judge_server() as judge, engine(path) as it:
        task_run = await started(it, judge)
        path.rename(elsewhere)
        judge.release()
        for method, address in (("GET", f"/v2/task-runs/{task_run}"), ("GET", "/v2/tasks")):
            problem = await it.ask(method, address, status=503)
            assert "moved, removed or replaced" in problem["detail"] and "put the file back" in problem["detail"]
        if then == "put back":
            elsewhere.rename(path)
            assert (await it.ended(task_run))["num_successes"] == SPANS
            assert set(judge.num_by_prompt.values()) == {1}
    assert path.exists() == (then == "put back")


async def test_replaced_store_is_not_written(tmp_path: Path) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    async with engine(other) as it:
        await it.seed_project("theirs")
    async with engine(path) as it:
        space = await it.space_id()
        replace_store(path, other)
        body = {"name": "ours", "space_id": space}
        problem = await it.ask("POST", "/v2/projects", body, status=503)
        assert "replaced" in problem["detail"]
    async with engine(path) as it:
        assert [one["name"] for one in (await it.ask("GET", "/v2/projects"))["projects"]] == ["theirs"]


async def test_damaged_store_is_reported_and_stops_judge_calls(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    limits = replace(QUICK, lease_seconds=0.0)
    # Calls are slow, as with a real judge, so the error is noticed before a third round of calls starts.
    async with judge_server(latency_seconds=0.5) as judge, engine(path, limits=limits) as it:
        task_run = await started(it, judge)
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            size = path.stat().st_size
            file.write(b"\xa5" * size)
        judge.release()
        await it.idle()
        asked = len(judge.requests)
        turns = it.engine.executor.poll_count
        for address in ("/v2/tasks", f"/v2/task-runs/{task_run}"):
            problem = await it.ask("GET", address, status=503)
            assert "the file is damaged" in problem["detail"] and "put a copy of it" in problem["detail"]
        problem = await it.ask("POST", "/v2/projects", {"name": "p", "space_id": "x"}, status=503)
        assert "damaged" in problem["detail"]
        assert len(judge.requests) == asked <= 2 * QUICK.in_flight_max
        assert it.engine.executor.poll_count == turns  # it could not poll, and continues


@contextmanager
def without_roots_rights(*paths: Path) -> Iterator[None]:
    """Run as the unprivileged user (uid 65534), who owns the paths: root ignores file permissions."""
    if os.geteuid() != 0:
        yield
        return
    for path in paths:
        os.chown(path, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_read_only_store_is_refused_at_opening_with_the_repair(what: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # noqa: PTH101  no folder of this test is slow
        folder = Path(name) / "folder"
        folder.mkdir()
        path = folder / "store.db"
        # Created with all rights: the program's own files may not be readable by the unprivileged user.
        async with Store.open(path):
            pass
        target = path if what == "file" else folder
        target.chmod(0o500 if what == "folder" else 0o400)
        words = (
            "no permission to write to its folder" if what == "folder" else "no permission to read and write the file"
        )
        with (
            without_roots_rights(path, folder),
            pytest.raises(StoreError, match=f"{words}.*(?i:grant it, or choose another path) with --store"),
        ):
            async with Store.open(path):
                pass
        assert target.stat().st_mode & 0o200 == 0  # no permission was added
        target.chmod(0o700)


async def test_store_locked_by_another_process_is_reported_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_BUSY_SECONDS", 0.05)
    monkeypatch.setattr(opening, "_WAL_TRIES", 3)
    path = tmp_path / "store.db"
    async with Store.open(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM spaces")
        with pytest.raises(StoreError, match=r"another process has kept it locked.*--store"):
            async with Store.open(path):
                pass
        other.execute("ROLLBACK")


async def test_leases_outlast_a_locked_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No owner can renew while a third process locks the store; afterwards no living owner loses its task run."""
    monkeypatch.setattr(opening, "_BUSY_SECONDS", 0.05)
    path, clock = tmp_path / "store.db", ManualClock()
    async with judge_server() as judge, engine(path, clock=clock) as owner:
        task_run = await started(owner, judge)
        async with engine(path, clock=clock) as other:
            with closing(sqlite3.connect(path, isolation_level=None)) as locker:
                locker.execute("BEGIN IMMEDIATE")
                for _ in range(4):
                    await clock.turn(QUICK.heartbeat_seconds)
                    await anyio.sleep(0.1)  # real time: both try to write and fail
                locker.execute("ROLLBACK")
            judge.release()
            with anyio.fail_after(20):
                while True:
                    if (await other.task_run(task_run))["status"] == "COMPLETED":
                        break
                    await clock.turn(QUICK.heartbeat_seconds)
                    await anyio.sleep(0.02)
            assert set(judge.num_by_prompt.values()) == {1}
