"""What every wire model shares: how strictly it reads, how letter case is folded, how a page looks.

Two kinds of model stand on the wire. A *request* (`Written`) refuses fields it does not know, because a
misspelt option silently ignored is a wrong evaluation. A *reply* (`Read`) ignores what it does not know and
keeps enumeration values it has never seen as plain text, because the service may be newer than we are.
Models that travel both ways (a run configuration, for example) are `Written`; the client reads them with
`extra="ignore"`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

JsonObject: TypeAlias = dict[str, Any]


class Written(BaseModel):
    """A request body or a part of one: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Read(BaseModel):
    """A reply or a part of one: unknown fields are ignored, so a newer service does not break us."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class KeepsUnknown(BaseModel):
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


def fold_case(value: object) -> object:
    """Upper-case a text, so that any letter case is accepted and only UPPER_SNAKE is written."""
    return value.upper() if isinstance(value, str) else value


class WireEnum(StrEnum):
    """A closed list of UPPER_SNAKE words; reads any letter case through `Folded`."""


EnumT = TypeVar("EnumT", bound=WireEnum)

# `Folded[TaskType]` in a request: any case in, the closed list enforced.
# `Lenient[TaskType]` in a reply: any case in, an unknown word kept as text.
Folded = Annotated[EnumT, BeforeValidator(fold_case)]
Lenient = Annotated[EnumT | str, Field(union_mode="left_to_right"), BeforeValidator(fold_case)]


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
Moment = Annotated[
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


class Pagination(Read):
    """`next_cursor` is there only when `has_more` is true; every published client loops on it alone."""

    has_more: bool = False
    next_cursor: str | None = None


class Page(Read):
    """What every list answers besides its items."""

    pagination: Pagination = Pagination()


class ListQuery(Written):
    """Query parameters of every resource list. `limit` counts items; a page holds at most 100."""

    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = None


class NamedListQuery(ListQuery):
    """A list that can be scoped to a space and filtered by a case-insensitive part of the name."""

    space_id: str | None = None
    space_name: str | None = Field(default=None, max_length=255)
    name: str | None = Field(default=None, max_length=255)


class RowQuery(Written):
    """Query parameters of lists of rows (examples, experiment runs, spans): at most 500 a page."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = None


class RowSearch(RowQuery):
    """Body of the two `search` endpoints, which filter rows."""

    filter: str | None = None


NonBlank = Annotated[str, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S"), AfterValidator(without_nul)]
