"""Advice that makes an image smaller or its builds faster, measured in the image itself. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devenv.model.layers import Advice, Anatomy
from devenv.model.snapshot import shown

LEAST = 100_000  # bytes; a smaller saving is not reported
HIDDEN_LEAST = 1_000_000  # the same for files that a later layer hides: every package manager rewrites its lists
LOCK = "node_modules/.package-lock.json"  # npm's list of installed packages; it marks those for development
HIDING = "Remove files in the RUN that makes them; COPY --chown and --chmod instead of a RUN chown or chmod."
CACHES = (
    (r"var/lib/apt/lists/", "package lists of apt", "end that RUN with: && rm -rf /var/lib/apt/lists/*"),
    (r"var/cache/apt/", "downloads of apt", "end that RUN with: && apt-get clean"),
    (r"var/cache/apk/", "package lists of apk", "apk add --no-cache ..."),
    (r"(?:root|home/[^/]+)/\.cache/pip/", "a cache of pip", "pip install --no-cache-dir ..."),
    (r"(?:root|home/[^/]+)/\.npm/", "a cache of npm", "end that RUN with: && npm cache clean --force"),
    (r"usr/local/share/\.cache/yarn/", "a cache of yarn", "end that RUN with: && yarn cache clean"),
)
COPIES_ALL = re.compile(r"(?:COPY|ADD)(?: --(?!from)\S+)* \./? \S+$")
# The command of a step that installs -> the files that it needs.
INSTALLS = (
    (r"npm ci\b", "package.json package-lock.json"),
    (r"npm (?:install|i)\b", "package*.json"),
    (r"yarn install\b|yarn(?=\s*(?:$|[;&|]))", "package.json yarn.lock"),
    (r"pnpm (?:install|i)\b", "package.json pnpm-lock.yaml"),
    (r"(?:python3? -m )?pip3? install (?:\S+ )*?(?:-r|--requirement)[ =]?(?P<file>[\w./-]+)", ""),
    (r"bundle install\b", "Gemfile Gemfile.lock"),
    (r"composer install\b", "composer.json composer.lock"),
    (r"go mod download\b", "go.mod go.sum"),
    (r"apt(?:-get)? (?:-\S+ )*install\b|apk (?:-\S+ )*add\b", ""),
)
COMMAND = r"(?:^RUN |&&|;|\|\|)\s*(?:\w+=\S* )*"  # the start of a command: elsewhere the same words may mean anything
END = re.compile(r"&&|;|\||$")
UNSURE = re.compile(
    r"\s\.{0,2}/|\$\(|`|<|\s-g\b|--global"
)  # may need the sources, or does not use the project's files
ELSEWHERE = re.compile(r"\bcd |--prefix|--cwd|--dir|\s-C ")
PACKAGE = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+(?=/)")


@dataclass(frozen=True, slots=True)
class Contents:
    """The files and links that a layer adds, path -> bytes; what it removes; the folders whose content it hides.

    Paths are relative to the root. `texts` are the contents of npm's lock files. A file with several names in its
    layer counts as 0 bytes: removing one name does not free it.
    """

    files: Mapping[str, int]
    removed: frozenset[str] = frozenset()
    emptied: frozenset[str] = frozenset()
    texts: Mapping[str, bytes] = field(default_factory=dict)


def advice(image: Anatomy, contents: Sequence[Contents] | None, config: Mapping[str, Any]) -> tuple[Advice, ...]:
    """Advice on the image's own layers, the largest saving first; `contents` of all layers, if known."""
    advices = [*_installs(image)]
    if contents is not None and len(contents) == len(image.layers):
        hidden = hidden_by(contents)
        lasting = [
            {path: size for path, size in layer.files.items() if path not in gone}
            for layer, gone in zip(contents, hidden, strict=True)
        ]
        advices += [*_hidden(image, contents, hidden), *_caches(image, lasting)]
        if "NODE_ENV=production" in (config.get("Env") or ()):
            advices += _development(image, contents, lasting)
    return tuple(sorted(advices, key=lambda advice: (-advice.bytes, advice.layer)))


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
    """The index of the layer that hides the path or a folder above it; 0, which cannot hide any, if none does."""
    hider = hiders.get(path, 0)
    while path and not hider:
        path = path.rpartition("/")[0]
        hider = hiders.get(path) or emptied.get(path, 0)
    return hider


def _installs(image: Anatomy) -> Iterator[Advice]:
    """The first install step that every change of a source file runs again."""
    copied = None
    for number, layer in enumerate(image.layers[image.inherited :], image.inherited + 1):
        if copied is None and COPIES_ALL.match(layer.instruction):
            copied = number
        elif copied is not None and (step := _install(layer.instruction)):
            what, hint = step
            took = f", {layer.took:.1f} s" if layer.took else ""
            message = f"layer {copied} copies all sources, so each change of a file builds layer {number} again"
            message += f": `{what}`, {shown(layer.size)}{took}"
            yield Advice("install-after-copy", message, hint, number, layer.size, layer.took)
            return


def _install(instruction: str) -> tuple[str, str] | None:
    """The command that installs, and what to write instead; None if there is none, or if it may need the sources."""
    for pattern, needs in INSTALLS if instruction.startswith("RUN ") else ():
        if match := re.search(rf"{COMMAND}(?P<what>{pattern})", instruction):
            file = match.groupdict().get("file")
            rest = instruction[match.end() :]
            if file is None and UNSURE.search(rest[: END.search(rest).start()]):  # type: ignore[union-attr] # it has an end
                continue
            return match["what"], _before(match["what"], file or needs, instruction)
    return None


def _before(what: str, needs: str, instruction: str) -> str:
    if not needs:
        return f"RUN {what} ...   (before COPY . .)"
    if needs.startswith("/") or ELSEWHERE.search(instruction):
        return f"COPY what it needs alone   (then RUN {what}, and only then COPY . .)"
    folder = posixpath.dirname(needs)
    return f"COPY {needs} ./{f'{folder}/' if folder else ''}   (then RUN {what}, and only then COPY . .)"


def _hidden(image: Anatomy, contents: Sequence[Contents], hidden: Sequence[Mapping[str, int]]) -> Iterator[Advice]:
    """Files that stay in the image although a later layer hides them."""
    for index in range(image.inherited, len(contents)):
        files = contents[index].files
        for other in sorted({*hidden[index].values()}):
            paths = [path for path, layer in hidden[index].items() if layer == other]
            size = sum(files[path] for path in paths)
            if size >= HIDDEN_LEAST:
                largest = max(paths, key=files.__getitem__)
                message = (
                    f"layer {other + 1} replaces or removes {shown(size)} of layer {index + 1}, which stay there"
                )
                yield Advice("hidden", f"{message}: {_count(paths)}, such as /{largest}", HIDING, index + 1, size)


def _caches(image: Anatomy, lasting: Sequence[Mapping[str, int]]) -> Iterator[Advice]:
    for index in range(image.inherited, len(lasting)):
        for pattern, what, hint in CACHES:
            sizes = [size for path, size in lasting[index].items() if re.match(pattern, path)]
            if sum(sizes) >= LEAST:
                message = f"layer {index + 1} holds {what}: {shown(sum(sizes))} in {_count(sizes)}"
                yield Advice("left-behind", message, hint, index + 1, sum(sizes))


def _development(
    image: Anatomy, contents: Sequence[Contents], lasting: Sequence[Mapping[str, int]]
) -> Iterator[Advice]:
    """Installed packages that an app needs for its development only."""
    texts = {path: text for layer in contents for path, text in layer.texts.items()}  # the uppermost layer counts
    sizes: dict[str, dict[str, int]] = {}
    for path, size in ((p, s) for files in lasting[image.inherited :] for p, s in files.items()):
        if package := PACKAGE.match(path):
            root = path[: path.index("node_modules/")]
            packages = sizes.setdefault(root, {})
            name = package[0].removeprefix(root)
            packages[name] = packages.get(name, 0) + size
    for root in sorted(sizes):
        spare = _for_development(root, texts)
        unused = {name: size for name, size in sizes[root].items() if name in spare}
        if (total := sum(unused.values())) >= LEAST:
            largest = max(unused, key=unused.__getitem__).rpartition("node_modules/")[2]
            message = (
                f"/{root} holds {_count(unused, 'package')} for development only, such as {largest}: {shown(total)}"
            )
            yield Advice("development", f"{message}, though NODE_ENV is production", "npm ci --omit=dev", bytes=total)


def _for_development(root: str, texts: Mapping[str, bytes]) -> set[str]:
    """The folders of packages for development, relative to the app's, by npm's own lock file.

    A development dependency of package.json may still be needed by a package in production.
    """
    installed = _parsed(texts.get(root + LOCK)).get("packages")
    packages = installed.items() if isinstance(installed, dict) else ()
    return {path for path, package in packages if isinstance(package, dict) and package.get("dev") is True}


def _parsed(text: bytes | None) -> dict[str, Any]:
    try:
        parsed = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _count(things: Any, kind: str = "file") -> str:
    return f"{len(things)} {kind}{'' if len(things) == 1 else 's'}"
