"""Runs the rows of the Python SDK in the clients' environment and prints one line of JSON per row."""

from __future__ import annotations

import json
import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any

from tests.compat.arize_calls import SdkRow
from tests.compat.arize_resources import RESOURCE_ROWS
from tests.compat.arize_tasks import TASK_ROWS


def issue_of(row: SdkRow, client: Any, world: Any) -> str | None:
    try:
        found = row.does(client, world)
    except Exception as error:  # any exception of the SDK is a result
        if row.fails is None:
            return f"{type(error).__name__}: {error}"
        kind, text = row.fails
        fits = kind in type(error).__name__ and text in str(error)
        return None if fits else f"{type(error).__name__}: {error}, expected {row.fails}"
    if row.fails is not None:
        return f"expected {row.fails}, got an answer"
    return None if found else f"the answer was not as expected ({found!r})"


def main() -> None:
    from arize import ArizeClient

    warnings.simplefilter("ignore")
    world = SimpleNamespace(**json.loads(os.environ["COMPAT_WORLD"]))
    host, port = world.authority.split(":")
    client = ArizeClient(api_key=os.environ["COMPAT_KEY"], api_scheme="http", api_host=host, api_port=int(port))
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for row in (*TASK_ROWS, *RESOURCE_ROWS):
        if only in row.call:
            line = {"call": row.call, "why_not": row.why_not, "issue": issue_of(row, client, world)}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
