"""Datasets, their versions and examples."""

from __future__ import annotations

from pydantic import Field, field_validator

from evaltasks.api.wire import (
    ExtraFieldsModel,
    JsonObject,
    Name,
    NamedListQuery,
    NonBlank,
    Page,
    RequestModel,
    ResponseModel,
    RowQuery,
    RowSearch,
    Timestamp,
)

SYSTEM_COLUMNS = frozenset({"id", "created_at", "updated_at"})


def _validate_rows(rows: list[JsonObject]) -> list[JsonObject]:
    for index, row in enumerate(rows):
        if not row:
            raise ValueError(f"examples[{index}] is empty")
        if taken := sorted(SYSTEM_COLUMNS & row.keys()):
            raise ValueError(f"examples[{index}] must not contain {', '.join(taken)}: the system sets them")
    return rows


class DatasetVersion(ResponseModel):
    id: str
    name: str
    dataset_id: str
    created_at: Timestamp
    updated_at: Timestamp


class Dataset(ResponseModel):
    id: str
    name: str
    space_id: str
    created_at: Timestamp
    updated_at: Timestamp
    versions: list[DatasetVersion] | None = None


class DatasetPage(Page):
    datasets: list[Dataset]


class ListDatasets(NamedListQuery):
    pass


class Example(ExtraFieldsModel):
    """One row of a dataset. The user's columns are extra fields; an annotated example also has `annotations`."""

    id: str
    created_at: Timestamp
    updated_at: Timestamp

    @property
    def columns(self) -> JsonObject:
        """The columns of the user."""
        return dict(self.model_extra or {})


class ExamplePage(Page):
    examples: list[Example]


class ListExamples(RowQuery):
    dataset_version_id: str | None = None


class SearchExamples(RowSearch):
    dataset_version_id: str | None = None


class CreateDataset(RequestModel):
    name: Name
    space_id: NonBlank
    examples: list[JsonObject] = Field(min_length=1, max_length=1000)

    _rows = field_validator("examples", mode="after")(_validate_rows)


class RenameDataset(RequestModel):
    name: Name


class DatasetVersionQuery(RequestModel):
    dataset_version_id: str | None = None


class AppendExamples(RequestModel):
    examples: list[JsonObject] = Field(min_length=1, max_length=1000)

    _rows = field_validator("examples", mode="after")(_validate_rows)


class UpdateExamples(RequestModel):
    """Update columns of examples and keep absent columns. `new_version` names a new version to write to."""

    examples: list[JsonObject] = Field(min_length=1, max_length=1000)
    new_version: str | None = Field(default=None, max_length=255)

    @field_validator("examples", mode="after")
    @classmethod
    def _validate_rows(cls, rows: list[JsonObject]) -> list[JsonObject]:
        for index, row in enumerate(rows):
            if not isinstance(row.get("id"), str) or not row["id"]:
                raise ValueError(f"examples[{index}].id is required: it identifies the example to update")
            if taken := sorted((SYSTEM_COLUMNS - {"id"}) & row.keys()):
                raise ValueError(f"examples[{index}] must not contain {', '.join(taken)}: the system sets them")
        return rows


class DeleteExamples(RequestModel):
    dataset_version_id: NonBlank
    example_ids: list[NonBlank] = Field(min_length=1, max_length=1000)

    @field_validator("example_ids", mode="after")
    @classmethod
    def _validate_unique(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) < len(ids):
            raise ValueError("an id is in the list twice")
        return ids


class DeletedExamples(ResponseModel):
    """The result of a deletion. If `completed`, no retry is needed. Unknown examples are listed as not deleted."""

    completed: bool
    deleted_example_ids: list[str]
    not_deleted_example_ids: list[str]


class DatasetWithExampleIds(Dataset):
    dataset_version_id: str
    example_ids: list[str]
