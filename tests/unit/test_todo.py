"""The template `todo` is the sample app."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from devenv.scaffold.new.template import read, shipped

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample-todo-app"
QUESTIONS = ".env.jinja"
LEFT_BY_A_RUN = ("node_modules/x.js", "client/node_modules/y/z.js", "client/dist/a.js", "backend/data/db", ".env")


def test_the_template_makes_the_files_of_the_sample() -> None:
    """They are those under version control, with their content and their permission to run."""
    listed = subprocess.run(["git", "ls-files"], cwd=SAMPLE, capture_output=True, text=True, check=True)
    paths = listed.stdout.splitlines()
    files = read(shipped()["todo"], is_ours=True).files
    assert set(files) == {*paths, QUESTIONS}
    for path in paths:
        assert (files[path].content, files[path].executable) == (
            (SAMPLE / path).read_bytes(),
            bool((SAMPLE / path).stat().st_mode & 0o100),
        )


def test_what_a_run_of_the_sample_leaves_is_no_part_of_it(tmp_path: Path) -> None:
    """Dependencies, builds, data and the .env of a user of this checkout are left out."""
    shutil.copytree(ROOT / "templates/projects/todo", tmp_path / "templates/projects/todo")
    shutil.copytree(SAMPLE, tmp_path / "sample-todo-app")
    clean = set(read(str(tmp_path / "templates/projects/todo"), is_ours=True).files)
    for path in LEFT_BY_A_RUN:
        file = tmp_path / "sample-todo-app" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("left")
    assert set(read(str(tmp_path / "templates/projects/todo"), is_ours=True).files) == clean


def test_no_other_template_may_name_a_base(tmp_path: Path) -> None:
    """A stranger's template would read files of this machine."""
    (tmp_path / "files").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    about = 'description = "x"\n[base]\nfolder = "secret"\nleave_out = []\n'
    (tmp_path / "template.toml").write_text(about)
    assert read(str(tmp_path)).files == {}
