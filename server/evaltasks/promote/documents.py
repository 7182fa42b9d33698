"""Models of the files: those of the API, with names instead of ids.

A name is in the field that holds the id in a request, under an alias (`ai_integration` for `ai_integration_id`), so
that files are validated by the same rules as requests. No model has a field for a secret, for an id or for a value that
the service sets itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, create_model, model_validator

from evaltasks.api.ai_integrations import AuthType, EnvironmentName, Provider, ProviderMetadata
from evaltasks.api.evaluator_kinds import AnyCodeConfig, ConfigFacts, EvaluatorType, TemplateConfig
from evaltasks.api.integrations import Description, Endpoint
from evaltasks.api.models import LlmConfig
from evaltasks.api.run_configurations import KINDS, Resource, RunConfigurationBase, any_of
from evaltasks.api.tasks import QueryFilters, QueryId, QueryMapping, TaskSettings, TaskType
from evaltasks.api.wire import CaseInsensitive, JsonObject, Name, RequestModel, WireEnum, listed

SCHEMA_VERSION = 1
LABEL_CHARACTERS = 12
# Fields whose value is a word of a closed list although the model types it as text; files hold it in lower case.
_WORD_FIELDS = frozenset({"experiment_type", "type", "kind"})

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


# --- tasks --------------------------------------------------------------------------------------------------------
class AttachmentFile(RequestModel):
    """An evaluator of a task. `version` is a label in the evaluator's file; without it the latest version is used."""

    evaluator: Name
    version: Label | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = Field(default=None, min_length=1, max_length=50)


class PinnedVersion(RequestModel):
    evaluator: Name
    version: Label


# Under which word a file names an integration.
_INTEGRATION_WORDS = {Resource.AI_INTEGRATION: "ai_integration", Resource.AGENT_INTEGRATION: "agent_integration"}


def integration_word(resource: Resource) -> str | None:
    """Return the field of a file that names an integration, or None for another resource."""
    return _INTEGRATION_WORDS.get(resource)


def pin_field(reference_field: str) -> str:
    """Return the field of a file that pins an evaluator version: `evaluator_version` for `evaluator_version_id`."""
    return reference_field.removesuffix("_id")


def _file_model(kind: type[RunConfigurationBase]) -> type[RunConfigurationBase]:
    """Create the file model of a kind: names instead of integration ids, pins instead of version ids, no other ids."""
    fields: dict[str, Any] = {}
    for name, mark in kind.reference_fields().items():
        if word := _INTEGRATION_WORDS.get(mark.resource):
            required = kind.model_fields[name].is_required()
            fields[name] = (Name, Field(alias=word)) if required else (Name | None, Field(default=None, alias=word))
            continue
        fields[name] = (None, None)
        if mark.resource is Resource.EVALUATOR_VERSION:
            fields[pin_field(name)] = (PinnedVersion | None, None)
    return create_model(f"{kind.__name__}File", __base__=kind, __module__=__name__, **fields)


if TYPE_CHECKING:
    RunConfigurationFile: TypeAlias = RunConfigurationBase
else:
    RunConfigurationFile = any_of(
        tuple(map(_file_model, KINDS.values())), f"must be {listed([tag.lower() for tag in KINDS])}"
    )


def pinned_versions(configuration: RunConfigurationBase | None) -> list[tuple[str, PinnedVersion]]:
    """List (field, pin) of each evaluator version that the run configuration of a file pins."""
    if configuration is None:
        return []
    fields = [
        pin_field(reference.field)
        for reference in configuration.references()
        if reference.resource is Resource.EVALUATOR_VERSION
    ]
    return [(field, pin) for field in fields if (pin := getattr(configuration, field)) is not None]


# Fields of a base that is further right come first in the file.
class _TaskFileHead(RequestModel):
    evaltasks: Literal[1] = 1
    kind: Literal["task"] = "task"
    name: Name
    type: CaseInsensitive[TaskType]
    project: Name | None = None
    dataset: Name | None = None
    experiments: list[Name] | None = None


class TaskFile(TaskSettings, _TaskFileHead):
    query_filters: QueryFilters | None = None
    evaluators: list[AttachmentFile] | None = None
    run_configuration: RunConfigurationFile | None = None

    def pins(self) -> list[tuple[str, str]]:
        """Return (evaluator name, label) of every pinned version."""
        attached = [(item.evaluator, item.version) for item in self.evaluators or () if item.version is not None]
        return attached + [(pin.evaluator, pin.version) for _, pin in pinned_versions(self.run_configuration)]

    def evaluator_names(self) -> list[str]:
        return [item.evaluator for item in self.evaluators or ()] + [name for name, _ in self.pins()]

    def references(self) -> list[tuple[str, str]]:
        """Return (resource, name) of everything the task refers to."""
        found = [("project", self.project), ("dataset", self.dataset)]
        found += [("experiment", name) for name in self.experiments or ()]
        found += [("evaluator", name) for name in self.evaluator_names()]
        return [(resource, name) for resource, name in found if name is not None] + integrations_named(self)

    def normalized(self) -> TaskFile:
        """Return the task as a service answers it; files that mean the same are then equal."""
        changes: dict[str, Any] = {}
        if self.project is not None:
            changes["is_continuous"] = bool(self.is_continuous)
        elif self.is_continuous is False:
            changes["is_continuous"] = None
        if self.query_filters is not None:
            changes["query_filters"] = self.query_filters.completed()
        if self.run_configuration is not None:
            changes["run_configuration"] = self.run_configuration.normalized()
        return self.model_copy(update=changes)


# --- evaluators ---------------------------------------------------------------------------------------------------
class LlmConfigFile(LlmConfig):
    ai_integration_id: Name = Field(alias="ai_integration")


class TemplateConfigFile(TemplateConfig):
    llm_config: LlmConfigFile


class VersionFile(ConfigFacts, RequestModel):
    """One version of an evaluator. Tasks pin it by `label`; the last version of a file is the latest and needs none."""

    label: Label | None = None
    message: str | None = Field(default=None, min_length=1, max_length=1000)
    template_config: TemplateConfigFile | None = None
    code_config: AnyCodeConfig | None = None

    @model_validator(mode="after")
    def _validate_single_config(self) -> VersionFile:
        if (self.template_config is None) == (self.code_config is None):
            raise ValueError("needs exactly one of template_config and code_config; provide one of them")
        return self

    @property
    def type(self) -> EvaluatorType:
        return EvaluatorType.TEMPLATE if self.template_config is not None else EvaluatorType.CODE

    def content(self) -> dict[str, Any]:
        """Return what makes two versions equal: the configuration without label and message."""
        found = to_document(self)
        return {name: found[name] for name in ("template_config", "code_config") if name in found}

    def digest(self) -> str:
        """Return a hash of the content. It is the same on every service, because it contains names instead of ids."""
        return hashlib.sha256(canonical_json(self.content()).encode()).hexdigest()[:LABEL_CHARACTERS]


class EvaluatorFile(RequestModel):
    """An evaluator. `versions` holds the pinned versions, and the latest as the last one."""

    evaltasks: Literal[1] = 1
    kind: Literal["evaluator"] = "evaluator"
    name: Name
    type: CaseInsensitive[EvaluatorType]
    description: str | None = Field(default=None, max_length=1000)
    versions: list[VersionFile] = Field(min_length=1, max_length=100)

    @property
    def latest(self) -> VersionFile:
        return self.versions[-1]

    def labelled(self, label: str) -> VersionFile | None:
        return next((version for version in self.versions if version.label == label), None)


# --- integrations -------------------------------------------------------------------------------------------------
class AiIntegrationFile(RequestModel):
    """An AI integration without keys and headers. `api_key_env` names an environment variable.

    `this_space_only`: Whether the integration is hidden from other spaces.
    """

    evaltasks: Literal[1] = 1
    kind: Literal["ai_integration"] = "ai_integration"
    name: Name
    provider: CaseInsensitive[Provider]
    base_url: Endpoint | None = None
    model_names: list[str] | None = None
    api_key_env: EnvironmentName | None = None
    auth_type: CaseInsensitive[AuthType] = AuthType.DEFAULT
    enable_default_models: bool = False
    function_calling_enabled: bool = True
    provider_metadata: ProviderMetadata | None = None
    this_space_only: bool = False


class AgentIntegrationFile(RequestModel):
    evaltasks: Literal[1] = 1
    kind: Literal["agent_integration"] = "agent_integration"
    name: Name
    description: Description | None = None
    endpoint: Endpoint
    api_key_env: EnvironmentName | None = None
    headers_env: dict[str, EnvironmentName] | None = None
    input_schema: JsonObject | None = None
    output_path: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    this_space_only: bool = False


AnyFile: TypeAlias = TaskFile | EvaluatorFile | AiIntegrationFile | AgentIntegrationFile


# The resources of integrations, as errors call them.
AI, AGENT = Resource.AI_INTEGRATION.value, Resource.AGENT_INTEGRATION.value


def integrations_named(file: AnyFile) -> list[tuple[str, str]]:
    """(AI or AGENT, name) of the integrations a file refers to."""
    if isinstance(file, EvaluatorFile):
        return [(AI, version.llm_config.ai_integration_id) for version in file.versions if version.llm_config]
    if not isinstance(file, TaskFile) or file.run_configuration is None:
        return []
    return [
        (reference.resource.value, reference.value)
        for reference in file.run_configuration.references()
        if integration_word(reference.resource) is not None and reference.value is not None
    ]


# --- as documents -------------------------------------------------------------------------------------------------
def to_document(model: BaseModel) -> dict[str, Any]:
    """Return a model as the document of its file: enum words in lower case, without null and empty optional fields."""
    document: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        plain = value.lower() if name in _WORD_FIELDS and isinstance(value, str) else _plain(value)
        if plain is None or (plain in ({}, [], "") and not field.is_required()):
            continue
        document[field.alias or name] = plain
    extra = {name: value for name, value in (model.model_extra or {}).items() if value is not None}
    return document | {name: _plain(value) for name, value in extra.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return to_document(value)
    if isinstance(value, WireEnum):
        return value.value if isinstance(value, QueryId) else value.value.lower()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal values: keys are sorted, and `1.0` is `1` because services mix the two."""
    return json.dumps(_numbers(value), sort_keys=True, ensure_ascii=False)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def strings_in(value: Any, path: str = "") -> list[tuple[str, str]]:
    """List (path, text) of every text inside a document, including keys."""
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, dict):
        inside = [pair for key, part in value.items() for pair in strings_in(part, f"{path}.{key}".lstrip("."))]
        return [(path or "the file", key) for key in value] + inside
    if isinstance(value, list):
        return [pair for index, part in enumerate(value) for pair in strings_in(part, f"{path}[{index}]")]
    return []
