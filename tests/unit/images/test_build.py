"""Why a build failed, in words that say where."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import anyio
import pytest

from devenv.docker.compose import BuildError
from devenv.images.build import build

if TYPE_CHECKING:
    from devenv.docker.compose import Compose


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            'failed to do request: Head "https://registry-1.docker.io/v2/x": dial tcp: lookup: no such host',
            "the build of `a` failed: docker.io does not answer: its name is not found (DNS)",
        ),
        (
            'Get "https://me:c4n4ry@files.test/x": dial tcp: connection refused',
            "the build of `a` failed: files.test does not answer: connection refused",
        ),
        (
            "fatal: unable to access: i/o timeout",
            "the build of `a` failed: a server does not answer: no answer in time",
        ),
        ("x: not found", "the build of `a` failed: image or tag not found"),
        ("something else", "the build of `a` failed: something else"),
    ],
)
def test_who_does_not_answer(reason: str, expected: str) -> None:
    """Without its login, where the builder names an address."""

    class Failing:
        async def build(self, *_: object) -> None:
            raise BuildError("the build of `a`", reason)

    with pytest.raises(BuildError) as caught:
        anyio.run(lambda: build(cast("Compose", Failing()), ["a"], lambda _: None, given=False))
    assert caught.value.message == expected
