"""Adding services to a Compose file in the style of its author."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.cli.commands.scaffold import KNOWN
from devenv.errors import ConfigError, DevenvError
from devenv.scaffold.add import services
from devenv.scaffold.add.proposal import write
from support.scaffold import STYLES, add, edited, model, project, remove

pytestmark = pytest.mark.usefixtures("offline")

GOLDEN = Path(__file__).parent / "golden"
OPTIONS: dict[str, dict[str, str]] = {"fastapi": {"template": "fastapi"}, "express": {"template": "express"}}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", services.templates())
def test_each_service_is_written_in_the_files_style(kind: str, style: str, tmp_path: Path) -> None:
    """The text is as in the golden file, and removing gives the file back to the byte."""
    selection = project(tmp_path, STYLES[style])
    name = "new" if kind in OPTIONS else kind
    proposal = add(selection, "new" if kind in OPTIONS else kind, to="web", **OPTIONS.get(kind, {}))
    text = edited(proposal)
    golden = GOLDEN / f"{kind}.{style}.yml"
    if os.environ.get("DEVENV_TEST_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")

    assert text == golden.read_text(encoding="utf-8")
    write(proposal)
    assert edited(remove(selection, name)) == STYLES[style]


@pytest.mark.parametrize("kind", services.templates())
def test_each_service_has_what_a_service_needs(kind: str, tmp_path: Path) -> None:
    """A pinned major, a health check that is quick at the start, no password in the file, no port for the network."""
    text = edited(
        add(project(tmp_path, STYLES["plain"]), "new", template=kind)
        if kind in OPTIONS
        else add(project(tmp_path, STYLES["plain"]), kind, name="new", to="web")
    )
    service = model(text)["services"]["new"]

    assert "build" in service or service["image"].rpartition(":")[2].isdecimal()
    assert {"test", "interval", "start_period", "start_interval"} <= service["healthcheck"].keys()
    assert "ssss" not in text
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_a_free_name_is_one_whose_volume_is_free_too(tmp_path: Path) -> None:
    """The volume of another project must not be used by a new service."""
    (tmp_path / "compose.override.yml").write_text("volumes:\n  postgres-data:\n", encoding="utf-8")
    text = edited(add(project(tmp_path, STYLES["plain"]), "postgres"))

    assert model(text)["volumes"] == {"postgres-2-data": None}


def test_existing_variables_are_kept(tmp_path: Path) -> None:
    """A variable that the asking service has keeps its value, and a second service gets a name of its own."""
    text = "services:\n  web:\n    image: w\n    environment: {DATABASE_URL: mine}\n  postgres: {image: x}\n"
    proposal = add(project(tmp_path, text), "postgres", to="web")
    services = model(edited(proposal))["services"]

    assert services["web"]["environment"].pop("DATABASE_URL") == "mine"
    assert services["web"]["environment"] == {
        "POSTGRES_2_URL": "postgresql://app:${POSTGRES_2_PASSWORD}@postgres-2:5432/app"
    }
    assert services["web"]["depends_on"] == {"postgres-2": {"condition": "service_healthy"}}
    assert (
        "web has DATABASE_URL already, which stays as it is; the new service is in POSTGRES_2_URL" in proposal.notes
    )


@pytest.mark.parametrize("networks", ["networks: [back]", "networks: {back: {aliases: [w]}}", "<<: *n"])
def test_a_service_is_in_the_networks_of_the_one_that_uses_it(networks: str, tmp_path: Path) -> None:
    """Otherwise it could not be reached; with the default network, no networks are written."""
    head = "x-n: &n {networks: [back]}\nnetworks: {back: }\nservices:\n  web:\n    image: w\n"
    selection = project(tmp_path, f"{head}    {networks}\n")

    assert model(edited(add(selection, "redis", to="web")))["services"]["redis"]["networks"] == ["back"]
    assert "networks" not in model(edited(add(selection, "redis")))["services"]["redis"]


def test_a_tool_finds_the_one_database(tmp_path: Path) -> None:
    """Without --to, it is connected to the only database, waits for it, and gets a free port."""
    text = 'services:\n  data: {image: "postgres:17"}\n  web: {image: w, ports: ["8081:80"]}\n'
    service = model(edited(add(project(tmp_path, text), "adminer")))["services"]["adminer"]

    assert service["environment"] == {"ADMINER_DEFAULT_SERVER": "data"}
    assert service["depends_on"] == {"data": {"condition": "service_started"}}
    assert service["ports"] == ["127.0.0.1:8082:8080"]


def test_a_proxy_goes_to_the_port_of_the_service(tmp_path: Path) -> None:
    """The service's own `ports` name the port on which it listens."""
    text = 'services:\n  api: {image: a, ports: ["127.0.0.1:9000:3000/tcp"]}\n'
    proposal = add(project(tmp_path, text), "caddy", name="proxy", to="api")

    assert "reverse_proxy api:3000\n" in edited(proposal, "Caddyfile")
    assert "new file proxy/Dockerfile (2 lines)" in proposal.diff()


@pytest.mark.parametrize(
    ("text", "asked", "options", "note"),
    [
        (
            "services: {web: {image: a}}",
            "postgras",
            {},
            "there is no service `postgras` to add | Did you mean `postgres`?",
        ),
        (
            "services: {web: {image: a}}",
            "api",
            {"template": "rails"},
            "there is no template `rails` | Known here: express, ",
        ),
        ("services: {web: {image: a}}", "fastapi", {}, "fastapi takes a name | devenv add api --template fastapi"),
        ("services: {web: {image: a}}", "redis", {"name": "web"}, "there is a service `web` already"),
        (
            "services: {web: {image: a}}\nvolumes: {db-data: }",
            "postgres",
            {"name": "db"},
            "there is a volume `db-data` already | Give another name with --name.",
        ),
        ("services: {web: {image: a}}", "redis", {"name": "../x"}, "`../x` is not a name for a service"),
        ("services: {web: {image: a}}", "redis", {"to": "wbe"}, "there is no service `wbe` | Did you mean `web`?"),
        (
            "services: {web: {image: a}}",
            "nginx",
            {},
            "nginx needs the service that it is for: web | devenv add nginx --to web",
        ),
        (
            "services: {db: {image: 'postgres:17'}, web: {image: a}}",
            "nginx",
            {},
            "nginx needs the service that it is for: db, web | devenv add nginx --to db",
        ),
        (
            "services: {web: {image: a}, db: {image: elasticsearch}}",
            "adminer",
            {},
            "it can show | devenv add postgres, or name a service: devenv add adminer --to SERVICE (db, web)",
        ),
        (
            "services: {b: {image: bitnami/postgresql}, a: {image: mysql}}",
            "adminer",
            {},
            "adminer needs the service that it is for: a, b | devenv add adminer --to a",
        ),
        ("services: {web: {image: a", "redis", {}, "compose.yml:1: a bracket is not closed"),
        (
            "x-e: &e {A: b}\nservices:\n  web:\n    environment: *e\n",
            "redis",
            {"to": "web"},
            "compose.yml:4: `environment` is an alias, which others share; nothing was written",
        ),
        (
            "services:\n  web: &w\n    image: a\n  two: *w\n",
            "redis",
            {"to": "web"},
            "compose.yml: the edit would change more than it should",
        ),
        (
            "x-b: &b\n  environment: {A: b}\nservices:\n  web:\n    <<: *b\n",
            "redis",
            {"to": "web"},
            "compose.yml:2: `web` gets its `environment` by a merge",
        ),
        (
            "x-b: &b\n  depends_on: [a]\nservices:\n  web:\n    <<: *b\n",
            "redis",
            {"to": "web"},
            "compose.yml:2: `web` gets its `depends_on` by a merge",
        ),
    ],
)
def test_errors_of_add_are_one_line(
    text: str, asked: str, options: dict[str, str], note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong and taken names, broken files, and places that cannot be edited by themselves; nothing is written."""
    monkeypatch.chdir(tmp_path)
    selection = project(tmp_path, text)
    with pytest.raises(DevenvError) as caught:
        add(selection, asked, **options)

    assert (
        f"{caught.value.said} | {caught.value.hint}".startswith(note)
        or note in f"{caught.value.said} | {caught.value.hint}"
    )
    assert sorted(os.listdir(tmp_path)) == ["compose.yml"]
    assert (tmp_path / "compose.yml").read_text(encoding="utf-8") == text


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    """The mark is not part of the text, and is kept."""
    selection = project(tmp_path, "\ufeffservices:\r\n  web: {image: a}\r\n")
    text = edited(add(selection, "redis"))

    assert text.startswith("\ufeffservices:\r\n  web: {image: a}\r\n  redis:\r\n    image: redis:8\r\n")
    assert "\n" not in text.replace("\r\n", "")


def test_an_impossible_insert_is_an_error_with_its_line() -> None:
    """The error is a list in place of a mapping."""
    from devenv.scaffold.add.yaml_edit import ComposeDraft  # noqa: PLC0415 - of this test alone

    with pytest.raises(ConfigError) as caught:
        ComposeDraft("a: 1\nservices:\n  - x\n", "c.yml").insert(["services"], "db:\n  image: x")
    assert caught.value.where == "c.yml:3"


def test_the_help_names_every_service() -> None:
    """The help lists everything that can be added."""
    assert [kind for kind in services.templates() if kind not in KNOWN] == []
