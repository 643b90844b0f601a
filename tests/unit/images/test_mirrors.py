"""Which entries are mirrors, and what an image may be called there."""

from __future__ import annotations

import pytest

from devenv.errors import ConfigError
from devenv.images.mirrors import candidates, loaded, prefix, prefixes
from devenv.redact import masked

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("entry", "begin"),
    [
        ("mirror.example", "mirror.example"),
        ("mirror:5000", "mirror:5000"),
        ("mirror.example:5000/a/b-c__d.e", "mirror.example:5000/a/b-c__d.e"),
        ("https://mirror.example/", "mirror.example"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://127.9.9.9", "127.9.9.9"),
        ("http://localhost:5000/hub", "localhost:5000/hub"),
        ("http://[::1]:5000", "[::1]:5000"),
        ("localhost", "localhost"),
        ("[2001:db8::1]/hub", "[2001:db8::1]/hub"),
    ],
)
def test_an_entry_becomes_the_beginning_of_names(entry: str, begin: str) -> None:
    """With or without a scheme, port and path: what is left is what an image's name begins with."""
    assert prefix(entry) == begin


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("https://user:p%40ss@mirror.example:5000/x", "'https://***@mirror.example:5000/x' holds credentials"),
        ("user:p/@ss@mirror.example", "'https://***@mirror.example' holds credentials"),
        ("http://mirror.example", "'http://mirror.example' would be read without TLS"),
        ("http://127.0.0.1.example", "would be read without TLS"),
        ("file:///srv/images", "'file:///srv/images' is no registry"),
        ("a mirror.example", "is not the address"),
        (" mirror.example", "is not the address"),
        ("mirror.example\n", "is not the address"),
        ("mirror.example:99999", "has the port 99999"),
        ("mirror.example:0", "has the port 0"),
        ("mirror.example:port", "is not the address"),
        ("mirror", "is not the address"),
        ("mirror/docker.io", "is not the address"),
        ("", "is not the address"),
        ("https://", "is not the address"),
        ("https:///path", "is not the address"),
        ("mirror.example/UPPER", "is not the address"),
        ("mirror.example/a//b", "is not the address"),
        ("mirror.example/?token=t0ken", "'mirror.example/' is not the address"),
        ("-v", "is not the address"),
    ],
)
def test_invalid_mirrors(entry: str, why: str) -> None:
    """The error (5) shows the entry without its secrets, and says what one looks like."""
    with pytest.raises(ConfigError) as raised:
        prefix(entry)
    assert why in raised.value.message
    assert raised.value.exit_code == 5
    assert not {"p%40ss", "p/@ss", "user", "t0ken"} & set(raised.value.message.replace(":", " ").split())
    assert raised.value.hint


def test_each_mirror_counts_once() -> None:
    """The order is the person's, and the same mirror written in two ways is one."""
    assert prefixes(["b.example", "https://a.example/", "a.example"]) == ("b.example", "a.example")


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("node:22", ("m.example/library/node:22", "m.example/docker.io/library/node:22")),
        ("grafana/grafana", ("m.example/grafana/grafana:latest", "m.example/docker.io/grafana/grafana:latest")),
        ("quay.io/a/b:1", ("m.example/quay.io/a/b:1",)),
        ("localhost:5000/a:1", ()),
        (f"node:22@{DIGEST}", (f"m.example/library/node@{DIGEST}", f"m.example/docker.io/library/node@{DIGEST}")),
        (f"quay.io/a@{DIGEST}", (f"m.example/quay.io/a@{DIGEST}",)),
        ("m.example/a:1", ()),
    ],
)
def test_names_of_an_image_at_a_mirror(reference: str, names: tuple[str, ...]) -> None:
    """Docker Hub's images in two forms, others below their registry; a mirror is not asked for its own."""
    assert candidates(reference, "m.example") == names


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("node", "loaded.devenv/docker.io/library/node:latest"),
        ("localhost:5000/a/b:1", "loaded.devenv/localhost_5000/a/b:1"),
        (f"localhost:5000/a@{DIGEST}", f"loaded.devenv/localhost_5000/a:sha256-{'a' * 64}"),
        (f"node:22@{DIGEST}", f"loaded.devenv/docker.io/library/node:sha256-{'a' * 64}"),
    ],
)
def test_names_of_loaded_images(reference: str, name: str) -> None:
    """Registry, name and tag or digest are all in it, so that no two images share one."""
    assert loaded(reference) == name


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:p%40ss@h:1", "http://***@h:1"),
        ("u@h", "https://***@h"),
        ("h:1/x", "h:1/x"),
        ("http://h?token=x#y", "http://h"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    """No user, no password, no query."""
    assert masked(address) == shown
