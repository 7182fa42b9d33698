"""What the files hold: the API's own models with names where ids would stand.

A name is in the very field that will hold the id, under the file's word for it (`ai_integration` for
`ai_integration_id`), so that a file is judged by the same rules as a request. Nothing here holds a secret, an id, or
what a service sets by itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from evaltasks.api.ai_integrations import AuthType, EnvironmentName, Provider, ProviderMetadata
from evaltasks.api.evaluators import CodeConfig, EvaluatorType, TemplateConfig
from evaltasks.api.integrations import Description, Endpoint
from evaltasks.api.models import LlmConfig
from evaltasks.api.run_configurations import AgentCall, LlmGeneration, TemplateEvaluation, experiment_type_of
from evaltasks.api.tasks import QueryFilters, QueryId, QueryMapping, SamplingRate, TaskType
from evaltasks.api.wire import Folded, JsonObject, Name, WireEnum, Written

SCHEMA_VERSION = 1
LABEL_CHARACTERS = 12
# Words of closed lists that the models keep as plain text.
_WORD_FIELDS = frozenset({"experiment_type", "type", "kind"})
# As the embedded engine stores an agent's template: `{{dataset.question}}` is another way to write `{{question}}`.
_DATASET_PREFIX = re.compile(r"(\{\{\{?&?\s*)dataset\.(?=[^\W\d])")

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


# --- tasks --------------------------------------------------------------------------------------------------------
class AttachmentFile(Written):
    """`version` is the label of a version in the evaluator's file; without it the latest is used."""

    evaluator: Name
    version: Label | None = None
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[QueryMapping] | None = Field(default=None, min_length=1, max_length=50)


class PinnedVersion(Written):
    evaluator: Name
    version: Label


class LlmGenerationFile(LlmGeneration):
    ai_integration_id: Name = Field(alias="ai_integration")
    prompt_version_id: None = None


class TemplateEvaluationFile(TemplateEvaluation):
    ai_integration_id: Name = Field(alias="ai_integration")
    evaluator_version_id: None = None
    evaluator_version: PinnedVersion | None = None


class AgentCallFile(AgentCall):
    integration_id: Name = Field(alias="agent_integration")


RunConfigurationFile: TypeAlias = Annotated[
    Annotated[LlmGenerationFile, Tag("LLM_GENERATION")]
    | Annotated[TemplateEvaluationFile, Tag("TEMPLATE_EVALUATION")]
    | Annotated[AgentCallFile, Tag("AGENT_CALL")],
    Discriminator(
        experiment_type_of,
        custom_error_type="experiment_type",
        custom_error_message="must be llm_generation, template_evaluation or agent_call",
    ),
]


class TaskFile(Written):
    evaltasks: Literal[1] = 1
    kind: Literal["task"] = "task"
    name: Name
    type: Folded[TaskType]
    project: Name | None = None
    dataset: Name | None = None
    experiments: list[Name] | None = None
    sampling_rate: SamplingRate | None = None
    is_continuous: bool | None = None
    query_filter: str | None = None
    query_filters: QueryFilters | None = None
    evaluators: list[AttachmentFile] | None = None
    run_configuration: RunConfigurationFile | None = None

    def pins(self) -> list[tuple[str, str]]:
        """(evaluator, label) of every pinned version."""
        found = [(one.evaluator, one.version) for one in self.evaluators or () if one.version is not None]
        configuration = self.run_configuration
        if isinstance(configuration, TemplateEvaluationFile) and configuration.evaluator_version is not None:
            found.append((configuration.evaluator_version.evaluator, configuration.evaluator_version.version))
        return found

    def evaluator_names(self) -> list[str]:
        return [one.evaluator for one in self.evaluators or ()] + [name for name, _ in self.pins()]

    def references(self) -> list[tuple[str, str]]:
        """(resource, name) of everything the task refers to."""
        found = [("project", self.project), ("dataset", self.dataset)]
        found += [("experiment", name) for name in self.experiments or ()]
        found += [("evaluator", name) for name in self.evaluator_names()]
        return [(resource, name) for resource, name in found if name is not None] + integrations_named(self)

    def normal(self) -> TaskFile:
        """The one way among several that say the same: as a service answers it."""
        changes: dict[str, Any] = {}
        if self.project is not None:
            changes["is_continuous"] = bool(self.is_continuous)
        elif self.is_continuous is False:
            changes["is_continuous"] = None
        if self.query_filters is not None:
            expression = (self.query_filters.expression or "").strip() or self.query_filters.filters[0].id.value
            changes["query_filters"] = self.query_filters.model_copy(update={"expression": expression})
        if isinstance(self.run_configuration, AgentCallFile):
            template = _without_prefix(self.run_configuration.input_template)
            changes["run_configuration"] = self.run_configuration.model_copy(update={"input_template": template})
        return self.model_copy(update=changes)


def _without_prefix(node: Any) -> Any:
    if isinstance(node, str):
        return _DATASET_PREFIX.sub(r"\1", node)
    if isinstance(node, dict):
        return {key: _without_prefix(part) for key, part in node.items()}
    return [_without_prefix(part) for part in node] if isinstance(node, list) else node


# --- evaluators ---------------------------------------------------------------------------------------------------
class LlmConfigFile(LlmConfig):
    ai_integration_id: Name = Field(alias="ai_integration")


class TemplateConfigFile(TemplateConfig):
    llm_config: LlmConfigFile


class VersionFile(Written):
    """One version. `label` is what tasks pin it by; the last version of a file is the latest and needs none."""

    label: Label | None = None
    message: str | None = Field(default=None, min_length=1, max_length=1000)
    template_config: TemplateConfigFile | None = None
    code_config: CodeConfig | None = None

    @model_validator(mode="after")
    def _validate_single_config(self) -> VersionFile:
        if (self.template_config is None) == (self.code_config is None):
            raise ValueError("needs exactly one of template_config and code_config; give one of them")
        return self

    @property
    def type(self) -> EvaluatorType:
        return EvaluatorType.TEMPLATE if self.template_config is not None else EvaluatorType.CODE

    def content(self) -> dict[str, Any]:
        """What decides whether two versions are the same: neither label nor message."""
        found = document_of(self)
        return {name: found[name] for name in ("template_config", "code_config") if name in found}

    def digest(self) -> str:
        """Names the content: equal on every service, whatever the ids there."""
        return hashlib.sha256(canonical(self.content()).encode()).hexdigest()[:LABEL_CHARACTERS]


class EvaluatorFile(Written):
    """`versions`: those that tasks pin, then the latest, which comes last."""

    evaltasks: Literal[1] = 1
    kind: Literal["evaluator"] = "evaluator"
    name: Name
    type: Folded[EvaluatorType]
    description: str | None = Field(default=None, max_length=1000)
    versions: list[VersionFile] = Field(min_length=1, max_length=100)

    @property
    def latest(self) -> VersionFile:
        return self.versions[-1]

    def labelled(self, label: str) -> VersionFile | None:
        return next((version for version in self.versions if version.label == label), None)


# --- integrations -------------------------------------------------------------------------------------------------
class AiIntegrationFile(Written):
    """No key and no header ever: `api_key_env` names a variable. `this_space_only` is whether other spaces see it."""

    evaltasks: Literal[1] = 1
    kind: Literal["ai_integration"] = "ai_integration"
    name: Name
    provider: Folded[Provider]
    base_url: Endpoint | None = None
    model_names: list[str] | None = None
    api_key_env: EnvironmentName | None = None
    auth_type: Folded[AuthType] = AuthType.DEFAULT
    enable_default_models: bool = False
    function_calling_enabled: bool = True
    provider_metadata: ProviderMetadata | None = None
    this_space_only: bool = False


class AgentIntegrationFile(Written):
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
AI, AGENT = "AI integration", "agent integration"


def integrations_named(file: AnyFile) -> list[tuple[str, str]]:
    """(AI or AGENT, name) of the integrations a file refers to."""
    if isinstance(file, EvaluatorFile):
        configs = [version.template_config for version in file.versions]
        return [(AI, config.llm_config.ai_integration_id) for config in configs if config is not None]
    if not isinstance(file, TaskFile) or file.run_configuration is None:
        return []
    if isinstance(file.run_configuration, AgentCallFile):
        return [(AGENT, file.run_configuration.integration_id)]
    return [(AI, file.run_configuration.ai_integration_id)]


# --- as documents -------------------------------------------------------------------------------------------------
def document_of(model: BaseModel) -> dict[str, Any]:
    """What the file of this model holds: words in lower case; nothing that is the same as leaving it out."""
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
        return document_of(value)
    if isinstance(value, WireEnum):
        return value.value if isinstance(value, QueryId) else value.value.lower()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def canonical(value: Any) -> str:
    """One text for all that says the same: keys in order, `1.0` as `1`, which services do not distinguish."""
    return json.dumps(_numbers(value), sort_keys=True, ensure_ascii=False)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def texts_in(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every text inside a document with the path it is at, keys included."""
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, dict):
        inside = [pair for key, part in value.items() for pair in texts_in(part, f"{path}.{key}".lstrip("."))]
        return [(path or "the file", key) for key in value] + inside
    if isinstance(value, list):
        return [pair for index, part in enumerate(value) for pair in texts_in(part, f"{path}[{index}]")]
    return []
