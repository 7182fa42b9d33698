"""Evaluators and their immutable versions."""

from __future__ import annotations

from pydantic import Field, model_validator

from evaltasks.api.evaluator_kinds import AnyCodeConfig, ConfigFacts, EvaluatorType, ReadCodeConfig, TemplateConfig
from evaltasks.api.wire import (
    CaseInsensitive,
    JsonObject,
    ListQuery,
    Name,
    NamedListQuery,
    NonBlank,
    OpenEnum,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
)


class RemoteConfig(RequestModel):
    integration_id: NonBlank


class _Version(ConfigFacts, RequestModel):
    template_config: TemplateConfig | None = None
    code_config: AnyCodeConfig | None = None
    remote_config: RemoteConfig | None = None

    @property
    def type(self) -> EvaluatorType:
        if self.template_config is not None:
            return EvaluatorType.TEMPLATE
        return EvaluatorType.CODE if self.code_config is not None else EvaluatorType.REMOTE


class CreateEvaluatorVersion(_Version):
    commit_message: str = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _validate_single_config(self) -> CreateEvaluatorVersion:
        configs = (self.template_config, self.code_config, self.remote_config)
        if sum(config is not None for config in configs) != 1:
            raise ValueError("exactly one of template_config, code_config and remote_config is required")
        return self


class CreateEvaluator(RequestModel):
    space_id: NonBlank
    name: Name
    type: CaseInsensitive[EvaluatorType]
    description: str | None = Field(default=None, max_length=1000)
    version: CreateEvaluatorVersion

    @model_validator(mode="after")
    def _types_agree(self) -> CreateEvaluator:
        if self.type is not self.version.type:
            raise ValueError(
                f"type is {self.type} but version has a {self.version.type.lower()}_config: they must agree"
            )
        return self


class UpdateEvaluator(RequestModel):
    name: Name | None = None
    description: str | None = Field(default=None, max_length=1000)

    @model_validator(mode="after")
    def _something(self) -> UpdateEvaluator:
        if not self.model_fields_set:
            raise ValueError("no fields to update: provide name or description")
        return self


class EvaluatorVersion(ConfigFacts, ResponseModel):
    id: str
    evaluator_id: str
    type: OpenEnum[EvaluatorType]
    commit_hash: str = ""
    commit_message: str | None = None
    created_at: Timestamp
    created_by_user_id: str | None = None
    template_config: TemplateConfig | None = None
    code_config: ReadCodeConfig | None = None
    remote_config: RemoteConfig | None = None


class Evaluator(ResponseModel):
    id: str
    name: str
    type: OpenEnum[EvaluatorType]
    space_id: str
    description: str | None = None
    created_at: Timestamp
    updated_at: Timestamp
    created_by_user_id: str | None = None


class EvaluatorWithVersion(Evaluator):
    version: EvaluatorVersion


class EvaluatorPage(Page):
    evaluators: list[Evaluator]


class ListEvaluators(NamedListQuery):
    pass


class GetEvaluator(RequestModel):
    version_id: str | None = None


class EvaluatorVersionPage(Page):
    evaluator_versions: list[EvaluatorVersion]


class ListEvaluatorVersions(ListQuery):
    pass


class DeleteEvaluatorVersions(RequestModel):
    version_ids: list[NonBlank] = Field(min_length=1, max_length=100)


class DeletedEvaluatorVersions(ResponseModel):
    completed: bool
    deleted_version_ids: list[str]
    not_deleted_version_ids: list[str]


class EvaluatorTemplates(ResponseModel):
    evaluator_templates: list[JsonObject]
