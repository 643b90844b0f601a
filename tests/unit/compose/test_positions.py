"""The file and line in which a part of the model is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.compose.files import find, read
from devenv.compose.positions import Model, entry_place, place, port_place, rule_place, shown, variable_place

PLAIN = "services:\n  web: {image: a}\n"


def write(folder: Path, **files: str) -> Path:
    """Files below `folder`, `__` for a slash and `_` for a dot in their names."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_place_of_the_deepest_part(tmp_path: Path) -> None:
    """The place is that of the deepest part in any file; of two files, in the overriding one."""
    write(
        tmp_path,
        compose_yml="services:\n  web:\n    image: a\n    ports: [x]\n",
        compose_override_yml="services:\n  web:\n    image: b\n",
    )
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert place(sources, ("services", "web", "image")) == ("compose.override.yml", 3)
    assert place(sources, ("services", "web", "ports", 0)) == ("compose.yml", 4)
    assert place(sources, ("nowhere",)) == ("compose.yml", None)


def test_places_of_watch_rules(tmp_path: Path) -> None:
    """The rules of all files are one list, in order; rules from `extends` come first."""
    rules = "services:\n  web:\n    extends: {{service: b}}\n    develop:\n      watch:\n{}"
    write(
        tmp_path,
        compose_yml=rules.format("        - {path: a}\n        - {path: b}\n"),
        compose_override_yml=rules.format("        - {path: c}\n"),
    )
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert [rule_place(sources, "web", index, 4) for index in range(4)] == [
        ("compose.override.yml", 3),
        ("compose.yml", 6),
        ("compose.yml", 7),
        ("compose.override.yml", 6),
    ]


def test_the_place_of_an_entry(tmp_path: Path) -> None:
    """An entry of a list is found by its text, in the last file that has the text."""
    write(
        tmp_path,
        compose_yml="services:\n  web:\n    volumes:\n      - a:/a\n      - /:/host:ro\n      - type: bind\n"
        "        source: /\n        target: /h2\n    cap_add: [X]\n",
        more_yml="services: {web: {cap_add: [ALL]}}\n",
    )
    sources = read([str(tmp_path / "compose.yml"), str(tmp_path / "more.yml")], base=str(tmp_path))
    volumes = ("services", "web", "volumes")
    assert entry_place(sources, volumes, "/host") == ("compose.yml", 5)
    assert entry_place(sources, volumes, "/h2") == ("compose.yml", 6)
    assert entry_place(sources, volumes, "/not") == ("compose.yml", 3)
    assert entry_place(sources, ("services", "web", "cap_add"), "ALL") == ("more.yml", 1)
    assert entry_place(sources, ("services", "web", "privileged"), "") == ("more.yml", 1)


PORTS = """\
services:
  web:
    image: a
    ports:
      - "80"
      - ${PORT:-8080}:81
      - {target: 82, published: "8080"}
      - 18080:821
  odd: {image: a, ports: 8080:80}
"""


@pytest.mark.parametrize(
    ("service", "published", "target", "line"),
    [("web", 8080, 81, 6), ("web", 8080, 82, 7), ("web", 9999, 80, 5), ("web", 9999, 99, 4), ("odd", 8080, 80, 9)],
)
def test_the_place_of_a_port(tmp_path: Path, service: str, published: int, target: int, line: int) -> None:
    """The place is the entry with both port numbers, or with one of them; else the list."""
    write(tmp_path, compose_yml=PORTS)
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert port_place(sources, service, published, target) == ("compose.yml", line)


@pytest.mark.parametrize(
    ("service", "name", "place"),
    [
        ("a", "MAP", ("compose.yml", 5)),
        ("a", "IN_FILE", ("env/local.env", 2)),
        ("a", "NOWHERE", ("compose.yml", 2)),
        ("b", "LIST", ("compose.yml", 10)),
        ("b", "OVER", ("compose.override.yml", 2)),
    ],
)
def test_the_place_of_a_variable(tmp_path: Path, service: str, name: str, place: tuple[str, int]) -> None:
    """In a mapping or a list, in an overriding file, or in an env file of the service."""
    write(
        tmp_path,
        compose_yml=(
            "services:\n  a:\n    env_file: [env/local.env, none.env]\n    environment:\n      MAP: x\n      N: 1\n"
            "  b:\n    environment:\n      - OVER=x\n      - LIST=MAP\n"
        ),
        compose_override_yml="services:\n  b: {environment: {OVER: y}}\n",
        env__local_env="# IN_FILE=\n  export IN_FILE = x\n",
    )
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert variable_place(sources, ("services", service, "environment"), name) == place


def test_the_place_of_a_port_that_is_written_twice(tmp_path: Path) -> None:
    """The later entry counts, as for Compose."""
    again = "services: {web: {ports: ['8080:81']}}\n"
    write(tmp_path, compose_yml=PORTS, compose_override_yml=again)
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert port_place(sources, "web", 8080, 81) == ("compose.override.yml", 1)


def test_a_path_that_compose_spells_has_the_names_of_services_whole(tmp_path: Path) -> None:
    """A name may contain dots; an index is a number, in brackets or not."""
    write(tmp_path, compose_yml="services:\n  my.db: {image: a}\n  my: {image: a}\n")
    model = Model(read(find(str(tmp_path)), base=str(tmp_path)))
    assert model.path("services.my.db.ports.[0]") == ("services", "my.db", "ports", 0)
    assert model.path("services[my.db].image") == ("services", "my.db", "image")
    assert model.path("services.my.ports.1") == ("services", "my", "ports", 1)
    assert model.path("(root)") == ()
    assert (model.place(()), model.place(("services", "my"))) == (("compose.yml", None), ("compose.yml", 3))


def test_files_are_found_by_the_line_that_names_them(tmp_path: Path) -> None:
    """Relative to the folder of the project, which messages leave out."""
    write(tmp_path, compose_yml="services:\n  web:\n    env_file: [./a.env]\n", sub__b_yml=PLAIN)
    model = Model(read(find(str(tmp_path)), base=str(tmp_path)))
    assert list(model.files_under(("env_file",))) == [(str(tmp_path / "a.env"), ("compose.yml", 3))]
    assert model.shown(str(tmp_path / "a.env")) == "a.env"
    assert model.shown("/elsewhere/a.env") == "/elsewhere/a.env"


def test_the_model_of_one_file_is_the_whole_if_compose_names_none(tmp_path: Path) -> None:
    """Compose names no file if it reads the project from standard input."""
    write(tmp_path, compose_yml=PLAIN, compose_override_yml=PLAIN)
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert [source.shown for source in Model(sources).only(sources[1].path).sources] == ["compose.override.yml"]
    assert Model(sources).only("-").sources == sources
    assert Model(sources).place(()) == (None, None)
    assert shown(("a.yml", 3)) == "a.yml:3"
    assert shown(("a.yml", None)) == "a.yml"
