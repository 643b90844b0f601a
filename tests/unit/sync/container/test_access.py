"""The user of the shell in a container, and which folders are checked for links without a shell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from devenv.model.containers import Container
from devenv.sync.container.access import Access, owner

pytestmark = pytest.mark.anyio


class FakeEngine:
    """Replaces `docker.client.Engine`: folders and links of a container."""

    def __init__(self, *folders: str, links: tuple[str, ...] = ()) -> None:
        self.there = {**dict.fromkeys(folders, False), **dict.fromkeys(links, True)}
        self.asked: list[str] = []
        self.archive = SimpleNamespace(is_link=self.is_link, exists=self.exists, get=self.get)

    async def is_link(self, _: str, path: str) -> bool | None:
        """Whether the path is a link, None if it does not exist."""
        self.asked.append(path)
        return self.there.get(path)

    async def exists(self, _: str, path: str) -> bool:
        """Whether the path exists."""
        return path in self.there

    async def get(self, _: str, path: str) -> None:
        """The container has no files."""


def access(engine: FakeEngine, user: int, *tops: str) -> Access:
    """Access to a container whose service runs as this user."""
    container = Container(id="c", name="c", service="web", state="running", ours=True, user=str(user))
    return Access(engine, container, (user, user), "m", tops)  # type: ignore[arg-type]


async def test_each_folder_is_checked_once_the_outer_ones_first() -> None:
    """Folders below a link or a missing folder are not checked, and neither are known folders."""
    engine = FakeEngine("/app", "/app/a", "/app/a/b", links=("/app/link",))
    seen = await access(engine, 1000, "/app").find_links(
        "c", ["/app/a/b/f", "/app/a/b/g", "/app/link/x/f", "/app/no/x/f"], ()
    )
    assert seen == {
        "/app": False, "/app/a": False, "/app/a/b": False, "/app/link": True, "/app/link/x": True,
        "/app/no": None, "/app/no/x": None,
    }  # fmt: skip
    assert engine.asked == ["/app", "/app/a", "/app/a/b", "/app/link", "/app/no"]
    engine.asked.clear()
    assert await access(engine, 1000, "/app").find_links("c", ["/app/a/b/f"], {"/app/a/b", "/app"}) == {
        "/app/a": False
    }
    engine.asked.clear()
    known, path = {"/", "/app", "/app/new"}, "/app/new/more/f"
    assert await access(engine, 1000, "/app").find_links("c", [path], known, {"/app/new"}) == {"/app/new/more": None}
    assert not engine.asked, "a new folder has no folders but known ones"


async def test_links_above_the_target_are_accepted_in_a_service_of_root() -> None:
    """In a service of another user they are not, since that user may have created them."""
    engine = FakeEngine("/srv", "/srv/app/in", links=("/srv/app",))
    path = "/srv/app/in/f"
    assert await access(engine, 0, "/srv/app").find_links("c", [path], ()) == {"/srv/app/in": False}
    assert await access(engine, 0).find_links("c", [path], ()) == {
        "/srv": False,
        "/srv/app": True,
        "/srv/app/in": True,
    }
    assert (await access(engine, 7, "/srv/app").find_links("c", [path], ()))["/srv/app"] is True


@pytest.mark.parametrize(("user", "is_root"), [("", True), ("0:5", True), ("1000", False), ("1000:0", False)])
async def test_the_user_of_the_shell(user: str, *, is_root: bool) -> None:
    """The user of the service."""
    engine: Any = FakeEngine()
    container = Container(id="c", name="c", service="web", state="running", ours=True, user=user)
    whose = await owner(engine, container)
    assert Access(engine, container, whose, "m", ()).is_root is is_root


async def test_without_an_open_shell_root_is_not_used() -> None:
    """The shell of the user must have been denied something first."""
    assert not await access(FakeEngine(), 1000).become_root(["mkdir: Permission denied"])
