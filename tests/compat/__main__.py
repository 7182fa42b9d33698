"""Runs every row and reports the results; `check.sh` calls it.

    python -m tests.compat --clients DIR [--write] [--only TEXT]

Exit code 0 if every row has the expected result and docs/compatibility.md matches the results; 1 otherwise.
`--write` writes that page instead of comparing it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.compat import bulk, telemetry
from tests.compat.ax_resources import RESOURCE_ROWS, WALKS
from tests.compat.ax_tasks import RUN_CONFIGURATION, TASK_ROWS
from tests.compat.page import PAGE, page_from
from tests.compat.rows import KEY, AxWalk, Client, Ended, Outcome, filled
from tests.compat.world import opened, seen_by

HERE = Path(__file__).parent
ROW_SECONDS_MAX = 90
DRIVER_SECONDS_MAX = 300
PAGES_MAX = 100
PROFILE = """[profile]
name = "embedded"
[auth]
auth_method = "api-key"
api_key = "{key}"
[routing]
api_scheme = "http"
api_host = "{authority}"
[output]
format = "json"
[update]
enabled = false
"""


class Ax:
    """Runs `ax` commands, each in a separate process."""

    def __init__(self, process: Process, folder: Path) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._orders, self._answers = process.stdin, BufferedByteReceiveStream(process.stdout)
        self._folder = folder

    async def run(self, arguments: Sequence[str], stdin: str | None = None) -> Ended:
        order = {"arguments": list(arguments), "folder": str(self._folder), "stdin": stdin}
        await self._orders.send(json.dumps(order).encode() + b"\n")
        with anyio.fail_after(ROW_SECONDS_MAX):
            answer: dict[str, Any] = json.loads(await self._answers.receive_until(b"\n", 2**26))
        return Ended(**answer)


def _environment(home: Path, world: dict[str, str]) -> dict[str, str]:
    """Return an environment with an empty home directory and without ARIZE_* variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARIZE_")}
    return {
        **kept, "HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb",
        "COMPAT_WORLD": json.dumps(world), "COMPAT_KEY": KEY,
        "DISABLE_PRERELEASE_WARNING": "true",
    }  # fmt: skip


@asynccontextmanager
async def _ax(clients: Path, home: Path, world: dict[str, str]) -> AsyncIterator[Ax]:
    python = str(clients / "venv" / "bin" / "python")
    environment = _environment(home, world)
    (home / "embedded.toml").write_text(PROFILE.format(authority=world["authority"], key=KEY))
    (home / "run_config.json").write_text(filled(RUN_CONFIGURATION, world))
    (home / "runs.csv").write_text(f"example_id,output\n{world['example_id']},answer\n")
    # The first command is started as a user does; later ones are forked from a process with the imports loaded.
    command = [str(clients / "venv" / "bin" / "ax"), "profiles", "create", "embedded", "--from-file", "embedded.toml"]
    await anyio.run_process(command, cwd=home, env=environment)
    forks = [python, str(HERE / "ax_forks.py")]
    async with await anyio.open_process(forks, stderr=None, env=environment) as process:
        try:
            yield Ax(process, home)
        finally:
            process.terminate()


async def _ax_outcomes(clients: Path, home: Path, world: dict[str, str], only: str) -> list[Outcome]:
    world = seen_by("ax", {**world, "folder": str(home)})
    found = []
    async with _ax(clients, home, world) as ax:
        for row in (*TASK_ROWS, *RESOURCE_ROWS, *WALKS):
            if only not in row.call:
                continue
            arguments = [filled(part, world) for part in row.arguments]
            ended: Ended | None = None
            try:
                if isinstance(row, AxWalk):
                    await _walk(ax, row, arguments)
                else:
                    ended = await ax.run(arguments, row.stdin and filled(row.stdin, world))
                    row.check(ended, world)
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                more = f" (ended with {ended.code}: {ended.said[-700:]} {ended.out[-300:]})" if ended else ""
                found.append(Outcome("ax", row.call, row.why_not, f"{type(error).__name__}: {error}{more}"))
            else:
                found.append(Outcome("ax", row.call, row.why_not))
    return found


async def _walk(ax: Ax, row: AxWalk, arguments: list[str]) -> None:
    async def page(*more: str) -> tuple[list[str], str | None]:
        ended = await ax.run([*arguments, *more])
        assert ended.code == 0, ended.said
        answer = ended.data
        items = answer if isinstance(answer, list) else answer[row.resource]
        cursor = None if isinstance(answer, list) else answer.get("pagination", {}).get("next_cursor")
        return [item[row.by] for item in items], cursor

    found, cursor = await page("--limit", "1")
    for _ in range(PAGES_MAX):
        if cursor is None:
            break
        items, cursor = await page("--limit", "1", "--cursor", cursor)
        found += items
    large, _ = await page("--limit", "50")
    assert len(found) > 1 and found == large, f"pages of one: {found}, one page: {large}"


async def _driven(client: Client, command: Sequence[str], environment: dict[str, str]) -> list[Outcome]:
    """Run the rows of an SDK: a program in the client's environment prints one line per row."""
    with anyio.fail_after(DRIVER_SECONDS_MAX):
        ended = await anyio.run_process(command, stderr=None, env=environment, cwd=HERE.parents[1])
    # The SDK logs to standard output as well.
    lines = [line for line in ended.stdout.decode().splitlines() if line.startswith('{"call"')]
    return [Outcome(client, **json.loads(line)) for line in lines]


async def main(python: str, clients: Path, only: str) -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with opened(python, home) as world:
            outcomes = await _ax_outcomes(clients, home, world, only)
            environment = _environment(home, seen_by("arize", world))
            sdk = [str(clients / "venv" / "bin" / "python"), "-m", "tests.compat.arize_driver", only]
            outcomes += await _driven("arize", sdk, environment)
            package = clients / "node_modules" / "@arizeai" / "ax-client" / "dist" / "esm" / "index.js"
            environment = {**_environment(home, seen_by("npm", world)), "COMPAT_PACKAGE": str(package)}
            outcomes += await _driven("npm", ["node", str(HERE / "npm_rows.mjs"), only], environment)
    return outcomes


def judged(
    outcomes: list[Outcome], bulk: list[tuple[str, str]], telemetry: list[tuple[str, str]], *, write: bool
) -> list[str]:
    """Return messages about failed rows and about a page that does not match the results."""
    issues = [f"{outcome.client}: {outcome.call}\n    {outcome.issue}" for outcome in outcomes if outcome.issue]
    issues += [f"bulk: {call}\n    {wrong}" for call, wrong in bulk if wrong]
    issues += [f"telemetry: {call}\n    {wrong}" for call, wrong in telemetry if wrong]
    if issues:
        return issues
    text = page_from(outcomes, [call for call, _ in bulk], [call for call, _ in telemetry])
    if write:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        return ["docs/compatibility.md is not what these results make: run tests/compat/check.sh PYTHON --write"]
    return []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", default="", metavar="TEXT", help="only calls that hold this; leaves the page alone")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    results = anyio.run(main, sys.executable, options.clients, options.only)
    bulk_results = [] if options.only else bulk.outcomes(options.clients)
    telemetry_results = [] if options.only else telemetry.outcomes(options.clients)
    if options.only:
        wrong = [f"{result.client}: {result.call}\n    {result.issue}" for result in results if result.issue]
    else:
        wrong = judged(results, bulk_results, telemetry_results, write=options.write)
    sys.stdout.writelines(f"WRONG: {line}\n" for line in wrong)
    sys.stdout.write(
        f"compat: {len(results) + len(bulk_results) + len(telemetry_results)} calls, {len(wrong)} problems\n"
    )
    raise SystemExit(int(bool(wrong)))
