"""Keys are recognised by their shape, and names are not."""

from __future__ import annotations

import pytest

from evaltasks.insight.key_shapes import looks_like_key, url_holds_secret

RANDOM = "a8Fk20Zq91LmPx77Rt4VbN3c"


@pytest.mark.parametrize(
    "text",
    [
        f"sk-{RANDOM}", f"sk-proj-{RANDOM}_x", f"AIzaSy{RANDOM}x", f"hf_{RANDOM}", f"ghp_{RANDOM}", RANDOM * 2,
        f"Bearer sk-{RANDOM}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0", "0123456789abcdef" * 2,
        f"my key is {RANDOM}",
    ],
)  # fmt: skip
def test_looks_like_key_recognises_keys(text: str) -> None:
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "OPENAI_API_KEY", "MY_COMPANY_LLM_GATEWAY_PRODUCTION_API_KEY_2", "gpt-4o-mini-2024-07-18", "",
        "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo", "claude-sonnet-4-20250514", "sk-my-first-integration",
        "Is the answer supported by the context? Answer yes or no.", "https://api.openai.com/v1",
        "http://127.0.0.1:8080/v1", "anthropic.claude-3-5-sonnet-20241022-v2:0", "task-force-1",
    ],
)  # fmt: skip
def test_looks_like_key_accepts_names(text: str) -> None:
    assert not looks_like_key(text)


def test_url_holds_secret_finds_credentials_in_an_address() -> None:
    assert url_holds_secret("https://user:pass@llm.example/v1")
    assert url_holds_secret("https://llm.example/v1?api_key=x")
    assert not url_holds_secret("https://llm.example/openai?api-version=2024-06-01")


def _mixed(length: int) -> str:
    """Return a text of letters of both cases and digits in which no character is repeated."""
    return "a1B2c3D4e5F6g7H8i9J0kLmNoPqR"[:length]


@pytest.mark.parametrize(
    ("text", "is_key"),
    [
        (_mixed(24), True),
        (_mixed(23), False),
        (f"{_mixed(12)}.{_mixed(12)}", False),  # no part is long enough
        (RANDOM, True),
        ("Item2024Item2024Item2024", False),  # mixed, but repeated
        ("a8Fk20Zq91LmPx77Rt4Vaaaa", True),  # some characters repeated, as in a random text
        (_mixed(24).lower(), False),
        ("0123456789abcdef" * 2, True),
        (("0123456789abcdef" * 2)[:31], False),
        (f"sk-{_mixed(12)}", True),
        (f"sk-{_mixed(11)}", False),
        ("sk-abcdefghijkl", False),  # one kind of character
        ("sk-abcdefghijk1", True),
    ],
)
def test_looks_like_key_at_its_limits_of_length_and_variety(text: str, is_key: bool) -> None:
    assert looks_like_key(text) is is_key


@pytest.mark.parametrize(
    ("url", "holds_secret"),
    [
        ("https://user@llm.example/v1", True),
        ("https://:pass@llm.example/v1", True),
        ("https://llm.example/v1?access_token=x&v=1", True),
        ("https://llm.example/v1?api_key=", False),  # named, but empty
        (f"https://llm.example/v1?v={RANDOM}", True),  # by its shape
        ("https://[llm.example/v1", False),
        ("https://llm.example/v1", False),
    ],
)
def test_url_holds_secret_by_user_name_or_shape(url: str, holds_secret: bool) -> None:
    assert url_holds_secret(url) is holds_secret
