"""`devenv images` with images that cannot be pulled or built."""

from __future__ import annotations

import pytest

from devenv.cli import main
from devenv.images import failures, listing
from devenv.images.listing import Row


@pytest.mark.parametrize(("kind", "source", "is_shown"), [
    ("service", "nowhere", True), ("service", "registry", False), ("frontend", "nowhere", False),
])  # fmt: skip
def test_images_ends_with_the_command_for_missing_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, source: str, *, is_shown: bool
) -> None:
    """A frontend that is not available is replaced by the engine's own builder."""

    async def rows(_: object) -> list[Row]:
        return [Row("foo:1", None, kind, ("service a",), source, "no answer")]

    monkeypatch.setattr(listing, "list_images", rows)
    assert main.run(["images"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("foo:1\n")
    assert (failures.MIRROR in output.err) is is_shown
