"""The rules that follow from what a Dockerfile copies."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.compose import yaml12
from devenv.compose.outline import Selection
from devenv.compose.parse import parse
from devenv.compose.resolve import Loaded
from devenv.errors import ConfigError
from devenv.scaffold.add import rules
from devenv.scaffold.add.proposal import Proposal
from support.scaffold import edited, model

pytestmark = pytest.mark.usefixtures("offline")


def _service(service: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A service as Compose resolves it."""
    full = {**service.get("<<", {}), **service}
    if "build" in full:
        build = full["build"] if isinstance(full["build"], dict) else {"context": full["build"]}
        full["build"] = {"dockerfile": "Dockerfile", **build, "context": str((folder / build["context"]).resolve())}
    for key in ("command", "entrypoint"):
        if isinstance(full.get(key), str):
            full[key] = shlex.split(full[key])
    full["volumes"] = [_mount(entry, folder) for entry in full.get("volumes", ())]
    for rule in full.get("develop", {}).get("watch", ()):
        rule["path"] = str((folder / rule["path"]).resolve())
    return full


def _mount(entry: str, folder: Path) -> dict[str, Any]:
    source, _, target = entry.partition(":") if ":" in entry else ("", "", entry)
    target, _, mode = target.partition(":")
    target = target.rstrip("/")
    if not source.startswith("."):
        return {"type": "volume", "target": target, **({"source": source} if source else {})}
    return {"type": "bind", "source": str((folder / source).resolve()), "target": target, "read_only": mode == "ro"}


Propose = Callable[..., Proposal]


@pytest.fixture
def propose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Propose:
    """`add rules` in a project of these files, without Compose."""

    def proposal(compose: str, files: dict[str, str], *, from_mounts: bool = False) -> Proposal:
        for name, text in {**files, "compose.yml": compose}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        model = yaml12.construct(compose, file="compose.yml")
        services = {name: _service(service, tmp_path) for name, service in model["services"].items()}
        volumes = {name: {"name": name} for name in model.get("volumes", ())}
        resolved = {"name": "foreign", "services": services, "volumes": volumes}
        parsed = parse(resolved, directory=str(tmp_path), files=(str(tmp_path / "compose.yml"),))

        async def load(*_: object, **__: object) -> Loaded:
            return Loaded(parsed, resolved)

        monkeypatch.setattr(rules, "load", load)
        return anyio.run(lambda: rules.rules(Selection(str(tmp_path)), None, from_mounts=from_mounts))

    return proposal


FOREIGN = yaml12.construct((Path(__file__).parent / "foreign_projects.yml").read_text(), file="foreign_projects.yml")
REBUILDS = re.compile(r"(\S+): rebuild (\S+): (?:what it names|the image is built by it)")


@pytest.mark.parametrize("facts", FOREIGN, ids=lambda facts: facts["name"])
def test_proposals_for_foreign_projects(facts: dict[str, Any], propose: Propose) -> None:
    """The proposal, and the reason for none if a rule would make the project worse."""
    notes = propose(facts["compose"], {**facts["files"], **dict.fromkeys(facts["empty"], "")}).notes
    rebuilds = [f"{match[1]} {match[2]}" for note in notes if (match := REBUILDS.match(note))]
    assert [note for note in notes if not REBUILDS.match(note)] == facts["proposed"]
    assert sorted(rebuilds) == sorted(facts["rebuilds"])


def watch(proposal: Proposal, name: str = "web") -> list[dict[str, Any]]:
    """The rules that a service gets."""
    rules: list[dict[str, Any]] = model(edited(proposal))["services"][name]["develop"]["watch"]
    return rules


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("package.json", ["**/node_modules/", "package.json"]),
        ("client/package.json", ["**/node_modules/"]),
        ("src/main.py", ["**/__pycache__/", "**/.venv/"]),
        ("composer.json", ["**/vendor/", "composer.json"]),
        ("Gemfile", ["**/vendor/bundle/", "Gemfile"]),
        ("index.html", None),
        ("dist/index.html", ["dist/"]),
    ],
)
def test_what_tools_make_is_ignored_before_they_make_it(
    propose: Propose, name: str, ignored: list[str] | None
) -> None:
    """The patterns follow from the files in the folder: `npm install` on the host must not reach the container."""
    dockerfile = "FROM php:8-apache\nCOPY . /srv\n"
    rule = watch(propose("services:\n  web: {build: {context: ., dockerfile: D}}\n", {"D": dockerfile, name: ""}))
    assert rule[0].get("ignore") == ignored


def test_single_files_go_into_a_folder_or_take_its_name(propose: Propose) -> None:
    """As COPY does it."""
    dockerfile = "FROM nginx\nCOPY *.conf /etc/\nCOPY c.txt gone /srv/x.txt/\nCOPY d.txt /srv/y.txt\n"
    files = dict.fromkeys(("a.conf", "b.conf", "c.txt", "d.txt"), "")
    rules = watch(propose("services:\n  web: {build: .}\n", {"Dockerfile": dockerfile, **files}))
    targets = ["/etc/a.conf", "/etc/b.conf", "/srv/x.txt/c.txt", "/srv/y.txt"]
    assert [rule["target"] for rule in rules[:-1]] == targets
    assert [rule["action"] for rule in rules] == ["sync+restart", "sync+restart", "sync", "sync", "rebuild"]


MOUNTED = """\
services:
  web:
    build: .
    volumes:
      - ./src:/app/src
  db:
    image: mongo
    volumes:
      - ./data:/data/db
  proxy:
    image: nginx
    volumes:
      - ./conf:/etc/nginx/conf.d:ro
"""


@pytest.mark.parametrize(
    ("command", "action"), [("node src/x.js", "sync"), ("node --watch src/x.js", "sync+restart")]
)
def test_mounts_become_rules(propose: Propose, command: str, action: str) -> None:
    """Nothing is restarted that was not before, but for Node's watcher; the data of a foreign image stays here."""
    files = dict.fromkeys(("src/x.js", "data/x", "conf/default.conf", "package.json"), "")
    dockerfile = f"FROM node:22\nWORKDIR /app\nCOPY . .\nCMD {command}\n"
    proposal = propose(MOUNTED, {"Dockerfile": dockerfile, **files}, from_mounts=True)

    assert [(rule["action"], rule["path"]) for rule in watch(proposal)] == [
        (action, "./src"),
        ("sync+restart", "."),
        ("rebuild", "./Dockerfile"),
        ("rebuild", "./package.json"),
    ]
    assert {"src/", "data/", "conf/"} < set(watch(proposal)[1]["ignore"])  # a save of the database restarts nothing
    assert [(rule["action"], rule["path"]) for rule in watch(proposal, "proxy")] == [("sync", "./conf")]
    assert model(edited(proposal))["services"]["db"] == {"image": "mongo", "volumes": ["./data:/data/db"]}
    assert any(note.startswith("db: the mount of /data/db stays") for note in proposal.notes)


def test_a_mount_of_the_project_leaves_the_data_of_a_database(propose: Propose) -> None:
    """The rule in its place copies no file that the database writes, also before its folder exists."""
    compose = MOUNTED.replace("./src:/app/src", ".:/app")
    proposal = propose(
        compose, {"Dockerfile": "FROM python\nCOPY x /app/\n", "x": "", "conf/a": ""}, from_mounts=True
    )
    assert watch(proposal)[0]["ignore"] == ["data/"]


def test_a_read_only_service_gets_no_file(propose: Propose) -> None:
    """The rest is proposed, and a note says why; a bind mount that a rule could not replace stays."""
    compose = """\
services:
  web:
    build: .
    read_only: true
    volumes: ["./src:/app/src", "logs:/app/logs"]
volumes: {logs: {}}
"""
    dockerfile = "FROM node\nWORKDIR /app\nCOPY a.json package.json .\nCOPY public public\nCOPY a.txt logs/\n"
    files = dict.fromkeys(("src/x.js", "public/a.css", "a.txt", "package.json"), "")
    proposal = propose(compose, {"Dockerfile": f"{dockerfile}CMD node src/x.js\n", **files}, from_mounts=True)
    assert [(rule["action"], rule["path"]) for rule in watch(proposal)] == [
        ("rebuild", "./package.json"),
        ("sync+restart", "./a.txt"),
        ("rebuild", "./Dockerfile"),
    ]
    reason = "service `web` is `read_only`, and no volume is mounted over the `target` /app"
    assert f"web: the mount of /app/src stays: {reason}/src" in proposal.notes
    assert f"web: nothing for ./public: copied by Dockerfile:4; {reason}/public" in proposal.notes


def test_a_mount_that_cannot_be_removed_stays(propose: Propose) -> None:
    """Two services share its entry: there is a note, and no rule for the same files."""
    compose = MOUNTED.replace("volumes:\n      - ./conf:/etc/nginx/conf.d:ro", "volumes: *all")
    proposal = propose(f"x-all: &all\n  - ./conf:/etc/nginx/conf.d:ro\n{compose}", {"conf/a": ""}, from_mounts=True)
    assert any(note.startswith("proxy: the mount of /etc/nginx/conf.d stays: ") for note in proposal.notes)
    assert proposal.edits == ()


def test_an_anchor_that_another_service_uses_is_not_cut(propose: Propose) -> None:
    """The error is about the edit, since the file itself has the anchor."""
    shared = MOUNTED.replace("volumes:\n      - ./conf", "volumes: &all\n      - ./conf")
    with pytest.raises(ConfigError, match="the edit would change more than it should"):
        propose(f"{shared}  spare: {{image: a, volumes: *all}}\n", {"conf/a": ""}, from_mounts=True)


def test_no_rules_without_a_build(propose: Propose) -> None:
    """There is no diff, and the note has the reason."""
    proposal = propose(MOUNTED.replace("build: .", "image: web"), {})
    assert (proposal.edits, proposal.notes) == ((), (rules.NOT_BUILT,))


def test_a_dockerfile_that_does_not_exist(propose: Propose) -> None:
    """It copies nothing, but that is not why."""
    notes = propose("services:\n  web: {build: shop}\n", {}).notes
    assert notes == ("web: ./shop/Dockerfile does not exist", "nothing to add")
