"""The files that the stages of a Dockerfile copy, and their paths."""

from __future__ import annotations

import pytest

from devenv.scaffold.add.copied_files import Copy, copying_stages

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


def test_stages_know_what_they_copy_and_where() -> None:
    """A stage begins with its base; a URL, an unknown variable or a file of another stage is left out."""
    (base, last), (tool,) = copying_stages(SEVERAL)
    assert base.copies == [Copy(("package*.json",), "/srv/", 3)]
    assert last.copies == [Copy(("src",), "/srv/src", 15)]
    assert tool.copies == [Copy(("main.go",), "/go/", 12)]
    (_, dev), others = copying_stages(SEVERAL, target="DEV")
    assert dev.copies == [Copy(("src",), "/srv/src", 5), Copy(("a b",), "/x/", 6)]
    assert (dev.folder, "--watch" in dev.command, others) == ("/srv", True, [])
    assert copying_stages("") == copying_stages(SEVERAL, target="unknown") == ([], [])


def test_stages_by_number_and_with_an_escape_directive() -> None:
    """COPY --from counts stages from 0; `escape` changes what continues a line."""
    text = "# escape=`\nFROM a\nCOPY x `\n  /x\nFROM b\nCOPY --from=0 /x /x\n"
    (last,), (first,) = copying_stages(text)
    assert (last.copies, first.copies) == ([], [Copy(("x",), "/x", 3)])


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
    """They come from ARG, ENV and the build's arguments; a copy with an unknown variable is left out."""
    (base, last), _ = copying_stages(VARIABLES)
    assert base.copies == [Copy(("lib",), "/opt/app/lib", 7)]
    assert last.copies == [Copy(("a",), "/opt/my data/", 9), Copy(("d",), "/srv/", 14)]
    text = VARIABLES.replace("/srv/$V", "/srv/${ROOT}$V")
    (base, last), _ = copying_stages(text, {"ROOT": "/x", "VERSION": "3"})
    assert base.copies == [Copy(("lib",), "/x/app/lib", 7)]
    assert last.copies[0] == Copy(("a",), "/x/my data/", 9)


CHAIN = """\
FROM debian AS base
COPY src /src
ENTRYPOINT ["run"]
CMD ["all"]
FROM base AS build
RUN go build -o /app
FROM build AS publish
RUN --mount=from=tools,target=/t true
FROM debian AS tools
COPY tool /t
FROM debian
COPY --from=publish /app /app
CMD /app
"""


def test_files_come_through_chains_of_stages() -> None:
    """Each stage counts once, wherever it is: what a stage is built on, and what that takes files from."""
    (last,), others = copying_stages(CHAIN)
    assert [stage.name for stage in others] == ["base", "build", "publish", "tools"]
    assert [stage.copies for stage in others] == [[Copy(("src",), "/src", 2)], [], [], [Copy(("tool",), "/t", 10)]]
    assert (last.image, last.command, last.entrypoint, others[1].compiles) == ("debian", "/app", "", [6])
    assert (others[2].entrypoint, others[2].command) == ("run", "all")
    (_, own), _ = copying_stages('FROM a AS b\nCMD x\nFROM b\nENTRYPOINT ["y"]\n')
    assert (own.entrypoint, own.command) == ("y", "")


@pytest.mark.parametrize(
    ("written", "command"),
    [('["npm", "start"]', "npm start"), ("true", "true"), ("5", "5"), ('"my app" -x', '"my app" -x'), ('"a"', '"a"')],
)
def test_a_command_is_json_only_as_a_list(written: str, command: str) -> None:
    """Anything else is a line for the shell, also if it is a value in JSON."""
    (stage,), _ = copying_stages(f"FROM a\nCMD {written}\n")
    assert stage.command == command
