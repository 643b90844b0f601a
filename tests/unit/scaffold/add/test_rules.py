"""What a Dockerfile copies, and the rules that follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.model.project import Action
from devenv.scaffold.add import rules
from devenv.scaffold.add.rules import Rule, chain, stages

SEVERAL = """\
FROM node:22 AS base
WORKDIR /srv
COPY package*.json ./
FROM base AS dev
COPY --chown=node:node src src
COPY ["a b", "/x/"]
ADD https://example.com/x /y
COPY $WHERE /z
CMD ["node", "--watch", "src/main.js"]
FROM golang:1 AS tool
WORKDIR /go
COPY main.go .
FROM base
COPY --from=tool /go/main /bin/
COPY src /srv/src
"""


def test_the_stages_know_what_they_copy_where() -> None:
    """A stage begins where its base left off; what is remote, variable or of another stage does not count."""
    base, dev, tool, last = stages(SEVERAL)

    assert base.copies == [(["package*.json"], "/srv/", 3)]
    assert dev.copies == [(["src"], "/srv/src", 5), (["a b"], "/x/", 6)]
    assert (dev.folder, "--watch" in dev.command) == ("/srv", True)
    assert chain([base, dev, tool, last], None) == ([base, last], [tool])
    assert chain([base, dev, tool, last], "dev") == ([base, dev], [])
    assert chain([], None) == ([], [])


VARIABLES = """\
ARG ROOT=/opt VERSION
FROM python:3 AS base
ARG ROOT
ENV HOME=${ROOT}/app DATA="$ROOT/my data"
ENV SRC lib
WORKDIR $HOME
COPY ${SRC} ./$SRC
FROM base
COPY a $DATA/
WORKDIR /srv/$VERSION
COPY b .
COPY c "$NOBODY/c"
WORKDIR /srv
COPY d .
"""


def test_variables_of_a_dockerfile_are_replaced() -> None:
    """By ARG, ENV and the build's arguments; what nothing is known of makes no rule, whose target would be wrong."""
    base, last = stages(VARIABLES)

    assert base.copies == [(["lib"], "/opt/app/lib", 7)]
    assert last.copies == [(["a"], "/opt/my data/", 9), (["d"], "/srv/", 14)]
    given, more = stages(VARIABLES.replace("/srv/$V", "/srv/${ROOT}$V"), {"ROOT": "/x", "VERSION": "3"})
    assert given.copies == [(["lib"], "/x/app/lib", 7)]
    assert more.copies[0] == (["a"], "/x/my data/", 9)


@pytest.mark.parametrize(
    ("manifest", "command", "action"),
    [
        ("package.json", "node app.js", "sync+restart"),
        ("package.json", "node --watch app.js", "sync+restart"),
        ("package.json", '["node", "--watch", "app.js"]', "sync+restart"),
        ("package.json", "tsc --watch", "sync"),
        ("package.json", "npm run dev", "sync"),
        ("requirements.txt", "uvicorn --reload", "sync"),
        ("go.mod", "./app", "rebuild"),
        ("index.html", "", "sync"),
    ],
)
def test_a_folder_gets_what_its_language_needs(manifest: str, command: str, action: str, tmp_path: Path) -> None:
    """Compiled: rebuilt; interpreted: restarted, unless its command reloads; anything else is just synced."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / manifest).touch()
    (tmp_path / "src" / "node_modules").mkdir()
    found = list(rules._copied(str(tmp_path), ["src"], "/srv/src", "Dockerfile:1", command))

    assert found[0].action == action
    assert "node_modules/" in found[0].ignore
    more = [rule for rule in found if rule.path.endswith(manifest)]
    assert [str(rule.action) for rule in more] == (
        ["rebuild"] if action != "rebuild" and manifest != "index.html" else []
    )
    assert (manifest in found[0].ignore) == bool(more)


def test_single_files_go_into_a_folder_or_take_its_name(tmp_path: Path) -> None:
    """As COPY does it."""
    for name in ("a.conf", "b.conf", "package.json"):
        (tmp_path / name).touch()
    into = list(rules._copied(str(tmp_path), ["*.conf"], "/etc/", "D:1", ""))
    as_it = list(rules._copied(str(tmp_path), ["a.conf", "package.json", "gone"], "/etc/x.conf", "D:1", "nodemon"))

    assert [rule.target for rule in into] == ["/etc/a.conf", "/etc/b.conf"]
    assert [(str(rule.action), rule.target) for rule in as_it] == [
        ("sync+restart", "/etc/x.conf"),
        ("rebuild", ""),
    ]
    assert "settings are read at the start" in as_it[0].why


def test_a_rule_is_written_as_people_write_it() -> None:
    """Relative to the project, quoted where YAML needs that."""
    rule = Rule("/p/my app", Action.SYNC, "", "/srv", ("a/",))

    assert rule.entry("/p").split("\n") == [
        '- path: "./my app"',
        "  action: sync",
        "  target: /srv",
        '  ignore: ["a/"]',
    ]
    assert Rule("/p", Action.REBUILD, "").entry("/p") == "- path: .\n  action: rebuild"
