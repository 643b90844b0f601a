"""Somebody else's template: a folder, or a git repository that is fetched and read, and runs nothing."""

from __future__ import annotations

import os
import re
import tempfile
from urllib.parse import urlsplit

import anyio

from devenv.docker import process
from devenv.errors import ConfigError, RefusedError, UsageError
from devenv.scaffold.new.template import Template, read

PATIENCE = 60  # seconds
HOST = r"(?:[\w.~%-]+(?::[^@/\s]*)?@)?[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?"
ADDRESS = re.compile(
    rf"(?P<url>(?:https|ssh)://{HOST}/[^@\s]+|[\w][\w.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^-@\s][^@\s]*)"
    r"(?:@(?P<ref>[A-Za-z0-9][\w./+-]*))?",
    re.ASCII,
)
KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})  # a company's CA
SETTINGS = (
    "core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.protectHFS=true",
    "core.protectNTFS=true", "submodule.recurse=false", "fetch.fsckObjects=true",
)  # fmt: skip
ENVIRONMENT = (
    "GIT_ALLOW_PROTOCOL=https:ssh",
    "GIT_TERMINAL_PROMPT=0",
    "GIT_LFS_SKIP_SMUDGE=1",
    "GIT_SSH_VARIANT=ssh",
)
LINK, SUBMODULE = "120000", "160000"


async def fetched(source: str) -> Template:
    """The template that `--from` names. Raises UsageError, ConfigError, and RefusedError for what could do more."""
    if os.path.isdir(source):
        return read(os.path.abspath(source))
    found = ADDRESS.fullmatch(source)
    if found is None or ".." in (found["ref"] or "") or source.startswith("-"):
        if re.search(r"::|://|@|^-", source):
            raise RefusedError(
                f"{shown(source)} is no address of a template", hint="https://HOST/PATH@TAG, ssh://HOST/PATH@TAG"
            )
        raise UsageError(f"folder {source} not found")
    with tempfile.TemporaryDirectory(prefix="devenv-template-") as scratch:
        clone = os.path.join(
            scratch, re.split(r"[/:]", found["url"].rstrip("/"))[-1].removesuffix(".git") or "template"
        )
        branch = [f"--branch={found['ref']}"] if found["ref"] else []
        options = ["--quiet", "--depth=1", "--no-recurse-submodules", "--template=", *branch]
        await _git(["clone", *options, "--", found["url"], clone], source)
        listed = await _git(["-C", clone, "ls-files", "--stage", "-z"], source)
        for entry in listed.split("\0"):
            if entry.startswith((LINK, SUBMODULE)):
                raise RefusedError(f"the template's entry {entry.partition(chr(9))[2]!r} is a link or a submodule")
        return read(clone)


async def _git(arguments: list[str], source: str) -> str:
    unset = [word for name in os.environ if name.startswith("GIT_") and name not in KEPT for word in ("-u", name)]
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    try:
        with anyio.fail_after(PATIENCE):
            done = await process.run(["env", *unset, *ENVIRONMENT, "git", *settings, *arguments], cwd="/")
    except TimeoutError:
        raise ConfigError(f"{shown(source)} was not fetched within {PATIENCE} seconds") from None
    if done.returncode:
        raise ConfigError(
            f"{shown(source)} cannot be fetched: git ended with {done.returncode}",
            hint=f"git ls-remote {shown(source.rpartition('@')[0] or source)}",
        )
    return done.text


def shown(source: str) -> str:
    """The address without a password."""
    try:
        user = urlsplit(source).netloc.rpartition("@")[0]
    except ValueError:
        return "the address"
    return source.replace(f"{user}@", "***@", 1) if ":" in user or (user and source.startswith("https")) else source
