"""The dangers of a project's files, with file and line; env files, which the resolved model does not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devenv.compose.files import ComposeFile, read
from devenv.compose.parse import parse
from devenv.compose.safety.findings import env_files, find_dangers


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for the files."""
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


def sources(project: Path, **files: str) -> tuple[ComposeFile, ...]:
    """Write the files and read `compose.yml`; an underscore in a name means a dot."""
    for name, text in files.items():
        (project / name.replace("_", ".")).write_text(text)
    return read([str(project / "compose.yml")], base=str(project))


def seen(read_: tuple[ComposeFile, ...]) -> list[tuple[str, str, str]]:
    """Service, path and place of each env file."""
    return [(use.service, use.source, use.where) for use in env_files(read_)]


def test_env_files(project: Path, home: Path) -> None:
    """Each form that Compose accepts is read, with its line."""
    text = """\
services:
  a: {env_file: ../x.env}
  b:
    env_file:
      - ~/.aws/credentials
      - path: /etc/y
        required: false
  c: {image: a}
"""
    assert seen(sources(project, compose_yml=text)) == [
        ("a", str(project.parent / "x.env"), "compose.yml:2"),
        ("b", f"{home}/.aws/credentials", "compose.yml:5"),
        ("b", "/etc/y", "compose.yml:6"),
    ]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("$KEYS/x", "/k/x"),
        ("${KEYS}/x", "/k/x"),
        ("${KEYS:-/no}/x", "/k/x"),
        ("${NONE:-/d}/x", "/d/x"),
        ("${NONE-${KEYS}}/x", "/k/x"),
        ("${KEYS:+/alt}/x", "/alt/x"),
        ("/${NONE}x", "/x"),
        ("/$$KEYS", "/$KEYS"),
        ("${DOTENV}/x", "/e/x"),
        ("${KEYS?must}/x", "/k/x"),
        ("${HOME}/.ssh/id", "HOME/.ssh/id"),
    ],
)
def test_env_files_with_parameters(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch, written: str, path: str
) -> None:
    """Variables are filled in from the environment and .env, as Compose does."""
    monkeypatch.setenv("KEYS", "/k")
    monkeypatch.delenv("NONE", raising=False)
    (project / ".env").write_text("DOTENV=/e\n")
    read_ = sources(project, compose_yml=f"services: {{a: {{env_file: '{written}'}}}}\n")
    assert [use.source for use in env_files(read_)] == [path.replace("HOME", str(home))]


def test_env_files_of_what_is_extended_and_included(project: Path) -> None:
    """They count for the service that uses them; those of an `include` count for all services."""
    text = """\
include:
  - {path: inc.yml, env_file: [/i/env]}
services:
  a: {extends: {file: base.yml, service: b}}
  c: {extends: a}
  d: {extends: {service: d}}
"""
    base = "services:\n  b: {env_file: /b, extends: {service: z}}\n  z: {env_file: /z}\n"
    read_ = sources(project, compose_yml=text, base_yml=base, inc_yml="services: {i: {env_file: ./i.env}}\n")
    assert sorted(seen(read_)) == [
        ("", "/i/env", "compose.yml:2"),
        ("a", "/b", "base.yml:2"),
        ("a", "/z", "base.yml:3"),
        ("c", "/b", "base.yml:2"),
        ("c", "/z", "base.yml:3"),
        ("i", str(project / "i.env"), "inc.yml:1"),
    ]


def test_env_files_of_files_with_a_parameter_in_their_name(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read too, at any depth, relative to the folder that is named."""
    monkeypatch.setenv("PART", "inc")
    text = """\
include:
  - ${PART}.yml
  - {path: "$PART.yml", project_directory: /elsewhere}
services:
  a: {extends: {file: "${PART}2.yml", service: b}}
"""
    files = {
        "inc_yml": "include: ['${NONE:-deep}.yml']\nservices: {i: {env_file: i.env}}\n",
        "deep_yml": "services: {d: {env_file: /d}}\n",
        "inc2_yml": "services: {b: {env_file: /b}}\n",
    }
    uses = seen(sources(project, compose_yml=text, **files))
    assert ("i", f"{project}/i.env", "inc.yml:2") in uses
    assert ("i", "/elsewhere/i.env", "inc.yml:2") in uses
    assert ("d", "/d", "deep.yml:1") in uses
    assert ("a", "/b", "inc2.yml:1") in uses


def test_files_that_include_each_other(project: Path) -> None:
    """Each file is visited once, however often it is named."""
    files = {f"f{n}_yml": f"include: ['${{NONE:-f{n + 1}}}.yml', '${{NONE:-f{n + 1}}}.yml']\n" for n in range(19)}
    files["f19_yml"] = "include: ['${NONE:-f0}.yml']\nservices: {a: {env_file: /a}}\n"
    assert seen(sources(project, compose_yml="include: ['${NONE:-f0}.yml']\n", **files)) == [("a", "/a", "f19.yml:2")]


def test_remote_files_are_reported_as_unknown(project: Path) -> None:
    """Remote files: the message says that they are not known, without the login before an `@`."""
    text = """\
include:
  - https://me:token@example.org/x.git
services:
  a: {extends: {file: "oci://example.org/x", service: b}}
"""
    unknown = "its `env_file`s are unknown"
    assert [(use.service, use.always, use.where) for use in env_files(sources(project, compose_yml=text))] == [
        (
            "a",
            f"extends a service of oci://example.org/x, but devenv cannot read it: {unknown}",
            "compose.yml:4",
        ),
        ("", f"https://***@example.org/x.git is included, but devenv cannot read it: {unknown}", "compose.yml:2"),
    ]


def test_dangers_with_their_lines(project: Path, home: Path) -> None:
    """Dangers of lists, rules, env files and secrets; a link in the project is followed."""
    (project / "link").symlink_to("/")
    text = f"""\
services:
  a:
    image: x
    cap_add:
      - SYS_ADMIN
    security_opt:
      - no-new-privileges:true
      - seccomp:unconfined
    volumes:
      - ./link/etc:/x
    env_file: {home}/.netrc
    secrets:
      - k
    develop:
      watch:
        - {{path: ., action: sync+exec, target: /y, exec: {{command: [id], privileged: true}}}}
        - {{path: {home}/.ssh, action: sync, target: /z}}
secrets:
  k:
    file: /etc/shadow
"""
    read_ = sources(project, compose_yml=text)
    model: dict[str, Any] = {"name": "app", **yaml.safe_load(text)}
    del model["services"]["a"]["env_file"]
    model["services"]["a"]["volumes"] = [{"type": "bind", "source": f"{project}/link/etc", "target": "/x"}]
    model["services"]["a"]["develop"]["watch"][0]["path"] = str(project)
    dangers = find_dangers(model, parse(model, directory=str(project), files=()), read_)
    assert sorted((int(danger.where.partition(":")[2]), danger.message.split(":")[0]) for danger in dangers) == [
        (5, "a has the capability SYS_ADMIN, which is nearly all of them"),
        (8, "a may make every system call (`seccomp"),
        (10, f"a mounts {project}/link/etc, a link to /etc"),
        (11, f"a gets the values in {home}/.netrc"),
        (16, "a runs `id` as privileged"),
        (17, f"a syncs {home}/.ssh"),
        (20, "a gets the secret `k` from /etc/shadow"),
    ]
