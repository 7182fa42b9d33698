"""Evaluators and their immutable versions: a judge template, managed code, or custom code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Discriminator, Field, Tag, field_validator, model_validator

from evaltasks.api.models import LlmConfig
from evaltasks.api.wire import (
    Folded,
    FromNewer,
    JsonObject,
    Lenient,
    ListQuery,
    Moment,
    Name,
    NamedListQuery,
    NonBlank,
    Page,
    Read,
    WireEnum,
    Written,
    fold_case,
)

# The evaluation's column name: it becomes `eval.<name>.label`.
EvaluationName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9_\s\-&()]+$")]


class EvaluatorType(WireEnum):
    TEMPLATE = "TEMPLATE"
    CODE = "CODE"
    HARNESS = "HARNESS"
    REMOTE = "REMOTE"


class DataGranularity(WireEnum):
    SPAN = "SPAN"
    TRACE = "TRACE"
    SESSION = "SESSION"


class Direction(WireEnum):
    MAXIMIZE = "MAXIMIZE"
    MINIMIZE = "MINIMIZE"
    NONE = "NONE"


class ManagedEvaluator(WireEnum):
    MATCHES_REGEX = "MATCHES_REGEX"
    JSON_PARSEABLE = "JSON_PARSEABLE"
    CONTAINS_ANY_KEYWORD = "CONTAINS_ANY_KEYWORD"
    CONTAINS_ALL_KEYWORDS = "CONTAINS_ALL_KEYWORDS"
    EXACT_MATCH = "EXACT_MATCH"


class StaticParamType(WireEnum):
    STRING = "STRING"
    STRING_ARRAY = "STRING_ARRAY"
    REGEX = "REGEX"


class TemplateConfig(Written):
    """A judge's prompt. Placeholders are `{single braces}`; without choices the answer is free text."""

    name: EvaluationName
    template: NonBlank
    include_explanations: bool
    # Two spellings are in use by published clients; both are read, and the engine writes both.
    use_function_calling: bool = Field(
        validation_alias=AliasChoices("use_function_calling", "use_function_calling_if_available"),
        default=True,
    )
    use_structured_output: bool = True
    classification_choices: dict[str, float] | None = None
    direction: Folded[Direction] = Direction.MAXIMIZE
    data_granularity: Folded[DataGranularity] | None = DataGranularity.SPAN
    llm_config: LlmConfig

    @model_validator(mode="before")
    @classmethod
    def _normalize_spelling(cls, given: object) -> object:
        """What was read from the engine may be written back: both spellings at once are fine while they agree."""
        if isinstance(given, dict) and {"use_function_calling", "use_function_calling_if_available"} <= given.keys():
            given = dict(given)
            if given.pop("use_function_calling_if_available") != given["use_function_calling"]:
                raise ValueError("use_function_calling and use_function_calling_if_available must agree; give one")
        return given

    @field_validator("classification_choices", mode="after")
    @classmethod
    def _validate_choices(cls, choices: dict[str, float] | None) -> dict[str, float] | None:
        if choices is not None and (not choices or any(not label.strip() for label in choices)):
            raise ValueError("classification_choices must map at least one non-blank label to a score")
        return choices


class StaticParam(Written):
    name: NonBlank
    type: Folded[StaticParamType]
    default_value: str | list[str]

    @model_validator(mode="after")
    def _value_fits(self) -> StaticParam:
        if not self.type.is_known:
            return self
        wants_list = self.type is StaticParamType.STRING_ARRAY
        if wants_list != isinstance(self.default_value, list):
            wanted = "a list of texts" if wants_list else "one text"
            raise ValueError(f"static parameter '{self.name}' is {self.type}: default_value must be {wanted}")
        return self


class _CodeConfig(Written):
    name: EvaluationName
    variables: list[NonBlank]
    static_params: list[StaticParam] = Field(default_factory=list)
    data_granularity: Folded[DataGranularity] | None = None
    query_filter: str | None = None

    @field_validator("static_params", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return [] if value is None else value

    def static_values(self) -> dict[str, str | list[str]]:
        return {param.name: param.default_value for param in self.static_params}


class ManagedCodeConfig(_CodeConfig):
    type: Annotated[Literal["MANAGED"], Field(default="MANAGED")]
    managed_evaluator: Folded[ManagedEvaluator]

    _fold = field_validator("type", mode="before")(fold_case)


class CustomCodeConfig(_CodeConfig):
    type: Annotated[Literal["CUSTOM"], Field(default="CUSTOM")]
    code: NonBlank
    imports: str | None = None

    _fold = field_validator("type", mode="before")(fold_case)


def _code_tag(value: object) -> str | None:
    tag = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return tag.upper() if isinstance(tag, str) else None


CodeConfig = Annotated[
    Annotated[ManagedCodeConfig, Tag("MANAGED")] | Annotated[CustomCodeConfig, Tag("CUSTOM")],
    Discriminator(
        _code_tag,
        custom_error_type="code_config_type",
        custom_error_message="code_config.type must be MANAGED or CUSTOM",
    ),
]


class OtherCodeConfig(FromNewer):
    """Code of a kind that a newer service has."""

    type: str | None = None
    name: str | None = None
    variables: list[str] = Field(default_factory=list)
    data_granularity: Folded[DataGranularity] | None = None
    query_filter: str | None = None


ReadCodeConfig = Annotated[CodeConfig | OtherCodeConfig, Field(union_mode="left_to_right")]


class RemoteConfig(Written):
    integration_id: NonBlank


class _Version(Written):
    template_config: TemplateConfig | None = None
    code_config: CodeConfig | None = None
    remote_config: RemoteConfig | None = None

    @property
    def kind(self) -> EvaluatorType:
        if self.template_config is not None:
            return EvaluatorType.TEMPLATE
        return EvaluatorType.CODE if self.code_config is not None else EvaluatorType.REMOTE


class CreateEvaluatorVersion(_Version):
    commit_message: str = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _validate_single_config(self) -> CreateEvaluatorVersion:
        given = [c for c in (self.template_config, self.code_config, self.remote_config) if c is not None]
        if len(given) != 1:
            raise ValueError("exactly one of template_config, code_config and remote_config is needed")
        return self


class CreateEvaluator(Written):
    space_id: NonBlank
    name: Name
    type: Folded[EvaluatorType]
    description: str | None = Field(default=None, max_length=1000)
    version: CreateEvaluatorVersion

    @model_validator(mode="after")
    def _types_agree(self) -> CreateEvaluator:
        if self.type is not self.version.kind:
            raise ValueError(
                f"type is {self.type} but version holds {self.version.kind.lower()}_config: they must agree"
            )
        return self


class UpdateEvaluator(Written):
    name: Name | None = None
    description: str | None = Field(default=None, max_length=1000)

    @model_validator(mode="after")
    def _something(self) -> UpdateEvaluator:
        if not self.model_fields_set:
            raise ValueError("no fields to update: give name or description")
        return self


class EvaluatorVersion(Read):
    id: str
    evaluator_id: str
    type: Lenient[EvaluatorType]
    commit_hash: str = ""
    commit_message: str | None = None
    created_at: Moment
    created_by_user_id: str | None = None
    template_config: TemplateConfig | None = None
    code_config: ReadCodeConfig | None = None
    remote_config: RemoteConfig | None = None

    @property
    def evaluation_name(self) -> str | None:
        """The `<name>` of `eval.<name>.label`, or None for a remote evaluator."""
        config = self.template_config or self.code_config
        return config.name if config is not None else None

    @property
    def granularity(self) -> DataGranularity:
        config = self.template_config or self.code_config
        return (config.data_granularity if config else None) or DataGranularity.SPAN


class Evaluator(Read):
    id: str
    name: str
    type: Lenient[EvaluatorType]
    space_id: str
    description: str | None = None
    created_at: Moment
    updated_at: Moment
    created_by_user_id: str | None = None


class EvaluatorWithVersion(Evaluator):
    version: EvaluatorVersion


class EvaluatorPage(Page):
    evaluators: list[Evaluator]


class ListEvaluators(NamedListQuery):
    pass


class GetEvaluator(Written):
    version_id: str | None = None


class EvaluatorVersionPage(Page):
    evaluator_versions: list[EvaluatorVersion]


class ListEvaluatorVersions(ListQuery):
    pass


class DeleteEvaluatorVersions(Written):
    version_ids: list[NonBlank] = Field(min_length=1, max_length=100)


class DeletedEvaluatorVersions(Read):
    completed: bool
    deleted_version_ids: list[str]
    not_deleted_version_ids: list[str]


class EvaluatorTemplates(Read):
    evaluator_templates: list[JsonObject]
