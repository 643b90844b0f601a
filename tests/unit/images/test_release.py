"""The names of released images."""

from __future__ import annotations

import pytest

from devenv.errors import UsageError
from devenv.images.release import names, repository, versions


@pytest.mark.parametrize(
    ("image", "registry", "expected"),
    [
        (None, None, "shop-web"),
        ("acme/web:1.2", None, "acme/web"),
        ("ghcr.example/acme/web:1.2", None, "ghcr.example/acme/web"),
        (None, "127.0.0.1:5000", "127.0.0.1:5000/shop-web"),
        ("acme/web:1.2", "registry.example/team/", "registry.example/team/acme/web"),
        ("old.example:5000/acme/web", "new.example", "new.example/acme/web"),
        ("docker.io/acme/web", "new.example", "new.example/acme/web"),
        ("localhost/web", "[::1]:5000", "[::1]:5000/web"),
    ],
)
def test_repository_of_a_service(image: str | None, registry: str | None, expected: str) -> None:
    """The name in the file stays, and a registry given as an option replaces the one in it."""
    assert repository(image, "web", project="shop", registry=registry) == expected


@pytest.mark.parametrize(
    "text", ["", "-v", "a b", "http://registry.example", "host:port", "x/UPPER", "h:1/..", "h//x", "h:99999"]
)
def test_invalid_registries(text: str) -> None:
    """Nothing that could be an option, an address or another place."""
    with pytest.raises(UsageError, match="is not a registry"):
        repository(None, "web", project="shop", registry=text)


def test_a_password_is_not_repeated() -> None:
    """A password in the wrong argument does not get into a log."""
    for text in ("https://user:s3cret@registry.example", "user:s3cret@registry.example"):
        with pytest.raises(UsageError, match=r"`https://\*\*\*@registry\.example` is not a registry"):
            repository(None, "web", project="shop", registry=text)


@pytest.mark.parametrize(
    ("image", "manifest", "revision", "expected"),
    [
        (None, None, None, ("latest",)),
        (None, "1.4.0", "abc", ("1.4.0", "latest", "abc")),
        ("web:2", "1.4.0", None, ("2", "latest")),
        ("web:latest", "1.4.0+build.7", None, ("1.4.0-build.7", "latest")),
        ("web", None, "abc-dirty", ("latest", "abc-dirty")),
    ],
)
def test_versions(image: str | None, manifest: str | None, revision: str | None, expected: tuple[str, ...]) -> None:
    """The tag in the file has priority over a package's manifest; unknown versions are left out."""
    assert versions(image=image, manifest=manifest, revision=revision) == expected


def test_names() -> None:
    """Each once, and only with tags that a registry takes."""
    assert names("r/web", ("1", "latest", "1")) == ("r/web:1", "r/web:latest")
    for tag in ("", "-x", "a b", "a:b", "é", "x" * 129):
        with pytest.raises(UsageError, match="cannot be a tag"):
            names("web", (tag,))
