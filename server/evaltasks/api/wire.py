"""Base classes and types of all wire models: strictness, letter case, times and pages.

A request (`RequestModel`) refuses unknown fields, because a misspelt option that is ignored causes a wrong evaluation.
A response (`ResponseModel`) ignores unknown fields and keeps unknown enum values as text, because the service may be
newer than this program. Models that are used in both directions, such as run configurations, are `RequestModel`; the
client parses them with `extra="ignore"` and the context `READING`, which make them as tolerant as a response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

JsonObject: TypeAlias = dict[str, Any]
# The validation context for parsing a response.
READING: Mapping[str, bool] = {"reading": True}


class RequestModel(BaseModel):
    """A request body or a part of one. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """A response body or a part of one. Unknown fields are ignored, because the service may be newer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ExtraFieldsModel(BaseModel):
    """A model whose unknown fields are user data and are always kept.

    The client parses responses with `extra="ignore"`, which in pydantic overrides the `extra="allow"` of a model; the
    validator restores the unknown fields.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_unknown(cls, value: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        model = read(value)
        if isinstance(value, dict) and not model.model_extra:
            unknown = {name: item for name, item in value.items() if name not in cls.model_fields}
            object.__setattr__(model, "__pydantic_extra__", unknown)
            model.model_fields_set.update(unknown)
        return model


class UnknownVariant(ExtraFieldsModel):
    """A variant that only a newer service knows, kept completely. It is parsed from responses only."""

    @model_validator(mode="before")
    @classmethod
    def _only_read(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not READING and not isinstance(value, cls):
            raise ValueError("is of an unknown kind")
        return value


def upper_case(value: object) -> object:
    """Convert text to upper case, so that any letter case is accepted and only UPPER_SNAKE is sent."""
    return value.upper() if isinstance(value, str) else value


def upper_case_tag(value: object, field: str) -> str | None:
    """Return the field that names the kind of a value (an object or a model) in upper case; None if it has none."""
    tag = value.get(field) if isinstance(value, dict) else getattr(value, field, None)
    return tag.upper() if isinstance(tag, str) else None


def listed(words: list[str]) -> str:
    """Join words as in `A, B or C`."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


class WireEnum(StrEnum):
    """An enumeration of UPPER_SNAKE words. `CaseInsensitive` accepts them in any letter case."""

    @property
    def is_known(self) -> bool:
        """False for a word of a response that the enumeration does not list."""
        return self._name_ in type(self).__members__

    @classmethod
    def unknown(cls, word: str) -> Self:
        """Return a word that the enumeration does not list. It is unchanged text and equal to no member."""
        kept = str.__new__(cls, word)
        kept._name_ = kept._value_ = word
        return kept


EnumT = TypeVar("EnumT", bound=WireEnum)


@dataclass(frozen=True, slots=True)
class FurtherWords:
    """The context of a validation that accepts words which an enumeration does not list.

    Attributes:
        accepts: Takes the enumeration and a word in upper case; returns True to accept the word.
    """

    accepts: Callable[[type[WireEnum], str], bool]


class _CaseFolding:
    """Accepts any letter case and refuses unknown words, except in a response, in which they are kept."""

    def __get_pydantic_core_schema__(self, kind: type[WireEnum], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: object, read_listed: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
            word = upper_case(value)
            try:
                return read_listed(word)
            except ValidationError:
                if info.context is READING and isinstance(value, str):
                    return kind.unknown(value)
                further = info.context
                if isinstance(further, FurtherWords) and isinstance(word, str) and further.accepts(kind, word):
                    return kind.unknown(word)
                raise

        return core_schema.with_info_wrap_validator_function(read, handler(kind))


# `CaseInsensitive[TaskType]`, for requests: any letter case; unknown words are refused, except when parsing a response.
# `OpenEnum[TaskType]`, for responses: any letter case; unknown words are kept as text.
CaseInsensitive = Annotated[EnumT, _CaseFolding()]
OpenEnum = Annotated[EnumT | str, Field(union_mode="left_to_right"), BeforeValidator(upper_case)]


def _as_utc(moment: datetime) -> datetime:
    """Convert a time to UTC. One without an offset is in UTC, as AX specifies."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this time is outside the years 1 to 9999") from None


def rfc3339(moment: datetime) -> str:
    """Format a time as the service does, in UTC with milliseconds: `2026-11-21T10:00:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_time(value: date | time | timedelta) -> str | float:
    """Convert a time, date or duration of a table to JSON: ISO 8601 text, or seconds for a duration.

    A datetime without an offset is in UTC, and keeps its precision.
    """
    match value:
        case datetime():
            return rfc3339(value) if value.tzinfo else value.isoformat() + "Z"
        case timedelta():
            return value.total_seconds()
        case _:
            return value.isoformat()


# A time on the wire: RFC 3339 in UTC.
Timestamp = Annotated[
    datetime,
    AfterValidator(_as_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def without_nul(text: str) -> str:
    """Check that a text has no NUL character, at which other software (SQL, C, terminals) ends it.

    Raises:
        ValueError: The text contains NUL.
    """
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


class Pagination(ResponseModel):
    """The pagination of a list. `next_cursor` is set only if `has_more`; published clients check only `next_cursor`."""

    has_more: bool = False
    next_cursor: str | None = None


class Page(ResponseModel):
    """A page of a list: its pagination. Subclasses add the items."""

    pagination: Pagination = Pagination()


class ListQuery(RequestModel):
    """Query parameters of every resource list. `limit` counts items; a page holds at most 100."""

    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class NamedListQuery(ListQuery):
    """A list that can be scoped to a space and filtered by a case-insensitive part of the name."""

    space_id: str | None = None
    space_name: str | None = Field(default=None, max_length=255)
    name: str | None = Field(default=None, max_length=255)


class RowQuery(RequestModel):
    """Query parameters of lists of rows (examples, experiment runs, spans): at most 500 a page."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = None


class RowSearch(RowQuery):
    """Body of the two `search` endpoints, which filter rows."""

    filter: str | None = None


NonBlank = Annotated[str, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S"), AfterValidator(without_nul)]
