"""Images by the docker CLI: imported, built, read and removed.

Calls that `up` may wait for are children, which a cancel ends; removals go through python-on-whales in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import anyio

from devenv.docker import process, trace
from devenv.errors import EngineError


async def import_archive(archive: str, image: str, changes: Sequence[str]) -> None:
    """Make an image from the root file system in the tar file `archive`, with Dockerfile instructions on top."""
    done = await process.run(["docker", "import", *(f"--change={change}" for change in changes), archive, image])
    if done.returncode:
        raise EngineError(f"`docker import` failed: {last_line(done.error_text)}")


async def build(context: str, image: str, *, args: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Build an image from the folder `context`, without network and registries."""
    argv = ["docker", "build", "--progress=plain", "--network=none", f"--tag={image}", context]
    argv += (f"--build-arg={name}={value}" for name, value in args.items())
    argv += (f"--label={name}={value}" for name, value in labels.items())
    settings = {"DOCKER_BUILDKIT": "1", "BUILDKIT_NO_CLIENT_TOKEN": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    done = await process.run(argv, env=settings)
    if done.returncode:
        raise EngineError(f"`docker build` failed: {last_line(done.error_text)}")


async def read(image: str, *paths: str) -> list[str]:
    """The contents of files in an image; empty for missing files."""
    script = 'for path; do cat "$path" 2>/dev/null; printf "\\0"; done'
    options = ["--rm", "--pull=never", "--network=none", "--entrypoint=sh"]
    done = await process.run(["docker", "run", *options, image, "-c", script, "sh", *paths])
    if done.returncode:
        raise EngineError(f"{image} cannot be read: {last_line(done.error_text)}")
    return done.text.split("\0")[:-1]


async def remove(*images: str) -> None:
    """Remove images by name or id, except for images that do not exist or that a container uses."""

    def remove_all() -> None:
        from python_on_whales import DockerClient  # noqa: PLC0415 - costs 350 ms
        from python_on_whales.exceptions import DockerException  # noqa: PLC0415 - as above

        client = DockerClient()
        for image in images:
            with contextlib.suppress(DockerException), trace.command(["docker", "image", "rm", image]):
                client.image.remove(image, prune=False)

    await anyio.to_thread.run_sync(remove_all)


def last_line(text: str) -> str:
    """The last line that is not empty, shortened to fit on two lines of a terminal."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"
