"""Projects as the installed and the newer Compose resolve them, and their errors with file and line."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

import anyio
import pytest

from devenv.compose.config import version_tuple
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded, load
from devenv.compose.run_model import Scale
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError
from devenv.model.project import Action, WatchRule
from devenv.sync.rules.lint import faults

pytestmark = pytest.mark.engine

NEWER = (
    "develop: {watch: [{path: ./src, action: sync, target: /src, include: ['*.js'], ignore: x, initial_sync: true}]}"
)


@pytest.fixture
def project(compose_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, and one version of Compose for devenv in this process."""
    for key, value in compose_env.items():
        monkeypatch.setenv(key, value)
    for key in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "PWD"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = tmp_path / "my project"
    folder.mkdir()
    return folder


def write(folder: Path, name: str, text: str) -> None:
    """Write a file of the project; missing folders are created."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def loaded(folder: Path, *files: str, profiles: tuple[str, ...] = (), name: str | None = None) -> Loaded:
    """The project in `folder`."""
    selection = Selection(str(folder), files, name, profiles)
    return anyio.run(lambda: load(selection, faults=faults))


def error(folder: Path) -> str:
    """The place and message of the error of the project in `folder`."""
    with pytest.raises(DevenvError) as caught:
        loaded(folder)
    assert isinstance(caught.value, ConfigError)
    return f"{caught.value.where}: {caught.value} | {caught.value.hint}"


def rule(folder: Path, path: str) -> WatchRule:
    """The rule that NEWER has for a file in `path` below `folder`."""
    source = os.path.normpath(folder / path / "src")
    return WatchRule(source, Action.SYNC, "/src", ("x",), ("*.js",), initial_sync=True)


def test_plain_project_is_loaded(project: Path) -> None:
    """Name, folder, files and rules are read; newer watch keys on every Compose, too."""
    write(project, "compose.yml", f"services:\n  web:\n    image: a:${{TAG:-1}}\n    build: .\n    {NEWER}\n")
    result = loaded(project)
    assert result.project.name == "myproject"
    assert result.project.directory == str(project)
    assert result.project.files == (str(project / "compose.yml"),)
    assert result.project.service("web").image == "a:1"
    assert result.project.service("web").watch == (rule(project, "."),)
    assert result.places == {("web", 0): ("compose.yml", 5)}
    assert result.warnings == (f"compose.yml:5: {project}/src does not exist: the rule waits for it",)
    (project / "src").mkdir()
    assert loaded(project).warnings == ()
    assert "image" not in repr(result).replace("image='a:1'", "")


def test_newer_watch_keys_are_read_from_all_files(project: Path) -> None:
    """Overrides and included files have the right base folders; no copy is left behind."""
    service = "image: a\n    build: .\n"
    write(project, "compose.yml", f"include: [sub/inc.yml]\nservices:\n  web:\n    {service}    {NEWER}\n")
    write(project, "compose.override.yml", f"services:\n  web:\n    {NEWER}\n    env_file: web.env\n")
    write(project, "web.env", "A=1\n")
    write(project, "sub/.env", "TAG=sub\n")
    write(
        project,
        "sub/inc.yml",
        f"include: [deep/inc.yml]\nservices:\n  inc:\n    image: b:$TAG\n    build: .\n    {NEWER}\n",
    )
    write(project, "sub/deep/inc.yml", f"services:\n  deep:\n    {service}    {NEWER}\n")
    services = {service.name: service for service in loaded(project).project.services}
    assert services["web"].watch == (rule(project, "."), rule(project, "."))
    assert services["inc"].watch == (rule(project, "sub"),)
    assert services["deep"].watch == (rule(project, "sub/deep"),)
    assert services["inc"].image == "b:sub"
    assert services["inc"].build is not None
    assert services["inc"].build.context == str(project / "sub")
    assert os.listdir(tempfile.gettempdir()) == []


def test_rules_outside_the_project_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder is refused, a folder next to the project is a warning, both with file and line."""
    monkeypatch.setenv("HOME", str(project.parent))
    head = "services:\n  web:\n    image: a\n    develop:\n      watch:\n        - {action: restart, path: "
    write(project, "compose.yml", f"{head}../}}\n")
    with pytest.raises(RefusedError) as caught:
        loaded(project)
    assert str(caught.value) == f"compose.yml:6: the rule would watch all of {project.parent}"
    assert caught.value.exit_code == 6
    write(project, "compose.yml", f"{head}../shared}}\n")
    (project.parent / "shared").mkdir()
    assert loaded(project).warnings == (
        f"compose.yml:6: the rule watches {project.parent}/shared, which is outside the project",
    )


def test_rule_paths_are_relative_to_their_file(project: Path) -> None:
    """Paths in an extended file, too; all rules are kept in order, with their places."""
    head = "services:\n  web:\n    image: a\n    develop:\n      watch:\n        - {action: restart, path: "
    write(project, "sub/base.yml", f"{head}./src/}}\n")
    write(
        project,
        "compose.yml",
        f"{head}src}}\n        - {{action: restart, path: src}}\n    extends: {{file: sub/base.yml, service: web}}\n",
    )
    write(project, "compose.override.yml", f"{head}./}}\n")
    for folder in ("src", "sub/src"):
        (project / folder).mkdir(parents=True)
    result = loaded(project)
    paths = [os.path.normpath(rule.path) for rule in result.project.service("web").watch]
    assert paths == [str(project / path) for path in ("sub/src", "src", "src", ".")]
    assert [result.places["web", index] for index in range(1, 4)] == [
        ("compose.yml", 6),
        ("compose.yml", 7),
        ("compose.override.yml", 6),
    ]
    assert result.warnings == ()


def test_unwritable_targets_are_errors(project: Path) -> None:
    """`tmpfs`, `read_only` and read-only mounts of the service count, as Compose resolves them."""
    head = "services:\n  web:\n    image: a\n"
    rule_at = "    develop: {watch: [{action: sync, path: ., target: /app/x}]}\n"
    message = "compose.yml:5: the `target` /app/x is inside"
    write(project, "compose.yml", f"{head}    tmpfs: /app:size=1m\n{rule_at}")
    assert error(project).startswith(f"{message} the tmpfs /app, where the engine can put no file")
    write(project, "compose.yml", f"{head}    volumes: ['data:/app:ro']\n{rule_at}volumes: {{data: }}\n")
    assert error(project).startswith(f"{message} /app, which is mounted read-only")
    write(project, "compose.yml", f"{head}    read_only: true\n{rule_at}")
    assert "no volume is mounted over the `target` /app/x" in error(project)


def test_newer_key_in_an_extended_file_is_an_error_of_old_compose(project: Path) -> None:
    """The error names the file, the line and the required version."""
    write(project, "compose.yml", "services:\n  web:\n    extends: {file: base.yml, service: base}\n")
    write(project, "base.yml", f"services:\n  base:\n    image: a\n    build: .\n    {NEWER}\n")
    if "2.26" in compose_version():
        assert error(project).startswith(
            "base.yml:5: `include` in a file that is named by `extends` needs Compose 2.34"
        )
    else:
        assert loaded(project).project.service("web").watch == (rule(project, "."),)


@pytest.mark.parametrize(
    ("key", "needed"),
    [
        ("pre_start: [{image: b}]", (5, 3, 0)),
        ("build: {context: ., no_cache_filter: [a]}", (5, 0, 0)),
        ("networks: {default: {interface_name: e0}}", (2, 36, 0)),
        ("use_api_socket: true", (2, 37, 2)),
    ],
)
def test_a_key_of_a_newer_compose_is_refused_with_the_version(
    project: Path, key: str, needed: tuple[int, ...]
) -> None:
    """By its line; a Compose that knows the key accepts it."""
    write(project, "compose.yml", f"services:\n  web:\n    image: a\n    {key}\n")
    if version_tuple(compose_version()) < needed:
        assert f" needs Docker Compose {'.'.join(map(str, needed))} | Compose " in error(project)
        assert error(project).startswith("compose.yml:4: ")
    else:
        assert loaded(project).project.service("web").image == "a"


def compose_version() -> str:
    """The version of Compose in use."""
    shown = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, check=True)
    return shown.stdout


def test_project_name_and_profiles_have_their_precedence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-p precedes COMPOSE_PROJECT_NAME, and that `name:`; profiles come from the command line and the shell."""
    write(
        project,
        "compose.yml",
        "name: filed\nservices: {a: {image: a}, b: {image: b, profiles: [p]}, c: {image: c, profiles: [q]}}\n",
    )
    assert loaded(project).project.name == "filed"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "shell")
    assert loaded(project).project.name == "shell"
    assert loaded(project, name="typed").project.name == "typed"
    assert [service.name for service in loaded(project, profiles=("p",)).project.services] == ["a", "b"]
    monkeypatch.setenv("COMPOSE_PROFILES", "q")
    assert [service.name for service in loaded(project).project.services] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services:\n  web:\n    image: a\n    prots: []\n", "compose.yml:4: unknown key `prots` in services.web"),
        (
            "services:\n  web:\n    image: a\n    networks: [x]\n",
            "compose.yml:4: `web` uses the network `x`, which is not defined",
        ),
        (
            "services:\n  web:\n    image: a\n    volumes: ['data:/x']\n",
            "compose.yml:4: `web` uses the volume `data`, which is not defined",
        ),
        (
            "services:\n  web:\n    image: a\n    depends_on:\n      - x\n",
            "compose.yml:5: `web` needs the service `x`, which does not exist",
        ),
        (
            "services:\n  web:\n    image: a\n    env_file: no.env\n",
            "compose.yml:4: the env_file no.env does not exist",
        ),
        ("services:\n  web:\n    image: a\n    env_file: bad.env\n", "bad.env:2: key cannot contain a space"),
        ("services:\n  web:\n    image: a:${NO?said so}\n", "compose.yml:3: the variable NO has no value: said so"),
        (
            "services:\n  web:\n    image: a:${\n",
            "compose.yml:3: services.web.image: `$` is not followed by a variable",
        ),
        (
            "services:\n  web:\n    image: a\n    ports:\n      - 1:2:3:x\n",
            "compose.yml:5: `1:2:3:x` is not a port mapping",
        ),
        (
            "services:\n  web:\n    image: ALPINE\n",
            "compose.yml:3: services.web.image: `ALPINE` is not a valid image reference",
        ),
        ("services:\n  web: {image: a}\nservices: {}\n", 'compose.yml:3: duplicate key "services" (first on line 1)'),
        ("x-a: 1\n", "compose.yml: no services in compose.yml"),
        ("services: {}\n", "compose.yml:1: no services in compose.yml | Define services under the key `services:`."),
        (
            "services:\n  web: {image: a, profiles: [x]}\n",
            "compose.yml:1: all services have profiles, and none is active | --profile x   (profiles: x)",
        ),
        ("services: {web: {image: a}}\nx-devenv:\n  port: x\n", "compose.yml:3: x-devenv.port: unknown key"),
        (
            "services:\n  web:\n    image: a\n    develop:\n      watch:\n        - {path: ., action: rebuild}\n",
            "compose.yml:6: service `web` has nothing to rebuild: it has no `build` section",
        ),
    ],
    ids=lambda value: value.splitlines()[-1][:30],
)
def test_load_errors_have_file_and_line(project: Path, text: str, complaint: str) -> None:
    """Exit code 5 and plain words, on both versions of Compose."""
    write(project, "compose.yml", text)
    write(project, "bad.env", "A=hunter2\nB C=hunter2\n")
    assert error(project).startswith(complaint)


def test_warnings_of_compose_have_a_line(project: Path) -> None:
    """A warning has the line where the variable is used."""
    write(project, "compose.yml", "services:\n  web:\n    image: a\n    command: x $UNSET_HERE\n")
    assert loaded(project).warnings == ("the variable UNSET_HERE is not set, so its value is empty (compose.yml:4)",)


def test_missing_docker_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has exit code 4 and says what to install."""
    write(project, "compose.yml", "services: {web: {image: a}}\n")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="`docker` is not installed") as caught:
        loaded(project)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "message",
    [
        "unknown shorthand flag: 'f' in -f",
        "unknown flag: --project-directory",
        "docker: 'compose' is not a docker command.",
    ],
)
def test_missing_compose_plugin_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, message: str
) -> None:
    """Exit 4 and what to install."""
    write(project, "compose.yml", "services: {web: {image: a}}\n")
    write(tmp_path, "bin/docker", f'#!/bin/sh\necho "{message}" >&2\nexit 125\n')
    (tmp_path / "bin/docker").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    with pytest.raises(EngineError, match="`docker compose` is not installed"):
        loaded(project)


def test_dangers_have_the_place_of_their_entry(project: Path) -> None:
    """Dangers in merged files, extended services and included files have their places."""
    write(
        project,
        "compose.yml",
        "include: [sub/more.yml]\nservices:\n  web:\n    image: a\n    volumes:\n      - ./src:/src\n"
        "      - type: bind\n        source: /\n        target: /host\n    cap_add: [NET_ADMIN]\n"
        "  ext:\n    extends: {file: base.yml, service: base}\n",
    )
    write(project, "compose.override.yml", "services:\n  web:\n    cap_add:\n      - ALL\n    devices: [/dev/null]\n")
    write(project, "sub/more.yml", "services:\n  inc:\n    image: a\n    volumes: ['/run/docker.sock:/d.sock:ro']\n")
    write(project, "base.yml", "services: {base: {image: a, privileged: true}}\n")
    dangers = {(danger.service, danger.path[-1], danger.where) for danger in loaded(project).dangers}
    assert dangers == {
        ("web", "volumes", "compose.yml:7"),
        ("web", "cap_add", "compose.override.yml:4"),
        ("web", "devices", "compose.override.yml:5"),
        ("inc", "volumes", "sub/more.yml:4"),
        ("ext", "privileged", "compose.yml:11"),
    }


def test_hooks_have_the_place_of_their_entry(project: Path) -> None:
    """Of several files, an older Compose uses the last block, a newer one merges them. A mistake has its line."""
    write(
        project,
        "compose.yml",
        "services: {web: {image: a}, off: {image: a, profiles: [p]}}\n"
        "x-devenv:\n  hooks:\n    after_healthy: [echo 1, echo 2]\n    before_down: x\n",
    )
    assert [hook.where for hook in loaded(project).project.hooks] == ["compose.yml:4"] * 2 + ["compose.yml:5"]
    write(
        project,
        "compose.override.yml",
        "x-devenv:\n  hooks:\n    after_healthy:\n      - echo $$HOME\n      - service: off\n        command: it\n",
    )
    hooks = {hook.typed: hook.where for hook in loaded(project).project.hooks}
    assert hooks.pop("echo $HOME") == "compose.override.yml:4"
    assert hooks.pop("devenv exec off it") == "compose.override.yml:5"
    assert hooks in ({}, {"echo 1": "compose.yml:4", "echo 2": "compose.yml:4", "x": "compose.yml:5"})
    write(project, "compose.override.yml", "x-devenv:\n  hooks:\n    after_healthy:\n      - service: wbe\n")
    expected = r"compose\.override\.yml:[34]: x-devenv\.hooks\.after_healthy\[[02]\]\.service: there is no"
    assert re.match(expected, error(project))


def test_named_services_are_in_the_model_with_their_scale(project: Path) -> None:
    """Named services are in the model with any profile, in addition to COMPOSE_PROFILES."""
    write(
        project,
        "compose.yml",
        "services:\n  web: {image: a, deploy: {replicas: 2}}\n  tool: {image: a, profiles: [t]}\n"
        "  other: {image: a, profiles: [o]}\n",
    )
    write(project, ".env", "COMPOSE_PROFILES=o\n")

    def names(*services: str, scale: tuple[Scale, ...] = ()) -> dict[str, int]:
        selection = Selection(str(project), services=services, scale=scale)
        return {service.name: service.scale for service in anyio.run(load, selection).project.services}

    assert names() == {"other": 1, "web": 2}
    assert names("tool") == {"other": 1, "tool": 1, "web": 2}
    assert names("tool", scale=(Scale("web", 3), Scale("tool", 0))) == {"other": 1, "tool": 0, "web": 3}
