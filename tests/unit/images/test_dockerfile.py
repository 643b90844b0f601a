"""Which images a Dockerfile takes something from."""

from __future__ import annotations

import pytest

from devenv.images.dockerfile import Reference, expand, instructions, references

CASES = {
    "plain": ("FROM node:22\nRUN true\n", ["1 base node:22"]),
    "lower case, tabs, byte order mark": ("\ufefffrom\tnode:22", ["1 base node:22"]),
    "no FROM": ("# nothing\n", []),
    "scratch": ("FROM scratch\nCOPY a /a", []),
    "a stage is no image": ("FROM node:22 AS dev\nFROM dev\n", ["1 base node:22"]),
    "stage names ignore case": ("FROM node:22 AS Dev\nFROM dEV\n", ["1 base node:22"]),
    "a stage named like an image": ("FROM node AS node\nFROM node\n", ["1 base node"]),
    "a later stage of that name is an image before it": (
        "FROM alpine\nFROM base AS x\nFROM x AS base\n",
        ["2 base base"],
    ),
    "only what the last stage needs": ("FROM golang:1 AS build\nFROM alpine\n", ["2 base alpine"]),
    "COPY --from a stage": (
        "FROM golang:1 AS build\nFROM alpine\nCOPY --from=build /a /a\n",
        ["1 base golang:1", "2 base alpine"],
    ),
    "COPY --from a number": (
        "FROM golang:1\nFROM alpine\nCOPY --from=0 /a /a\n",
        ["1 base golang:1", "2 base alpine"],
    ),
    "COPY --from an image": (
        "FROM alpine\nCOPY --chown=1 --from=caddy:2 /a /a\n",
        ["1 base alpine", "2 base caddy:2"],
    ),
    "COPY --from the stage itself is an image": (
        "FROM alpine AS a\nCOPY --from=a /a /a",
        ["1 base alpine", "2 base a"],
    ),
    "ADD --from": ("FROM alpine\nADD --from=x:1 /a /a\n", ["1 base alpine", "2 base x:1"]),
    "RUN --mount from": (
        "FROM alpine\nRUN --mount=type=cache,target=/c --mount=type=bind,from=tool:3,target=/t x --from=no\n",
        ["1 base alpine", "2 base tool:3"],
    ),
    "--from in a command is none": ("FROM alpine\nRUN tool --mount=type=bind,from=no\n", ["1 base alpine"]),
    "ARG before FROM": ("ARG V=22\nFROM node:${V}\n", ["2 base node:22"]),
    "ARG with quotes and several names": ('ARG A="node" B=22\nFROM $A:$B\n', ["2 base node:22"]),
    "ARG built on another": ("ARG V=22\nARG IMAGE=node:${V}-slim\nFROM ${IMAGE}\n", ["3 base node:22-slim"]),
    "a build arg wins": ("ARG MAJOR=1\nFROM node:$MAJOR\n", ["2 base node:20"]),
    "a build arg that is not declared": ("FROM node:${MAJOR:-18}\n", ["1 base node:18"]),
    "unknown variable": ("FROM ${NOWHERE}\nRUN x", []),
    "an ARG of a stage is not known to FROM": ("FROM a\nARG V=1\nFROM b:${V}\n", []),
    "an ARG of a stage, in a mount": (
        "ARG V=3\nFROM a\nARG V\nRUN --mount=type=bind,from=tool:${V} x",
        ["2 base a", "4 base tool:3"],
    ),
    "platform": ("FROM --platform=linux/arm64 node:22\n", ["1 base node:22 linux/arm64"]),
    "platform by an unknown variable": ("FROM --platform=$BUILDPLATFORM node:22 AS b\n", ["1 base node:22"]),
    "continued line with a comment in it": (
        "FROM alpine\nRUN a && \\\n# FROM no:1\n\n  b \\\n  FROM no:2\nCOPY --from=x /a /b\n",
        ["1 base alpine", "7 base x"],
    ),
    "continued FROM": ("FROM \\\n  node:22 \\\n  AS dev\nFROM dev", ["1 base node:22"]),
    "trailing blanks after the backslash": ("FROM alpine\nRUN a \\  \nFROM no:1\n", ["1 base alpine"]),
    "two backslashes do not continue": ("FROM alpine\nRUN a \\\\\nFROM b\n", ["3 base b"]),
    "escape directive": ("# escape=`\nFROM alpine\nRUN a `\nFROM no:1\n", ["2 base alpine"]),
    "escape is no directive after a comment": ("# hello\n# escape=`\nFROM a\nRUN a `\nFROM b\n", ["5 base b"]),
    "here-document": ("FROM alpine\nRUN <<EOF\nFROM no:1\nEOF\nCOPY --from=x a b\n", ["1 base alpine", "5 base x"]),
    "here-document, quoted and with tabs": (
        "FROM alpine\nRUN <<-'END' sh\n\tFROM no:1\n\tEND\nCOPY --from=x a b\n",
        ["1 base alpine", "5 base x"],
    ),
    "two here-documents": (
        "FROM alpine\nCOPY <<one <<two /d/\nFROM no:1\none\nFROM no:2\ntwo\nCOPY --from=x a b\n",
        ["1 base alpine", "7 base x"],
    ),
    "a shift is no here-document": ('FROM a\nRUN echo $((1<<2)) "<<EOF"\nFROM b\n', ["3 base b"]),
    "syntax": ("# syntax=docker/dockerfile:1\nFROM alpine\n", ["1 frontend docker/dockerfile:1", "2 base alpine"]),
    "syntax after another directive": (
        "# check=skip=all\n#Syntax = docker/dockerfile:1.7 \nFROM a\n",
        ["2 frontend docker/dockerfile:1.7", "3 base a"],
    ),
    "syntax is no directive after an instruction": ("FROM alpine\n# syntax=x\n", ["1 base alpine"]),
    "windows line ends": ("FROM alpine\r\nRUN a \\\r\n  b\r\nCOPY --from=x a b\r\n", ["1 base alpine", "4 base x"]),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_references(text: str, expected: list[str]) -> None:
    """Exactly the images that the last stage reaches are found, with their lines."""
    assert [shown(found) for found in references(text, args={"MAJOR": "20"})] == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, ["1 base node:22", "4 base alpine"]),
        ("build", ["1 base node:22"]),
        ("BUILD", ["1 base node:22"]),
        ("test", ["1 base node:22", "2 base chrome"]),
        ("1", ["1 base node:22", "2 base chrome"]),
        ("missing", []),
    ],
)
def test_only_the_target_counts(target: str | None, expected: list[str]) -> None:
    """Stages that the target does not reach need nothing."""
    copy = "COPY --from=build a b\n"
    text = f"FROM node:22 AS build\nFROM chrome AS test\n{copy}FROM alpine AS final\n{copy}"
    assert [shown(found) for found in references(text, target=target)] == expected


def test_named_contexts_are_no_images() -> None:
    """What an additional context replaces is not needed, be it a base or the source of a copy."""
    text = "FROM node:22\nCOPY --from=shared a b\nCOPY --from=caddy:2 a b\n"
    assert [shown(found) for found in references(text, contexts=["Shared", "node:22"])] == ["3 base caddy:2"]


def test_a_platform_fills_its_variables() -> None:
    """TARGETARCH and its like follow the platform that is built for."""
    found = references("FROM base-$TARGETARCH:$TARGETOS\n", platform="linux/arm64")
    assert [one.name for one in found] == ["base-arm64:linux"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A-$A", "1-1"),
        ("${A}b", "1b"),
        ("${B:-x}", "x"),
        ("${E:-x}", "x"),
        ("${E-x}", ""),
        ("${A:+y}", "y"),
        ("${B:+y}", ""),
        ("\\$A", "$A"),
        ("${B}", None),
        ("$B", None),
        ("${A#1}", None),
    ],
)
def test_expand(text: str, expected: str | None) -> None:
    """Variables are replaced as the Dockerfile reference says; an unknown one makes the text unknown."""
    assert expand(text, {"A": "1", "E": ""}) == expected


def test_instructions_keep_their_first_line() -> None:
    """Each instruction knows where it begins, whatever was joined or skipped before it."""
    text = "FROM a\n\nRUN x \\\n  y\n# c\nRUN <<E\nz\nE\nCMD q\n"
    assert [(one.line, one.keyword) for one in instructions(text)] == [
        (1, "FROM"),
        (3, "RUN"),
        (6, "RUN"),
        (9, "CMD"),
    ]


def shown(found: Reference) -> str:
    return f"{found.line} {found.kind} {found.name}" + (f" {found.platform}" if found.platform else "")
