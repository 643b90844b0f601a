"""A project whose images come from a lab, and a check that its output has no internal errors."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support import cli
from support.lab import Lab
from support.stack import Stack

HUB_KEY = "https://index.docker.io/v1/"

# What Docker, BuildKit and Go print if something is wrong with a registry.
RAW = (
    "Error response from daemon",
    "failed to solve",
    "failed to resolve",
    "failed to authorize",
    "failed to fetch",
    "failed to do request",
    "failed to copy",
    "failed to register layer",
    "DeadlineExceeded",
    "deadline exceeded",
    "rpc error",
    "dial tcp",
    "i/o timeout",
    "proxyconnect",
    "no such host",
    "server misbehaving",
    "x509:",
    "tls: ",
    "toomanyrequests",
    "TOOMANYREQUESTS",
    "unexpected EOF",
    "pull access denied",
    "repository does not exist",
    "manifest unknown",
    "manifest verification failed",
    "filesystem layer verification failed",
    "unauthorized:",
    "no basic auth credentials",
    "/v2/",
    "net/http",
    "Traceback",
)


def assert_plain(text: str) -> None:
    """Check that the text has no word of Docker's own errors."""
    assert [raw for raw in RAW if raw in text] == [], text


class LabStack(Stack):
    """A Compose project on a lab's engine, with its own settings of the user and the docker CLI.

    `within` precedes its commands.
    """

    def __init__(
        self, lab: Lab, folder: Path, name: str, plugins: Mapping[str, str], within: Sequence[str] = ()
    ) -> None:
        self.lab = lab
        self.within = within
        self._home = folder / "home"
        self._docker = self._home / "docker"
        self._docker.mkdir(parents=True, exist_ok=True)
        if "DOCKER_CONFIG" in plugins:
            (self._docker / "cli-plugins").symlink_to(Path(plugins["DOCKER_CONFIG"]) / "cli-plugins")
        env = {
            **lab.env,
            "DOCKER_CONFIG": str(self._docker),
            "XDG_STATE_HOME": str(self._home / "state"),
            "XDG_CONFIG_HOME": str(self._home / "config"),
            **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"), ""),
        }
        super().__init__(folder / "project", name, env)

    def settings(self, text: str) -> None:
        """Write the user's config.toml."""
        file = self._home / "config/devenv-compose/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def mirrors(self, *names: str) -> None:
        """Set the user's mirrors, in order."""
        self.settings(f"[registry]\nmirrors = {json.dumps(names)}\n")

    def docker_settings(self, **settings: Any) -> None:
        """Write the docker CLI's config.json."""
        (self._docker / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    def login(self, host: str, user: str, password: str) -> None:
        """Store a login as `docker login` does without a credential helper."""
        self.docker_settings(auths={host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}})

    def run(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `devenv ARGS` to its end."""
        return cli.run(*args, cwd=self.folder, env=self.env, timeout=timeout, within=self.within)

    def plain(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGS` to its end, by the same client."""
        argv = [*self.within, "docker", *args]
        env = {**os.environ, **self.env}
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def images(self) -> set[str]:
        """The names of all images of the engine."""
        return set(self.lab.docker("images", "--format={{.Repository}}:{{.Tag}}").split())

    def which(self, service: str) -> str:
        """The name that the image of a running service has in its `/which`."""
        return self.read_file(service, "/which")

    def read_file(self, service: str, path: str) -> str:
        """The text of a file of a running service, without its last line end."""
        project, label = f"label=com.docker.compose.project={self.name}", "label=com.docker.compose.service"
        container = self.lab.docker("ps", "-q", f"--filter={project}", f"--filter={label}={service}")
        return self.lab.docker("exec", container, "cat", path)

    def remove(self) -> None:
        """Remove the settings; the lab clears its engine."""
        shutil.rmtree(self._home, ignore_errors=True)
