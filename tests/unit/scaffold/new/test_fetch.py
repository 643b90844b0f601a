"""A template from a git repository: fetched, read, and given nothing to run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio
import pytest

from devenv.errors import ConfigError, DevenvError, RefusedError, UsageError
from devenv.scaffold.new import fetch
from devenv.scaffold.new.template import Template

SSH = """#!/bin/sh
# Stands for ssh to any host: runs the last argument here, and notes all of them.
printf '%s\\n' "$@" >>"$SSH_NOTES"
for last; do :; done
exec sh -c "$last"
"""


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a template at the tag v1, which `ssh://host/...` reaches."""
    folder = tmp_path / "shop.git"
    (folder / "files").mkdir(parents=True)
    (folder / "template.toml").write_text('description = "remote"\n')
    (folder / "files/a.txt").write_text("one")
    git(folder, "init", "-q")
    commit(folder)
    git(folder, "tag", "v1")
    (folder / "files/a.txt").write_text("two")
    commit(folder)
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_NOTES", str(tmp_path / "notes"))
    return folder


def git(folder: Path, *arguments: str) -> None:
    """A git command in the folder, with a name for its commits."""
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def commit(folder: Path) -> None:
    """All that the folder has, committed."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def fetched(source: str) -> Template:
    """The template, as `--from` gets it."""
    return anyio.run(fetch.fetched, source)


@pytest.mark.parametrize(("ref", "text"), [("", b"two"), ("@v1", b"one")])
def test_a_repository_is_fetched_at_the_tag(remote: Path, ref: str, text: bytes) -> None:
    """Without one, as it is now; the template has the repository's name."""
    template = fetched(f"ssh://host{remote}{ref}")
    assert (template.name, template.files["a.txt"].content) == ("shop", text)


def test_nothing_of_the_environment_or_of_hooks_takes_part(
    remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As from within a git hook: GIT_DIR and its kind are not for this repository."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {tmp_path}/planted; false")
    assert fetched(f"ssh://host{remote}").name == "shop"
    assert not (tmp_path / "planted").exists()


def test_a_link_and_a_submodule_in_the_repository_are_refused(remote: Path) -> None:
    """Also where git would have written the link as a file."""
    os.symlink("/etc/passwd", remote / "files/passwd")
    commit(remote)
    with pytest.raises(RefusedError, match=r"files/passwd.*link or a submodule"):
        fetched(f"ssh://host{remote}")
    git(remote, "rm", "-q", "files/passwd")
    git(remote, "submodule", "add", "-q", str(remote), "files/sub")
    commit(remote)
    with pytest.raises(RefusedError, match="submodule"):
        fetched(f"ssh://host{remote}")


def test_a_repository_that_is_not_there_is_one_clear_line(remote: Path) -> None:
    """Without what git said, and with what to try."""
    with pytest.raises(ConfigError, match="cannot be fetched") as caught:
        fetched(f"ssh://host{remote}/nowhere@v1")
    assert caught.value.hint == f"git ls-remote ssh://host{remote}/nowhere"


@pytest.mark.parametrize(
    "source",
    [
        "ext::sh -c id", "file:///etc", "http://host/x", "git://host/x", "ssh://-oProxyCommand=id/x", "-u",
        "--upload-pack=x", "https://host/x@--config=core.sshCommand=id", "https://host/x@../y", "https://host/x@-x",
        "git@-host:x", "git@host:-x", "https://host/a b", "fd::17/x", "ssh://host", "https:///x", "x@y",
    ],
)  # fmt: skip
def test_an_address_that_could_do_more_is_refused(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before git is started."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RefusedError, match="is no address of a template"):
        fetched(source)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A name without the marks of an address is a folder."""
    with pytest.raises(UsageError, match="not found"):
        fetched(f"{tmp_path}/nowhere")


@pytest.mark.parametrize("source", ["https://me:secret@host/x@-", "https://secret@host/x@-", "https://[secret@/x::"])
def test_no_password_is_shown(source: str) -> None:
    """Whatever is wrong with the address."""
    with pytest.raises(DevenvError) as caught:
        fetched(source)
    assert "secret" not in f"{caught.value.message}{caught.value.hint}"
