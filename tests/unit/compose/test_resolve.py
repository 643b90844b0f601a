"""The commands of Compose that run when a project is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.validate import validate
from devenv.docker import process
from devenv.docker.process import Completed
from devenv.errors import ConfigError, EngineError, UsageError
from devenv.model.project import Action, Project, RuleFault, Service, WatchRule
from support.worktrees import linked

pytestmark = pytest.mark.anyio

MODEL = b"name: p\nservices: {web: {image: x}}\n"


@pytest.mark.parametrize(
    ("key", "returncode", "asked"),
    [("ignore", 0, ["config"]), ("include", 0, ["version", "config"]), ("ignore", 1, ["config", "version"])],
)
async def test_compose_version_is_asked_for_only_if_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, returncode: int, asked: list[str]
) -> None:
    """The version is not asked for if no file has a key of a newer Compose and there is no error."""
    rule = f"{{path: ., action: sync, target: /a, {key}: x}}"
    text = f"services: {{web: {{image: x, develop: {{watch: [{rule}]}}}}}}\n"
    (tmp_path / "compose.yml").write_text(text, encoding="utf-8")
    heard: list[str] = []

    async def run(argv: list[str], **_: Any) -> Completed:
        heard.append("version" if "version" in argv else "config")
        return Completed(0, b"2.26.1", b"") if "version" in argv else Completed(returncode, MODEL, b"it is wrong")

    monkeypatch.setattr(process, "run", run)
    if returncode:
        with pytest.raises(ConfigError):
            await resolve.load(Selection(str(tmp_path)))
    else:
        await resolve.load(Selection(str(tmp_path)))
    assert heard == asked


async def test_a_rule_for_a_file_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning, but not for a lock file, which a tool makes later: the project of a template has none."""
    (tmp_path / "compose.yml").write_text("services: {web: {image: x}}\n", encoding="utf-8")
    names = ("package-lock.json", "uv.lock", "src")
    rules = ", ".join(f"{{path: {tmp_path}/{name}, action: restart}}" for name in names)
    model = f"name: p\nservices: {{web: {{image: x, develop: {{watch: [{rules}]}}}}}}\n".encode()

    async def run(*_: Any, **__: Any) -> Completed:
        return Completed(0, model, b"")

    monkeypatch.setattr(process, "run", run)
    (warning,) = (await resolve.load(Selection(str(tmp_path)))).warnings
    assert warning.endswith(f"{tmp_path}/src does not exist: the rule waits for it")
    (tmp_path / "scr").mkdir()
    (warning,) = (await resolve.load(Selection(str(tmp_path)))).warnings
    assert warning.endswith(f"{tmp_path}/src does not exist: the rule waits for it; did you mean `scr`?")


NAMED = """\
include: [more.yml{remote}]
services:
  web: {{image: a, profiles: [debug]}}
  base: {{image: a, extends: {{file: other.yml, service: base}}}}
"""


@pytest.mark.parametrize(
    ("remote", "wish", "message"),
    [
        ("", {"services": ("wbe",)}, "there is no service `wbe` | Did you mean `web`?"),
        ("", {"services": ("web", "more", "xyz")}, "there is no service `xyz` | Known here: base, more, web."),
        ("", {"profiles": ("dbug",)}, "there is no profile `dbug` | Did you mean `debug`?"),
        ("", {"profiles": ("*", "debug", "tool")}, "there is no profile `tool` | Did you mean `tools`?"),
        ("", {"profiles": ("bass",)}, "there is no profile `bass` | Did you mean `base`?"),
        ("", {"services": ("web",), "profiles": ("base", "tools")}, None),
        (", oci://far.test/away", {"services": ("wbe",), "profiles": ("dbug",)}, None),
        (", $THERE", {"services": ("wbe",)}, None),
    ],
)
async def test_a_name_that_no_file_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remote: str,
    wish: dict[str, tuple[str, ...]],
    message: str | None,
) -> None:
    """The error suggests the most similar name before Compose is asked, unless only Compose can read a file."""
    (tmp_path / "compose.yml").write_text(NAMED.format(remote=remote))
    (tmp_path / "more.yml").write_text("services: {more: {image: a, profiles: tools}}\n")
    (tmp_path / "other.yml").write_text("services: {base: {image: a, profiles: [base]}}\n")

    async def run(*_: object, **__: object) -> NoReturn:
        raise EngineError("Compose was asked")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(UsageError if message else EngineError) as caught:
        await resolve.load(Selection(str(tmp_path), **wish))  # type: ignore[arg-type] # the keys above
    if message:
        assert f"{caught.value.message} | {caught.value.hint}" == message


@pytest.mark.parametrize(
    ("text", "example", "message", "hint"),
    [
        (
            "services: {web: {image: x, profiles: [b]}, db: {image: x, profiles: [a]}}",
            "",
            "all services have profiles, and none is active",
            "--profile a   (profiles: a, b)",
        ),
        (
            "services: {web: {image: x, profiles: [b]}}",
            ".env.sample",
            "no profile is active: .env not found, .env.sample exists",
            "cp .env.sample .env   (or --profile NAME: b)",
        ),
        ("services: {}", ".env.example", "no services in compose.yml", "Define services under the key `services:`."),
    ],
)
async def test_a_project_without_active_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, example: str, message: str, hint: str
) -> None:
    """The error names the profiles and the file to copy; for `config --validate` it is a warning, as for Compose."""
    (tmp_path / "compose.yml").write_text(f"{text}\n", encoding="utf-8")
    if example:
        (tmp_path / example).write_text("COMPOSE_PROFILES=b\n", encoding="utf-8")

    async def run(_: list[str], **__: Any) -> Completed:
        return Completed(0, b"name: p\nservices: {}\n", b"")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        await resolve.load(Selection(str(tmp_path)))
    assert (raised.value.message, raised.value.hint, raised.value.line) == (message, hint, 1)
    (mistake,) = await validate(Selection(str(tmp_path)), lambda *_: ())
    assert (mistake.level, mistake.message) == ("warning", message)


@pytest.mark.parametrize(
    ("place", "name", "env", "asked", "isolated"),
    [
        ("shop", None, "", False, None),
        ("shop", "x", "", True, "x"),
        ("there", None, "", False, "shop-there"),
        ("there", "shop-there", "", False, "shop-there"),
        ("there", None, "shop-there", False, "shop-there"),
        ("there", "shop", "", False, None),
        ("there", None, "shop", False, None),
        ("there", "mine", "", True, "mine"),
    ],
)
async def test_worktrees_are_isolated_unless_they_are_given_a_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    name: str | None,
    env: str,
    asked: bool,
    isolated: str | None,
) -> None:
    """By `-p` or COMPOSE_PROJECT_NAME; `--isolated` isolates any project, whatever its name is."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", env)
    linked(tmp_path / "there", tmp_path / "shop", "there")
    (tmp_path / place / "compose.yml").write_text("name: shop\nservices: {web: {image: x}}\n", encoding="utf-8")

    async def run(argv: list[str], **_: Any) -> Completed:
        taken = argv[argv.index("-p") + 1] if "-p" in argv else env or "shop"
        return Completed(
            0, f"name: {taken}\nservices: {{web: {{image: x, container_name: shop_web}}}}\n".encode(), b""
        )

    monkeypatch.setattr(process, "run", run)
    loaded = await resolve.load(Selection(str(tmp_path / place), project_name=name, isolated=asked))
    assert (loaded.isolation and loaded.isolation.project) == isolated
    assert ("container_name" in loaded.model["services"]["web"]) is (isolated is None)
    assert loaded.project.settings.ports == ("auto" if isolated else "")


@pytest.mark.parametrize(("host", "count"), [("unix:///here.sock", 2), ("ssh://far", 1)])
def test_warnings_about_mounts_need_an_engine_with_these_files(
    host: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine, a watch rule stands in place of the mount."""
    monkeypatch.setenv("DOCKER_HOST", host)
    project = Project("shop", "/shop", (), (Service("web", watch=(WatchRule("/", Action.RESTART),)),))
    found = [RuleFault("web", 0, "a", "", "warning"), RuleFault("web", 0, "b", "", "warning", is_of_mount=True)]
    assert len(resolve._rule_warnings(project, lambda *_: found, {("web", 0): ("compose.yml", 7)})) == count
