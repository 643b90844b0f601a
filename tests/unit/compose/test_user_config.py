"""The settings file of the user, and errors in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.compose.user_config import UserSettings, user_settings
from devenv.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the user's file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "devenv-compose/config.toml"
    path.parent.mkdir()
    return path


def test_no_file_means_defaults(file: Path) -> None:
    """The file is optional; without it, nothing is consented to."""
    assert not file.exists()
    assert user_settings() == UserSettings(stand_ins=False)


def test_consent_is_read(file: Path) -> None:
    """Stand-ins can be allowed once for all projects."""
    file.write_text("# mine\nstand_ins = true\n")
    assert user_settings() == UserSettings(stand_ins=True)


def test_dangers_can_be_refused(file: Path) -> None:
    """By default dangers are reported."""
    assert user_settings().dangerous == "show"
    file.write_text('dangerous = "refuse"\n')
    assert user_settings() == UserSettings(dangerous="refuse")


def test_mirrors_are_read(file: Path) -> None:
    """The mirrors of a table are read in order."""
    file.write_text('host_settings = true\n[registry]\nmirrors = ["a.example", "b.example/hub"]\n')
    assert user_settings() == UserSettings(host_settings=True, mirrors=("a.example", "b.example/hub"))


def test_settings_are_in_dot_config_without_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative XDG_CONFIG_HOME is ignored (XDG Base Directory Specification)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config/devenv-compose").mkdir(parents=True)
    (tmp_path / ".config/devenv-compose/config.toml").write_text("stand_ins = true")
    assert user_settings().stand_ins


KNOWN = "Known here: stand_ins, host_settings, dangerous, snapshot_limit, snapshots_total."


@pytest.mark.parametrize(
    ("text", "message", "line", "hint"),
    [
        ("a = 1\nstand_ins = maybe\n", "not TOML: Invalid value", 2, None),
        ("stand_in = true\n", "unknown key `stand_in`", None, "Did you mean `stand_ins`?"),
        ("dangerous = true\n", "`dangerous` must be show or refuse", None, 'dangerous = "refuse"'),
        ("registry = 1\n", "`registry` must be a table", None, '[registry]\nmirrors = ["mirror.example"]'),
        ("[registry]\nmirror = []\n", "unknown key `mirror` in [registry]", None, "Did you mean `mirrors`?"),
        ("[registry]\nmirrors = 'a'\n", "`mirrors` must be a list of names", None, 'mirrors = ["mirror.example"]'),
        ("mirrors = ['a']\n", "unknown key `mirrors`", None, KNOWN),
        ("stand_ins = 'yes'\n", "`stand_ins` must be true or false", None, None),
    ],
)
def test_invalid_settings_are_errors(file: Path, text: str, message: str, line: int | None, hint: str | None) -> None:
    """The error has a message, a line and a hint."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        user_settings()
    assert (caught.value.message, caught.value.line, caught.value.hint) == (message, line, hint)
    assert caught.value.file == str(file)


def test_a_folder_in_its_place(file: Path) -> None:
    """A file that cannot be read is an error without a traceback."""
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        user_settings()
