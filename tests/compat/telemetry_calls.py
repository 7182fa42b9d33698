"""The SDK's part of `telemetry.py`, run where `arize` is installed, in steps: arrange, read, wrong, limited.

Where the engine is and which key to use are in the environment: a key is not an argument. Prints
`{"call": …, "wrong": …}` for each call; `wrong` is empty when it did what it should.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from arize import ArizeClient
from arize.tasks.types import TaskEvaluatorInput

PROJECT = "telemetry"
SECONDS_MAX = 60
NAME = "is_json"
OUTPUTS = ["I do not know", '["a", "b"]', '{"city": "Bern"}']


def client() -> ArizeClient:
    more = {"flight_scheme": "grpc+tcp", "flight_host": "127.0.0.1", "enable_caching": False}
    if port := os.environ["COMPAT_FLIGHT_PORT"]:
        more["flight_port"] = int(port)
    return ArizeClient(api_key=os.environ["COMPAT_KEY"], api_scheme="http", api_host=os.environ["COMPAT_REST"], **more)


def arrange(ax: ArizeClient) -> None:
    """tasks.create_evaluation_task(is_continuous=True)"""
    space = ax.spaces.list().spaces[0]
    project = ax.projects.create(name=PROJECT, space=space.id)
    config = {
        "type": "MANAGED", "name": NAME, "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"],
    }  # fmt: skip
    evaluator = ax.evaluators.create_code_evaluator(
        name="parses", space=space.id, commit_message="first", code_config=config
    )
    attached = {"evaluator_id": evaluator.id, "column_mappings": {"output": "attributes.output.value"}}
    task = ax.tasks.create_evaluation_task(
        name="as they come", task_type="CODE_EVALUATION", project=project.id, is_continuous=True, sampling_rate=1.0,
        evaluators=[TaskEvaluatorInput.from_dict(attached)],
    )  # fmt: skip
    assert task.is_continuous


def _evaluated(read: Callable[[], dict[str, object]]) -> None:
    """Wait until every span has its evaluation: a continuous task polls every few seconds."""
    until = time.monotonic() + SECONDS_MAX
    found: dict[str, object] = {}
    while time.monotonic() < until:
        found = read()
        if sorted(found) == sorted(OUTPUTS) and all(found.values()):
            break
        time.sleep(0.5)
    assert sorted(found) == sorted(OUTPUTS), found
    good, bad = found['{"city": "Bern"}'], found["I do not know"]
    assert good and bad and good != bad and found['["a", "b"]'] == good, found


def read_list(ax: ArizeClient) -> None:
    """spans.list, with the continuous task's evaluations"""
    space = ax.spaces.list().spaces[0]

    def read() -> dict[str, object]:
        found = {}
        for span in ax.spans.list(project=PROJECT, space=space.id).spans:
            shown = json.loads(span.model_dump_json())
            label = next((one["label"] for one in shown.get("evaluations") or [] if one["name"] == NAME), None)
            found[shown["attributes"]["output.value"]] = label
        return found

    _evaluated(read)


def read_export(ax: ArizeClient) -> None:
    """spans.export_to_df, with the continuous task's evaluations"""
    space = ax.spaces.list().spaces[0]
    day = timedelta(days=1)
    now = datetime.now(UTC)

    def read() -> dict[str, object]:
        rows = ax.spans.export_to_df(space_id=space.id, project_name=PROJECT, start_time=now - day, end_time=now + day)
        return dict(zip(rows["attributes.output.value"], rows[f"eval.{NAME}.label"], strict=True))

    _evaluated(read)


def _refused(call: Callable[[], object], words: str) -> None:
    try:
        call()
    except Exception as error:
        said = f"{type(error).__name__} {error}"
        assert words in said, said
        assert os.environ["COMPAT_KEY"] not in said
    else:
        raise AssertionError("it was answered")


def wrong_list(ax: ArizeClient) -> None:
    """spaces.list, wrong key"""
    _refused(ax.spaces.list, "not valid for this engine")


def wrong_export(ax: ArizeClient) -> None:
    """spans.export_to_df, wrong key"""
    now = datetime.now(UTC)
    _refused(
        lambda: ax.spans.export_to_df(
            space_id="default", project_name=PROJECT, start_time=now - timedelta(days=1), end_time=now
        ),
        "not valid for this engine",
    )


def limited(ax: ArizeClient) -> None:
    """spaces.list, 15 times under --rate-limit 5/3"""
    began = time.monotonic()
    assert all(ax.spaces.list().spaces for _ in range(15))
    assert time.monotonic() - began > 1, "nothing was limited"


STEPS = {"arrange": [arrange], "read": [read_list, read_export], "wrong": [wrong_list, wrong_export],
         "limited": [limited]}  # fmt: skip


def main() -> None:
    logging.disable(logging.CRITICAL)
    ax = client()
    for step in STEPS[sys.argv[1]]:
        wrong = ""
        try:
            step(ax)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"[:600]
        sys.stdout.write(json.dumps({"call": step.__doc__, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main()
