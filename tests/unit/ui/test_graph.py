"""A project's graph as people see it: a tree, and Mermaid."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from devenv.model.graph import Graph, Node, graph
from devenv.model.project import Condition, Dependency, Mount, Port, Project, Resource, Service
from devenv.ui.graph import mermaid, tree

SHOP = Project(
    "shop",
    "shop",
    (),
    (
        Service(
            "proxy",
            depends_on=(Dependency("web", Condition.HEALTHY), Dependency("api", Condition.STARTED)),
            ports=(Port(80, "8080"), Port(443, "8443", "127.0.0.1"), Port(53, None, None, "udp")),
            volumes=(
                Mount("bind", "/etc/caddy", "shop/caddy", read_only=True),
                Mount("bind", "/a", "/b"),
                Mount("tmpfs", "/t"),
            ),
        ),
        Service("web", depends_on=(Dependency("api", Condition.HEALTHY),)),
        Service(
            "api",
            depends_on=(
                Dependency("db", Condition.HEALTHY),
                Dependency("migrate", Condition.COMPLETED, required=False),
            ),
        ),
        Service("db", volumes=(Mount("volume", "/data", "db-data"), Mount("volume", "/more", "db-data"))),
        Service("migrate", volumes=(Mount("bind", "/all", "shop"),)),
        Service("end", depends_on=(Dependency("gone", required=False),)),
    ),
    (Resource("default", "shop_default"), Resource("back", "back", external=True)),
    (Resource("db-data", "shop_db-data"),),
)
MODEL = {
    "services": {
        "proxy": {"networks": {"default": None}},
        "web": {"networks": {"default": None, "back": None}},
        "api": {"networks": {"back": None}},
        "db": {"networks": {"back": {}}},
        "migrate": {"network_mode": "host"},
        "end": {},
    }
}


def span(name: str, start: float, end: float, after: str = "", *, critical: bool = True) -> dict[str, object]:
    """A span as the last run's record has it."""
    return {"name": name, "start": start, "end": end, "critical": critical, "after": after}


TIMES = {
    "seconds": 9.5,
    "spans": [
        span("load", 0, 1),
        span("start db", 1, 1.5),
        span("health db", 1.5, 6),
        span("run migrate", 1.5, 2, critical=False),
        span("start api", 6, 7, "db"),
        span("health api", 7, 9),
        span("start web", 9, 9.25, "api"),
    ],
}


def test_the_tree() -> None:
    """What needs others above what it needs, conditions and all; a service that several need once."""
    assert tree(graph(SHOP, MODEL)) == [
        "shop: 6 services",
        "├─ proxy  ports 8080:80, 127.0.0.1:8443:443, 53/udp; volumes ./caddy:/etc/caddy:ro, /b:/a",
        "│  ├─ web (healthy)  networks default, back",
        "│  │  └─ api (healthy)  networks back",
        "│  │     ├─ db (healthy)  volumes db-data:/data, db-data:/more; networks back",
        "│  │     └─ migrate (completed, if it exists)  volumes .:/all; networks host (network_mode)",
        "│  └─ api (started) ↑",
        "└─ end",
        "networks: default, back (external)",
        "volumes: db-data",
    ]


def test_the_tree_with_times() -> None:
    """What the rest waited for has a mark, and who was seen has seconds."""
    assert tree(graph(SHOP, MODEL, TIMES))[:8] == [
        "shop: 6 services, 9.50 s until ready; * is what the rest waited for",
        "├─ proxy  ports 8080:80, 127.0.0.1:8443:443, 53/udp; volumes ./caddy:/etc/caddy:ro, /b:/a",
        "│  ├─ * web (healthy) 0.2 s  networks default, back",
        "│  │  └─ * api (healthy) 3.0 s  networks back",
        "│  │     ├─ * db (healthy) 5.0 s  volumes db-data:/data, db-data:/more; networks back",
        "│  │     └─ migrate (completed, if it exists) 0.5 s  volumes .:/all; networks host (network_mode)",
        "│  └─ * api (started) ↑",
        "└─ end",
    ]


def test_mermaid() -> None:
    """Services with their ports, conditions as arrows, volumes, networks; what was waited for in red."""
    assert mermaid(graph(SHOP, MODEL, TIMES)) == [
        "flowchart LR",
        '  s_proxy["proxy<br>8080:80<br>127.0.0.1:8443:443<br>53/udp"]',
        '  s_web["web"]',
        '  s_api["api"]',
        '  s_db["db"]',
        '  s_migrate["migrate"]',
        '  s_end["end"]',
        '  v_db_2d_data[("db-data")]',
        '  n_back{{"back"}}',
        "  s_proxy -->|healthy| s_web",
        "  s_proxy -->|started| s_api",
        "  s_web -->|healthy| s_api",
        "  s_web -.- n_back",
        "  s_api -->|healthy| s_db",
        "  s_api -.->|completed| s_migrate",
        "  s_api -.- n_back",
        "  s_db --- v_db_2d_data",
        "  s_db -.- n_back",
        "  classDef critical stroke:#d33,stroke-width:3px",
        "  class s_web,s_api,s_db critical",
        "  linkStyle 2,4 stroke:#d33,stroke-width:3px",
    ]


def test_a_project_of_one() -> None:
    """One service, no times, and the network that everybody has is not worth a word."""
    one = Graph("p", (Node("a-b", networks=("default",)),), (Resource("default", "p_default"),))
    assert tree(one) == ["p: 1 service", "└─ a-b"]
    assert mermaid(one) == ["flowchart LR", '  s_a_2d_b["a-b"]']


NAMES = st.lists(st.text("ab-_.", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)


@given(st.data(), NAMES)
def test_every_service_is_one_node(data: st.DataObject, names: list[str]) -> None:
    """However they depend on each other: drawn out once, else referred to; in Mermaid with an id of its own."""
    edges = {
        name: data.draw(st.lists(st.sampled_from(names[index + 1 :]), unique=True)) if names[index + 1 :] else []
        for index, name in enumerate(names)
    }
    nodes = tuple(Node(name, tuple(Dependency(other) for other in edges[name])) for name in names)
    drawn = [line.partition("─ ")[2] for line in tree(Graph("p", nodes))[1:]]
    assert sorted(line.split(" ")[0] for line in drawn if not line.endswith("↑")) == sorted(names)
    assert len(drawn) <= 1 + sum(map(len, edges.values())) + len(names)
    chart = mermaid(Graph("p", nodes))
    ids = [found[1] for line in chart if (found := re.fullmatch(r'  (\w+)\["(.*)"\]', line))]
    assert len(set(ids)) == len(ids) == len(names)
    assert sum("-->" in line for line in chart) == sum(map(len, edges.values()))
