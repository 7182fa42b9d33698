"""Argument types shared by the tools: what is accepted, and which harmless slips are repaired with a note.

Letter case is ignored silently. Every other repair (a number as text, JSON as text, a single value for a list, a time
without an offset) adds a note to the result. Ambiguous values are refused. Validators find `note`, `argument` and
`settings` in pydantic's validation context (see `ToolSpec`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainValidator, StrictBool, ValidationInfo, WithJsonSchema

from evaltasks.insight.unreadable import as_value_error
from evaltasks.tools.context import Refused
from evaltasks.tools.files import read_json_argument

_NUMBER_CHARACTERS_MAX = 40
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_FRACTION_PAST_MICROSECONDS = re.compile(r"(\.\d{6})\d+")


def note(info: ValidationInfo, text: str) -> None:
    """Add a note about a repair of the current argument, such as "was a number and was read as text."."""
    report: Callable[[str], None] = (info.context or {}).get("note", _ignore)
    report(f"{argument_of(info)} {text}")


def argument_of(info: ValidationInfo) -> str:
    """Return the name of the argument that is being validated."""
    return str((info.context or {}).get("argument", info.field_name or "the argument"))


def _ignore(_: str) -> None:
    return None


# --- single values ------------------------------------------------------------------------------------------------
def read_text(value: object, info: ValidationInfo) -> object:
    """Read a text without surrounding blanks. A number is converted to text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, int) and value.bit_length() > 512:
            raise as_value_error("is a number too large to be a name or id", "write it in quotes")
        note(info, "was a number and was read as text.")
        return str(value)
    if not isinstance(value, str):
        raise as_value_error("must be text", "write it in quotes")
    text = value.strip()
    if not text:
        raise as_value_error("is empty", "set a value or leave it out")
    return text


def read_word(value: object) -> object:
    """Read an enum value in any letter case, with blanks or hyphens for underscores."""
    if isinstance(value, str):
        return value.strip().lower().replace("-", "_").replace(" ", "_")
    return value


def read_number(value: object, info: ValidationInfo) -> object:
    """Read a number; digits in a text and percentages are converted."""
    if isinstance(value, bool):
        raise as_value_error("must be a number, not true or false", "write digits")
    if isinstance(value, int) and value.bit_length() > 512:
        raise as_value_error("is too large", "use a smaller number")
    if not isinstance(value, str):
        return value
    text = value.strip()
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) if len(text) <= _NUMBER_CHARACTERS_MAX else None
    except ValueError:
        number = None
    if number is None:
        raise as_value_error("must be a number, not text", "write digits without quotes")
    if percent:
        number /= 100
    exact = int(number) if number.is_integer() else number
    note(info, f"was text and was read as the number {exact}.")
    return exact


def read_bool(value: object, info: ValidationInfo) -> object:
    """Read a boolean; true/false, yes/no, on/off and 1/0 are accepted as text."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word not in _TRUE | _FALSE:
        raise as_value_error("must be true or false", "write true or false without quotes")
    note(info, f"was read as {'true' if word in _TRUE else 'false'}.")
    return word in _TRUE


def read_time(value: object, info: ValidationInfo) -> object:
    """Read an ISO 8601 time and convert it to UTC. A time without an offset is taken as UTC, with a note."""
    if isinstance(value, datetime):
        moment = value
    else:
        if isinstance(value, (int, float)) or (isinstance(value, str) and value.strip().lstrip("-").isdigit()):
            raise as_value_error("is a number, not a time", "write an ISO 8601 time such as 2026-11-01T00:00:00Z")
        if not isinstance(value, str) or not value.strip():
            raise as_value_error("is not a time", "write an ISO 8601 time such as 2026-11-01T00:00:00Z")
        try:
            moment = datetime.fromisoformat(_FRACTION_PAST_MICROSECONDS.sub(r"\1", value.strip().upper()))
        except ValueError:
            raise as_value_error("is not an ISO 8601 time", "write it like 2026-11-01T00:00:00Z") from None
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
            note(info, f"had no offset and was read as UTC: {moment:%Y-%m-%dT%H:%M:%SZ}.")
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise as_value_error("is outside the calendar", "write it like 2026-11-01T00:00:00Z") from None
    if moment.year <= 1970:
        raise as_value_error("is in 1970 or earlier, which usually means an unset value", "write the intended time")
    return moment


# --- text that contains JSON or names a file ----------------------------------------------------------------------
def read_json_text(value: object, info: ValidationInfo) -> object:
    """Parse an object or list that is written as JSON text."""
    if not isinstance(value, str) or not value.strip().startswith(("{", "[")):
        return value
    try:
        parsed = json.loads(value)
    except ValueError as error:
        place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise as_value_error(
            f"is text that is not valid JSON{place}", "pass the JSON itself, without quotes around it"
        ) from None
    except RecursionError:
        raise as_value_error("is nested too deeply", "pass a simpler value") from None
    note(info, "was JSON in a text and was read as JSON.")
    return parsed


def read_file_or_json(value: object, info: ValidationInfo) -> object:
    """Like `read_json_text`, and `@file.json` reads a file below the directories allowed at start-up."""
    if isinstance(value, str) and value.strip().startswith("@"):
        settings = (info.context or {}).get("settings")
        if settings is None:
            raise as_value_error("names a file, but files cannot be read here", "pass the object itself")
        try:
            content: object = read_json_argument(value.strip(), settings)
        except Refused as refusal:
            raise as_value_error(
                str(refusal).rstrip("."), "pass the object itself, or a file in an allowed directory"
            ) from None
        note(info, "was read from the file.")
        return content
    return read_json_text(value, info)


def read_texts(value: object, info: ValidationInfo) -> object:
    """Read a list of names or ids: also a single one, several separated by commas, or JSON text."""
    value = read_json_text(value, info)
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        note(info, f"was text and was read as a list of {len(parts)}.")
        value = parts
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list):
        raise as_value_error("must be a list of texts", 'write it as ["first", "second"]')
    if not value:
        raise as_value_error("is an empty list", "list at least one or leave it out")
    texts = [read_text(part, info) for part in value]
    unique = list(dict.fromkeys(texts))
    if len(unique) < len(texts):
        note(info, "had an entry twice; it is used once.")
    return unique


def read_text_map(value: object, info: ValidationInfo) -> object:
    """Read an object of text values; numbers and booleans are converted to text with a note."""
    value = read_file_or_json(value, info)
    if not isinstance(value, Mapping):
        raise as_value_error("must be an object of text to text", 'write it as {"key": "value"} or @file.json')
    read: dict[str, str] = {}
    for key, part in value.items():
        if isinstance(part, str):
            read[str(key)] = part
        elif isinstance(part, (bool, int, float)):
            read[str(key)] = json.dumps(part)
            note(info, "had a value that is not text; it was sent as text.")
        else:
            raise as_value_error("has a value that is neither text nor a number", 'write it as {"key": "value"}')
    return read


# --- the types ----------------------------------------------------------------------------------------------------
Text = Annotated[str, BeforeValidator(read_text)]
NameText = Annotated[str, Field(max_length=255), BeforeValidator(read_text)]
Texts = Annotated[list[str], BeforeValidator(read_texts)]
Flag = Annotated[StrictBool, BeforeValidator(read_bool)]
UtcTime = Annotated[AwareDatetime, BeforeValidator(read_time)]
Limit = Annotated[int, Field(ge=1, le=100), BeforeValidator(read_number)]
Count = Annotated[int, Field(ge=1), BeforeValidator(read_number)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(read_number)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False), BeforeValidator(read_number)]
TextMap = Annotated[
    dict[str, str],
    PlainValidator(read_text_map),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "string"}},
                {"type": "string", "pattern": "^@"},
            ]
        }
    ),
]


def _read_filter(value: object, info: ValidationInfo) -> object:
    """Read a filter. An empty text means that there is no filter."""
    del info
    if not isinstance(value, str):
        raise as_value_error("must be text", "write the filter in quotes")
    return value.strip()


FilterText = Annotated[str, BeforeValidator(_read_filter)]

TaskTypeWord = Annotated[
    Literal["template_evaluation", "code_evaluation", "run_experiment"], BeforeValidator(read_word)
]
EvaluationTypeWord = Annotated[Literal["template_evaluation", "code_evaluation"], BeforeValidator(read_word)]
TaskRunStatusWord = Annotated[
    Literal["pending", "running", "completed", "failed", "cancelled"], BeforeValidator(read_word)
]


def _read_experiment_name(value: object, info: ValidationInfo) -> object:
    text: Any = read_text(value, info)
    if '"' in text or "\\" in text:
        raise as_value_error('contains " or \\, which experiment names must not contain', "leave that character out")
    return text


ExperimentNameText = Annotated[str, Field(max_length=255), BeforeValidator(_read_experiment_name)]

# --- descriptions that several tools share ------------------------------------------------------------------------
SPACE = "Space (name or id) in which names are looked up. Default: the configured space."
TASK = 'Task: name, id or pasted web link. Example: "Relevance Monitor".'
RUN_ID = "Id of the task run, from trigger_task_run or list_task_runs."
LIMIT = "Maximum number of entries to return, 1-100. Default 15."
CURSOR = "next_cursor of the previous page. Default: the first page."
POLL_INTERVAL = "Seconds between two polls of the task run. Default 5."
TIMEOUT = (
    "Seconds to wait in total, over several calls. Default 600. One call returns within about 45 s, "
    "with finished=false and the next call if the task run has not ended."
)
FORCE = "true skips the confirmation by the user. Default false."
