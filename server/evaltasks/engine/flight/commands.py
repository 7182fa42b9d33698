"""Commands of Flight clients: a JSON object in camelCase with one member that names the command.

They are Arize's protobuf messages in proto3's JSON mapping: numbers may be sent as strings, unknown members are
ignored.
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

    space_id: str = ""  # an id or a name: `ax` sends what the user typed


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
    """Writes evaluations, annotations or metadata to spans of a project (its name or id)."""

    external_model_id: str


class WriteEvaluations(WriteSpans):
    pass


class WriteAnnotations(WriteSpans):
    pass


class WriteMetadata(WriteSpans):
    pass


class ExportSpans(Command):
    """Exports spans. It is not wrapped in a member. `model_id` is the project's name or id; `end_time` is exclusive."""

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
    """Parse the command of a DoPut. Raises BadRequest or NotBuilt."""
    return _parse_named(_PUTS, _parse_object(text))


def action_from(text: bytes) -> Command:
    """Parse the command of a DoAction. Raises BadRequest or NotBuilt."""
    return _parse_named(_ACTIONS, _parse_object(text))


def get_from(text: bytes) -> Command:
    """Parse the command of a ticket; one without a member that names a command is an export of spans.

    Raises:
        BadRequest: The command is not valid.
        NotBuilt: The engine does not support it.
    """
    document = _parse_object(text)
    return _parse(ExportSpans, document) if "modelId" in document else _parse_named(_GETS, document)


def _parse_named(commands: dict[str, type[Command]], document: dict[str, object]) -> Command:
    for name, command_type in commands.items():
        if name in document:
            return _parse(command_type, document[name])
    raise NotBuilt(f"The embedded engine supports only these commands here: {', '.join(commands)}.")


def _parse(command_type: type[CommandT], document: object) -> CommandT:
    try:
        return command_type.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        errors = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
        raise BadRequest(f"The command is not valid: {errors}.") from None


def _parse_object(text: bytes) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadRequest("A command must be a JSON object.")
    return document
