"""The images that a Dockerfile uses."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from devenv.images.dockerfile import (
    FROM,
    Reference,
    base_image,
    references,
)

# More of them, compared with the builder, are in tests/engine/test_dockerfile.py.
CASES = {
    "plain": ("FROM node:22\nRUN true\n", ["1 node:22"]),
    "lower case, tabs, byte order mark": ("\ufefffrom\tnode:22", ["1 node:22"]),
    "quotes": ("FROM 'node':\"22\"\n", ["1 node:22"]),
    "nothing": ("# nothing\n", []),
    "FROM without a name": ("FROM\n", ["1 "]),
    "scratch": ("FROM scratch\nCOPY --from=scratch a /a", []),
    "a stage is no image": ("FROM node:22 AS Dev\nFROM dev\n", ["1 node:22"]),
    "FROM heeds case": ("FROM node:22 AS Dev\nFROM Dev\n", ["2 Dev"]),
    "COPY does not": ("FROM a AS dev\nFROM b\nCOPY --from=DEV a /a", ["1 a", "2 b"]),
    "a stage named like an image": ("FROM node AS node\nFROM node\n", ["1 node"]),
    "only what the last stage needs": ("FROM golang:1 AS build\nFROM alpine\n", ["2 alpine"]),
    "COPY --from a number": ("FROM golang:1\nFROM alpine\nCOPY --from=0 /a /a\n", ["1 golang:1", "2 alpine"]),
    "COPY --from a number beyond": ("FROM alpine\nCOPY --from=7 /a /a\n", ["1 alpine", "2 7 COPY --from"]),
    "COPY --from an image": ("FROM a\nCOPY --chown=1 --from=b:2 /a /a\n", ["1 a", "2 b:2 COPY --from"]),
    "COPY --from with nothing": ("FROM a\nCOPY --from= /a /a\n", ["1 a"]),
    "ADD takes from nobody": ("FROM a\nADD --from=x:1 /a /a\n", ["1 a"]),
    "RUN --mount from": (
        "FROM a\nRUN --mount=type=cache,target=/c --mount=type=bind,FROM=b:3,target=/t x --mount=from=no\n",
        ["1 a", "2 b:3 RUN --mount"],
    ),
    "an escaped letter in a flag": ("FROM a\nCOPY --from=b\\:1 /a /a\n", ["1 a", "2 b:1 COPY --from"]),
    "a mount that is no list": ("FROM a\nRUN --mount= x\n", ["1 a"]),
    "no variables in --from": ("ARG V=1\nFROM a\nCOPY --from=b:$V /a /a\n", ["2 a", "3 b:$V COPY --from"]),
    "ARG before FROM": ("ARG V=22\nFROM node:${V}\n", ["2 node:22"]),
    "ARG with quotes and several names": ('ARG A="node" B=22\nFROM $A:$B\n', ["2 node:22"]),
    "a build arg wins": ("ARG MAJOR=1\nFROM node:$MAJOR\n", ["2 node:20"]),
    "a build arg that is not declared": ("FROM node:${MAJOR:-18}\n", ["1 node:18"]),
    "an unknown variable": ("FROM a${NOWHERE}\n", ["1 a"]),
    "nothing but an unknown variable": ("FROM ${NOWHERE}\n", ["1 ${NOWHERE}"]),
    "a malformed variable": ("FROM a:${X\n", ["1 a:${X"]),
    "an ARG of a stage": ("FROM a\nARG V=1\nFROM b:2${V}\n", ["3 b:2"]),
    "an ARG with nothing": ("ARG V\nFROM a:1$V\n", ["2 a:1"]),
    "platform": ("FROM --platform=linux/arm64 node:22\n", ["1 node:22 linux/arm64"]),
    "BUILDPLATFORM": ("FROM --platform=$BUILDPLATFORM a\n", ["1 a linux/amd64"]),
    "continued line with a comment in it": (
        "FROM a\nRUN a && \\\n# FROM no:1\n\n  b \\\n  FROM no:2\nCOPY --from=x /a /b\n",
        ["1 a", "7 x COPY --from"],
    ),
    "continued to the end": ("FROM a\nRUN x \\", ["1 a"]),
    "nothing continued": ("FROM a\n\\\n", ["1 a"]),
    "trailing blanks after the backslash": ("FROM a\nRUN a \\  \nFROM no:1\n", ["1 a"]),
    "two backslashes do not continue": ("FROM a\nRUN a \\\\\nFROM b\n", ["3 b"]),
    "escape directive": ("# escape=`\nFROM a\nRUN a `\nFROM no:1\n", ["2 a"]),
    "escape is no directive after a comment": ("# hello\n# escape=`\nFROM a\nRUN a `\nFROM b\n", ["5 b"]),
    "here-document": ("FROM a\nRUN <<EOF\nFROM no:1\nEOF\nCOPY --from=x a b\n", ["1 a", "5 x COPY --from"]),
    "here-document without an end": ("FROM a\nRUN << EOF\nFROM no:1\n", ["1 a"]),
    "here-document, quoted and with tabs": (
        "FROM a\nRUN <<-'END' sh\n\tFROM no:1\n\tEND\nCOPY --from=x a b\n",
        ["1 a", "5 x COPY --from"],
    ),
    "two here-documents": (
        "FROM a\nCOPY <<one <<two /d/\nFROM no:1\none\nFROM no:2\ntwo\nCOPY --from=x a b\n",
        ["1 a", "7 x COPY --from"],
    ),
    "here-document of ONBUILD": ("FROM a\nONBUILD RUN <<E\nFROM no:1\nE\n", ["1 a"]),
    "a shift is no here-document": ('FROM a\nRUN echo $((1<<2)) "<<EOF"\nFROM b\n', ["3 b"]),
    "JSON has none": ('FROM a\nRUN ["cat", "<<EOF"]\nFROM b\n', ["3 b"]),
    "an open quote": ("FROM a\nRUN echo it's <<EOF\nFROM b\n", ["3 b"]),
    "ONBUILD does not count where it stands": ("FROM a\nONBUILD COPY --from=b c d\n", ["1 a"]),
    "stages in a circle": ("FROM a AS x\nCOPY --from=y a b\nFROM b AS y\nCOPY --from=x a b\n", ["1 a", "3 b"]),
    "syntax": ("# syntax=docker/dockerfile:1\nFROM a\n", ["1 docker/dockerfile:1 # syntax=", "2 a"]),
    "syntax after another directive": (
        "# check=skip=all\n#Syntax = docker/dockerfile:1.7 \nFROM a\n",
        ["2 docker/dockerfile:1.7 # syntax=", "3 a"],
    ),
    "syntax is no directive after an instruction": ("FROM a\n# syntax=x\n", ["1 a"]),
    "windows line ends": ("FROM a\r\nRUN a \\\r\n  b\r\nCOPY --from=x a b\r\n", ["1 a", "4 x COPY --from"]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_references(text: str, expected: list[str]) -> None:
    """Exactly the images that the last stage reaches are found, with their lines."""
    assert [
        shown(reference) for reference in references(text, args={"MAJOR": "20"}, builder="linux/amd64")
    ] == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, ["1 node:22", "4 alpine"]),
        ("build", ["1 node:22"]),
        ("BUILD", ["1 node:22"]),
        ("test", ["1 node:22", "2 chrome"]),
        ("1", []),
        ("missing", []),
    ],
)
def test_unreached_stages_need_no_images(target: str | None, expected: list[str]) -> None:
    """Stages that the target does not reach need nothing."""
    copy = "COPY --from=build a b\n"
    text = f"FROM node:22 AS build\nFROM chrome AS test\n{copy}FROM alpine AS final\n{copy}"
    assert [shown(reference) for reference in references(text, target=target)] == expected


def test_named_contexts_are_no_images() -> None:
    """An image that an additional context replaces is not needed, neither as a base nor as the source of a copy."""
    text = "FROM node:22\nCOPY --from=shared a b\nCOPY --from=caddy:2 a b\n"
    assert [shown(reference) for reference in references(text, contexts=["Shared", "node:22"])] == [
        "3 caddy:2 COPY --from"
    ]


def test_the_platforms_fill_their_variables() -> None:
    """TARGETARCH and its like follow the platform that is built for, BUILDARCH and its like the engine's own."""
    text = "FROM $BUILDOS-$TARGETARCH:$BUILDARCH-$TARGETVARIANT-$TARGETSTAGE\n"
    images = references(text, platform="linux/arm/v7", builder="linux/amd64")
    assert [reference.name for reference in images] == ["linux-arm:amd64-v7-default"]
    assert [reference.name for reference in references("FROM a:$TARGETARCH", builder="linux/s390x")] == ["a:s390x"]


def test_a_build_argument_may_name_the_frontend() -> None:
    """It counts more than the file; options may follow the image."""
    images = references("# syntax=a:1\nFROM b\n", args={"BUILDKIT_SYNTAX": " c:1 x=y"})
    assert [shown(reference) for reference in images] == ["1 c:1 # syntax=", "2 b"]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("ARG V=22\nFROM node:$V AS a\nFROM a AS b\nFROM c\n", "B", "node:22"),
        ("FROM scratch AS a\nFROM a\n", None, None),
        ("FROM a\n", "none", None),
        ("", None, None),
        ("RUN x\nFROM a\n", None, "a"),
        ("# syntax=x\n# check=y", None, None),
    ],
)
def test_base_image(text: str, target: str | None, expected: str | None) -> None:
    """The image below the target's own files is found through all stages."""
    assert base_image(text, target=target) == expected


def test_hostile_files_are_read_quickly() -> None:
    """Long continued lines and many backslashes are read in linear time."""
    with limited(20):
        references("FROM a\nRUN " + " \\\n".join(["echo x && 'y' "] * 5000))
        references("FROM a\nRUN " + "\\" * 40000 + '"x <<E')


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def shown(reference: Reference) -> str:
    how = "" if reference.how == FROM else f" {reference.how}"
    return f"{reference.line} {reference.name}{how}" + (f" {reference.platform}" if reference.platform else "")
