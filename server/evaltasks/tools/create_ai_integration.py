"""`create_ai_integration`: register an LLM provider; its key is named by an environment variable."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from evaltasks.api.ai_integrations import CreateAiIntegration, Provider
from evaltasks.insight.unreadable import as_value_error
from evaltasks.insight.validation import ValidationIssue
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import Flag, Text, read_json_text, read_word
from evaltasks.tools.key_inputs import confirm_sending, read_key_variable, read_non_secret, read_url, remote_host
from evaltasks.tools.spec import Effect, Group, Input, Output, Provided, ToolSpec
from evaltasks.tools.views import lower

_NEEDS_EXTRA = {"anthropic", "gemini", "vertex_ai", "aws_bedrock"}
_NEEDS_BASE_URL = {"custom", "nvidia_nim", "litellm", "azure_open_ai"}

ProviderWord = Literal[
    "open_ai", "azure_open_ai", "aws_bedrock", "vertex_ai", "anthropic", "custom", "nvidia_nim", "gemini", "litellm",
    "fireworks", "together_ai",
]  # fmt: skip
_SPELLINGS = {"openai": "open_ai", "azure_openai": "azure_open_ai", "azure": "azure_open_ai", "together": "together_ai"}


def _read_provider(value: object) -> object:
    word = read_word(value)
    return _SPELLINGS.get(word, word) if isinstance(word, str) else word


def _read_models(value: object, info: ValidationInfo) -> object:
    value = read_json_text(value, info)
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not value:
        raise as_value_error("must be a list of model names", 'write it as ["gpt-4o-mini"]')
    return [read_non_secret(part) for part in value]


class CreateAiIntegrationInput(Input):
    name: Annotated[str, BeforeValidator(read_non_secret), Field(max_length=255)] = Field(
        description="Name of the integration, unique in the account, such as 'openai'."
    )
    provider: Annotated[ProviderWord, BeforeValidator(_read_provider)] = Field(
        description="The provider. 'custom' is any OpenAI-compatible server, such as a local one."
    )
    base_url: Annotated[str, BeforeValidator(read_url)] | None = Field(
        None,
        description="URL of the API, e.g. http://127.0.0.1:8080/v1. Required for custom; default: the provider's.",
    )
    models: Annotated[list[str], BeforeValidator(_read_models)] | None = Field(
        None, description='Models to offer, e.g. ["gpt-4o-mini"]. A single model is the default of evaluators.'
    )
    api_key_env: Annotated[str, BeforeValidator(read_key_variable)] | None = Field(
        None,
        description="NAME of the environment variable that holds the key where the server runs, e.g. OPENAI_API_KEY. "
        "Never the key itself. Leave it out for servers that need no key.",
    )
    function_calling: Flag = Field(True, description="Whether its models can call tools. Default true.")
    confirm: Text | None = Field(
        None,
        description="The host of base_url, if the user agreed that the key is sent there. Default: ask the user if a "
        "key would be sent to this host.",
    )


class CreateAiIntegrationOutput(Output):
    ai_integration_id: str
    name: str
    provider: str
    base_url: str | None = None
    models: list[str] | None = None
    api_key_env: str | None = None
    has_api_key: bool = Field(description="Whether the variable holds a key. The key itself is never shown.")
    next_step: str

    def text(self) -> str:
        return f"AI integration {self.name} ({self.ai_integration_id}), {self.provider}. {self.next_step}"


def _validate(arguments: Provided) -> tuple[str, list[ValidationIssue]]:
    provider = arguments.get("provider")
    issues = []
    if provider in _NEEDS_BASE_URL and "base_url" not in arguments:
        issues.append(
            ValidationIssue("base_url", f"is required for provider {provider}", "set it to the URL of the API")
        )
    return "", issues


async def _create(call: CreateAiIntegrationInput, context: ToolContext) -> CreateAiIntegrationOutput:
    host = remote_host(call.base_url)
    if call.api_key_env is not None and host is not None:
        question = f"Send the key in {call.api_key_env} to {host} whenever a model of '{call.name}' is called?"
        await confirm_sending("create_ai_integration", host, call.confirm, question, context)
    client = context.client
    key: str | None = None
    if call.api_key_env is not None and not client.is_engine:
        # AX stores the key itself. The engine stores the name and reads the key for each call.
        key = context.settings.environment.get(call.api_key_env, "").strip() or None
        if key is None:
            raise Refused(
                f"The environment variable {call.api_key_env} is not set where this server runs, so no key can be "
                "sent to AX. Ask the user to set it in the server's configuration and restart; do not ask for the key."
            )
    made = await client.ai_integrations.create(
        CreateAiIntegration(
            name=call.name,
            provider=Provider(call.provider.upper()),
            base_url=call.base_url,
            model_names=call.models,
            api_key=key,
            api_key_env=call.api_key_env if client.is_engine else None,
            function_calling_enabled=call.function_calling,
        )
    )
    if call.api_key_env and not made.has_api_key:
        context.note(
            f"{call.api_key_env} is not set where the engine runs, so calls will fail without a key. Ask the user to "
            "set it there and restart; do not ask for the key."
        )
    if client.is_engine and call.provider in _NEEDS_EXTRA:
        context.note(
            f"The engine speaks to {call.provider} through the extra evaltasks[providers]; where that is not "
            "installed, the first call fails and says so."
        )
    return CreateAiIntegrationOutput(
        ai_integration_id=made.id,
        name=made.name,
        provider=lower(made.provider),
        base_url=made.base_url,
        models=made.model_names,
        api_key_env=call.api_key_env,
        has_api_key=made.has_api_key,
        next_step=f"Use it as a judge: create_evaluator(ai_integration={made.name!r}, …), or in an experiment.",
    )


SPEC = ToolSpec(
    name="create_ai_integration",
    title="Create an AI integration",
    description=(
        "Register a language model provider for judging or generating, with its URL and models. Use it when "
        "find(kind='ai_integration') shows none. Never pass a key: api_key_env is the NAME of an environment "
        "variable of the server, and anything that looks like a key is refused. A local OpenAI-compatible "
        "server is provider 'custom' with a base_url. If a key would be sent to this base_url, the user is "
        "asked first. Code evaluators and the local heuristic judge need no integration."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=CreateAiIntegrationInput,
    output=CreateAiIntegrationOutput,
    handler=_create,
    validate=_validate,
    example={
        "name": "local-llm",
        "provider": "custom",
        "base_url": "http://127.0.0.1:8080/v1",
        "models": ["small-model"],
    },
)
