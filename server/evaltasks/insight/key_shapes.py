"""Recognise API keys by their shape. Keys belong in the environment, never in arguments, and are never echoed."""

from __future__ import annotations

import math
import re
from collections import Counter
from urllib.parse import parse_qsl, urlsplit

# Prefixes of providers' keys, followed by enough characters to exclude names.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(sk|pk|rk|ak|gsk|hf|r8|xai|nvapi|pplx|fw|tgp|ghp|gho|github_pat|glpat|xox[abprs]|AIza|AKIA|ASIA)"
    r"[-_]?[A-Za-z0-9_\-]{12,}"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}")
_TOKEN = re.compile(r"[A-Za-z0-9+/_\-=.]{24,}")
_WORDS = re.compile(r"[-_./=+]")
_SECRET_PARAMETER = re.compile(r"key|token|secret|password|sig", re.IGNORECASE)
_ENTROPY_BITS = 3.5


def looks_like_key(text: str) -> bool:
    """Return whether a text contains a known kind of key or a long random text; sentences, paths and names are not."""
    if _JWT.search(text):
        return True
    for match in _PREFIXED.finditer(text):
        # `sk-my-first-model` is a name: keys carry digits or mixed case.
        if _random(match.group()):
            return True
    return any(_random_long(match.group()) for match in _TOKEN.finditer(text))


def url_holds_secret(url: str) -> bool:
    """Return whether an address has a user, a password, or a parameter that is a credential by its name or shape."""
    try:
        parts = urlsplit(url)
        named = any(_SECRET_PARAMETER.search(name) for name, value in parse_qsl(parts.query) if value)
        return bool(parts.username or parts.password) or named or looks_like_key(parts.query)
    except ValueError:
        return False


def _random(text: str) -> bool:
    # Without the prefix, which is the same in every key.
    kinds = sum(bool(re.search(pattern, text[3:])) for pattern in ("[0-9]", "[a-z]", "[A-Z]"))
    return kinds >= 2 and any(len(part) >= 12 for part in _WORDS.split(text))


def _random_long(text: str) -> bool:
    """Return whether a text has 24 or more characters in a row that mix letters of both cases and digits."""
    longest = max(_WORDS.split(text), key=len)
    mixed = all(re.search(pattern, longest) for pattern in ("[0-9]", "[a-z]", "[A-Z]"))
    hexadecimal = re.fullmatch(r"[0-9a-f]{32,}", longest) is not None
    if len(longest) < 24 or not (mixed or hexadecimal):
        return False
    counts = Counter(longest)
    entropy = -sum(n / len(longest) * math.log2(n / len(longest)) for n in counts.values())
    return hexadecimal or entropy >= _ENTROPY_BITS
