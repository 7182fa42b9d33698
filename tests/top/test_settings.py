"""Settings come from options and `EVALTASKS_…` variables; nothing else chooses the backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaltasks.settings import Settings, SettingsError, ax_address, option_table, settings_from


def test_the_backend_is_embedded_even_if_a_key_is_in_the_environment() -> None:
    assert settings_from({}, {"ARIZE_API_KEY": "ak-1234567890"}).backend == "embedded"


def test_an_option_overrides_its_variable_and_a_variable_the_default() -> None:
    environment = {"EVALTASKS_PATIENCE_SECONDS": "30", "EVALTASKS_SPACE": "from-variable"}
    settings = settings_from({"space": "from-flag"}, environment)
    assert (settings.space, settings.patience_seconds) == ("from-flag", 30.0)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("backend", "mars", "embedded"),
        ("patience_seconds", "0", "seconds"),
        ("patience_seconds", "soon", "seconds"),
        ("http", "8080", "HOST:PORT"),
        ("allow_host", "https://evals.example.org", "evals.example.org"),
        ("allow_host", "a.example,*", "without scheme"),
        ("allow_dir", "/no/such/place", "directory"),
        ("groups", "tasks,everything", "insight"),
        ("in_flight", "0", "500"),
        ("lease_seconds", "0.1", "0.5"),
        ("lease_seconds", "nan", "seconds"),
        # Python calls these digits, and reads no number from them.
        ("lease_seconds", "²", "seconds"),
        ("patience_seconds", "²", "seconds"),
        ("in_flight", "²", "500"),
        ("http", "127.0.0.1:²", "HOST:PORT"),
        ("sandbox", "docker", "monty, process"),
    ],
)
def test_an_invalid_setting_is_named_with_its_valid_values(name: str, text: str, word: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_from({name: text}, {})
    assert f"--{name.replace('_', '-')}" in str(refused.value)
    assert word in str(refused.value)


def test_an_unknown_variable_is_rejected_by_name() -> None:
    with pytest.raises(SettingsError, match="EVALTASKS_STOER"):
        settings_from({}, {"EVALTASKS_STOER": "/tmp/x"})


def test_several_directories_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    settings = settings_from({"allow_dir": f"{tmp_path}/a:{tmp_path}"}, {})
    assert settings.allow_dir == ((tmp_path / "a").resolve(), tmp_path.resolve())


def test_host_names_are_separated_by_commas_and_read_in_lower_case() -> None:
    settings = settings_from({}, {"EVALTASKS_ALLOW_HOST": "Evals.example.org, evals,"})
    assert settings.allow_host == ("evals.example.org", "evals")


def test_every_option_has_a_description() -> None:
    assert {variable for _, variable, _ in option_table()} == {f"EVALTASKS_{n.upper()}" for n in vars(Settings())}
    assert all(metadata["help"] for _, _, metadata in option_table())


def test_the_ax_address_is_read_like_in_the_published_clients() -> None:
    assert ax_address({"ARIZE_API_KEY": "k"}).base_url == "https://api.arize.com"
    local = {"ARIZE_API_KEY": "k", "ARIZE_API_SCHEME": "http", "ARIZE_API_HOST": "localhost:1", "ARIZE_API_PORT": "9"}
    assert ax_address(local).base_url == "http://localhost:9"


def test_a_missing_key_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(SettingsError, match="ARIZE_API_KEY"):
        ax_address({})


def test_settings_show_no_key_in_their_repr() -> None:
    assert "secret-key-1" not in repr(ax_address({"ARIZE_API_KEY": "secret-key-1"}))
