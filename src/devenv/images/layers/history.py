"""What the layers of an image are: what made each, how much it adds, and which other images are made of it, too."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devenv.model.layers import Anatomy, Layer

Row = Mapping[str, Any]  # of an image's history, as the engine tells it

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

    Of a row without bytes the engine does not say whether it is a layer. Where that cannot be told, no id is known.
    """
    rows = [(readable(row), row) for row in reversed(history)]
    sized = [(said, row) for said, row in rows if row["Size"]]
    likely = [(said, row) for said, row in rows if row["Size"] or said.split(" ")[0] not in NO_LAYER]
    found = next((fitting for fitting in (likely, sized) if len(fitting) == len(ids)), None)
    known = ids if found is not None else [""] * len(sized)
    pairs = zip(sized if found is None else found, known, strict=True)
    return tuple(Layer(said, int(row["Size"]), int(row["Created"]), name) for (said, row), name in pairs)


def readable(row: Row) -> str:
    """The instruction as a Dockerfile has it: no shell around it, no build arguments, no user in a URL."""
    text = str(row.get("CreatedBy") or "").removesuffix("# buildkit")
    if found := _SHELL.match(text):
        text = ("" if found["nop"] else "RUN ") + text[found.end() :]
    text = " ".join(text.split()) or str(row.get("Comment") or "").replace("Imported from -", "imported")
    return _USER.sub("//***@", _HASH.sub(r"\1:\2", text))


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many layers the two chains of diff-ids begin with alike; one that is not known ends that."""
    alike = (bool(a) and a == b for a, b in zip(one, other, strict=False))
    return next((n for n, same in enumerate(alike) if not same), min(len(one), len(other)))


def among(image: Anatomy, others: Mapping[str, Sequence[str]]) -> Anatomy:
    """The image with what it shares with the others: their names -> their diff-ids. An id is nobody's base."""
    own = [layer.id for layer in image.layers]
    shares = {name: common(own, ids) for name, ids in sorted(others.items())}
    bases = {n: name for name, n in shares.items() if 0 < n == len(others[name]) < len(own) and ":" in name}
    inherited = max(bases, default=0)
    known = tuple(
        replace(layer, shared=tuple(name for name, n in shares.items() if n > index))
        for index, layer in enumerate(image.layers)
    )
    return replace(image, layers=known, base=bases.get(inherited, ""), inherited=inherited)


def built(image: Anatomy, steps: Iterable[tuple[str, float | None]]) -> Anatomy:
    """The image with what its last build did: marks of instructions, and seconds, None for one that was cached.

    Of an instruction that went both ways in different stages nothing is said.
    """
    told: dict[str, set[float | None]] = {}
    for one, seconds in steps:
        told.setdefault(one, set()).add(seconds)
    known = {one: seconds.pop() for one, seconds in told.items() if len(seconds) == 1}

    def of(layer: Layer) -> Layer:
        seconds = known.get(name := mark(layer.instruction))
        return replace(layer, cached=seconds is None, took=seconds or 0.0) if name in known else layer

    return replace(image, layers=tuple(map(of, image.layers)))


def mark(instruction: str) -> str:
    """What two instructions have in common that read alike, and nothing that could be read in it.

    Flags do not count: the history leaves some of them out.
    """
    bare = _FLAGS.sub(r"\1", " ".join(instruction.split()))
    return hashlib.sha256(bare.encode(errors="replace")).hexdigest()[:16]
