"""Images from mirrors: which mirrors are used, what stays unchanged, and what is refused."""

from __future__ import annotations

import re

import pytest

from support.cli import StartDevenv
from support.lab import Lab
from support.lab_stack import LabStack, assert_plain
from support.registries import basic, error, first, forged
from support.stack import place_of

DEAD = "127.0.0.1:9"
DOCKERFILE = """\
FROM lab-base:1
COPY --from=lab-tool:2 /which /tool
RUN --mount=from=lab-mount:3,target=/m cat /m/which > /mount
"""


@pytest.mark.parametrize("form", ["host", "prefix"])
def test_all_images_are_pulled_from_a_mirror(lab: Lab, lab_stack: LabStack, devenv: StartDevenv, form: str) -> None:
    """Images of services and in all places of a Dockerfile are pulled; no name changes its meaning."""
    for name, tag in (("base", "1"), ("tool", "2"), ("mount", "3"), ("service", "latest")):
        lab.registry.put(f"library/lab-{name}", tag, text=name)
    front = lab.front(prefix="" if form == "host" else "docker.io")
    lab_stack.write("Dockerfile", DOCKERFILE)
    lab_stack.compose_file({"app": {"build": {"context": "."}}, "plain": {"image": "lab-service"}})
    lab_stack.mirrors(front.address)
    run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready")
    contents = [lab_stack.which("app"), lab_stack.read_file("app", "/tool"), lab_stack.read_file("app", "/mount")]
    assert [*contents, lab_stack.which("plain")] == ["base", "tool", "mount", "service"]
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert [name for name in lab_stack.images() if name.startswith("lab-")] == []
    assert lab_stack.folder.joinpath("Dockerfile").read_text() == DOCKERFILE


def test_project_mirror_with_a_path_serves_any_registry(lab: Lab, lab_stack: LabStack) -> None:
    """`x-devenv.images.mirrors` takes a path, below which each registry has its own folder."""
    lab.registry.put("registry.invalid/team/app", "3")
    front = lab.front(prefix="all")
    lab_stack.compose_file(
        {"a": {"image": "registry.invalid/team/app:3"}},
        **{"x-devenv": {"images": {"mirrors": [f"{front.address}/all"]}}},
    )
    assert pulled(lab_stack) == 0
    assert f"{front.address}/all/registry.invalid/team/app:3" in lab_stack.images()


def test_next_mirror_is_asked_if_one_is_dead(lab: Lab, lab_stack: LabStack) -> None:
    """The next mirror is used, and `images` shows it."""
    write_project(lab_stack, lab.registry.put("library/lab-one", "1") and "lab-one:1")
    front = lab.front()
    lab_stack.mirrors(DEAD, front.address)
    images = lab_stack.run("images")
    assert images.returncode == 0
    assert front.address in images.stdout
    assert len(front.asked("/blobs/")) <= 1, "the manifest is asked for, and what says the platform"
    assert pulled(lab_stack) == 0
    assert f"{front.address}/library/lab-one:1" in lab_stack.images()


def test_broken_mirror_is_asked_once(lab: Lab, lab_stack: LabStack) -> None:
    """A mirror that hangs or fails for one image does not delay the others."""
    for number in range(6):
        lab.registry.put(f"library/lab-{number}", "1")
    broken = lab.front(first(10**6, error(503, "UNAVAILABLE", "maintenance"), "/v2/"), empty=True)
    lab_stack.compose_file({f"s{number}": {"image": f"lab-{number}:1"} for number in range(6)})
    lab_stack.mirrors(broken.address, lab.front().address)
    assert pulled(lab_stack) == 0
    # Several images are pulled at once, under two names each.
    assert len({request.path for request in broken.asked("/manifests/")}) <= 8


def test_image_on_no_mirror_is_one_finding(lab: Lab, lab_stack: LabStack) -> None:
    """The finding has the image, its users, the places tried, and the command to type."""
    front = lab.front()
    write_project(lab_stack, "lab-nowhere:1")
    lab_stack.mirrors(DEAD, front.address)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 4
    assert f"lab-nowhere:1 ({place_of(lab_stack.folder, 'lab-nowhere:1')})" in done.stderr
    assert DEAD in done.stdout + done.stderr
    assert front.address in done.stdout + done.stderr
    assert "hint:" in done.stderr
    assert_plain(done.stdout + done.stderr)


def test_pinned_image_is_pulled_by_its_digest(lab: Lab, lab_stack: LabStack) -> None:
    """The digest is pulled, even if the mirror's tag has changed."""
    pinned = lab.registry.put("library/lab-pinned", "1", text="old")
    lab.registry.put("library/lab-pinned", "1", text="new")
    front = lab.front()
    write_project(lab_stack, f"lab-pinned:1@{pinned}")
    lab_stack.mirrors(front.address)
    assert pulled(lab_stack) == 0
    assert lab.docker("run", "--rm", f"{front.address}/library/lab-pinned@{pinned}", "cat", "/which") == "old"


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_image_with_a_wrong_digest_is_refused(lab: Lab, lab_stack: LabStack, part: str) -> None:
    """The image is refused, and pulled from the next mirror."""
    pinned = lab.registry.put("library/lab-forged", "1")
    bad = lab.front(forged(part))
    write_project(lab_stack, f"lab-forged@{pinned}")
    lab_stack.mirrors(bad.address)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 4
    assert re.search("digest", done.stderr), done.stdout + done.stderr
    assert_plain(done.stdout + done.stderr)
    assert lab_stack.images() == set()
    lab_stack.mirrors(bad.address, lab.front().address)
    assert pulled(lab_stack) == 0


def test_mirror_with_login(lab: Lab, lab_stack: LabStack) -> None:
    """Without a login, the hint is how to log in; with a login, the image is pulled."""
    lab.registry.put("library/lab-one", "1")
    front = lab.front(basic("ann", "c4n4ry"))
    write_project(lab_stack, "lab-one:1")
    lab_stack.mirrors(front.address)
    done = lab_stack.run("images", "pull")
    assert (done.returncode, f"docker login {front.address}" in done.stderr) == (4, True), done.stderr
    lab_stack.login(front.address, "ann", "c4n4ry")
    assert pulled(lab_stack) == 0


@pytest.mark.parametrize("policy", ["never", "missing", "always"])
def test_pull_policies_decide_which_images_are_pulled(lab: Lab, lab_stack: LabStack, policy: str) -> None:
    """An image that exists is pulled again only with `always`; with `never` no image is pulled."""
    lab.registry.put("team/app", "1", text="old")
    front = lab.front()
    image = f"{front.address}/team/app:1"
    lab_stack.compose_file({"a": {"image": image, "pull_policy": policy}})
    done = lab_stack.run("images", "pull")
    assert (done.returncode, bool(front.seen)) == ((4, False) if policy == "never" else (0, True)), done.stderr
    assert_plain(done.stderr)
    lab.docker("pull", image)
    front.seen.clear()
    assert pulled(lab_stack) == 0
    assert bool(front.seen) == (policy == "always")


def test_local_image_is_used_if_no_registry_answers(lab: Lab, lab_stack: LabStack) -> None:
    """The local image is used even with `always`, and a notice says so."""
    lab.registry.put("team/app", "1")
    front = lab.front()
    lab_stack.compose_file({"a": {"image": f"{front.address}/team/app:1", "pull_policy": "always"}})
    assert pulled(lab_stack) == 0
    front.close()
    done = lab_stack.run("images", "pull")
    assert (done.returncode, "not renewed" in done.stdout + done.stderr) == (0, True), done


def test_missing_frontend_is_replaced_by_the_engines_builder(
    lab: Lab, lab_stack: LabStack, devenv: StartDevenv
) -> None:
    """A `# syntax=` line does not prevent a build."""
    lab.registry.put("library/lab-base", "1", text="base")
    lab_stack.write(
        "Dockerfile", "# syntax=docker/dockerfile:1.7\nFROM lab-base:1\nRUN <<EOF\necho here >/here\nEOF\n"
    )
    lab_stack.compose_file({"app": {"build": {"context": "."}}})
    lab_stack.mirrors(lab.front().address)
    run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready")
    assert lab_stack.read_file("app", "/here") == "here"
    assert run.stop() == 130
    assert_plain(run.report(10**6))


@pytest.mark.parametrize(
    ("mirror", "shown"),
    [
        ("http://ann:c4n4ry@mirror.test", "http://***@mirror.test"),
        ("ann:c4n4ry@mirror.test", "***@mirror.test"),
        ("file:///etc", "file:///etc"),
        ("http://mirror.test", "http://mirror.test"),
        ("mirror.test:99999", "99999"),
        ("-v", "-v"),
    ],
)
def test_invalid_mirror_is_refused(lab: Lab, lab_stack: LabStack, mirror: str, shown: str) -> None:
    """Row 31: exit 5; the mirror is shown without credentials, and no request is sent."""
    write_project(lab_stack, "lab-any:1")
    lab_stack.mirrors(mirror)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 5, done.stderr
    assert shown in done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr


def write_project(lab_stack: LabStack, *images: str) -> None:
    """Write a project of these images."""
    lab_stack.compose_file({f"s{number}": {"image": image} for number, image in enumerate(images)})


def pulled(lab_stack: LabStack) -> int:
    """Run `devenv images pull`, check that its output is plain, and return its exit code."""
    done = lab_stack.run("images", "pull")
    assert_plain(done.stdout + done.stderr)
    return done.returncode
