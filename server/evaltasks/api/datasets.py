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


def _user_rows(rows: list[JsonObject]) -> list[JsonObject]:
    for index, row in enumerate(rows):
        if not row:
            raise ValueError(f"examples[{index}] is empty")
        if taken := sorted(SYSTEM_COLUMNS & row.keys()):
            raise ValueError(f"examples[{index}] may not contain {', '.join(taken)}: the system sets them")
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
    """`id`, times, and the user's own columns beside them as extra fields.

    An annotated example has its annotations as one more of them, `annotations`.
    """

    id: str
    created_at: Timestamp
    updated_at: Timestamp

    @property
    def columns(self) -> JsonObject:
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

    _user_rows = field_validator("examples", mode="after")(_user_rows)


class RenameDataset(RequestModel):
    name: Name


class DatasetVersionQuery(RequestModel):
    dataset_version_id: str | None = None


class AppendExamples(RequestModel):
    examples: list[JsonObject] = Field(min_length=1, max_length=1000)

    _user_rows = field_validator("examples", mode="after")(_user_rows)


class UpdateExamples(RequestModel):
    """Columns that are not given stay. With `new_version` the changes go into a new version of that name."""

    examples: list[JsonObject] = Field(min_length=1, max_length=1000)
    new_version: str | None = Field(default=None, max_length=255)

    @field_validator("examples", mode="after")
    @classmethod
    def _rows(cls, rows: list[JsonObject]) -> list[JsonObject]:
        for index, row in enumerate(rows):
            if not isinstance(row.get("id"), str) or not row["id"]:
                raise ValueError(f"examples[{index}].id is needed: it names the example to change")
            if taken := sorted((SYSTEM_COLUMNS - {"id"}) & row.keys()):
                raise ValueError(f"examples[{index}] may not contain {', '.join(taken)}: the system sets them")
        return rows


class DeleteExamples(RequestModel):
    dataset_version_id: NonBlank
    example_ids: list[NonBlank] = Field(min_length=1, max_length=1000)

    @field_validator("example_ids", mode="after")
    @classmethod
    def _validate_unique(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) < len(ids):
            raise ValueError("an id stands twice")
        return ids


class DeletedExamples(ResponseModel):
    """`completed`: no retry is needed. What the version does not hold stands among those not deleted."""

    completed: bool
    deleted_example_ids: list[str]
    not_deleted_example_ids: list[str]


class DatasetWithExampleIds(Dataset):
    dataset_version_id: str
    example_ids: list[str]
