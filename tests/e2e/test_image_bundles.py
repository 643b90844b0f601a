"""A project's images saved to a file, and loaded on a machine without any registry."""

from __future__ import annotations

from collections.abc import Callable

from support.cli import StartDevenv
from support.lab import Lab
from support.lab_stack import LabStack, assert_plain


def test_saved_images_start_on_a_machine_without_registries(
    lab: Lab, proxied_lab: Lab, lab_stacks: Callable[..., LabStack], devenv: StartDevenv
) -> None:
    """Images from a mirror, from a registry with a port, and by digest start from the file."""
    pinned = lab.registry.put("library/lab-pinned", "1", text="pinned")
    lab.registry.put("library/lab-base", "2", text="base")
    lab.registry.put("team/app", "3", text="app")
    front = lab.front()
    here, there = lab_stacks(lab), lab_stacks(proxied_lab)
    for machine in (here, there):
        machine.write("Dockerfile", f"FROM lab-base:2\nCOPY --from=lab-pinned@{pinned} /which /pinned\n")
        machine.compose_file({"a": {"image": f"{front.address}/team/app:3"}, "b": {"build": {"context": "."}}})
    here.mirrors(front.address)
    file = str(here.folder / "all.images")
    for args in (("pull",), ("save", file)):
        done = here.run("images", *args)
        assert done.returncode == 0, done.stderr
    lab.clear()
    with proxied_lab.without_proxy():
        done = there.run("images", "load", file)
        assert done.returncode == 0, done.stderr
        images = there.run("images")
        assert (images.returncode, "nowhere" in images.stdout) == (0, False), images.stdout
        run = devenv("up", cwd=there.folder, env=there.env)
        run.wait_for("ready")
        assert [there.which("a"), there.which("b"), there.read_file("b", "/pinned")] == ["app", "base", "pinned"]
        assert run.stop() == 130
        assert_plain(run.report(10**6))
    assert [name for name in there.images() if name.startswith(("lab-", front.address))] == []
