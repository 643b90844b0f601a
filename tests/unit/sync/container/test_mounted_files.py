"""Files of configs and secrets on their way into a container."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, cast

import pytest

from devenv.compose.remote_files import MountedFile
from devenv.docker.containers import Archive
from devenv.errors import EngineError
from devenv.sync.container import host_files, mounted_files


class Container:
    """Takes archives and unpacks them."""

    def __init__(self) -> None:
        self.members: dict[str, tuple[int, int, int, bytes]] = {}  # mode, uid, gid, content
        self.archives = 0

    async def put(self, container_id: str, tar: bytes | AsyncIterable[bytes], *, size: int = 0) -> None:
        """As `Archive.put`."""
        assert container_id == "c"
        self.archives += 1
        body = tar if isinstance(tar, bytes) else b"".join([piece async for piece in tar])
        assert size <= len(body)
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                self.members[member.name] = member.mode, member.uid, member.gid, content.read()


async def copied(folder: Path, *files: MountedFile) -> Container:
    """What the container has after the files were put."""
    container = Container()
    await mounted_files.put(cast("Archive", container), "c", files, str(folder))
    return container


def file(source: object, target: str = "/t", **more: Any) -> MountedFile:
    """A secret of a service."""
    return MountedFile("web", "secrets", "tok", str(source), target, **more)


@pytest.mark.anyio
async def test_small_files_are_one_request(tmp_path: Path) -> None:
    """Links are followed, as a bind mount does; binary content stays as it is."""
    (tmp_path / "v1").write_bytes(b"\0\xff")
    (tmp_path / "run.sh").touch(0o700)
    (tmp_path / "current").symlink_to("v1")
    files = file(tmp_path / "current", "/a", uid=5, gid=3_000_000, mode=0o400), file(tmp_path / "run.sh", "/b")
    container = await copied(tmp_path, *files)
    assert container.members == {"a": (0o400, 5, 3_000_000, b"\0\xff"), "b": (0o544, 0, 0, b"")}
    assert container.archives == 1


@pytest.mark.anyio
async def test_large_files_are_streamed(tmp_path: Path) -> None:
    """Each in a request of its own, with the same owner and permissions."""
    content = b"x" * (host_files.LARGE_BYTES + 5)
    (tmp_path / "large").write_bytes(content)
    container = await copied(tmp_path, file(tmp_path / "large", uid=7, mode=0o440))
    assert container.members == {"t": (0o440, 7, 0, content)}


@pytest.mark.anyio
async def test_folders_are_copied_whole(tmp_path: Path) -> None:
    """Compose mounts a folder that a secret names."""
    (tmp_path / "certs/a").mkdir(parents=True)
    (tmp_path / "certs/a/key").write_bytes(b"k")
    container = await copied(tmp_path, file(tmp_path / "certs", "/run/certs", mode=0o400))
    assert container.members == {"run/certs/a/key": (0o400, 0, 0, b"k")}


@pytest.mark.anyio
async def test_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of variables and of `content`."""
    monkeypatch.setenv("TOK", "s3cret")
    config = MountedFile("web", "configs", "text", "", "/c", uid=2, content="text")
    container = await copied(tmp_path, file("$TOK", uid=1), config)
    assert container.members == {"t": (0o444, 1, 0, b"s3cret"), "c": (0o444, 2, 0, b"text")}


@pytest.mark.anyio
async def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """The message has the name of the secret and its path, and nothing is put."""
    with pytest.raises(
        EngineError, match=r"the secret `tok` cannot be copied into web: .*/gone: No such file"
    ) as caught:
        await copied(tmp_path, file(tmp_path / "gone"))
    assert caught.value.hint == f"ls -l {tmp_path}/gone"
