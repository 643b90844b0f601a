"""A project as a graph: dependencies of its services, and times of the last run."""

from __future__ import annotations

from devenv.model.graph import Node, graph
from devenv.model.project import Dependency, Mount, Port, Project, Service

SHOP = Project(
    "shop",
    "/shop",
    ("/shop/compose.yml",),
    (
        Service(
            "web",
            depends_on=(Dependency("db"), Dependency("gone")),
            ports=(Port(80, "8080"), Port(53, None, None, "udp"), Port(443, "8443", "127.0.0.1")),
            volumes=(Mount("bind", "/etc/caddy", "/shop/caddy", read_only=True), Mount("tmpfs", "/t")),
        ),
        Service("db", volumes=(Mount("volume", "/data", "data"), Mount("bind", "/all", "/shop"))),
    ),
)
MODEL = {"services": {"web": {"networks": {"back": None}}, "db": {"network_mode": "host"}}}


def test_a_node_has_what_its_service_needs() -> None:
    """A dependency that is not in the model is left out; paths of the project are relative."""
    web, db = graph(SHOP, MODEL).nodes
    assert web == Node(
        "web",
        needs=(Dependency("db"),),
        ports=("8080:80", "53/udp", "127.0.0.1:8443:443"),
        mounts=("./caddy:/etc/caddy:ro",),
        networks=("back",),
    )
    assert (db.mounts, db.volumes, db.networks) == (("data:/data", ".:/all"), ("data",), ("host (network_mode)",))


def test_roots_are_services_without_dependents() -> None:
    shown = graph(SHOP, MODEL)
    assert [node.name for node in shown.roots] == ["web"]
    assert shown.node("db").name == "db"


def test_times_of_the_last_run() -> None:
    """The parts of one service are added up; a service is critical if one part is."""
    spans = [
        {"name": "start db", "start": 1.0, "end": 1.5, "critical": False, "after": "x"},
        {"name": "health db", "start": 1.5, "end": 3.0, "critical": True, "after": ""},
        {"name": "run db", "start": 3.0, "end": 4.0, "critical": True, "after": "web"},
        {"name": "start dbx", "start": 0.0, "end": 9.0, "critical": True, "after": ""},
    ]
    shown = graph(SHOP, MODEL, {"seconds": 5.0, "spans": spans})
    db, web = shown.node("db"), shown.node("web")
    assert (db.seconds, db.critical, db.after, shown.seconds) == (3.0, True, "web", 5.0)
    assert (web.seconds, web.critical, web.after) == (None, False, "")
