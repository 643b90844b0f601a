"""The layers of an image: the instruction and size of each, and which other images share it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devenv.model.layers import Anatomy, Layer

Row = Mapping[str, Any]  # a row of an image's history, in the engine's form

NO_LAYER = frozenset({
    "ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME",
})  # fmt: skip
# `RUN /bin/sh -c npm ci # buildkit`, `/bin/sh -c #(nop) COPY dir:… in /`, `|1 A=b /bin/bash -o pipefail -c npm ci`
_SHELL = re.compile(
    r"(?:RUN )?(?:\|\d+ .*?)?(?:/usr)?/bin/\w+ (?:-\S+ (?:pipefail )?)*?-\w*c (?P<nop>#\(nop\)\s*)?", re.DOTALL
)
_HASH = re.compile(r"\b(file|dir|multi):([0-9a-f]{7})[0-9a-f]{57}\b")
_USER = re.compile(r"//[^/@\s]*@")
_FLAGS = re.compile(r"(COPY|ADD)( --\S+)+")


def layers(history: Sequence[Row], ids: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of an image by its history (the newest first) and its diff-ids (the lowest first).

    The engine does not say whether a row without bytes is a layer. If that stays unclear, the ids are empty.
    """
    rows = [(readable(row), row) for row in reversed(history)]
    sized = [(instruction, row) for instruction, row in rows if row["Size"]]
    likely = [
        (instruction, row) for instruction, row in rows if row["Size"] or instruction.split(" ")[0] not in NO_LAYER
    ]
    matching = next((fitting for fitting in (likely, sized) if len(fitting) == len(ids)), None)
    known = ids if matching is not None else [""] * len(sized)
    pairs = zip(sized if matching is None else matching, known, strict=True)
    return tuple(
        Layer(instruction, int(row["Size"]), int(row["Created"]), name) for (instruction, row), name in pairs
    )


def readable(row: Row) -> str:
    """The instruction as in a Dockerfile: without the shell, build arguments, and the user of a URL."""
    text = str(row.get("CreatedBy") or "").removesuffix("# buildkit")
    if match := _SHELL.match(text):
        text = ("" if match["nop"] else "RUN ") + text[match.end() :]
    text = " ".join(text.split()) or str(row.get("Comment") or "").replace("Imported from -", "imported")
    return _USER.sub("//***@", _HASH.sub(r"\1:\2", text))


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many layers two chains of diff-ids share from the start; an unknown id ends the count."""
    alike = (bool(a) and a == b for a, b in zip(first, second, strict=False))
    return next((n for n, same in enumerate(alike) if not same), min(len(first), len(second)))


def with_shared_layers(image: Anatomy, others: Mapping[str, Sequence[str]]) -> Anatomy:
    """The image with the layers it shares with `others`, name -> diff-ids; an image without a name is no base."""
    own = [layer.id for layer in image.layers]
    shares = {name: common(own, ids) for name, ids in sorted(others.items())}
    bases = {n: name for name, n in shares.items() if 0 < n == len(others[name]) < len(own) and ":" in name}
    inherited = max(bases, default=0)
    known = tuple(
        replace(layer, shared=tuple(name for name, n in shares.items() if n > index))
        for index, layer in enumerate(image.layers)
    )
    return replace(image, layers=known, base=bases.get(inherited, ""), inherited=inherited)


def with_build_times(image: Anatomy, steps: Iterable[tuple[str, float | None]]) -> Anatomy:
    """The image with the times of its last build: (mark of the instruction, seconds, or None if it was cached).

    An instruction with different times in different stages gets none.
    """
    times: dict[str, set[float | None]] = {}
    for step, seconds in steps:
        times.setdefault(step, set()).add(seconds)
    known = {step: seconds.pop() for step, seconds in times.items() if len(seconds) == 1}

    def of(layer: Layer) -> Layer:
        seconds = known.get(name := mark(layer.instruction))
        return replace(layer, cached=seconds is None, took=seconds or 0.0) if name in known else layer

    return replace(image, layers=tuple(map(of, image.layers)))


def mark(instruction: str) -> str:
    """A hash that equal instructions share, which does not reveal their text.

    Flags do not count: the history leaves some of them out.
    """
    bare = _FLAGS.sub(r"\1", " ".join(instruction.split()))
    return hashlib.sha256(bare.encode(errors="replace")).hexdigest()[:16]
