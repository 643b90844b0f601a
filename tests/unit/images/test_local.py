"""Which images the engine has for a reference, on the engine in memory."""

from __future__ import annotations

import pytest

from devenv.images.local import local_images, local_matches
from devenv.images.needs import Need
from support.engine import Image, MemoryEngine, MemoryHost

pytestmark = pytest.mark.anyio

DIGITS = "1f" * 32


def engine_with(*names: str) -> MemoryEngine:
    """An engine in memory with one image for linux/amd64 that has all these names."""
    host = MemoryHost()
    host.images = {f"sha256:{DIGITS}": Image(f"sha256:{DIGITS}", set(names))}
    return MemoryEngine(host)


@pytest.mark.parametrize("reference", ["a:1", "docker.io/library/a:1", f"sha256:{DIGITS}", DIGITS, DIGITS[:12]])
async def test_a_name_or_an_id(reference: str) -> None:
    """Each form of the name leads to the image; a missing image is left out."""
    engine = engine_with("a:1", "docker.io/library/a:1")
    images = await local_images(engine, [reference, "missing:1"])
    assert {name: image.id for name, image in images.items()} == {reference: f"sha256:{DIGITS}"}


async def test_nothing_is_asked_for_no_reference() -> None:
    """No call reaches the engine."""
    engine = engine_with()
    assert await local_images(engine, []) == {}


@pytest.mark.parametrize(
    ("name", "platform", "match"),
    [
        ("a:1", None, "a:1"),
        ("a:1", "linux/amd64/v2", "a:1"),
        ("a:1", "linux/arm64", None),
        ("loaded.devenv/docker.io/library/a:1", None, "loaded.devenv/docker.io/library/a:1"),
        ("mirror.test/library/a:1", None, "mirror.test/library/a:1"),
        ("other.test/library/a:1", None, None),
    ],
)
async def test_other_names_serve_a_reference(name: str, platform: str | None, match: str | None) -> None:
    """The image's own name, a loaded archive's or a mirror's; an image for another platform does not count."""
    matches = await local_matches(engine_with(name), [Need("a:1", ("service a",), platform)], ["mirror.test"])
    assert {reference: found.name for reference, found in matches.items()} == ({"a:1": match} if match else {})


async def test_the_own_name_counts_first() -> None:
    """An image of the reference's own name is taken before a loaded one."""
    engine = engine_with("a:1", "loaded.devenv/docker.io/library/a:1")
    matches = await local_matches(engine, [Need("a:1", ("service a",))], ())
    assert matches["a:1"].name == "a:1"
