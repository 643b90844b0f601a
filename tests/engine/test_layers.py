"""`devenv layers` on images that a real engine has built: layers, advice, and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import main
from support import docker_cli
from support.boxes import Image
from support.schemas import checked_document
from support.stack import NewStack, Stack, idle_service, unique_name

pytestmark = pytest.mark.engine

MB = 1_000_000
APP = {
    "package.json": "{}",
    "index.js": "1",
    "node_modules/vite/index.js": "v" * 200_000,
    "node_modules/express/index.js": "e" * 300_000,
    ".git/pack": "g" * 150_000,
}
# npm and apt may have nothing to download here: only the content of the image and its instructions count.
WASTEFUL = """
ENV NODE_ENV=production
WORKDIR /{name}
COPY . .
RUN : {name}; npm ci || true
RUN mkdir -p /var/lib/apt/lists && head -c 150000 /dev/zero > /var/lib/apt/lists/packages
RUN head -c 1500000 /dev/zero > /big
RUN rm /big
"""
CAREFUL = """
ENV NODE_ENV=production
WORKDIR /{name}
COPY package.json ./
RUN : {name}; npm ci || true
COPY . .
RUN head -c 1500000 /dev/zero > /big && rm /big
RUN mkdir -p /var/lib/apt/lists && head -c 150000 /dev/zero > /var/lib/apt/lists/packages && rm -r /var/lib/apt/*
"""


@pytest.fixture
def small(image_of: Callable[[str], Image]) -> str:
    """The image below all others: `layers` reads each file, and this one has few."""
    return image_of("busybox").name


@pytest.fixture
def images(small: str, tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Builds images: `images(name, dockerfile) -> reference`; removed at the end."""
    made: list[str] = []

    def make(name: str, dockerfile: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {small}\n{dockerfile}")
        made.append(f"{unique_name(name)}:1")
        docker_cli.docker("build", "-q", "-t", made[-1], str(folder), env={"DOCKER_BUILDKIT": "1"})
        return made[-1]

    yield make
    docker_cli.succeeds("rmi", "-f", *made)


def asked(capfd: pytest.CaptureFixture[str], *names: str) -> dict[str, Any]:
    """The JSON output of the command, which must have succeeded."""
    assert main.run(["layers", *names, "--output", "json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return checked_document("layers", out)


def service(
    stack: Stack, base: str, dockerfile: str, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """Build the service `web` with plain Compose, with this process in its folder; return the image's name."""
    for path, text in files.items():
        stack.write(path, text)
    stack.write("Dockerfile", f"FROM {base}\n{dockerfile.format(name=stack.name)}")
    stack.compose_file({"web": idle_service(build=".", image=f"{stack.name}-web")})
    assert stack.compose("build").returncode == 0
    monkeypatch.chdir(stack.folder)
    return f"{stack.name}-web"


def test_layers_equal_those_of_the_engine(
    images: Callable[[str, str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Instructions, sizes and ids are Docker's; the base's name and images that share layers are shown."""
    built = images("one", f"ENV A=b\nRUN echo {unique_name()} > /x\nARG C=d\nRUN echo $C > /y\nCMD true\n")
    other = images("two", f"FROM {built}\nCOPY Dockerfile /\n")
    (answer,) = asked(capfd, other)["images"]
    layers = answer["layers"]
    truth = docker_cli.inspect(other)
    assert [layer["id"] for layer in layers] == truth["RootFS"]["Layers"]
    assert sum(layer["size"] for layer in layers) == truth["Size"] == answer["size"]
    assert (answer["base"], answer["inherited"]) == (built, len(layers) - 1)
    assert [layer["instruction"] for layer in layers[-2:]] == ["RUN echo $C > /y", "COPY Dockerfile /"]
    assert layers[-3]["instruction"].startswith("RUN echo dvt")
    assert [built in layer["shared"] for layer in layers] == [True] * (len(layers) - 1) + [False]
    both = asked(capfd, built, other)
    assert both["common"] == len(layers) - 1
    assert [image["reference"] for image in both["images"]] == [built, other]


def test_advice_is_measured_in_the_image(
    new_stack: NewStack, small: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of a careless Dockerfile is exact; without files only that of its instructions is shown."""
    stack = new_stack()
    service(stack, small, WASTEFUL, APP, monkeypatch)
    answer = asked(capfd, "web")
    advice = {entry["code"]: entry for entry in answer["advice"]}
    assert {code: entry["bytes"] for code, entry in advice.items()} == {
        "install-after-copy": advice["install-after-copy"]["bytes"],
        "left-behind": 150_000,
        "hidden": 1_500_000,
    }
    steps = [layer["instruction"].split()[0:2] for layer in answer["images"][0]["layers"]]
    assert [steps[advice[code]["layer"] - 1] for code in ("install-after-copy", "left-behind", "hidden")] == [
        ["RUN", ":"],
        ["RUN", "mkdir"],
        ["RUN", "head"],
    ]
    assert answer["unread"] == ""
    assert [entry["code"] for entry in asked(capfd, "web", "--no-files")["advice"]] == ["install-after-copy"]


def test_tidy_image_gets_no_advice(
    new_stack: NewStack, small: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same app gets no advice with its install first, and each RUN tidy."""
    stack = new_stack()
    image = service(stack, small, CAREFUL, APP, monkeypatch)
    assert asked(capfd, "web")["advice"] == asked(capfd, image)["advice"] == []


def test_layers_as_text_fit_the_window(
    images: Callable[[str, str], str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one line per layer, without colours and progress if there is no terminal."""
    image = images("one", f"RUN echo {unique_name()} {'long ' * 50}\n")
    monkeypatch.setenv("COLUMNS", "100")
    assert main.run(["layers", image]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[0].startswith(f"{image}: ")
    (row,) = [line for line in out.splitlines() if " RUN echo" in line]
    assert len(row) == 100
    assert row.endswith("…")
    assert "\x1b" not in out


def test_stand_in_is_marked_as_such(
    new_stack: NewStack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service whose image is missing is shown with its stand-in, under that name."""
    stack = new_stack()
    stack.compose_file({"db": idle_service(image=docker_cli.PUBLIC_BASE)})
    monkeypatch.chdir(stack.folder)
    (image,) = asked(capfd, "db", "--no-files")["images"]
    assert image["reference"] == docker_cli.BASE_IMAGE
    assert image["note"] == f"a stand-in: {docker_cli.PUBLIC_BASE}"


def test_unknown_names_and_unbuilt_services_are_errors(
    new_stack: NewStack, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both are errors outside of a project, too, as is a broken file."""
    monkeypatch.chdir(tmp_path)
    assert main.run(["layers", "nothing-like-this"]) == 2
    assert "no such image or service: nothing-like-this" in capfd.readouterr().err
    stack = new_stack()
    stack.compose_file({"web": idle_service(build=".", image=f"{stack.name}-web")})
    stack.write("Dockerfile", "FROM scratch\n")
    monkeypatch.chdir(stack.folder)
    assert main.run(["layers", "web"]) == 2
    err = capfd.readouterr().err
    assert f"the image of web ({stack.name}-web) was not found" in err
    assert "devenv up" in err
    stack.write("other.yml", "services: [")
    for line in (["-f", "other.yml", "layers", "web"], ["-f", "compose.yml", "-f", "other.yml", "layers", "web"]):
        assert main.run(line) == 5
        assert "other.yml" in capfd.readouterr().err
