"""The layers of an image from its history, and advice, which is given only if it is certain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.images.layers import (
    CACHES,
    Contents,
    advice,
    common,
    hidden_by,
    layers,
    mark,
    readable,
    with_build_times,
    with_shared_layers,
)
from devenv.model.images import Advice, Anatomy, Layer

MB = 1_000_000


def row(text: str, size: int = 0, **more: Any) -> dict[str, Any]:
    """A row of a history."""
    return {"CreatedBy": text, "Size": size, "Created": 7, "Comment": "", **more}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("RUN /bin/sh -c npm ci --no-audit # buildkit", "RUN npm ci --no-audit"),
        ("RUN |2 TOKEN=se cret A=b /bin/sh -c echo $A # buildkit", "RUN echo $A"),
        ("|1 TOKEN=secret /bin/sh -c echo", "RUN echo"),
        ("RUN /bin/bash -o pipefail -c a | b # buildkit", "RUN a | b"),
        ("/bin/sh -c apt-get update  \t&& true", "RUN apt-get update && true"),
        ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
        (f"/bin/sh -c #(nop) ADD file:{'0a' * 32} in / ", "ADD file:0a0a0a0 in /"),
        ("COPY . . # buildkit", "COPY . ."),
        ("RUN node -c x # buildkit", "RUN node -c x"),
        ("RUN /bin/sh -c pip install --index-url https://me:secret@pypi.example/ six", "pypi.example/ six"),
        ("bash", "bash"),
    ],
)
def test_an_instruction_reads_as_it_was_written(written: str, expected: str) -> None:
    """No shell around it, no build arguments, no user in a URL."""
    assert readable(row(written)).endswith(expected)
    assert "secret" not in readable(row(written))
    assert not readable(row(written)).endswith(" ")


@pytest.mark.parametrize(("comment", "expected"), [("Imported from -", "imported"), ("x", "x"), (None, "")])
def test_a_row_without_an_instruction_shows_its_comment(comment: str | None, expected: str) -> None:
    """Imports and commits have no instruction."""
    assert readable(row("", Comment=comment)) == expected


def test_rows_that_make_no_layer_are_left_out() -> None:
    """ENV and CMD hold nothing; a WORKDIR and a RUN without bytes are layers, as the number of ids says."""
    history = [row('CMD ["x"]'), row("RUN /bin/sh -c true"), row("WORKDIR /app"), row("ENV A=b"), row("COPY a b", 5)]
    assert layers(history, ["1", "2", "3"]) == (
        Layer("COPY a b", 5, 7, "1"),
        Layer("WORKDIR /app", 0, 7, "2"),
        Layer("RUN true", 0, 7, "3"),
    )


def test_empty_rows_may_be_no_layers_at_all() -> None:
    """Some builders drop layers without bytes; if it is unclear which, the ids are empty."""
    history = [row("RUN /bin/sh -c a", 1), row("RUN /bin/sh -c true"), row("WORKDIR /a"), row("COPY a b", 5)]
    assert [(layer.instruction, layer.id) for layer in layers(history, ["1", "2"])] == [
        ("COPY a b", "1"),
        ("RUN a", "2"),
    ]
    assert [(layer.instruction, layer.id) for layer in layers(history, ["1", "2", "3"])] == [
        ("COPY a b", ""),
        ("RUN a", ""),
    ]


def image(*ids: str) -> Anatomy:
    """An image with these layers."""
    return Anatomy("it", "sha256:0", 0, tuple(Layer(f"RUN {layer_id}", 1, 0, layer_id) for layer_id in ids))


def test_a_layer_is_shared_with_all_below_it() -> None:
    """A layer is shared with images that have the same layers up to it; equal layers on other bases do not count."""
    found = with_shared_layers(image("a", "b", "c"), {"one:1": ["a", "b"], "two:1": ["a", "x", "c"], "3": ["z", "a"]})
    assert [layer.shared for layer in found.layers] == [("one:1", "two:1"), ("one:1",), ()]
    assert (found.base, found.inherited) == ("one:1", 2)


@pytest.mark.parametrize(
    ("others", "base"),
    [
        ({}, ("", 0)),
        ({"empty:1": []}, ("", 0)),
        ({"1234abcd": ["a"]}, ("", 0)),
        ({"same:1": ["a", "b", "c"]}, ("", 0)),
        ({"more:1": ["a", "b", "c", "d"]}, ("", 0)),
        ({"small:1": ["a"], "large:1": ["a", "b"]}, ("large:1", 2)),
    ],
)
def test_the_base_is_the_largest_image_with_a_name_that_it_begins_with(
    others: dict[str, list[str]], base: tuple[str, int]
) -> None:
    """An image with exactly these layers is not the base, and neither is one without a name (an earlier build)."""
    shared = with_shared_layers(image("a", "b", "c"), others)
    assert (shared.base, shared.inherited) == base


@given(st.lists(st.sampled_from("ab")), st.lists(st.sampled_from("ab")))
def test_common_layers_of_two_chains(first: list[str], other: list[str]) -> None:
    """Alike up to there, and different, or at an end, behind it."""
    count = common(first, other)
    assert first[:count] == other[:count]
    assert first[count : count + 1] != other[count : count + 1] or count == len(first) == len(other)
    assert common(other, first) == count


def test_unknown_layers_are_not_shared() -> None:
    """Two empty ids are not equal."""
    assert common(["a", ""], ["a", ""]) == 1


def test_times_of_the_last_build_if_they_are_clear() -> None:
    """Cached, or a time in seconds; none if equal instructions differ in that, or did not occur."""
    timed = with_build_times(
        image("a", "b", "c", "d"),
        [(mark("RUN a"), None), (mark("RUN  b"), 1.5), (mark("RUN c"), None), (mark("RUN c"), 0.0)],
    )
    assert [(layer.cached, layer.took) for layer in timed.layers] == [
        (True, 0.0),
        (False, 1.5),
        (None, 0.0),
        (None, 0.0),
    ]


def test_flags_of_a_copy_are_ignored() -> None:
    """The history does not have all of them."""
    assert mark("COPY --from=build --chown=node /a  /b") == mark("COPY /a /b") != mark("COPY /b /a")


def built(*instructions: str, inherited: int = 0, took: float = 0.0) -> Anatomy:
    """An image of these instructions, each with a megabyte."""
    layers = tuple(Layer(instruction, MB, 0, str(n), took=took) for n, instruction in enumerate(instructions))
    return Anatomy("it", "", len(layers) * MB, layers, inherited=inherited)


def amounts(*items: Advice) -> list[tuple[str, int, int]]:
    """Code, layer and bytes."""
    return [(item.code, item.layer, item.bytes) for item in items]


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
    """The advice has the bytes and, if known, the seconds of the steps that each change of a source repeats."""
    (finding,) = advice(built("COPY --chown=a . .", f"RUN {step}", took=2.5), None)
    assert amounts(finding) == [("install-after-copy", 2, MB)]
    assert finding.seconds == 2.5
    assert f"`{what}`, 1.0 MB, 2.5 s" in finding.message
    assert needs in finding.hint


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
    assert advice(built(*instructions), None) == ()


def test_layers_of_the_base_get_no_advice() -> None:
    """Layers of the base image get no advice, whatever they contain."""
    layers = built("COPY . .", "RUN npm ci", "RUN true", inherited=2)
    lists = Contents({"var/lib/apt/lists/a": MB, "a": 2 * MB})
    for later in (Contents({}), Contents({}, removed=frozenset({"var"}))):
        assert advice(layers, [lists, Contents({"a": 1}), later]) == ()


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
    """A cache is reported with its bytes if it is in the final image, large, and in a known folder."""
    layers = built("RUN a", "RUN b")
    nothing = Contents({})
    assert amounts(*advice(layers, [Contents({path: 200_000, "etc/x": MB}), nothing])) == [
        ("left-behind", 1, 200_000)
    ]
    assert advice(layers, [Contents({path: 90_000}), nothing]) == ()
    assert advice(layers, [Contents({f"app/{path}": MB}), nothing]) == ()
    assert advice(layers, [Contents({path: 200_000}), Contents({}, removed=frozenset({path}))]) == ()
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
    """A hidden file was replaced or removed by a later layer, or is in a folder that was removed or replaced."""
    below = Contents({"app/big": 3 * MB, "app/also": 5, "other": 7})
    (item,) = advice(built("RUN a", "RUN b", "RUN c"), [below, Contents({}), later])
    assert (item.code, item.layer) == ("hidden", 1)
    assert item.bytes in (3 * MB, 3 * MB + 5, 3 * MB + 12)
    assert "layer 3 replaces or removes 3.0 MB of layer 1" in item.message
    assert "such as /app/big" in item.message


def test_small_hidden_files_are_not_reported() -> None:
    """Every package manager rewrites its lists."""
    assert advice(built("RUN a", "RUN b"), [Contents({"a": MB - 1}), Contents({"a": 1})]) == ()


def test_contents_of_another_number_of_layers_are_ignored() -> None:
    """If contents cannot be matched to layers, there is no advice on them."""
    assert advice(built("RUN a"), [Contents({"var/lib/apt/lists/x": MB}), Contents({})]) == ()


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


def test_the_largest_saving_comes_first() -> None:
    """Advice is sorted by bytes, not by kind."""
    below = Contents({"var/lib/apt/lists/x": 4 * MB, "big": 2 * MB})
    items = advice(built("COPY . .", "RUN npm ci"), [below, Contents({"big": 1})])
    assert [item.bytes for item in items] == [4 * MB, 2 * MB, MB]
