"""Arguments that lie near keys: an address, the name of a variable, texts that must not be a key themselves.

Shared by the tools that make integrations. Nothing here ever repeats what was given.
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
    "put the key into an environment variable where the server runs, give that variable's name as api_key_env, and "
    "tell the user that this key was shown in a conversation and should be replaced"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# A key may be asked for by a variable that holds keys of language models; anything else in the environment (the key
# of AX itself, cloud credentials, passwords of databases) must not leave through a base_url that a model chose.
_KEY_VARIABLE = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN)(_[A-Z0-9]+)*$", re.IGNORECASE)
_NEVER_SENT = re.compile(r"^(ARIZE|EVALTASKS|AWS|GITHUB|GH|GITLAB|NPM|PYPI|SSH|KUBE|DOCKER|DATABASE|DB)_|SECRET|PASSW",
                         re.IGNORECASE)  # fmt: skip


def read_non_secret(value: object) -> object:
    """Text that is not a key. The text is never repeated."""
    if not isinstance(value, str):
        raise as_value_error("must be text", "give it in quotes")
    if looks_like_key(value):
        raise as_value_error("looks like a key, which belongs in no argument", _EXPOSED)
    if not value.strip():
        raise as_value_error("is empty", "give a value or leave it out")
    return value.strip()


def read_url(value: object) -> object:
    text = read_non_secret(value)
    if not isinstance(text, str) or not re.match(r"https?://[^/\s]", text):
        raise as_value_error("is not a web address", "write it like https://host/v1")
    if url_holds_secret(text):
        raise as_value_error("carries a user, password or key", "give the bare address; " + _EXPOSED)
    return text


def read_key_variable(value: object) -> object:
    text = read_non_secret(value)
    if not isinstance(text, str) or not _VARIABLE.fullmatch(text.removeprefix("$")):
        raise as_value_error(
            "is not the name of an environment variable", "give a name such as OPENAI_API_KEY; " + _EXPOSED
        )
    name = text.removeprefix("$")
    if _NEVER_SENT.search(name) or not _KEY_VARIABLE.search(name):
        raise as_value_error(
            "is not the name of a variable that holds a key for a model or an agent",
            "use a variable of its own, named like LLM_API_KEY; other secrets are never sent to a provider",
        )
    return name


def remote_host(address: str | None) -> str | None:
    """The host of an address, or None for no address and for one on this machine."""
    host = urlsplit(address or "").hostname
    return None if host is None or host in LOOPBACK_NAMES else host


async def confirm_sending(tool: str, host: str, confirm: str | None, question: str, context: ToolContext) -> None:
    """Ask the person before something leaves for an address that a call named, unless `confirm` is that host.

    Otherwise a text that an agent has read could name an address of its own and have secrets or data sent there.
    Raises Declined, and ValidationErrors for a `confirm` that is not the host.
    """
    if confirm is None:
        await context.confirm.ask(question, confirm_with=host)
    elif confirm != host:
        raise ValidationErrors(tool, [ValidationIssue("confirm", "is not the host of the address", "give it exactly")])
