"""The keys of an engine on a port: who has one of them comes in, and no one else reads or writes anything.

There may be several, so that each person and program has one of its own and a key can be replaced while the old one
still works. All of them may do the same: the engine knows no users and no roles (docs/decisions/0022-engine-keys.md).

How a key is compared: what came is hashed, and its digest is held against the digest of *every* key with a comparison
that takes the same time for all. Neither the length of a key, nor how much of it was right, nor which one it was
shows in the time an answer takes.
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
# A key and its mark are written nowhere; the mark of 32 bits is in the request log instead.
_FINGERPRINT_CHARACTERS = 8
_BEARER = b"bearer "
# Where the middleware tells those around it whose request this is.
CALLER = "evaltasks.caller"
NO_KEY = "none"
WRONG_KEY = "wrong"

HOW_TO_MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


class WeakKey(ValueError):
    """A key that cannot be used; the text says which one by its place, never by what it is."""


class Keys:
    """One or more keys. Made by `keys_from`; a repr shows how many there are."""

    def __init__(self, keys: list[str]) -> None:
        digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        self._digests = {fingerprint(digest): digest for digest in digests}

    @property
    def fingerprints(self) -> list[str]:
        """A short mark of each key, in order: tells people apart in a log and opens nothing."""
        return list(self._digests)

    def caller(self, given: bytes) -> str | None:
        """The fingerprint of the key that was given, bare or as `Bearer <key>`; None when it is none of them."""
        if given[: len(_BEARER)].lower() == _BEARER:
            given = given[len(_BEARER) :].strip()
        digest = hashlib.sha256(given).digest()
        found = None
        for name, expected in self._digests.items():
            if hmac.compare_digest(digest, expected):
                found = name
        return found

    def __repr__(self) -> str:
        return f"<{len(self._digests)} keys>"


def fingerprint(digest: bytes) -> str:
    # Hashed once more: what is shown is not part of what is compared.
    return hashlib.sha256(b"evaltasks key " + digest).hexdigest()[:_FINGERPRINT_CHARACTERS]


def keys_from(text: str) -> Keys | None:
    """The keys of a text that separates them by commas or white space; None when it holds none. Raises WeakKey."""
    keys = [part for part in re.split(r"[\s,]+", text) if part]
    for number, key in enumerate(keys, start=1):
        if len(key) < KEY_CHARACTERS_MIN or len(set(key)) < _DIFFERENT_CHARACTERS_MIN:
            which = f"key {number} of {len(keys)}" if len(keys) > 1 else "the key"
            raise WeakKey(
                f"{which} is too weak: it needs at least {KEY_CHARACTERS_MIN} characters, "
                f"{_DIFFERENT_CHARACTERS_MIN} of them different. Make one with: {HOW_TO_MAKE}"
            )
        if not (key.isascii() and key.isprintable()):
            raise WeakKey(
                f"key {number} of {len(keys)} holds characters that cannot be in a header. Make one with: {HOW_TO_MAKE}"
            )
    return Keys(keys) if keys else None


class KeyCheck:
    """ASGI middleware: answers 401 to a request without one of the keys, before anything of its body is read."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # Two headers are one too many: which of them counts would depend on who reads.
        caller = self._keys.caller(given[0]) if len(given) == 1 else None
        scope[CALLER] = caller or (WRONG_KEY if given else NO_KEY)
        if caller is None:
            await send_problem(Unauthorized(_WRONG if given else _MISSING), scope, receive, send)
            return
        await self._app(scope, receive, send)


_MISSING = (
    "This engine asks for a key, and none came. Send it as 'Authorization: Bearer <key>'; clients of AX take it from "
    "ARIZE_API_KEY or their profile. It is a key of EVALTASKS_ENGINE_KEY where the engine was started."
)
_WRONG = (
    "This engine asks for a key, and the one that came is none of its keys. They are those of EVALTASKS_ENGINE_KEY "
    "where the engine was started; ask whoever started it."
)
# For protocols in which a missing key and a wrong one are the same error.
INVALID_KEY = (
    "The API key is missing or not valid for this engine. Send one of the keys in EVALTASKS_ENGINE_KEY of the "
    "environment in which the engine was started."
)
