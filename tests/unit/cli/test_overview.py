"""The overview of all commands, and the pages of the documentation."""

from __future__ import annotations

import os
import sys
from unittest.mock import Mock

import pytest

from devenv.cli import main, overview, parser, registry

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("--help", "Usage: devenv [OPTIONS]"),
        ("help", "Usage: devenv [OPTIONS]"),
        ("-h", "Usage: devenv [OPTIONS]"),
        ("images --help", "Usage: devenv images [OPTIONS]"),
        ("images", None),
        ("up --help", None),
        ("images help", None),
        ("images list --help", None),
    ],
)
def test_the_overview_is_printed_without_a_parser(line: str, begins: str | None) -> None:
    """Any other argument on the command line needs the parser."""
    text = overview.quick(line.split())
    assert (text is None) is (begins is None)
    assert (text or "").startswith(begins or "")


@pytest.mark.parametrize(
    ("word", "begins"),
    [
        ("troubleshooting", "# What `devenv doctor` finds\n\nOther"),
        ("troubleshooting#crlf", "### crlf\n\nwarning: "),
        ("images.md", "# Images: "),
        ("ci", "# "),
        ("commands", "# Commands"),
        ("causes", "# Errors by their text"),
        ("commands/up", "# devenv up\n\nStart"),
        ("../commands/up.md", "# devenv up\n\nStart"),
        ("zh-CN/getting-started", "# 五分钟上手"),
        ("../guides/ci.md", "# In CI"),
    ],
)
def test_help_topic_prints_a_page(capfd: Capture, word: str, begins: str) -> None:
    """`help TOPIC` prints a page, or its part below an anchor, and does not wait for a key without a terminal."""
    assert main.run(["help", word]) == 0
    assert capfd.readouterr().out.startswith(begins)


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "utf-8"), ("latin-1", None)])
def test_a_terminal_shows_a_page_in_the_pager(
    monkeypatch: pytest.MonkeyPatch, encoding: str, charset: str | None
) -> None:
    """Lines are wrapped to its width; `less` shows Chinese text if the language in LANG is not installed, too."""
    shown = Mock()
    monkeypatch.setattr("pydoc.pager", shown)
    monkeypatch.setattr(sys, "stdout", Mock(isatty=lambda: True, encoding=encoding))
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("LESSCHARSET", raising=False)
    assert parser.print_help(["bind-mounts"]) == 0
    assert shown.call_args[0][0].startswith("# Bind mounts\n\n")
    assert os.environ.pop("LESSCHARSET", None) == charset
    prose = shown.call_args[0][0].partition("\n## ")[0].splitlines()
    assert 40 < max(map(len, prose)) <= 60


@pytest.mark.parametrize(
    ("word", "language", "begins"),
    [
        ("network", "zh_CN.UTF-8", "# 代理"),
        ("ci", "zh_CN.UTF-8", "# In CI"),
        ("network", "de_DE.UTF-8", "# Behind"),
        ("network", "", "# Behind"),
    ],
)
def test_a_topic_is_printed_in_the_users_language(
    monkeypatch: pytest.MonkeyPatch, word: str, language: str, begins: str
) -> None:
    """A Chinese user gets a translated page; all other pages, and all other users, are in English."""
    monkeypatch.setenv("LC_ALL", language)
    monkeypatch.setenv("LANG", "zh_TW.UTF-8" if not begins.isascii() else "C")
    assert overview.page(word).startswith(begins)


def test_the_help_has_all_commands_in_sections_and_all_topics(capfd: Capture) -> None:
    """Each in a line of at most 80 columns."""
    assert main.run(["--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in registry.names()]
    assert shown == [*registry.names()]
    assert [line for line in lines if line.endswith(":")] == [*(f"{s}:" for s in registry.SECTIONS.values()), "Help:"]
    assert max(map(len, lines)) <= 80
    assert {"troubleshooting", "images.md", "ci", "zh-CN/network"} <= {*" ".join(lines).replace(",", "").split()}
