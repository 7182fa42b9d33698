"""`create_agent_integration`: register an HTTP agent that run_experiment tasks call (`agent_call`)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from evaltasks.api.integrations import CreateAgentConfig, CreateIntegration
from evaltasks.insight.unreadable import as_value_error
from evaltasks.tools.context import Refused, ToolContext
from evaltasks.tools.inputs import Text, read_json_text
from evaltasks.tools.key_inputs import confirm_sending, read_key_variable, read_non_secret, read_url, remote_host
from evaltasks.tools.spec import Effect, Group, Input, Output, ToolSpec


def _read_schema(value: object, info: ValidationInfo) -> object:
    value = read_json_text(value, info)
    if not isinstance(value, dict):
        raise as_value_error(
            "must be an object, a JSON Schema", 'write it like {"properties": {"top_k": {"type": "integer"}}}'
        )
    return value


class CreateAgentIntegrationInput(Input):
    name: Annotated[str, BeforeValidator(read_non_secret), Field(max_length=255)] = Field(
        description="Name of the agent, unique in the account, such as 'support agent'."
    )
    endpoint: Annotated[str, BeforeValidator(read_url)] = Field(
        description="URL that accepts a POST with a JSON object, e.g. http://127.0.0.1:8080/answer."
    )
    input_schema: Annotated[dict[str, Any], BeforeValidator(_read_schema)] | None = Field(
        None,
        description="JSON Schema of that object; values of examples are converted to its types. Default: unchanged.",
    )
    output_path: Text | None = Field(
        None,
        description="Dotted path to the answer in the agent's JSON reply, e.g. result.text. Default: a usual name.",
    )
    api_key_env: Annotated[str, BeforeValidator(read_key_variable)] | None = Field(
        None, description="NAME of the environment variable that holds the agent's bearer key. Never the key itself."
    )
    confirm: Text | None = Field(
        None,
        description="The host of endpoint, if the user agreed that data is sent there. Default: ask the user about any "
        "host other than this machine.",
    )


class CreateAgentIntegrationOutput(Output):
    integration_id: str
    name: str
    endpoint: str
    next_step: str

    def text(self) -> str:
        return f"Agent {self.name} ({self.integration_id}) at {self.endpoint}. {self.next_step}"


async def _create(call: CreateAgentIntegrationInput, context: ToolContext) -> CreateAgentIntegrationOutput:
    if not context.client.is_engine:
        raise Refused(
            "AX cannot read a key from an environment variable, so this tool creates no agent integrations there. "
            "Create it in the AX web app, and use its name in create_run_experiment_task."
        )
    host = remote_host(call.endpoint)
    if host is not None:
        key = f" and the key in {call.api_key_env}" if call.api_key_env else ""
        question = f"Send examples{key} to {host} whenever the agent '{call.name}' is called?"
        await confirm_sending("create_agent_integration", host, call.confirm, question, context)
    made = await context.client.integrations.create(
        CreateIntegration(
            name=call.name,
            type="AGENT",
            config=CreateAgentConfig(
                endpoint=call.endpoint,
                input_schema=call.input_schema,
                output_path=call.output_path,
                api_key_env=call.api_key_env,
            ),
        )
    )
    return CreateAgentIntegrationOutput(
        integration_id=made.id,
        name=made.name,
        endpoint=call.endpoint,
        next_step="Run it over a dataset: create_run_experiment_task(run_configuration={'experiment_type': "
        f"'agent_call', 'integration_id': {made.name!r}, 'input_template': {{…}}}}, …).",
    )


SPEC = ToolSpec(
    name="create_agent_integration",
    title="Create an agent integration",
    description=(
        "Register the user's own agent or application, which run_experiment tasks (agent_call) call over HTTP "
        "instead of a language model. Use it before create_run_experiment_task with agent_call. Each example "
        "becomes one POST of a JSON object built from the task's input_template. Never pass a key: api_key_env "
        "is the NAME of an environment variable of the server. The user is asked first if the endpoint is not "
        "on this machine. Embedded engine only."
    ),
    effect=Effect.CREATES,
    group=Group.AUTHORING,
    input=CreateAgentIntegrationInput,
    output=CreateAgentIntegrationOutput,
    handler=_create,
    example={"name": "support agent", "endpoint": "http://127.0.0.1:8080/answer"},
)
