"""`devenv snapshot` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.__main__ import main
from devenv.model.snapshot import Snapshot
from devenv.volumes import commands as workflow
from support.schemas import checked_document


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_archive_without_a_note_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], output: str
) -> None:
    """It is not a snapshot, but may be the only copy: its path goes to standard error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "devenv-compose"
    for name in ("", "snapshots", "one"):
        folder /= name
        folder.mkdir(mode=0o700)
    (folder / "data.tar.gz").write_bytes(b"content")
    assert main(["snapshot", "list", f"--output={output}"]) == 0
    assert f"the archive of data in {folder} is kept" in capfd.readouterr().err


def test_the_time_of_a_snapshot_is_a_number_and_a_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The text is RFC 3339, as the times of events are."""
    saved = [Snapshot("1", "data", "p_data", "p", "/p", "unix:///e", 1.5, 1, 1, "x")]
    monkeypatch.setattr(workflow, "listed", lambda _: saved)
    monkeypatch.setattr(workflow, "damaged", lambda: ())
    assert main(["snapshot", "list", "--output=json"]) == 0
    (entry,) = checked_document("snapshot list", capfd.readouterr().out)["snapshots"]
    assert (entry["created"], entry["created_at"]) == (1.5, "1970-01-01T00:00:01.500Z")
