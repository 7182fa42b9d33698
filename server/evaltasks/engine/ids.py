"""Ids, in the form that every published client recognises as an id and not as a name.

A global id is standard padded base64 of `Kind:number:salt`. That text has letters, digits and colons only, so the
base64 never contains `/` or `+`, which would break paths. The salt makes ids of two stores different, which matters
because a published client caches downloads by id. Examples and experiment runs have plain UUIDs instead.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import string
import uuid
from collections.abc import Callable
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "Space", "Model", "Dataset", "DatasetVersion", "Experiment", "Evaluator", "EvaluatorVersion",
    "LlmIntegration", "RemoteEndpointIntegration", "OnlineTask", "TaskRun", "User", "AnnotationConfig",
]  # fmt: skip
NewId: TypeAlias = Callable[[Kind], str]

# The engine has one organization, with the same id in every store.
ORGANIZATION_ID = base64.b64encode(b"AccountOrganization:1:evlt").decode()

_ALPHABET = string.ascii_letters + string.digits


def new_id(kind: Kind) -> str:
    """Return a new global id."""
    salt = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return base64.b64encode(f"{kind}:{secrets.randbelow(2**31)}:{salt}".encode()).decode()


def new_row_id() -> str:
    """Return a new id of an example or an experiment run."""
    return str(uuid.uuid4())


def kind_of(text: str) -> str | None:
    """Return the kind inside a global id; None if the text is not a global id."""
    try:
        inner = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    kind, colon, _ = inner.partition(":")
    return kind if colon and kind else None
