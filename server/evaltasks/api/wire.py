"""What every wire model shares: how strictly it reads, how letter case is folded, how a page looks.

Two kinds of model are on the wire. A *request* (`RequestModel`) refuses fields it does not know, because a
misspelt option silently ignored is a wrong evaluation. A *reply* (`ResponseModel`) ignores what it does not know and
keeps enumeration values it has never seen as plain text, because the service may be newer than we are.
Models that travel both ways (a run configuration, for example) are `RequestModel`; the client reads them with
`extra="ignore"` and the context `READING`, in which they are as tolerant as a reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
# The context of a validation that reads an answer.
READING: Mapping[str, bool] = {"reading": True}


class RequestModel(BaseModel):
    """A request body or a part of one: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseModel(BaseModel):
    """A reply or a part of one: unknown fields are ignored, so a newer service does not break us."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ExtraFieldsModel(BaseModel):
    """A part whose unknown fields are the user's own data, and kept however strictly the whole is read.

    The client reads replies with `extra="ignore"`, which overrides a model's own `extra="allow"` in pydantic;
    here the unknown fields are put back.
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
    """In an answer that is read: a variant no one knew here, kept whole. Nothing else is ever read as one."""

    @model_validator(mode="before")
    @classmethod
    def _only_read(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not READING and not isinstance(value, cls):
            raise ValueError("is of no known kind")
        return value


def upper_case(value: object) -> object:
    """Upper-case a text, so that any letter case is accepted and only UPPER_SNAKE is written."""
    return value.upper() if isinstance(value, str) else value


class WireEnum(StrEnum):
    """A closed list of UPPER_SNAKE words; reads any letter case through `CaseInsensitive`."""

    @property
    def is_known(self) -> bool:
        """False for a word out of an answer that is not on the list."""
        return self._name_ in type(self).__members__

    @classmethod
    def unknown(cls, word: str) -> Self:
        """A word that is not on the list, kept as it is: text for whoever shows it, equal to no member."""
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
    """Any letter case in, the closed list enforced; in an answer that is read, an unknown word is kept."""

    def __get_pydantic_core_schema__(self, kind: type[WireEnum], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: object, listed: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
            word = upper_case(value)
            try:
                return listed(word)
            except ValidationError:
                if info.context is READING and isinstance(value, str):
                    return kind.unknown(value)
                further = info.context
                if isinstance(further, FurtherWords) and isinstance(word, str) and further.accepts(kind, word):
                    return kind.unknown(word)
                raise

        return core_schema.with_info_wrap_validator_function(read, handler(kind))


# `CaseInsensitive[TaskType]` in a request: any case in, the closed list enforced, but for an answer that is read.
# `OpenEnum[TaskType]` in a reply: any case in, an unknown word kept as text.
CaseInsensitive = Annotated[EnumT, _CaseFolding()]
OpenEnum = Annotated[EnumT | str, Field(union_mode="left_to_right"), BeforeValidator(upper_case)]


def _as_utc(moment: datetime) -> datetime:
    """A time without an offset is read as UTC (spec: the service knows only UTC)."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this time lies outside the years 1 to 9999") from None


def rfc3339(moment: datetime) -> str:
    """`2026-11-21T10:00:00.123Z`: UTC, milliseconds, as the service writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# A moment on the wire: RFC 3339 in UTC.
Timestamp = Annotated[
    datetime,
    AfterValidator(_as_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def without_nul(text: str) -> str:
    """Raises ValueError for a text that others (SQL, C, terminals) take to end in its middle."""
    if "\0" in text:
        raise ValueError("must not hold the character NUL")
    return text


class Pagination(ResponseModel):
    """`next_cursor` is there only when `has_more` is true; every published client loops on it alone."""

    has_more: bool = False
    next_cursor: str | None = None


class Page(ResponseModel):
    """What every list answers besides its items."""

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
