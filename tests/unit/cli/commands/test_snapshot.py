"""`devenv snapshot` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.__main__ import main


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_archive_without_a_note_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], output: str
) -> None:
    """It is no snapshot, but may be the only copy: its path goes to standard error."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "devenv-compose"
    for name in ("", "snapshots", "one"):
        folder /= name
        folder.mkdir(mode=0o700)
    (folder / "data.tar.gz").write_bytes(b"content")
    assert main(["snapshot", "list", f"--output={output}"]) == 0
    assert f"the archive of data in {folder} is kept" in capfd.readouterr().err
