"""`devenv explain` and `devenv config` on projects that Compose resolves, without an engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import main
from support.schemas import checked_document

pytestmark = pytest.mark.engine  # only the Compose plugin is needed

COMPOSE = """\
x-devenv: {ports: as-written}
services:
  web:
    build: {context: web}
    volumes: [./conf:/app/conf]
    develop:
      watch:
        - {action: sync, path: ./web, target: /app, ignore: "*.md"}
        - {action: sync+restart, path: ./lib, target: /app/lib, include: ["**/*.js"]}
        - {action: rebuild, path: ./web/package.json}
        - {action: sync+exec, path: ./conf, target: /app/conf, exec: {command: reload}}
  api:
    image: api
    develop: {watch: [{action: restart, path: .}]}
  off:
    image: off
    profiles: [off]
    develop: {watch: [{action: restart, path: .}]}
  db: {image: db}
"""


@pytest.fixture
def project(compose_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project above, with this process in its folder, and no engine."""
    for key, value in {**compose_env, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PWD": str(tmp_path)}.items():
        monkeypatch.setenv(key, value)
    for file in ("web/a.js", "web/lib/y.js", "web/package.json", "lib/x.js", "lib/y.js", "conf/c"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    (tmp_path / "compose.yml").write_text(COMPOSE)
    (tmp_path / "web/.dockerignore").write_text("# comment\n\nnode_modules/\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_validate_reports_mistakes_that_compose_finds(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a mistake the exit code is 0; with a mistake, also in the resolved model, it is 5."""
    assert output(capfd, "config", "--validate") == "no mistakes\n"
    assert json.loads(output(capfd, "config", "--schema"))["allOf"][0]["$ref"].endswith("compose-spec.json")
    written = (project / "compose.yml").read_text()
    (project / "compose.yml").write_text(written.replace("build: {context: web}", "build: web\n    tmpfs: [/app]"))
    assert main.run(["config", "--validate"]) == 5
    assert capfd.readouterr().out.startswith(
        "compose.yml:9:9: error: the `target` /app is inside the tmpfs /app, where the engine can put no file\n"
        '  9 |         - {action: sync, path: ./web, target: /app, ignore: "*.md"}\n    |         ^^^'
    )
    (project / "compose.yml").write_text(
        written.replace("ports: as-written", "port: x").replace("rebuild", "rebuidl")
    )
    assert main.run(["config", "--validate", "--output", "json"]) == 5
    answer = checked_document("config --validate", capfd.readouterr().out)
    assert (answer["v"], answer["errors"]) == (1, 2)
    assert [(mistake["line"], mistake["column"], mistake["hint"]) for mistake in answer["mistakes"]] == [
        (1, 12, "Did you mean `ports`?"),
        (10, 20, "Did you mean `rebuild`?"),
    ]


def output(capfd: pytest.CaptureFixture[str], *line: str) -> str:
    """The output of the command, which must have succeeded."""
    assert main.run(list(line)) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def explained(capfd: pytest.CaptureFixture[str], path: str) -> list[tuple[Any, ...]]:
    """Line, decision, pattern, target, effects and reason of each verdict of `web`; `api` always restarts."""
    answer = checked_document("explain", output(capfd, "explain", path, "--output", "json"))
    assert answer["v"] == 1
    (path_answer,) = answer["paths"]
    assert path_answer["path"] == path
    assert [v["effects"] for v in path_answer["verdicts"] if v["service"] == "api" and v["matches"]] in (
        [["restart"]],
        [],
    )
    return [
        (v["place"].rpartition(":")[2], v["decided_by"], v["pattern"], v["target"], *v["effects"], v["reason"])
        for v in path_answer["verdicts"]
        if v["service"] == "web"
    ]


def test_explain_shows_target_effects_or_pattern(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A path has its target and effects, or the pattern and file that exclude it."""
    assert explained(capfd, "web/a.js") == [("8", "", "", "/app/a.js", "sync", "")]
    assert explained(capfd, "web/new/not-there") == [("8", "", "", "/app/new/not-there", "sync", "")]
    assert explained(capfd, "web/a.md") == [("8", "ignore", "*.md", None, "")]
    assert explained(capfd, "web/node_modules/x") == [("8", ".dockerignore", "node_modules/", None, "")]
    assert explained(capfd, "web/a~") == [("8", "built-in", "**/*~", None, "")]
    assert explained(capfd, "lib/x.js") == [("9", "include", "**/*.js", "/app/lib/x.js", "sync", "restart", "")]
    assert explained(capfd, "lib/x.css") == [("9", "include", "", None, "")]
    assert explained(capfd, "conf/c") == [("11", "", "", "/app/conf/c", "exec", "")]
    assert explained(capfd, "elsewhere") == []


def test_explain_with_overlapping_rules(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A rebuild replaces a sync, and a later rule's file hides that of an earlier rule."""
    assert explained(capfd, "web/package.json") == [
        ("8", "", "", "/app/package.json", "the rebuild brings it"),
        ("10", "", "", None, "rebuild", ""),
    ]
    assert explained(capfd, "web/lib/y.js") == [("8", "", "", "/app/lib/y.js", "another rule's file is there")]
    (project / "lib/y.js").unlink()
    assert explained(capfd, "web/lib/y.js") == [("8", "", "", "/app/lib/y.js", "sync", "")]


def test_paths_are_relative_to_the_working_directory(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Paths from a subfolder, upward, absolute, and through a link to the project have one block each."""
    (project / "link").symlink_to("web")
    os.chdir(project / "web")
    os.environ["PWD"] = str(project / "web")
    lines = output(capfd, "explain", "a.js", "../lib/x.js", f"{project}/link/a.js", "lib").splitlines()
    blocks = [line for line in lines if not line.startswith(" ")]
    assert blocks == ["a.js", "../lib/x.js", f"{project}/link/a.js", "lib (a folder: what is saved in it)"]
    landed = [line.split("sync to ")[1].split()[0].strip(",") for line in lines if "sync to" in line]
    assert landed == ["/app/a.js", "/app/lib/x.js", "/app/a.js", "/app/lib"]


def test_project_behind_a_link_keeps_the_shells_path(
    project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose resolves the link only in rule paths."""
    link = project.with_name(f"{project.name}-link")
    link.symlink_to(project)
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    assert explained(capfd, "web/node_modules/x") == [("8", ".dockerignore", "node_modules/", None, "")]
    assert explained(capfd, "web/a.js") == [("8", "", "", "/app/a.js", "sync", "")]
    assert explained(capfd, "conf/c") == [("11", "", "", "/app/conf/c", "exec", "")]
    answer = checked_document("config", output(capfd, "config", "--output", "json"))
    assert "outside the project" not in str(answer["warnings"])
    assert answer["services"][-1]["rules"][0]["path"] == "web"


def test_config_shows_rules_of_all_enabled_services(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Rules are shown as Compose resolved them, with their places."""
    answer = checked_document("config", output(capfd, "config", "--output", "json"))
    assert answer["v"] == 1
    assert answer["settings"] == {"ports": "as-written"}
    assert answer["files"] == ["compose.yml"]
    services = {service["service"]: service for service in answer["services"]}
    assert sorted(services) == ["api", "db", "web"]
    assert services["web"]["dockerignore"] == "web/.dockerignore"
    assert services["web"]["rules"][0] == {
        "action": "sync", "path": "web", "target": "/app", "ignore": ["*.md"], "include": [], "initial_sync": False,
        "exec": [], "place": "compose.yml:8", "note": "",
    }  # fmt: skip
    assert services["web"]["rules"][3]["note"] == "a bind mount has the files already"
    assert services["api"]["rules"][0]["path"] == "."
    assert "off" in output(capfd, "--profile", "off", "config")
    assert "no rules: db" in output(capfd, "config", "-f", "compose.yml")
