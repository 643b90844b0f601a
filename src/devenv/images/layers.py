"""The layers of an image: instruction, size, and images that share them; and advice to make it smaller. Pure."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devenv.explain import table
from devenv.lazy_dataclass import dataclass
from devenv.model.images import Advice, Anatomy, Layer
from devenv.model.snapshot import shown
from devenv.phrases import counted

HistoryRow = Mapping[str, Any]  # a row of an image's history, in the engine's form

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
LEAST = 100_000  # bytes; a smaller saving is not reported
HIDDEN_LEAST = 1_000_000  # the same for hidden files: every package manager rewrites its lists
HIDING = "Remove files in the RUN that makes them; COPY --chown and --chmod instead of a RUN chown or chmod."
TABLES = table.data("images/layers.toml")
CACHES: Sequence[Sequence[str]] = TABLES["caches"]
COPIES_ALL = re.compile(r"(?:COPY|ADD)(?: --(?!from)\S+)* \./? \S+$")
COMMAND = r"(?:^RUN |&&|;|\|\|)\s*(?:\w+=\S* )*"  # the start of a command, where the words are a command's
END = re.compile(r"&&|;|\||$")
# A command that may need the sources, or does not use the project's files.
UNSURE = re.compile(r"\s\.{0,2}/|\$\(|`|<|\s-g\b|--global")
ELSEWHERE = re.compile(r"\bcd |--prefix|--cwd|--dir|\s-C ")


def layers(history: Sequence[HistoryRow], ids: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of an image from its history (the newest first) and its diff-ids (the lowest first).

    The engine does not say whether a row without bytes is a layer. If that remains unclear, the ids are empty.
    """
    rows = [(readable(row), row) for row in reversed(history)]
    sized = [(text, row) for text, row in rows if row["Size"]]
    likely = [(text, row) for text, row in rows if row["Size"] or text.split(" ")[0] not in NO_LAYER]
    matching = next((fitting for fitting in (likely, sized) if len(fitting) == len(ids)), None)
    known = ids if matching is not None else [""] * len(sized)
    pairs = zip(sized if matching is None else matching, known, strict=True)
    return tuple(Layer(text, int(row["Size"]), int(row["Created"]), name) for (text, row), name in pairs)


def readable(row: HistoryRow) -> str:
    """The instruction as in a Dockerfile: without the shell, build arguments, and the user of a URL."""
    text = str(row.get("CreatedBy") or "").removesuffix("# buildkit")
    if match := _SHELL.match(text):
        text = ("" if match["nop"] else "RUN ") + text[match.end() :]
    text = " ".join(text.split()) or str(row.get("Comment") or "").replace("Imported from -", "imported")
    return _USER.sub("//***@", _HASH.sub(r"\1:\2", text))


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """The number of layers that two chains of diff-ids share from the start; an unknown id ends the count."""
    alike = (bool(a) and a == b for a, b in zip(first, second, strict=False))
    return sum(itertools.takewhile(bool, alike))


def with_shared_layers(image: Anatomy, others: Mapping[str, Sequence[str]]) -> Anatomy:
    """The image with its layers that `others` (name -> diff-ids) share; an unnamed image cannot be a base."""
    own = [layer.id for layer in image.layers]
    shares = {name: common(own, ids) for name, ids in sorted(others.items())}
    bases = {n: name for name, n in shares.items() if 0 < n == len(others[name]) < len(own) and ":" in name}
    inherited = max(bases, default=0)
    sharing = [tuple(name for name, n in shares.items() if n > index) for index in range(len(own))]
    known = tuple(replace(layer, shared=names) for layer, names in zip(image.layers, sharing, strict=True))
    return replace(image, layers=known, base=bases.get(inherited, ""), inherited=inherited)


def with_build_times(image: Anatomy, steps: Iterable[tuple[str, float | None]]) -> Anatomy:
    """The image with its build times: (mark of the instruction, seconds or None if cached), if unambiguous."""
    times: dict[str, set[float | None]] = {}
    for step, seconds in steps:
        times.setdefault(step, set()).add(seconds)
    known = {step: seconds.pop() for step, seconds in times.items() if len(seconds) == 1}

    def of(layer: Layer) -> Layer:
        seconds = known.get(name := mark(layer.instruction))
        return replace(layer, cached=seconds is None, took=seconds or 0.0) if name in known else layer

    return replace(image, layers=tuple(map(of, image.layers)))


def mark(instruction: str) -> str:
    """A hash of the instruction that does not reveal its text. Flags do not count: the history lacks some."""
    bare = _FLAGS.sub(r"\1", " ".join(instruction.split()))
    return hashlib.sha256(bare.encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a layer adds (path -> bytes of files and links), what it removes, and the folders whose content it hides.

    Paths are relative to the root. A file with several names in its layer counts as 0 bytes: removing one name does
    not free it.
    """

    files: Mapping[str, int]
    removed: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()


def advice(image: Anatomy, contents: Sequence[Contents] | None) -> tuple[Advice, ...]:
    """Advice on the image's own layers, the largest saving first; `contents` are those of all layers, if known."""
    all_advice = [*_installs(image)]
    if contents is not None and len(contents) == len(image.layers):
        hidden = hidden_by(contents)
        lasting = [
            {path: size for path, size in layer.files.items() if path not in gone}
            for layer, gone in zip(contents, hidden, strict=True)
        ]
        all_advice += [*_hidden(image, contents, hidden), *_caches(image, lasting)]
    return tuple(sorted(all_advice, key=lambda advice: (-advice.bytes, advice.layer)))


def hidden_by(contents: Sequence[Contents]) -> list[dict[str, int]]:
    """For each layer its hidden files: path -> index of the layer that replaces or removes it."""
    hiders: dict[str, int] = {}
    emptied: dict[str, int] = {}
    hidden: list[dict[str, int]] = []
    for index in range(len(contents) - 1, -1, -1):
        layer = contents[index]
        hiding = {path: _hider(path, hiders, emptied) for path in layer.files}
        hidden.insert(0, {path: other for path, other in hiding.items() if other})
        hiders |= dict.fromkeys((*layer.files, *layer.removed), index)
        emptied |= dict.fromkeys(layer.emptied, index)
    return hidden


def _hider(path: str, hiders: Mapping[str, int], emptied: Mapping[str, int]) -> int:
    """The index of the layer that hides the path or a parent folder; 0 if none, as the lowest layer hides nothing."""
    hider = hiders.get(path, 0)
    while path and not hider:
        path = path.rpartition("/")[0]
        hider = hiders.get(path) or emptied.get(path, 0)
    return hider


def _installs(image: Anatomy) -> Iterator[Advice]:
    """Advice on the first install step that is repeated after each change of a source file."""
    copied = None
    for number, layer in enumerate(image.layers[image.inherited :], image.inherited + 1):
        if copied is None and COPIES_ALL.match(layer.instruction):
            copied = number
        elif copied is not None and (step := _install(layer.instruction)):
            command, hint = step
            cost = f"`{command}`, {shown(layer.size)}" + (f", {layer.took:.1f} s" if layer.took else "")
            message = (
                f"layer {copied} copies all sources, so each change of a file builds layer {number} again: {cost}"
            )
            yield Advice("install-after-copy", message, hint, number, layer.size, layer.took)
            return


def _install(instruction: str) -> tuple[str, str] | None:
    """The command that installs, and what to write instead; None if there is none, or if it may need the sources."""
    for pattern, needs in TABLES["installs"] if instruction.startswith("RUN ") else ():
        if match := re.search(rf"{COMMAND}(?P<command>{pattern})", instruction):
            given_file = match.groupdict().get("file")
            rest = instruction[match.end() :]
            if given_file is None and UNSURE.search(rest[: END.search(rest).start()]):  # type: ignore[union-attr] # it has an end
                continue
            return match["command"], _before(match["command"], given_file or needs, instruction)
    return None


def _before(command: str, needs: str, instruction: str) -> str:
    if not needs:
        return f"RUN {command} ...   (before COPY . .)"
    folder = posixpath.dirname(needs)
    files = f"{needs} ./{f'{folder}/' if folder else ''}"
    if needs.startswith("/") or ELSEWHERE.search(instruction):
        files = "what it needs alone"
    return f"COPY {files}   (then RUN {command}, and only then COPY . .)"


def _hidden(image: Anatomy, contents: Sequence[Contents], hidden: Sequence[Mapping[str, int]]) -> Iterator[Advice]:
    """Advice on files that remain in the image although a later layer hides them."""
    for index in range(image.inherited, len(contents)):
        files = contents[index].files
        for other in sorted({*hidden[index].values()}):
            paths = [path for path, layer in hidden[index].items() if layer == other]
            size = sum(files[path] for path in paths)
            if size >= HIDDEN_LEAST:
                largest = max(paths, key=files.__getitem__)
                message = (
                    f"layer {other + 1} replaces or removes {shown(size)} of layer {index + 1}, which stay there: "
                    f"{counted(len(paths), 'file')}, such as /{largest}"
                )
                yield Advice("hidden", message, HIDING, index + 1, size)


def _caches(image: Anatomy, lasting: Sequence[Mapping[str, int]]) -> Iterator[Advice]:
    for index in range(image.inherited, len(lasting)):
        for pattern, name, hint in CACHES:
            sizes = [size for path, size in lasting[index].items() if re.match(pattern, path)]
            if sum(sizes) >= LEAST:
                message = f"layer {index + 1} holds {name}: {shown(sum(sizes))} in {counted(len(sizes), 'file')}"
                yield Advice("left-behind", message, hint, index + 1, sum(sizes))
