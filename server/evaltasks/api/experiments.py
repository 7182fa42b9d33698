"""Experiments: outputs for the examples of a dataset. An experiment run is the output for one example."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from evaltasks.api.wire import (
    ExtraFieldsModel,
    JsonObject,
    ListQuery,
    NonBlank,
    Page,
    RequestModel,
    ResponseModel,
    RowQuery,
    RowSearch,
    Timestamp,
    without_nul,
)

# The service refuses quotes and backslashes here, because they break its column names.
ExperimentName = Annotated[str, Field(min_length=1, max_length=255, pattern=r'^[^"\\]*$'), AfterValidator(without_nul)]

SYSTEM_RUN_COLUMNS = frozenset({"id"})


class Experiment(ResponseModel):
    id: str
    name: str
    space_id: str
    created_at: Timestamp
    updated_at: Timestamp
    dataset_id: str | None = None
    dataset_version_id: str | None = None
    experiment_traces_project_id: str | None = None
    integration_id: str | None = None


class ExperimentPage(Page):
    experiments: list[Experiment]


class ListExperiments(ListQuery):
    dataset_id: str | None = None
    space_id: str | None = None
    name: str | None = Field(default=None, max_length=255)

    @model_validator(mode="after")
    def _validate_single_scope(self) -> ListExperiments:
        if self.dataset_id and self.space_id:
            raise ValueError("dataset_id and space_id exclude each other; provide only one of them")
        return self


class ExperimentRun(ExtraFieldsModel):
    """The output or error for one example.

    Extra fields hold further columns: the user's own, evaluations such as `eval.<name>.label`, and `annotations` if
    there are any.
    """

    id: str
    example_id: str | None = None
    output: str | None = None
    error: str | None = None

    @property
    def columns(self) -> JsonObject:
        """The columns of the user and of evaluations."""
        return dict(self.model_extra or {})


class ExperimentRunPage(Page):
    experiment_runs: list[ExperimentRun]


class ListExperimentRuns(RowQuery):
    pass


class SearchExperimentRuns(RowSearch):
    pass


def _validate_rows(rows: list[JsonObject]) -> list[JsonObject]:
    for index, row in enumerate(rows):
        if not isinstance(row.get("output"), str):
            raise ValueError(f"experiment_runs[{index}].output must be text")
        if taken := sorted(SYSTEM_RUN_COLUMNS & row.keys()):
            raise ValueError(f"experiment_runs[{index}] must not contain {', '.join(taken)}: the system sets it")
    return rows


class CreateExperiment(RequestModel):
    name: ExperimentName
    dataset_id: str | None = None
    space_id: str | None = None
    experiment_runs: list[JsonObject] = Field(min_length=1, max_length=1000)

    _rows = field_validator("experiment_runs", mode="after")(_validate_rows)

    @model_validator(mode="after")
    def _validate_single_parent(self) -> CreateExperiment:
        if bool(self.dataset_id) == bool(self.space_id):
            raise ValueError("exactly one of dataset_id and space_id is required")
        if self.dataset_id:
            for index, row in enumerate(self.experiment_runs):
                if not isinstance(row.get("example_id"), str) or not row["example_id"]:
                    raise ValueError(f"experiment_runs[{index}].example_id is required with a dataset")
        return self


class AppendExperimentRuns(RequestModel):
    experiment_runs: list[JsonObject] = Field(min_length=1, max_length=1000)

    _rows = field_validator("experiment_runs", mode="after")(_validate_rows)


class ExperimentWithRunIds(Experiment):
    run_ids: list[NonBlank]
