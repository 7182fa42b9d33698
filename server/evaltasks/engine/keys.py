"""API keys of an engine that serves a port: every request must carry one of them.

There may be several, so that each person and program has its own and a key can be replaced while the old one still
works. All keys have the same permissions: the engine has neither users nor roles
(docs/decisions/0022-engine-keys.md).

How a key is compared: the received key is hashed, and its digest is compared in constant time with the digests of
*all* keys. So the response time reveals neither the length of a key, nor how much of it was right, nor which key
matched.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.types import ASGIApp, Receive, Scope, Send

from evaltasks.api.problems import Unauthorized
from evaltasks.engine.error_response import send_problem

KEY_CHARACTERS_MIN = 24
_DIFFERENT_CHARACTERS_MIN = 8
# Keys and their digests are never logged; the request log has a fingerprint of 32 bits instead.
_FINGERPRINT_CHARACTERS = 8
_BEARER = b"bearer "
# The key of the ASGI scope with the fingerprint of the caller, for the middleware around this one.
CALLER = "evaltasks.caller"
NO_KEY = "none"
WRONG_KEY = "wrong"

HOW_TO_MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


class WeakKey(ValueError):
    """A key cannot be used; the message names its position, never its value."""


class Keys:
    """One or more keys; made by `keys_from`. The repr shows only their number."""

    def __init__(self, keys: list[str]) -> None:
        digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self._digests = {fingerprint(digest): digest for digest in digests}

    @property
    def fingerprints(self) -> list[str]:
        """A short fingerprint of each key, in order: it distinguishes callers in a log and does not open anything."""
        return list(self._digests)

    def caller(self, credentials: bytes) -> str | None:
        """Return the fingerprint of the key in `<key>` or `Bearer <key>`; None if it is not one of the keys."""
        if credentials[: len(_BEARER)].lower() == _BEARER:
            credentials = credentials[len(_BEARER) :].strip()
        digest = hashlib.sha256(credentials).digest()
        caller = None
        for name, expected in self._digests.items():
            if hmac.compare_digest(digest, expected):
                caller = name
        return caller

    def __repr__(self) -> str:
        return f"<{len(self._digests)} keys>"


def fingerprint(digest: bytes) -> str:
    """Return the fingerprint of a key from its digest."""
    # Hashed once more, so that what is shown is not a part of what is compared.
    return hashlib.sha256(b"evaltasks key " + digest).hexdigest()[:_FINGERPRINT_CHARACTERS]


def keys_from(text: str) -> Keys | None:
    """Return the keys of a text that separates them by commas or white space; None if it contains none.

    Raises:
        WeakKey: If a key is too short, too uniform, or cannot be sent in a header.
    """
    keys = [part for part in re.split(r"[\s,]+", text) if part]
    for number, key in enumerate(keys, start=1):
        if len(key) < KEY_CHARACTERS_MIN or len(set(key)) < _DIFFERENT_CHARACTERS_MIN:
            which = f"key {number} of {len(keys)}" if len(keys) > 1 else "the key"
            raise WeakKey(
                f"{which} is too weak: it needs at least {KEY_CHARACTERS_MIN} characters, "
                f"{_DIFFERENT_CHARACTERS_MIN} of them different. Generate one with: {HOW_TO_MAKE}"
            )
        if not (key.isascii() and key.isprintable()):
            raise WeakKey(
                f"key {number} of {len(keys)} contains characters that cannot be sent in a header. "
                f"Generate one with: {HOW_TO_MAKE}"
            )
    return Keys(keys) if keys else None


class KeyCheck:
    """ASGI middleware that answers 401 to a request without a valid key, before its body is read."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        # Two headers are refused: which one counts would depend on the reader.
        caller = self._keys.caller(headers[0]) if len(headers) == 1 else None
        scope[CALLER] = caller or (WRONG_KEY if headers else NO_KEY)
        if caller is None:
            await send_problem(Unauthorized(_INVALID if headers else _MISSING), scope, receive, send)
            return
        await self._app(scope, receive, send)


# For protocols in which a missing key and a wrong one are the same error.
INVALID_KEY = (
    "The API key is missing or not valid for this engine. Send one of the keys in EVALTASKS_ENGINE_KEY of the "
    "environment in which the engine was started."
)
_MISSING = (
    "The API key is missing. Send it as 'Authorization: Bearer <key>'; clients of AX read it from ARIZE_API_KEY or "
    "their profile. Valid keys are those of EVALTASKS_ENGINE_KEY where the engine was started."
)
_INVALID = (
    "The API key is not valid for this engine. Valid keys are those of EVALTASKS_ENGINE_KEY where the engine was "
    "started; ask its operator for one."
)
