"""Annotation configs: the names and value types of the annotations in a space.

The type is `annotation_config_type` in requests that create or update a config, and `type` in answers.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue

from evaltasks.api.wire import (
    CaseInsensitive,
    Name,
    NamedListQuery,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    WireEnum,
)


class AnnotationConfigType(WireEnum):
    CATEGORICAL = "CATEGORICAL"
    CONTINUOUS = "CONTINUOUS"
    FREEFORM = "FREEFORM"


class OptimizationDirection(WireEnum):
    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"
    NONE = "NONE"


class CategoricalValue(RequestModel):
    label: NonBlank
    score: float | None = None


# The fields that a type has besides its name.
FIELDS_OF_TYPE: dict[AnnotationConfigType, frozenset[str]] = {
    AnnotationConfigType.CATEGORICAL: frozenset({"values", "optimization_direction"}),
    AnnotationConfigType.CONTINUOUS: frozenset({"minimum_score", "maximum_score", "optimization_direction"}),
    AnnotationConfigType.FREEFORM: frozenset(),
}
VARIANT_FIELDS = ("values", "minimum_score", "maximum_score", "optimization_direction")


class AnnotationConfig(ResponseModel):
    """An annotation config. Only the fields of its type are in an answer."""

    id: str
    name: str
    space_id: str
    created_at: Timestamp
    type: OpenEnum[AnnotationConfigType]
    values: list[CategoricalValue] | None = None
    minimum_score: float | None = None
    maximum_score: float | None = None
    optimization_direction: OpenEnum[OptimizationDirection] | None = None

    @model_serializer(mode="wrap")
    def _omit_fields_of_other_types(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = FIELDS_OF_TYPE[self.type] if isinstance(self.type, AnnotationConfigType) else set(VARIANT_FIELDS)
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if name in own or name not in VARIANT_FIELDS}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the fields, in which fields of only some types are optional."""
        fields: Any = {name: part for name, part in core.items() if name != "serialization"}
        schema = handler.resolve_ref_schema(handler(fields))
        schema["required"] = [name for name in schema["required"] if name not in VARIANT_FIELDS]
        return schema


class AnnotationConfigPage(Page):
    annotation_configs: list[AnnotationConfig]


class ListAnnotationConfigs(NamedListQuery):
    pass


class _Config(RequestModel):
    annotation_config_type: CaseInsensitive[AnnotationConfigType]
    values: list[CategoricalValue] | None = Field(default=None, min_length=1, max_length=500)
    minimum_score: float | None = None
    maximum_score: float | None = None
    optimization_direction: CaseInsensitive[OptimizationDirection] | None = None

    @model_validator(mode="after")
    def _validate_fields_of_type(self) -> _Config:
        kind = self.annotation_config_type
        given = {name for name in VARIANT_FIELDS if getattr(self, name) is not None}
        if foreign := sorted(given - FIELDS_OF_TYPE[kind]):
            raise ValueError(f"an annotation config of type {kind} has no {', '.join(foreign)}")
        if self.values is not None:
            labels = [value.label for value in self.values]
            if twice := sorted({label for label in labels if labels.count(label) > 1}):
                raise ValueError(f"values: duplicate label: {', '.join(twice)}")
        return self


class CreateAnnotationConfig(_Config):
    name: Name
    space_id: NonBlank

    @model_validator(mode="after")
    def _validate_required_fields(self) -> CreateAnnotationConfig:
        needed = FIELDS_OF_TYPE[self.annotation_config_type] - {"optimization_direction"}
        if missing := sorted(name for name in needed if getattr(self, name) is None):
            raise ValueError(f"an annotation config of type {self.annotation_config_type} needs {missing[0]}")
        return self


class UpdateAnnotationConfig(_Config):
    """Update an annotation config. Its type cannot change; fields that are absent stay unchanged."""

    name: Name | None = None
