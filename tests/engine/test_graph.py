"""`devenv graph` on projects that Compose resolves, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.cli import main
from devenv.docker.endpoint import Endpoint
from devenv.state.run_dir import Run
from support.schemas import checked_document

pytestmark = pytest.mark.engine  # only the Compose plugin is needed

COMPOSE = """\
name: shop
services:
  web:
    image: web
    ports: ["8080:80"]
    depends_on:
      api: {condition: service_healthy}
      tools: {condition: service_started, required: false}
    networks: [front]
  api:
    image: api
    depends_on: [db]
    networks: [front, back]
  db:
    image: db
    volumes: ["data:/data", "./conf:/conf:ro"]
    networks: [back]
  tools:
    image: tools
    profiles: [tools]
    depends_on: [db]
    network_mode: none
volumes: {data: {}}
networks: {front: {}, back: {}}
"""


@pytest.fixture
def host(compose_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project above, with this process in its folder, and the address of a missing engine."""
    address = f"unix://{tmp_path}/none.sock"
    env = {**compose_env, "DOCKER_HOST": address, "PWD": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "compose.yml").write_text(COMPOSE)
    monkeypatch.chdir(tmp_path)
    return address


def output(capfd: pytest.CaptureFixture[str], *line: str) -> str:
    """The output of the command, which must have succeeded."""
    assert main.run(["graph", *line]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def test_graph_as_tree_mermaid_and_json(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Services of other profiles are left out."""
    assert output(capfd).splitlines() == [
        "shop: 3 services",
        "└─ web  ports 8080:80; networks front",
        "   └─ api (healthy)  networks back, front",
        "      └─ db (started)  volumes data:/data, ./conf:/conf:ro; networks back",
        "networks: back, front",
        "volumes: data",
    ]
    assert "  s_api -->|started| s_db" in output(capfd, "--output", "mermaid").splitlines()
    answer = checked_document("graph", output(capfd, "--output", "json"))
    assert answer["v"] == 1
    assert [node["name"] for node in answer["nodes"]] == ["api", "db", "web"]


def test_services_of_an_active_profile_are_drawn(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Such services are drawn with their dependents."""
    lines = output(capfd, "--profile", "tools").splitlines()
    assert lines[0] == "shop: 4 services"
    assert "   └─ tools (started, if it exists)  networks none (network_mode)" in lines
    assert "      └─ db (started) ↑" in lines


def test_graph_shows_times_of_the_last_run(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Times are in the tree and in the chart; without a known run there is an error."""
    assert main.run(["graph", "--timings"]) == 2
    assert "no timings of shop found" in capfd.readouterr().err
    spans = [
        {"name": "start db", "start": 1, "end": 2, "critical": True, "after": ""},
        {"name": "start api", "start": 2, "end": 3, "critical": True, "after": "db"},
    ]
    Run.open("an engine", Endpoint(host), "shop").remember({"timings": {"seconds": 3.0, "spans": spans}})
    lines = output(capfd, "--timings").splitlines()
    assert lines[0] == "shop: 3 services, 3.00 s until ready; * is what the rest waited for"
    assert [line.split("─ ")[1].split(" (")[0] for line in lines[1:4]] == [
        "web  ports 8080:80; networks front",
        "* api",
        "* db",
    ]
    assert "class s_api,s_db critical" in output(capfd, "--timings", "--output", "mermaid")
    assert checked_document("graph", output(capfd, "--timings", "--output", "json"))["seconds"] == 3.0
