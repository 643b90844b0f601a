"""The two problems that the first users reported, reproduced; and the same projects with devenv."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.cli import StartDevenv
from support.lab import Lab, shut_off
from support.lab_stack import HUB_KEY, LabStack, assert_plain
from support.registries import Tokens

PROBLEM_ONE = 'Error response from daemon: Get "https://registry-1.docker.io/v2/": '
PROBLEM_TWO = (
    "failed to solve: node:20: failed to resolve source metadata for docker.io/library/node:20: failed to authorize: "
    'failed to fetch oauth token: Post "https://auth.docker.io/token": dial tcp 192.0.2.1:443: i/o timeout'
)
COMPOSE_FILE = {"client": {"build": {"context": "."}}}


def test_engine_without_hub_uses_a_mirror(lab: Lab, lab_stack: LabStack, devenv: StartDevenv) -> None:
    """If the engine reaches a mirror but not Docker Hub, images are pulled from the mirror."""
    lab.registry.put("library/node", "20", text="node 20")
    lab_stack.write("Dockerfile", "FROM node:20\nCOPY compose.yml /\n")
    lab_stack.compose_file(COMPOSE_FILE)
    assert PROBLEM_ONE in lab_stack.plain("pull", "node:20").stderr
    lab_stack.mirrors(lab.front(prefix="docker.io").address)
    run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready")
    assert lab_stack.which("client") == "node 20"
    assert run.stop() == 130
    assert_plain(run.report(lines=10**6))
    assert not {name for name in lab_stack.images() if name.startswith("node:")}, "no name means something else now"


def test_build_works_if_only_the_engine_has_a_proxy(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack], tmp_path: Path, devenv: StartDevenv
) -> None:
    """Without a proxy for the client, `docker pull` works and a build fails after a while; devenv's build works."""
    proxied_lab.registry.put("library/node", "20", text="node 20")
    tokens = Tokens({"ann": "secret"}, anonymous=True)
    proxied_lab.site("registry-1.docker.io", tokens.bearer("https://auth.docker.io/token"))
    proxied_lab.site("auth.docker.io", tokens, empty=True)
    alone = shut_off("registry-1.docker.io", "auth.docker.io")
    both = [lab_stacks(proxied_lab, compose, alone) for compose in ("installed", "newer")]
    for lab_stack in both:
        lab_stack.write("Dockerfile", "FROM node:20\nCOPY compose.yml /\n")
        lab_stack.compose_file(COMPOSE_FILE)
        lab_stack.login(HUB_KEY, "ann", "secret")
    with ThreadPoolExecutor() as pool:
        for failed in pool.map(lambda lab_stack: lab_stack.plain("compose", "build"), both):
            assert PROBLEM_TWO in failed.stderr.replace("DeadlineExceeded: ", "")
    assert both[0].plain("pull", "node:20").returncode == 0
    proxied_lab.docker("rmi", "node:20")
    for lab_stack in both:
        run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env, within=alone)
        run.wait_for("ready")
        assert lab_stack.which("client") == "node 20"
        assert run.stop() == 130
        assert_plain(run.report(lines=10**6))
        proxied_lab.clear_images()
