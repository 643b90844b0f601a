"""The edits of `devenv add`, as both Compose versions and devenv's own loader see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devenv.compose.outline import Selection
from devenv.scaffold.add.proposal import write
from devenv.scaffold.add.services import templates
from support import cli, scaffold

MINE = """\
# mine
services:
    web:
        build: .
        depends_on: [cache] # fast
        volumes:
            - ./static:/srv/static
            - data:/data
    cache: { image: "redis:8" }
volumes: { data: }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a Compose file in a style of its own."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "static").mkdir()
    (folder / "app/main.py").touch()
    (folder / "requirements.txt").touch()
    (folder / ".env").touch()
    (folder / "compose.yml").write_text(MINE, encoding="utf-8")
    (folder / "Dockerfile").write_text(
        "FROM python:3\nWORKDIR /srv\nCOPY . .\nCMD python app/main.py\n", encoding="utf-8"
    )
    return folder


def compose_config(folder: Path, env: dict[str, str]) -> str:
    """The project as Compose resolves it, without a warning."""
    command = ["docker", "compose", "--profile", "*", "config"]
    done = subprocess.run(command, cwd=folder, env=cli._environment(env), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_added_service_is_valid_and_removable(
    project: Path, compose_env: dict[str, str], state_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose and devenv accept each step in one file, and after all removals the file is as before."""
    for name, value in (compose_env | state_env).items():
        monkeypatch.setenv(name, value)
    selection = Selection(str(project))
    added = []
    for kind, template in templates().items():
        name = f"my-{kind}"
        own = {"template": kind} if template.code else {"name": name}
        write(scaffold.add(selection, name if template.code else kind, to="web", **own))
        added.append(name)
    resolved = compose_config(project, compose_env)
    assert all(f"\n  {name}:\n" in resolved for name in added)
    assert list(project.glob(".devenv-*")) == []

    for name in reversed(added):
        write(scaffold.remove(selection, name))
    assert (project / "compose.yml").read_text(encoding="utf-8") == MINE


def test_proposed_rules_are_explained_and_loaded(
    project: Path, compose_env: dict[str, str], state_env: dict[str, str]
) -> None:
    """The mount becomes a rule, sources and manifests get rules, and a second time there is nothing to add."""
    env = compose_env | state_env
    done = cli.run("add", "rules", "web", "--from-mounts", "--yes", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    text = (project / "compose.yml").read_text(encoding="utf-8")
    again = cli.run("add", "rules", "--yes", cwd=project, env=env)

    assert "./static:/srv/static" not in text
    assert 'ignore: ["**/__pycache__/", "**/.venv/", ".env", ' in text
    assert "            - data:/data\n" in text
    assert "web: sync+restart .: copied by Dockerfile:3; no reloader is in its command" in done.stderr
    assert "web: rebuild ./requirements.txt" in done.stderr
    assert "web: sync ./static: was a bind mount" in done.stderr
    assert "nothing to add" in again.stderr
    assert "action: sync+restart" in compose_config(project, env)


def test_linked_file_is_checked_in_the_folder_of_its_link(tmp_path: Path, state_env: dict[str, str]) -> None:
    """Relative paths are resolved from that folder, in Compose too."""
    (tmp_path / "shared.yml").write_text("services:\n  web:\n    image: w\n    env_file: web.env\n", encoding="utf-8")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/web.env").touch()
    (tmp_path / "app/compose.yml").symlink_to("../shared.yml")
    done = cli.run("add", "redis", "--yes", cwd=tmp_path / "app", env=state_env)

    assert done.returncode == 0, done.stderr
    assert "redis:8" in (tmp_path / "shared.yml").read_text(encoding="utf-8")


def test_nobody_to_ask_writes_nothing(project: Path, state_env: dict[str, str]) -> None:
    """The error has exit code 2 and the options; --dry-run shows the change; Compose's errors come first."""
    files = sorted(project.iterdir())
    for arguments, code, message in (
        (("add", "redis"), 2, "--dry-run shows the changes, --yes writes them"),
        (("add", "redis", "--dry-run"), 0, "nothing was written"),
        (("add", "rules", "web", "--name", "x"), 2, "`add rules` takes a service"),
        (("add", "redis", "web"), 2, "go with `rules`"),
        (("remove", "cache"), 2, "`cache` is needed by web"),
    ):
        done = cli.run(*arguments, cwd=project, env=state_env)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert (project / "compose.yml").read_text(encoding="utf-8") == MINE

    (project / "compose.yml").write_text(MINE.replace("cache]", "cahce]"), encoding="utf-8")
    done = cli.run("add", "redis", "--yes", cwd=project, env=state_env)
    assert (done.returncode, "compose.yml:5" in done.stderr) == (5, True), done.stderr
    assert sorted(project.iterdir()) == files
