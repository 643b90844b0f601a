"""How images are acquired, with an engine and registries made of tables."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.errors import ConfigError, EngineError
from devenv.host import proxies
from devenv.images import acquire, listing
from devenv.images import pull as pulls
from devenv.images.acquire import AcquiredImages, local_images, local_matches
from devenv.images.needs import Need
from devenv.images.standins import recipes
from devenv.model.project import Build, Project, Service
from support.engine import Image, MemoryEngine, MemoryHost
from support.registry_world import DENIED, NO_HOST, World, a_project, run


def test_local_images_are_not_pulled(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request is enough if all images are local, however their names are written, and no recipe is looked for."""
    monkeypatch.setattr(recipes, "find", None)
    world.here = dict.fromkeys(("docker.io/library/node:22", "mysql:9"), "")
    assert run(world, project) == AcquiredImages()
    assert (world.pulled, world.looks) == ([], 1)
    assert world.texts() == ["node:22 present", "mysql:9 present"]


def test_missing_images_are_pulled(world: World, project: Project) -> None:
    """Only the missing image is pulled, and its layers are counted."""
    world.here = {"node:22": ""}
    assert run(world, project, stand_ins=True) == AcquiredImages()
    assert world.pulled == ["mysql:9"]
    assert world.texts() == [
        "node:22 present",
        "mysql:9 pulling",
        "mysql:9 pulling 0 of 1 layers",
        "mysql:9 pulling 1 of 2 layers, 5 of 10 MB",
        "mysql:9 pulled",
    ]


def test_debian_in_place_of_alpine_is_reported(world: World, project: Project, tmp_path: Path) -> None:
    """Only a service that uses the image unchanged gets it: an image built on it may need apk."""
    cache, web = Service("cache", image="redis:8-alpine"), Service("web", build=Build(str(tmp_path)))
    world.refuse = {"redis:8-alpine": NO_HOST, "node:22-alpine": NO_HOST}
    run(world, a_project(tmp_path, cache), stand_ins=True)
    assert "no registry answers: using stand-ins for redis:8-alpine (Debian in place of Alpine)" in world.texts()
    (tmp_path / "Dockerfile").write_text("FROM node:22-alpine\n")
    with pytest.raises(EngineError, match="node:22-alpine") as raised:
        run(world, a_project(tmp_path, web, Service("same", image="node:22-alpine")), stand_ins=True)
    assert "-alpine has none: Dockerfile:1, service same would need node:22-slim and apt" in str(raised.value.hint)


def test_stand_ins_replace_images_that_no_registry_gives(world: World, project: Project) -> None:
    """With consent, services and Dockerfiles get stand-ins, reported in one line."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    provided = run(world, project, stand_ins=True)
    assert provided.swaps == {"node:22": "stand-in.devenv/node:22", "mysql:9": "stand-in.devenv/mysql:9"}
    assert world.texts()[-3:] == [
        "no registry answers: using stand-ins for node:22, mysql:9",
        "node:22 made",
        "mysql:9 made",
    ]


def test_only_what_is_missing_gets_a_stand_in(world: World, project: Project) -> None:
    """A local public image is used even if the registry cannot be reached."""
    world.here, world.refuse = {"node:22": ""}, {"mysql:9": NO_HOST}
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
    assert world.made == ["mysql:9"]


def test_no_stand_ins_without_consent(world: World, project: Project) -> None:
    """Without the flag the error says which images are missing and how to allow stand-ins."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    with pytest.raises(EngineError) as raised:
        run(world, project)
    assert "node:22 (backend/Dockerfile:1)" in raised.value.message
    assert "mysql:9 (service db)" in raised.value.message
    assert "daemon" not in raised.value.message
    assert raised.value.hint == "devenv up --stand-ins"
    assert world.made == []


def test_an_image_of_a_service_is_named_with_its_line(world: World, tmp_path: Path) -> None:
    """The place to change is a line of the Compose file, or of the Dockerfile."""
    (tmp_path / "compose.yml").write_text("services:\n  db:\n    image: mariadb:10-focal\n")
    world.refuse = {"mariadb:10-focal": NO_HOST}
    with pytest.raises(EngineError) as raised:
        run(world, a_project(tmp_path, Service("db", image="mariadb:10-focal")), stand_ins=True)
    place = f"{tmp_path}/compose.yml:3"
    assert f"mariadb:10-focal ({place}): " in raised.value.message
    assert f"{place} would need mariadb:10" in str(raised.value.hint)


def test_pull_policies(world: World, tmp_path: Path) -> None:
    """`always` pulls, and keeps the local image if no registry answers; `never` does not pull."""
    project = a_project(
        tmp_path,
        Service("a", image="always:1", pull_policy="always"),
        Service("b", image="never:1", pull_policy="never"),
        Service("c", image="missing:1", pull_policy="missing"),
    )
    world.here, world.refuse = dict.fromkeys(("always:1", "never:1", "missing:1"), ""), {"always:1": NO_HOST}
    assert run(world, project) == AcquiredImages()
    assert world.pulled == ["always:1"]
    assert world.texts()[-1] == "no registry answers: always:1 not renewed"
    del world.here["never:1"]
    with pytest.raises(EngineError, match=r"never:1 .service b.: it is not here, and its pull_policy is never"):
        run(world, project, stand_ins=True)


def test_a_dockerfile_named_in_lower_case(tmp_path: Path) -> None:
    """Builders accept `dockerfile` if there is no `Dockerfile`."""
    (tmp_path / "dockerfile").write_text("FROM a:1\n", encoding="utf-8")
    project = a_project(tmp_path, Service("a", build=Build(str(tmp_path))))
    assert acquire.dockerfiles(project)["a"].name == "dockerfile"


@pytest.mark.parametrize(
    ("build", "existing", "expected"),
    [
        (
            "context: .",
            (),
            (
                "compose.yml:3: service a is built from Dockerfile, which does not exist | Correct "
                "`build.dockerfile` of a, or create it; in a folder with code and no Compose file, "
                "`devenv new` proposes one."
            ),
        ),
        (
            "context: .",
            ("Dockerfile.dev",),
            (
                "compose.yml:3: service a is built from Dockerfile, which does not exist "
                "| Did you mean `dockerfile: Dockerfile.dev`?"
            ),
        ),
        (
            "context: .",
            ("a.Dockerfile", "b.Dockerfile"),
            (
                "compose.yml:3: service a is built from Dockerfile, which "
                "does not exist | Did you mean `dockerfile: b.Dockerfile`?"
            ),
        ),
        (
            "dockerfile: Dokerfile",
            ("Dockerfile",),
            (
                "compose.yml:4: service a is built from Dokerfile, which does not "
                "exist | Did you mean `dockerfile: Dockerfile`?"
            ),
        ),
        (
            "context: ./bakend",
            ("backend/x",),
            ("compose.yml:4: the build context of a does not exist: bakend | Did you mean `context: backend`?"),
        ),
        (
            "context: ./api/wbe",
            ("api/web/x", "web"),
            "compose.yml:4: the build context of a does not exist: api/wbe | Did you mean `context: api/web`?",
        ),
        (
            "dockerfile: docker/Dokerfile",
            ("docker/Dockerfile", "Dockerfile"),
            (
                "compose.yml:4: service a is built from docker/Dokerfile, which does not exist "
                "| Did you mean `dockerfile: docker/Dockerfile`?"
            ),
        ),
        (
            "context: ./bakend",
            (),
            ("compose.yml:4: the build context of a does not exist: bakend | Correct `build.context` of a."),
        ),
    ],
)
def test_a_missing_dockerfile_or_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str, existing: tuple[str, ...], expected: str
) -> None:
    """The line of the Compose file, and a name that exists."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yml").write_text(f"services:\n  a:\n    build:\n      {build}\n", encoding="utf-8")
    for name in existing:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    key, _, value = build.partition(": ")
    context = os.path.normpath(tmp_path / value) if key == "context" else str(tmp_path)
    service = Service("a", build=Build(context, value if key == "dockerfile" else "Dockerfile"))
    project = replace(a_project(tmp_path, service), files=(str(tmp_path / "compose.yml"),))
    with pytest.raises(ConfigError) as caught:
        acquire.dockerfiles(project)
    assert f"{caught.value.said} | {caught.value.hint}" == expected


@pytest.mark.parametrize(
    ("path", "file", "expected"),
    [
        ("shop", "", True),
        ("shop", "shop/README", False),
        ("other", "", False),
    ],
)
def test_a_submodule_that_is_not_cloned(tmp_path: Path, path: str, file: str, *, expected: bool) -> None:
    """The folder is empty after `git clone`: the hint is the command that fills it."""
    (tmp_path / ".gitmodules").write_text(f'[submodule "a"]\n\tpath = {path}\n\turl = x\n', encoding="utf-8")
    (tmp_path / "shop").mkdir()
    if file:
        (tmp_path / file).touch()
    service = Service("a", build=Build(str(tmp_path / "shop" / "api")))
    with pytest.raises(ConfigError) as caught:
        acquire.dockerfiles(a_project(tmp_path, service))
    assert (caught.value.hint == "git submodule update --init") == expected


def test_an_existing_stand_in_shortens_the_wait(world: World, project: Project) -> None:
    """A registry that was silent in the last run is likely to be silent again."""
    world.here, world.silent = {"node:22": "", "stand-in.devenv/mysql:9": ""}, {"mysql:9"}
    began = time.monotonic()
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
    assert time.monotonic() - began < pulls.FIRST_BYTE_TIMEOUT / 2


def test_a_renewed_image_counts_before_a_local_one(world: World, tmp_path: Path) -> None:
    """`always`: the registry's own image takes the place of what a mirror gave on another day."""
    world.here = {"m.example/library/a:1": ""}
    project = a_project(tmp_path, Service("a", image="a:1", pull_policy="always"))
    assert run(world, project, mirrors=("m.example",)) == AcquiredImages()
    world.refuse = {"a:1": NO_HOST}
    assert run(world, project, mirrors=("m.example",)).swaps == {"a:1": "m.example/library/a:1"}
    assert world.texts()[-1] == "no registry answers: a:1 not renewed"


def test_a_local_image_of_another_name_needs_no_registry(world: World, project: Project) -> None:
    """An image from an archive or a mirror is found in the next run without a request."""
    world.here = dict.fromkeys(("loaded.devenv/docker.io/library/node:22", "m.example/library/mysql:9"), "")
    provided = run(world, project, mirrors=("m.example",))
    assert provided.swaps == {
        "node:22": "loaded.devenv/docker.io/library/node:22",
        "mysql:9": "m.example/library/mysql:9",
    }
    assert (world.pulled, world.asked, world.looks) == ([], [], 2)
    world.refuse = {"mysql:9": NO_HOST}
    with pytest.raises(EngineError, match="mysql:9"):
        run(world, project)


def test_an_image_for_another_processor_does_not_count(world: World, tmp_path: Path) -> None:
    """The image for the service's platform is pulled; variants of a platform do not matter."""
    world.here = {"a:1": "linux/amd64", "b:1": "linux/arm64", "c:1": "linux/amd64"}
    services = [Service(name, image=f"{name}:1", platform="linux/arm64/v8") for name in "ab"]
    run(world, a_project(tmp_path, *services, Service("c", image="c:1")))
    assert world.pulled == ["a:1 [linux/arm64/v8]"]


def test_a_frontend_that_cannot_be_pulled(world: World, project: Project) -> None:
    """It comes from a mirror, or is reported as missing: a build must not fail because of that line."""
    Path(project.directory, "backend/Dockerfile").write_text("# syntax=docker/dockerfile:1\nFROM node:22\n")
    world.here = dict.fromkeys(("node:22", "mysql:9"), "")
    world.refuse = {"docker/dockerfile:1": NO_HOST}
    assert run(world, project).frontends == {"docker/dockerfile:1": None}
    world.mirrored = {"m.example/docker/dockerfile:1"}
    provided = run(world, project, mirrors=("m.example",))
    assert provided.frontends == {"docker/dockerfile:1": "m.example/docker/dockerfile:1"}
    world.refuse, world.mirrored = {"docker/dockerfile:1": DENIED}, set()
    with pytest.raises(EngineError, match="docker/dockerfile:1"):
        run(world, project)


def test_an_invalid_mirror_is_reported_first(world: World, project: Project) -> None:
    """A wrong entry is an error of the settings, before anything is asked."""
    with pytest.raises(ConfigError, match="port 99999"):
        run(world, project, mirrors=("m.example:99999",))
    assert world.looks == 0


def test_child_processes_get_the_proxies(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's proxies are used if the environment has none; an invalid proxy is reported first."""
    world.here = dict.fromkeys(("node:22", "mysql:9"), "")
    for name in (name for variable in proxies.VARIABLES for name in (variable, variable.lower())):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Darwin"))
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.test:3128"})
    run(world, project)
    assert os.environ["HTTPS_PROXY"] == os.environ["https_proxy"] == "http://proxy.test:3128"
    monkeypatch.setenv("HTTP_PROXY", "http://user:p%40ss@h:99999")
    with pytest.raises(ConfigError, match=r"not the address of a proxy: http://\*\*\*@h:99999"):
        run(world, project)
    assert world.looks == 1


def test_a_missing_dockerfile_is_named(world: World, project: Project) -> None:
    """The error names the service and the file, before anything is pulled."""
    Path(project.directory, "backend/Dockerfile").unlink()
    with pytest.raises(ConfigError, match="service backend is built from backend/Dockerfile") as raised:
        run(world, project)
    assert raised.value.exit_code == 5
    assert world.pulled == []


def test_a_dockerfile_that_is_a_pipe(tmp_path: Path) -> None:
    """A pipe is not opened."""
    os.mkfifo(tmp_path / "Dockerfile")
    with pytest.raises(ConfigError, match="not a regular file"):
        acquire.dockerfiles(a_project(tmp_path, Service("a", build=Build(str(tmp_path)))))


def test_dockerfiles_of_every_kind(tmp_path: Path) -> None:
    """Inline Dockerfiles are read from the model, remote contexts have none, names are relative to the project."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/other.Dockerfile").write_text("FROM a\n")
    project = a_project(
        tmp_path,
        Service("file", build=Build(str(tmp_path / "app"), "other.Dockerfile")),
        Service("inline", build=Build(str(tmp_path), dockerfile_inline="FROM b\n")),
        Service("remote", build=Build("https://example.test/repository.git")),
        Service("image", image="c"),
    )
    texts = {
        service: (dockerfile.name, dockerfile.text) for service, dockerfile in acquire.dockerfiles(project).items()
    }
    assert texts == {
        "file": ("app/other.Dockerfile", "FROM a\n"),
        "inline": ("dockerfile_inline of inline", "FROM b\n"),
    }


def test_list_images(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `devenv images`, which lists each image, its users and its source, and changes nothing."""

    async def loaded(_: object) -> object:
        return type("Loaded", (), {"project": a_project(Path(project.directory), *project.services, *more)})()

    more = (Service("cache", image="redis:5"), Service("web", image="nginx:1"), Service("own", image="x.test/a:1"))
    monkeypatch.setattr(resolve, "load", loaded)
    world.here = {"node:22": ""}
    world.refuse = {"mysql:9": NO_HOST, "redis:5": NO_HOST, "x.test/a:1": DENIED}
    rows = anyio.run(listing.list_images, Selection(project.directory, (), None, ()))
    age = listing._age("2026-01-02T03:04:05Z", time.time())
    mysql = "stand-in.devenv/mysql:9, MySQL of Debian sid, can be made: devenv up --stand-ins"
    redis = (
        "docker.io does not answer: its name is not found (DNS); "
        "stand-ins of redis: 7, 8; service cache would need redis:7"
    )
    assert [(row.image, row.users, row.source, row.detail) for row in rows] == [
        ("node:22", ("backend/Dockerfile:1",), "present", f"5.0 MB, {age}, 111111111111"),
        ("mysql:9", ("service db",), "stand-in", mysql),
        ("redis:5", ("service cache",), "nowhere", redis),
        ("nginx:1", ("service web",), "registry", "docker.io"),
        ("x.test/a:1", ("service own",), "nowhere", "access is denied"),
    ]
    assert world.pulled == []


pytestmark = pytest.mark.anyio

DIGITS = "1f" * 32


def engine_with(*names: str) -> MemoryEngine:
    """An engine in memory with one image for linux/amd64 under all these names."""
    host = MemoryHost()
    host.images = {f"sha256:{DIGITS}": Image(f"sha256:{DIGITS}", set(names))}
    return MemoryEngine(host)


@pytest.mark.parametrize("reference", ["a:1", "docker.io/library/a:1", f"sha256:{DIGITS}", DIGITS, DIGITS[:12]])
async def test_a_name_or_an_id(reference: str) -> None:
    """Each form of the name leads to the image; a missing image is left out."""
    engine = engine_with("a:1", "docker.io/library/a:1")
    images = await local_images(engine, [reference, "missing:1"])
    assert {name: image.id for name, image in images.items()} == {reference: f"sha256:{DIGITS}"}


async def test_nothing_is_asked_for_no_reference() -> None:
    """No call reaches the engine."""
    engine = engine_with()
    assert await local_images(engine, []) == {}


@pytest.mark.parametrize(
    ("name", "platform", "match"),
    [
        ("a:1", None, "a:1"),
        ("a:1", "linux/amd64/v2", "a:1"),
        ("a:1", "linux/arm64", None),
        ("loaded.devenv/docker.io/library/a:1", None, "loaded.devenv/docker.io/library/a:1"),
        ("mirror.test/library/a:1", None, "mirror.test/library/a:1"),
        ("other.test/library/a:1", None, None),
    ],
)
async def test_other_names_serve_a_reference(name: str, platform: str | None, match: str | None) -> None:
    """The image's own name, a loaded archive's or a mirror's; an image for another platform does not count."""
    matches = await local_matches(engine_with(name), [Need("a:1", ("service a",), platform)], ["mirror.test"])
    assert {reference: found[0] for reference, found in matches.items()} == ({"a:1": match} if match else {})


async def test_the_own_name_counts_first() -> None:
    """An image with the reference's own name is used before a loaded one."""
    engine = engine_with("a:1", "loaded.devenv/docker.io/library/a:1")
    matches = await local_matches(engine, [Need("a:1", ("service a",))], ())
    assert matches["a:1"][0] == "a:1"
