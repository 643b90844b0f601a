"""What the files of a project show."""

from __future__ import annotations

from pathlib import Path

from devenv.doctor import project_tree
from devenv.model.project import Build, Project, Service


def test_scripts_with_the_wrong_line_ends(tmp_path: Path) -> None:
    """Only what a kernel would start, at most three, and nothing below node_modules."""
    (tmp_path / "node_modules").mkdir()
    for number in range(4):
        (tmp_path / f"{number}.sh").write_bytes(b"#!/bin/sh\r\n")
    for name, text in (
        ("node_modules/x.sh", b"#!/bin/sh\r\n"),
        ("00-notes.sh", b"hello\r\n"),
        ("00-fine.sh", b"#!/bin/sh\n"),
    ):
        (tmp_path / name).write_bytes(text)
    project = Project("p", str(tmp_path), (), (Service("a", build=Build(str(tmp_path))), Service("b", image="x")))
    assert project_tree.crlf(project) == ("0.sh", "1.sh", "2.sh")
