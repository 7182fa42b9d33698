"""Secrets that integrations name: each is read from the environment where the engine runs, at each call."""

from __future__ import annotations

from collections.abc import Mapping

from evaltasks.engine.providers.provider import PermanentFailure


def read_secret(environment: Mapping[str, str], variable: str, named_by: str) -> str:
    """Return the value of an environment variable that can be sent in a header.

    Args:
        environment: The environment variables that integrations may read.
        variable: The name of the variable.
        named_by: The integration that names the variable, for the message.

    Raises:
        PermanentFailure: The variable is not set, or it has characters that a header cannot have. The message never
            contains the value.
    """
    value = environment.get(variable, "").strip()
    if not value:
        raise PermanentFailure(
            f"the environment variable {variable}, which {named_by} names, is not set where the engine is running; "
            "set it there"
        )
    if not value.isascii() or not value.isprintable():
        raise PermanentFailure(f"the environment variable {variable} has characters that a header cannot have")
    return value
