"""What Flight clients ask for: JSON texts in camelCase, one object with one member that names the command.

They are Arize's protobuf messages in proto3's JSON mapping: numbers may come as texts, unknown members are ignored.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from evaltasks.api.problems import BadRequest, NotBuilt
from evaltasks.api.wire import Timestamp


class Command(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    space_id: str = ""  # an id, or a name: `ax` sends what the person typed


class CreateDataset(Command):
    dataset_name: str = Field(min_length=1, max_length=255, pattern=r"\S")


class GetDataset(Command):
    dataset_id: str
    dataset_version: str = ""


class GetExperiment(Command):
    experiment_id: str


class CreateExperimentEntry(Command):
    dataset_id: str
    experiment_name: str = Field(min_length=1, max_length=255, pattern=r"\S")


class PostExperimentData(Command):
    dataset_id: str
    experiment_name: str


class WriteSpans(Command):
    """Evaluations, annotations or metadata for spans of a project, by its name or id."""

    external_model_id: str


class WriteEvaluations(WriteSpans):
    pass


class WriteAnnotations(WriteSpans):
    pass


class WriteMetadata(WriteSpans):
    pass


class ExportSpans(Command):
    """Not wrapped in a member; `model_id` is the project's name or id. The end of the window lies outside of it."""

    model_id: str
    environment: str = "TRACING"
    start_time: Timestamp
    end_time: Timestamp
    filter_expression: str = ""
    projected_columns: list[str] = Field(default_factory=list)
    stream_chunk_size: int | None = Field(default=None, ge=1)
    sample_rate: float | None = Field(default=None, gt=0, le=1)


_PUTS: dict[str, type[Command]] = {
    "createDataset": CreateDataset,
    "postExperimentData": PostExperimentData,
    "writeSpanEvaluationRequest": WriteEvaluations,
    "writeSpanAnnotationRequest": WriteAnnotations,
    "writeSpanAttributesMetadataRequest": WriteMetadata,
}
_GETS: dict[str, type[Command]] = {"getDataset": GetDataset, "getExperiment": GetExperiment}
_ACTIONS: dict[str, type[Command]] = {"createExperimentDbEntry": CreateExperimentEntry}

CommandT = TypeVar("CommandT", bound=Command)


def put_from(text: bytes) -> Command:
    """The command of a DoPut. Raises BadRequest, NotBuilt."""
    return _one_of(_PUTS, _object_from(text))


def action_from(text: bytes) -> Command:
    """The command of a DoAction. Raises BadRequest, NotBuilt."""
    return _one_of(_ACTIONS, _object_from(text))


def get_from(text: bytes) -> Command:
    """The command of a ticket; one that names none is an export of spans. Raises BadRequest, NotBuilt."""
    given = _object_from(text)
    return _read(ExportSpans, given) if "modelId" in given else _one_of(_GETS, given)


def _one_of(commands: dict[str, type[Command]], given: dict[str, object]) -> Command:
    for name, kind in commands.items():
        if name in given:
            return _read(kind, given[name])
    raise NotBuilt(f"The embedded engine knows these commands here: {', '.join(commands)}.")


def _read(kind: type[CommandT], given: object) -> CommandT:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        named = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
        raise BadRequest(f"The command cannot be read: {named}.") from None


def _object_from(text: bytes) -> dict[str, object]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise BadRequest("A command must be a JSON object.")
    return given
