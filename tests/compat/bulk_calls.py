"""The SDK's bulk calls, run where `arize` is installed: `python bulk_calls.py REST FLIGHT_PORT OTLP`.

Prints `{"call": …, "wrong": …}` for each; `wrong` is empty when it did what it should.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pandas as pd
from arize import ArizeClient

NOW = datetime.now(UTC)
SPAN_IDS = [f"{i:016x}" for i in range(1, 4)]


def client(rest: str, flight_port: str, otlp: str) -> ArizeClient:
    return ArizeClient(
        api_key=os.environ["COMPAT_KEY"],
        api_scheme="http",
        api_host=rest,
        flight_scheme="grpc+tcp",
        flight_host="127.0.0.1",
        flight_port=int(flight_port),
        otlp_scheme="http",
        otlp_host=otlp,
        enable_caching=False,
    )


def span(span_id: str) -> dict[str, object]:
    return {
        "context.trace_id": "0" * 16 + span_id,
        "context.span_id": span_id,
        "name": "call",
        "start_time": NOW - timedelta(minutes=2),
        "end_time": NOW - timedelta(minutes=1),
        "status_code": "OK",
        "attributes.openinference.span.kind": "LLM",
        "attributes.input.value": "q",
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": "q"}],
        "attributes.metadata": {"tier": "gold"},
    }


class Calls:
    """Each method is a call with what must come of it; they build on one another, in this order."""

    def __init__(self, ax: ArizeClient) -> None:
        self.ax = ax
        space_id = ax.spaces.list().spaces[0].id
        self.here = {"space_id": space_id, "project_name": "logged"}
        self.space_id = space_id

    def exported(self, **more: object) -> pd.DataFrame:
        day = timedelta(days=1)
        return self.ax.spans.export_to_df(**self.here, start_time=NOW - day, end_time=NOW + day, **more)

    def log(self) -> None:
        """spans.log"""
        evaluations = pd.DataFrame([{"context.span_id": SPAN_IDS[0], "eval.q.label": "good", "eval.q.score": 1.0}])
        spans = pd.DataFrame([span(id_) for id_ in SPAN_IDS])
        assert self.ax.spans.log(**self.here, dataframe=spans, evals_dataframe=evaluations).json()["num_added"] == 3

    def update_by_http(self) -> None:
        """spans.update_evaluations(force_http=True)"""
        rows = pd.DataFrame([{"context.span_id": SPAN_IDS[1], "eval.q.label": "bad", "eval.q.score": 0.0}])
        assert self.ax.spans.update_evaluations(**self.here, dataframe=rows, force_http=True).status_code == 200

    def update_by_flight(self) -> None:
        """spans.update_evaluations"""
        rows = pd.DataFrame([{"context.span_id": id_, "eval.q.label": "bad"} for id_ in (SPAN_IDS[2], "gone")])
        answer = self.ax.spans.update_evaluations(**self.here, dataframe=rows)
        assert answer == {"records_updated": "1", "unmatched_ids": ["gone"]}, answer

    def annotate(self) -> None:
        """spans.update_annotations"""
        rows = pd.DataFrame([{"context.span_id": SPAN_IDS[0], "annotation.h.label": "ok", "annotation.notes": "hm"}])
        assert self.ax.spans.update_annotations(**self.here, dataframe=rows) == {"records_updated": "1"}

    def metadata(self) -> None:
        """spans.update_metadata"""
        rows = pd.DataFrame([{"context.span_id": SPAN_IDS[0], "patch_document": {"seen": True}}])
        answer = self.ax.spans.update_metadata(**self.here, dataframe=rows)
        assert answer["spans_updated"] == "1", answer

    def export(self) -> None:
        """spans.export_to_df"""
        found = self.exported().set_index("context.span_id")
        assert list(found["eval.q.label"]) == ["good", "bad", "bad"], found["eval.q.label"]
        first = found.loc[SPAN_IDS[0]]
        assert first["attributes.metadata"] == {"tier": "gold", "seen": True}, first["attributes.metadata"]
        assert first["attributes.llm.input_messages"][0]["message.role"] == "user"
        assert first["annotation.h.label"] == "ok"

    def export_some(self) -> None:
        """spans.export_to_df(where=…, columns=…)"""
        found = self.exported(where="eval.q.label = 'bad'", columns=["context.span_id"], stream_chunk_size=1)
        assert list(found["context.span_id"]) == SPAN_IDS[1:], found

    def large_dataset(self) -> None:
        """datasets.create (5000 rows), list_examples(all=True)"""
        rows = [{"question": f"q{i}", "n": i} for i in range(5000)]
        made = self.ax.datasets.create(space=self.space_id, name="large", examples=rows)
        found = self.ax.datasets.list_examples(dataset=made.id, all=True).examples
        assert [example.additional_properties["n"] for example in found] == list(range(5000))

    def experiment(self) -> None:
        """experiments.run, list_runs(all=True)"""
        rows = [{"question": f"q{i}"} for i in range(3)]
        dataset = self.ax.datasets.create(space=self.space_id, name="few", examples=rows)
        made, _ = self.ax.experiments.run(
            name="first",
            dataset=dataset.id,
            task=lambda dataset_row: {"said": dataset_row["question"]},
            evaluators=[lambda output: 1.0],
        )
        runs = self.ax.experiments.list_runs(experiment=made.id, all=True).experiment_runs
        assert sorted(json.loads(run.output)["said"] for run in runs) == ["q0", "q1", "q2"]
        scores = [v for run in runs for k, v in run.additional_properties.items() if k.endswith(".score")]
        assert scores == [1.0, 1.0, 1.0], scores
        traced = [p for p in self.ax.projects.list(space=self.space_id).projects if p.project_type == "EXPERIMENT"]
        assert len(self.ax.spans.list(project=traced[0].id).spans) == 6


def main() -> None:
    logging.disable(logging.CRITICAL)
    calls = Calls(client(*sys.argv[1:4]))
    steps: list[Callable[[], None]] = [
        calls.log, calls.update_by_http, calls.update_by_flight, calls.annotate, calls.metadata, calls.export,
        calls.export_some, calls.large_dataset, calls.experiment,
    ]  # fmt: skip
    for step in steps:
        wrong = ""
        try:
            step()
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"[:400]
        sys.stdout.write(json.dumps({"call": step.__doc__, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main()
