"""Arguments that might contain a key by mistake: URLs, names of environment variables and other texts.

The tools that create integrations share them. No message repeats the value.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from evaltasks.edge.loopback import LOOPBACK_NAMES
from evaltasks.insight.key_shapes import looks_like_key, url_holds_secret
from evaltasks.insight.unreadable import as_value_error
from evaltasks.insight.validation import ValidationErrors, ValidationIssue
from evaltasks.tools.context import ToolContext

_EXPOSED = (
    "put the key into an environment variable where the server runs, pass the name of that variable as api_key_env, "
    "and advise the user to replace this key, because it was shown in a conversation"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Only variables that hold keys of language models or agents can be named. All other secrets in the environment (the
# key of AX itself, cloud credentials, database passwords) must never be sent to a base_url that a model chose.
_KEY_VARIABLE = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN)(_[A-Z0-9]+)*$", re.IGNORECASE)
_NEVER_SENT = re.compile(r"^(ARIZE|EVALTASKS|AWS|GITHUB|GH|GITLAB|NPM|PYPI|SSH|KUBE|DOCKER|DATABASE|DB)_|SECRET|PASSW",
                         re.IGNORECASE)  # fmt: skip


def read_non_secret(value: object) -> object:
    """Read a text that is not a key."""
    if not isinstance(value, str):
        raise as_value_error("must be text", "write it in quotes")
    if looks_like_key(value):
        raise as_value_error("looks like a key, and a key must not be passed as an argument", _EXPOSED)
    if not value.strip():
        raise as_value_error("is empty", "set a value or leave it out")
    return value.strip()


def read_url(value: object) -> object:
    """Read an HTTP URL without credentials."""
    text = read_non_secret(value)
    if not isinstance(text, str) or not re.match(r"https?://[^/\s]", text):
        raise as_value_error("is not an HTTP URL", "write it like https://host/v1")
    if url_holds_secret(text):
        raise as_value_error("contains a user, password or key", "pass the URL without it; " + _EXPOSED)
    return text


def read_key_variable(value: object) -> object:
    """Read the name of an environment variable that may hold a key of a model or an agent."""
    text = read_non_secret(value)
    if not isinstance(text, str) or not _VARIABLE.fullmatch(text.removeprefix("$")):
        raise as_value_error(
            "is not the name of an environment variable", "use a name such as OPENAI_API_KEY; " + _EXPOSED
        )
    name = text.removeprefix("$")
    if _NEVER_SENT.search(name) or not _KEY_VARIABLE.search(name):
        raise as_value_error(
            "is not named like a variable that holds a key of a model or an agent",
            "use a separate variable with a name like LLM_API_KEY; other secrets are never sent to a provider",
        )
    return name


def remote_host(address: str | None) -> str | None:
    """Return the host of a URL, or None if there is no URL or it is on this machine."""
    host = urlsplit(address or "").hostname
    return None if host is None or host in LOOPBACK_NAMES else host


async def confirm_sending(tool: str, host: str, confirm: str | None, question: str, context: ToolContext) -> None:
    """Ask the user before anything is sent to a host named in a call, unless `confirm` is that host.

    Otherwise a text that an agent has read could make it send secrets or data to a host of its own.

    Args:
        tool: The name of the tool, for validation errors.
        host: The host.
        confirm: The argument `confirm` of the call.
        question: The question to the user.
        context: The context of the call.

    Raises:
        Declined: The user refused, or cannot be asked.
        ValidationErrors: `confirm` is not the host.
    """
    if confirm is None:
        await context.confirm.ask(question, confirm_with=host)
    elif confirm != host:
        raise ValidationErrors(
            tool, [ValidationIssue("confirm", "is not the host of the URL", "pass exactly that host")]
        )
