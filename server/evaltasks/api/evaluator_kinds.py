"""Kinds of evaluator: the configuration of each, and the table of what every layer needs to know of it.

A kind has one row here (`BUILT_IN`: its wire model and plain facts) and one in `engine/evaluators/kinds.py` (how the
embedded engine validates and runs it). Everything else reads the facts of the row or of the version (`ConfigFacts`)
and never asks for the class of a configuration, which `tests/engine/evaluators/test_evaluator_kind_recipe.py` checks.

An installed package adds a kind of code evaluator with an entry point of the group `evaltasks.evaluator_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from evaltasks.api.models import LlmConfig
from evaltasks.api.plugins import add_plugins
from evaltasks.api.wire import (
    READING,
    CaseInsensitive,
    NonBlank,
    RequestModel,
    UnknownVariant,
    WireEnum,
    listed,
    upper_case,
    upper_case_tag,
)

PLUGINS = "evaltasks.evaluator_kinds"
# The labels of checks: passed or not passed.
CODE_LABELS = frozenset({"true", "false"})

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


class StaticParam(RequestModel):
    """A value that belongs to a code evaluator, not to the row that it evaluates."""

    name: NonBlank
    type: CaseInsensitive[StaticParamType]
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


# --- configurations -----------------------------------------------------------------------------------------------
class EvaluatorConfig(RequestModel):
    """Base of the configurations of all kinds."""

    name: EvaluationName


class TemplateConfig(EvaluatorConfig):
    """A judge's prompt. Placeholders are `{single braces}`; without choices the answer is free text."""

    template: NonBlank
    include_explanations: bool
    # Two spellings are in use by published clients; both are read, and the engine writes both.
    use_function_calling: bool = Field(
        validation_alias=AliasChoices("use_function_calling", "use_function_calling_if_available"),
        default=True,
    )
    use_structured_output: bool = True
    classification_choices: dict[str, float] | None = None
    direction: CaseInsensitive[Direction] = Direction.MAXIMIZE
    data_granularity: CaseInsensitive[DataGranularity] | None = DataGranularity.SPAN
    llm_config: LlmConfig

    @model_validator(mode="before")
    @classmethod
    def _normalize_spelling(cls, given: object) -> object:
        """Accept both spellings at once if they agree, so that an answer of the engine can be sent back."""
        if isinstance(given, dict) and {"use_function_calling", "use_function_calling_if_available"} <= given.keys():
            given = dict(given)
            if given.pop("use_function_calling_if_available") != given["use_function_calling"]:
                raise ValueError("use_function_calling and use_function_calling_if_available must agree; provide one")
        return given

    @field_validator("classification_choices", mode="after")
    @classmethod
    def _validate_choices(cls, choices: dict[str, float] | None) -> dict[str, float] | None:
        if choices is not None and (not choices or any(not label.strip() for label in choices)):
            raise ValueError("classification_choices must map at least one non-blank label to a score")
        return choices


class CodeConfig(EvaluatorConfig):
    """Base of the configurations of code evaluators.

    A kind narrows `type` to its tag: `type: Literal["WORD_COUNT"] = "WORD_COUNT"`.
    """

    variables: list[NonBlank]
    static_params: list[StaticParam] = Field(default_factory=list)
    data_granularity: CaseInsensitive[DataGranularity] | None = None
    query_filter: str | None = None
    type: str

    _fold_type = field_validator("type", mode="before")(upper_case)

    @field_validator("static_params", mode="before")
    @classmethod
    def _null_is_none(cls, value: object) -> object:
        return [] if value is None else value

    def static_values(self) -> dict[str, str | list[str]]:
        """Return the values of the static parameters by their names."""
        return {param.name: param.default_value for param in self.static_params}


class ManagedCodeConfig(CodeConfig):
    type: Annotated[Literal["MANAGED"], Field(default="MANAGED")]
    managed_evaluator: CaseInsensitive[ManagedEvaluator]


class CustomCodeConfig(CodeConfig):
    type: Annotated[Literal["CUSTOM"], Field(default="CUSTOM")]
    code: NonBlank
    imports: str | None = None


class OtherCodeConfig(UnknownVariant):
    """Code of a kind that a newer service has, or a package that is not installed here."""

    type: str | None = None
    name: str | None = None
    variables: list[str] = Field(default_factory=list)
    data_granularity: CaseInsensitive[DataGranularity] | None = None
    query_filter: str | None = None


# --- the table ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class EvaluatorKind:
    """One kind of evaluator.

    Attributes:
        config: The wire model. That of a code evaluator has its tag as the default of `type`.
        label_source: What produces the labels: `llm` or `code`.
        labels: The labels that the kind defines. Other labels are text of a stranger. Templates define their choices.
        one_per_task: Whether a task takes at most one evaluator of this kind.
    """

    config: type[EvaluatorConfig]
    label_source: str = "code"
    labels: frozenset[str] = CODE_LABELS
    one_per_task: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a code configuration without a tag."""
        if self.tag != self.tag.upper():
            raise ValueError(f"{self.config.__name__}.type needs its tag, in capital letters, as its default")

    @property
    def type(self) -> EvaluatorType:
        """The type of the evaluators of this kind: TEMPLATE or CODE."""
        return EvaluatorType.CODE if issubclass(self.config, CodeConfig) else EvaluatorType.TEMPLATE

    @property
    def tag(self) -> str:
        """The value of `code_config.type`; TEMPLATE for templates, which have no such field."""
        field = self.config.model_fields.get("type")
        return EvaluatorType.TEMPLATE.value if field is None else str(field.default)

    @property
    def field(self) -> str:
        """The field of an evaluator version that holds the configuration."""
        return f"{self.type.lower()}_config"

    @property
    def word(self) -> str:
        """The name of the kind in tools: `template`, `managed_code`."""
        return self.tag.lower() if self.type is EvaluatorType.TEMPLATE else f"{self.tag.lower()}_code"


TEMPLATE = EvaluatorKind(config=TemplateConfig, label_source="llm", labels=frozenset())
MANAGED = EvaluatorKind(config=ManagedCodeConfig)
CUSTOM = EvaluatorKind(config=CustomCodeConfig, one_per_task=True)

BUILT_IN: Mapping[str, EvaluatorKind] = {kind.tag: kind for kind in (TEMPLATE, MANAGED, CUSTOM)}


@cache
def kinds() -> Mapping[str, EvaluatorKind]:
    """Return all kinds by their tags: the built-in ones and those of installed packages, which are loaded once."""
    return add_plugins(BUILT_IN, PLUGINS, EvaluatorKind, keys=lambda kind: (kind.tag,))


def code_kinds() -> dict[str, EvaluatorKind]:
    """Return the kinds of code evaluators by the values of `code_config.type`."""
    return {tag: kind for tag, kind in kinds().items() if kind.type is EvaluatorType.CODE}


def kind_of_config(config: object) -> EvaluatorKind | None:
    """Return the kind of a configuration, or None if it is not known here. Subclasses are of their parent's kind."""
    by_class = {kind.config: kind for kind in kinds().values()}
    return next((by_class[base] for base in type(config).__mro__ if base in by_class), None)


def code_tag(value: object) -> str | None:
    """Return the tag of a code configuration, which may be JSON or a model; None if it has none."""
    return upper_case_tag(value, "type")


class _ByTag:
    """Parses a code configuration with the model that its `type` names.

    The kinds of installed packages are looked up when a value is parsed. Loading them while this module is imported
    would be a circular import, because the packages import it.
    """

    def __get_pydantic_core_schema__(self, _source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        built_in = core_schema.tagged_union_schema(
            {
                tag: handler.generate_schema(kind.config)
                for tag, kind in BUILT_IN.items()
                if kind.type is EvaluatorType.CODE
            },
            discriminator=code_tag,
        )

        def read(value: object, read_built_in: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
            tag = code_tag(value)
            if tag in BUILT_IN and tag != TEMPLATE.tag:
                return read_built_in(value)
            known = code_kinds()
            if tag not in known:
                message = f"code_config.type must be {listed(list(known))}"
                raise PydanticCustomError("code_config_type", "{message}", {"message": message})
            extra: Literal["ignore"] | None = "ignore" if info.context is READING else None
            return known[tag].config.model_validate(value, context=info.context, extra=extra)

        # Serialized by the class of the value, because the kinds of packages are not in the union.
        as_it_is = core_schema.simple_ser_schema("any")
        return core_schema.with_info_wrap_validator_function(read, built_in, serialization=as_it_is)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        json_schema = handler(schema)
        for tag, kind in code_kinds().items():
            if tag not in BUILT_IN:
                json_schema["oneOf"].append(handler(kind.config.__pydantic_core_schema__))
        return json_schema


# In a request: the configuration of a known kind.
AnyCodeConfig = Annotated[CodeConfig, _ByTag()]
# In an answer: also that of an unknown kind.
ReadCodeConfig = Annotated[AnyCodeConfig | OtherCodeConfig, Field(union_mode="left_to_right")]


class ConfigFacts:
    """Properties of an evaluator version that do not depend on the class of its configuration."""

    if TYPE_CHECKING:
        # Fields of the models that mix this in.
        template_config: TemplateConfig | None
        code_config: CodeConfig | OtherCodeConfig | None

    @property
    def config(self) -> TemplateConfig | CodeConfig | OtherCodeConfig | None:
        """The configuration, or None for a remote evaluator."""
        return self.template_config or self.code_config

    @property
    def kind(self) -> EvaluatorKind | None:
        """The kind of the evaluator; None if it is remote or unknown."""
        return kind_of_config(self.config)

    @property
    def evaluation_name(self) -> str | None:
        """The `<name>` of `eval.<name>.label`, or None for a remote evaluator."""
        return self.config.name if self.config is not None else None

    @property
    def granularity(self) -> DataGranularity:
        """What is evaluated as a unit: a span, a trace or a session."""
        return (self.config.data_granularity if self.config is not None else None) or DataGranularity.SPAN

    @property
    def query_filter(self) -> str | None:
        """The evaluator's own filter, if it has one."""
        return self.code_config.query_filter if self.code_config is not None else None

    @property
    def llm_config(self) -> LlmConfig | None:
        """The language model that judges, or None if none does."""
        return self.template_config.llm_config if self.template_config is not None else None

    @property
    def label_source(self) -> str:
        """What produces the labels: `llm` or `code`."""
        return self.kind.label_source if self.kind is not None else "code"

    @property
    def labels(self) -> frozenset[str]:
        """The labels that the evaluator defines. Any other label is text of a stranger."""
        own = self.kind.labels if self.kind is not None else CODE_LABELS
        return own | frozenset(self.classification_choices or ())

    @property
    def classification_choices(self) -> dict[str, float] | None:
        """The labels that a judge chooses from, with their scores."""
        return self.template_config.classification_choices if self.template_config is not None else None

    @property
    def direction(self) -> Direction:
        """Whether high scores are good."""
        return self.template_config.direction if self.template_config is not None else Direction.MAXIMIZE

    @property
    def prompt(self) -> str | None:
        """The judge's prompt, which has the variables in braces; None for code."""
        return self.template_config.template if self.template_config is not None else None

    @property
    def declared_variables(self) -> list[str] | None:
        """The variables that the configuration lists; None for a prompt, or if the kind is unknown."""
        return self.code_config.variables if self.code_config is not None and self.kind is not None else None
