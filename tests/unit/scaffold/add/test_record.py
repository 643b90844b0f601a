"""Records of added services."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.scaffold.add.proposal import Proposal, write
from devenv.scaffold.add.record import Added, digest, recorded, recording
from devenv.scaffold.add.yaml_edit import EditStep, TextChange

ADDED = Added(
    "b",
    "a",
    (TextChange(1, "old", "new"),),
    (EditStep("insert", ("services", 0), "db:"),),
    "web",
    ("URL",),
    ("db-data",),
)


def written(folder: Path, file: str, services: dict[str, Added]) -> Path:
    record = recording(str(folder / "added"), file, services)
    write(Proposal(str(folder), (), (), record))
    return Path(record.path)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """There is one file of records per Compose file, with mode 600; a link leads to the same file."""
    (tmp_path / "compose.yml").touch()
    (tmp_path / "link.yml").symlink_to("compose.yml")
    path = written(tmp_path, str(tmp_path / "compose.yml"), {"db": ADDED})
    folder = str(tmp_path / "added")
    assert recorded(folder, str(tmp_path / "link.yml")) == {"db": ADDED}
    assert recorded(folder, str(tmp_path / "other.yml")) == {}
    assert path.stat().st_mode & 0o777 == 0o600
    assert written(tmp_path, str(tmp_path / "compose.yml"), {}) == path
    assert recorded(folder, str(tmp_path / "compose.yml")) == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"v": 2, "services": {}}', '{"v": 1}', '{"v": 1, "services": {"a": 1}}']
)
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    """Then nothing is known to be ours."""
    path = written(tmp_path, "/c.yml", {"db": ADDED})
    path.write_text(text, encoding="utf-8")
    assert recorded(str(tmp_path / "added"), "/c.yml") == {}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """The link may have been created by another user."""
    path = written(tmp_path, "/c.yml", {"db": ADDED})
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="is a symbolic link"):
        recorded(str(tmp_path / "added"), "/c.yml")


def test_an_edited_text_is_not_taken_back() -> None:
    """Only the exact text that was written is removed."""
    record = Added(digest("ab"), digest("aXb"), (TextChange(1, "", "X"),), ())
    assert record.taken_back("aXb") == "ab"
    assert record.taken_back("aXbc") is None
