"""Advice is given only if it is certain."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.images.layers.advice import CACHES, Contents, advice, hidden_by
from devenv.model.layers import Advice, Anatomy, Layer

MB = 1_000_000
PRODUCTION = {"Env": ["NODE_ENV=production"]}


def image(*instructions: str, inherited: int = 0, took: float = 0.0) -> Anatomy:
    """An image of these instructions, each with a megabyte."""
    layers = tuple(Layer(said, MB, 0, str(n), took=took) for n, said in enumerate(instructions))
    return Anatomy("it", "", len(layers) * MB, layers, inherited=inherited)


def said(*found: Advice) -> list[tuple[str, int, int]]:
    """Code, layer and bytes."""
    return [(one.code, one.layer, one.bytes) for one in found]


@pytest.mark.parametrize(
    ("step", "what", "needs"),
    [
        ("npm ci --no-audit", "npm ci", "COPY package.json package-lock.json ./"),
        ("cd a && npm install", "npm install", "COPY what it needs alone"),
        ("CI=1 npm i --no-audit", "npm i", "COPY package*.json ./"),
        ("yarn", "yarn", "COPY package.json yarn.lock"),
        ("yarn && true", "yarn", "yarn.lock"),
        ("pnpm i --frozen-lockfile", "pnpm i", "pnpm-lock.yaml"),
        (
            "pip install --no-cache-dir -r req/dev.txt",
            "pip install --no-cache-dir -r req/dev.txt",
            "COPY req/dev.txt ./req/",
        ),
        ("set -e; python -m pip install -r a.txt", "python -m pip install -r a.txt", "COPY a.txt ./ "),
        ("pip install -r /app/a.txt", "pip install -r /app/a.txt", "COPY what it needs alone"),
        ("bundle install", "bundle install", "Gemfile"),
        ("composer install", "composer install", "composer.lock"),
        ("go mod download", "go mod download", "go.sum"),
        ("apt-get update && apt-get -y install curl", "apt-get -y install", "before COPY . ."),
        ("apk add curl", "apk add", "before COPY . ."),
    ],
)
def test_an_install_after_the_sources(step: str, what: str, needs: str) -> None:
    """What every change of a source runs again, with its bytes and, if known, seconds."""
    (found,) = advice(image("COPY --chown=a . .", f"RUN {step}", took=2.5), None, {})
    assert said(found) == [("install-after-copy", 2, MB)]
    assert found.seconds == 2.5
    assert f"`{what}`, 1.0 MB, 2.5 s" in found.message
    assert needs in found.hint


@pytest.mark.parametrize(
    "instructions",
    [
        ("COPY package.json ./", "RUN npm ci", "COPY . ."),
        ("RUN npm ci", "COPY . .", "RUN npm run build"),
        ("COPY src ./", "RUN npm ci"),
        ("COPY --from=build . .", "RUN npm ci"),
        ("COPY . .", "RUN yarn build"),
        ("COPY . .", "RUN pip install ."),
        ("COPY . .", "CMD npm ci"),
        ("COPY . .", "RUN my-npm ci"),
        ("COPY . .", 'RUN echo "now type: npm install"'),
        ("COPY . .", "RUN apt-get install -y ./own.deb && true"),
        ("COPY . .", "RUN apt-get install -y $(cat packages)"),
        ("COPY . .", "RUN xargs apt-get install -y < packages"),
        ("COPY . .", "RUN npm install -g pnpm"),
        ("COPY . .",),
    ],
)
def test_no_install_after_the_sources(instructions: tuple[str, ...]) -> None:
    """The install comes first, does not install what a file names, or the copy is not of all sources."""
    assert advice(image(*instructions), None, {}) == ()


def test_layers_of_the_base_get_no_advice() -> None:
    """Layers of the base image are not the user's, whatever they hold."""
    layers = image("COPY . .", "RUN npm ci", "RUN true", inherited=2)
    lists = Contents({"var/lib/apt/lists/a": MB, "a": 2 * MB})
    for later in (Contents({}), Contents({}, removed=frozenset({"var"}))):
        assert advice(layers, [lists, Contents({"a": 1}), later], {}) == ()


@pytest.mark.parametrize(
    "path",
    [
        "var/lib/apt/lists/deb_main",
        "var/cache/apt/archives/x.deb",
        "var/cache/apk/x",
        "root/.cache/pip/http/x",
        "home/node/.npm/_cacache/x",
        "usr/local/share/.cache/yarn/x",
    ],
)
def test_caches_of_installers_are_reported(path: str) -> None:
    """Reported with its bytes if it is in the final image; not if it is small, removed or elsewhere."""
    layers = image("RUN a", "RUN b")
    nothing = Contents({})
    assert said(*advice(layers, [Contents({path: 200_000, "etc/x": MB}), nothing], {})) == [
        ("left-behind", 1, 200_000)
    ]
    assert advice(layers, [Contents({path: 90_000}), nothing], {}) == ()
    assert advice(layers, [Contents({f"app/{path}": MB}), nothing], {}) == ()
    assert advice(layers, [Contents({path: 200_000}), Contents({}, removed=frozenset({path}))], {}) == ()
    assert len(CACHES) == 6


@pytest.mark.parametrize(
    "later",
    [
        Contents({"app/big": 1}),
        Contents({}, removed=frozenset({"app/big"})),
        Contents({}, removed=frozenset({"app"})),
        Contents({}, emptied=frozenset({"app"})),
        Contents({}, emptied=frozenset({""})),
        Contents({"app": 0}),
    ],
)
def test_hidden_files_are_reported(later: Contents) -> None:
    """A file that a later layer replaces, removes, hides with its folder, or whose folder it makes a file."""
    below = Contents({"app/big": 3 * MB, "app/also": 5, "other": 7})
    (found,) = advice(image("RUN a", "RUN b", "RUN c"), [below, Contents({}), later], {})
    assert (found.code, found.layer) == ("hidden", 1)
    assert found.bytes in (3 * MB, 3 * MB + 5, 3 * MB + 12)
    assert "layer 3 replaces or removes 3.0 MB of layer 1" in found.message
    assert "such as /app/big" in found.message


def test_small_hidden_files_are_not_reported() -> None:
    """Every package manager rewrites its lists."""
    assert advice(image("RUN a", "RUN b"), [Contents({"a": MB - 1}), Contents({"a": 1})], {}) == ()


def test_contents_of_another_number_of_layers_are_ignored() -> None:
    """If contents cannot be matched to layers, there is no advice on them."""
    assert advice(image("RUN a"), [Contents({"var/lib/apt/lists/x": MB}), Contents({})], {}) == ()


PATHS = st.sampled_from(["a", "a/b", "a/b/c", "d", "d/e"])
LAYERS = st.builds(
    Contents,
    st.dictionaries(PATHS, st.just(1)),
    st.frozensets(PATHS),
    st.frozensets(st.sampled_from(["a", "a/b", "d"])),
)


@given(st.lists(LAYERS, max_size=5))
def test_hidden_files_are_those_that_a_union_mount_hides(contents: list[Contents]) -> None:
    """With all layers applied, exactly the files that are not reported as hidden are visible."""
    union: dict[str, int] = {}
    for index, one in enumerate(contents):
        for path in list(union):
            above = {path[:n] for n in range(len(path)) if path[n] == "/"}
            gone = ({path} | above) & (one.removed | one.files.keys()) or above & one.emptied
            if gone:
                del union[path]
        union |= dict.fromkeys(one.files, index)
    hidden = hidden_by(contents)
    assert {
        (path, index) for index, one in enumerate(contents) for path in one.files if path not in hidden[index]
    } == set(union.items())
    assert all(index < layer for index, one in enumerate(hidden) for layer in one.values())


def app(lock: object = None, **sizes: int) -> Contents:
    """A layer with an app in /srv: npm's own lock, and packages of these sizes."""
    packages = {f"srv/node_modules/{name.replace('__', '/')}/index.js": size for name, size in sizes.items()}
    texts = {"srv/node_modules/.package-lock.json": _encoded(lock)} if lock else {}
    return Contents({"srv/package.json": 1, **packages}, texts=texts)


def _encoded(text: object) -> bytes:
    return text if isinstance(text, bytes) else json.dumps(text).encode()


LOCK = {"packages": {"node_modules/deep": {"dev": True}, "node_modules/vite": {}, "node_modules/bad": 1}}


@pytest.mark.parametrize(
    ("layer", "total"),
    [
        (app(LOCK, deep=150_000, vite=200_000), 150_000),
        (app(LOCK, deep__node_modules__vite=150_000), 0),
        (app({"packages": {"node_modules/@types/node": {"dev": True}}}, **{"@types__node": 200_000}), 200_000),
        (app(LOCK, deep=90_000), 0),
        (app(vite=200_000), 0),
        (app(b"{broken", vite=200_000), 0),
        (app([1], vite=200_000), 0),
        (app({"packages": 1}, vite=200_000), 0),
    ],
)
def test_packages_for_development_in_production(layer: Contents, total: int) -> None:
    """By npm's own lock file, and only if NODE_ENV is production."""
    for config, expected in ((PRODUCTION, total), ({"Env": ["NODE_ENV=development"]}, 0), ({}, 0)):
        found = advice(image("COPY a b"), [layer], config)
        assert said(*found) == ([("development", 0, expected)] if expected else [])


def test_development_packages_are_named() -> None:
    """Where, how many, the largest, how much."""
    (found,) = advice(image("COPY a b"), [app(LOCK, deep=200_000)], PRODUCTION)
    assert (
        found.message
        == "/srv/ holds 1 package for development only, such as deep: 200 KB, though NODE_ENV is production"
    )


def test_the_largest_saving_comes_first() -> None:
    """Whatever its kind."""
    below = Contents({"var/lib/apt/lists/x": 4 * MB, "big": 2 * MB})
    found = advice(image("COPY . .", "RUN npm ci"), [below, Contents({"big": 1})], {})
    assert [one.bytes for one in found] == [4 * MB, 2 * MB, MB]
