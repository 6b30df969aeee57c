"""The console's settings."""

from pathlib import Path

import pytest

from dashboards.console.settings import ConsoleSettings, SettingsError


def test_settings_come_from_an_environment_that_is_handed_in(tmp_path):
    places = tmp_path / "places.json"
    places.write_text('{"p-1": "Bed 1"}')
    settings = ConsoleSettings.from_env(
        {
            "TELEWARD_CONSOLE_PORT": "8443",
            "TELEWARD_CONSOLE_VOLATILE": "true",
            "TELEWARD_CONSOLE_ACCOUNTS_FILE": "accounts.json",
            "TELEWARD_CONSOLE_DIRECTORY": str(places),
            "TELEWARD_CONSOLE_SPARK_H": "2.5",
            "PATH": "/bin",
        }
    )
    assert (settings.port, settings.volatile, settings.spark_h) == (8443, True, 2.5)
    assert settings.accounts_file == Path("accounts.json")
    assert settings.directory == {"p-1": "Bed 1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("VOLATILE", "maybe"),
        ("COLOUR", "red"),
        ("SILENCE_S", "3"),
        ("SPARK_BINS", "1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_value(name, value):
    with pytest.raises(SettingsError) as refused:
        ConsoleSettings.from_env({f"TELEWARD_CONSOLE_{name}": value})
    assert value in str(refused.value) or name in str(refused.value)


def test_a_secret_never_stands_in_a_message_or_a_printed_setting():
    with pytest.raises(SettingsError) as refused:
        ConsoleSettings.from_env({"TELEWARD_CONSOLE_SECRET": "tooshort"})
    assert "tooshort" not in str(refused.value)
    assert "0123456789abcdef" not in repr(ConsoleSettings(secret=b"0123456789abcdef"))
