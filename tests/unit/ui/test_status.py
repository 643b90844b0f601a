"""What `devenv` alone prints."""

from __future__ import annotations

from devenv.model.status import Here
from devenv.ui.status import lines


def test_the_state_comes_first_and_commands_in_columns() -> None:
    """Cleaned: names in Compose files are chosen by their authors."""
    here = Here("up", "sh\x1b[2Jop is up", "shop", urls=("http://localhost:1/",), guardians=("one waits",))
    state, url, guardian, *commands = lines(here)
    assert (state, url, guardian) == ("shop is up", "  http://localhost:1/", "one waits")
    texts = [suggestion.does for suggestion in here.commands]
    assert len(commands) == len(texts) > 1
    assert len({line.index(text) for line, text in zip(commands, texts, strict=True)}) == 1
