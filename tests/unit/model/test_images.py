"""Names of images."""

from __future__ import annotations

import pytest

from devenv.model.images import canonical, familiar, registry, split

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "full", "short"),
    [
        ("node", "docker.io/library/node:latest", "node:latest"),
        ("node:22", "docker.io/library/node:22", "node:22"),
        ("library/node:22", "docker.io/library/node:22", "node:22"),
        ("docker.io/node:22", "docker.io/library/node:22", "node:22"),
        ("docker.io/library/node:22", "docker.io/library/node:22", "node:22"),
        ("index.docker.io/library/node:22", "docker.io/library/node:22", "node:22"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"),
        ("127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b:2"),
        (f"node@{DIGEST}", f"docker.io/library/node@{DIGEST}", f"node@{DIGEST}"),
        (f"node:22@{DIGEST}", f"docker.io/library/node:22@{DIGEST}", f"node:22@{DIGEST}"),
    ],
)
def test_full_and_familiar_names_of_images(written: str, full: str, short: str) -> None:
    """Each way to write an image has one full and one familiar form, and both are stable."""
    assert (canonical(written), familiar(written)) == (full, short)
    assert (canonical(full), familiar(short)) == (full, short)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("node", ("node", None, None)),
        ("node:22", ("node", "22", None)),
        ("localhost:5000/a", ("localhost:5000/a", None, None)),
        (f"a/b:1@{DIGEST}", ("a/b", "1", DIGEST)),
    ],
)
def test_split(written: str, parts: tuple[str, str | None, str | None]) -> None:
    """A port is not taken for a tag."""
    assert split(written) == parts


def test_registry() -> None:
    """The registry is the written registry, otherwise Docker Hub."""
    assert [registry(name) for name in ("node", "a/b", "ghcr.io/a/b", "localhost:5000/a")] == [
        "docker.io",
        "docker.io",
        "ghcr.io",
        "localhost:5000",
    ]
