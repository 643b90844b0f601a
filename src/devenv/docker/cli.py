"""Images by the docker CLI: imported, built, read and removed.

Calls that `up` may wait for are children, which a cancel ends; removals go through python-on-whales in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import anyio

from devenv.docker import process, trace
from devenv.errors import EngineError

_BUILD_ENVIRONMENT = {"DOCKER_BUILDKIT": "1", "BUILDKIT_NO_CLIENT_TOKEN": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


async def import_archive(archive: str, image: str, changes: Sequence[str]) -> None:
    """Make an image from the root file system in the tar file `archive`, with Dockerfile instructions on top."""
    await _run("`docker import` failed", "import", *(f"--change={change}" for change in changes), archive, image)


async def build(context: str, image: str, *, args: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Build an image from the folder `context`, without network and registries."""
    argv = ["build", "--progress=plain", "--network=none", f"--tag={image}", context]
    argv += (f"--build-arg={name}={value}" for name, value in args.items())
    argv += (f"--label={name}={value}" for name, value in labels.items())
    await _run("`docker build` failed", *argv, env=_BUILD_ENVIRONMENT)


async def read(image: str, *paths: str) -> list[str]:
    """The contents of files in an image; empty for missing files."""
    script = 'for path; do cat "$path" 2>/dev/null; printf "\\0"; done'
    options = ["--rm", "--pull=never", "--network=none", "--entrypoint=sh"]
    done = await _run(f"{image} cannot be read", "run", *options, image, "-c", script, "sh", *paths)
    return done.text.split("\0")[:-1]


async def _run(failure: str, *arguments: str, env: Mapping[str, str] | None = None) -> process.Completed:
    done = await process.run(["docker", *arguments], env=env)
    if done.returncode:
        raise EngineError(f"{failure}: {last_line(done.error_text)}")
    return done


async def remove(*images: str) -> None:
    """Remove images by name or id, except for images that do not exist or that a container uses."""

    def remove_all() -> None:
        from python_on_whales import DockerClient, exceptions  # noqa: PLC0415 - costs 350 ms

        client = DockerClient()
        for image in images:
            with contextlib.suppress(exceptions.DockerException), trace.command(["docker", "image", "rm", image]):
                client.image.remove(image, prune=False)

    await anyio.to_thread.run_sync(remove_all)


def last_line(text: str) -> str:
    """The last line that is not empty, shortened to fit on two lines of a terminal."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"
