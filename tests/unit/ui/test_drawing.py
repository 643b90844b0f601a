"""A project's graph as a tree and as Mermaid, and layers as bars in windows of every width."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.model.graph import Graph, Node, graph
from devenv.model.images import Advice, Anatomy, Layer, Report
from devenv.model.project import Condition, Dependency, Mount, Port, Project, Resource, Service
from devenv.ui import cells
from devenv.ui.drawing import layers, mermaid, tree

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


def test_graph_as_a_tree() -> None:
    """A service is above its dependencies, with conditions; a service with several dependents is shown once."""
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
    """Services that others waited for have a mark, and known times are in seconds."""
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


def test_graph_as_mermaid() -> None:
    """It has services with ports, conditions as arrows, volumes, networks; critical services in red."""
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
    """One service, without times and without its default network."""
    small = Graph("p", (Node("a-b", networks=("default",)),), (Resource("default", "p_default"),))
    assert tree(small) == ["p: 1 service", "└─ a-b"]
    assert mermaid(small) == ["flowchart LR", '  s_a_2d_b["a-b"]']


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
    ids = [match[1] for line in chart if (match := re.fullmatch(r'  (\w+)\["(.*)"\]', line))]
    assert len(set(ids)) == len(ids) == len(names)
    assert sum("-->" in line for line in chart) == sum(map(len, edges.values()))


NOW = 100_000.0
IMAGE = Anatomy(
    "shop-web",
    "sha256:1",
    151_700_000,
    (
        Layer("imported", 93_000_000, 1000, "a", ("api:1", "b:1")),
        Layer(
            "RUN apt-get update && apt-get install -y --no-install-recommends curl", 12_000_000, 4000, "b", ("b:1",)
        ),
        Layer("WORKDIR /app", 0, 90_000, "c", cached=True),
        Layer("COPY . .", 700_000, 90_000, "d", cached=False, took=0.1),
        Layer("RUN npm ci", 46_000_000, 90_000, "e", cached=False, took=12.34),
    ),
    "node:22",
    2,
    "built on an image made here: x",
)
OTHER = Anatomy("api:1", "sha256:2", 93_000_005, (*IMAGE.layers[:1], Layer("", 5, 0, "z")))


def test_layers_of_an_image() -> None:
    """It has the base, one line per layer, the images that share it, and advice."""
    report = Report((IMAGE,), advice=(Advice("x", "layer 5 is large", "make it small"),))
    assert layers(report, 80, NOW) == [
        "shop-web (built on an image made here: x): 152 MB in 5 layers, made 3 h ago",
        "on node:22: 105 MB in 2 layers",
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░  imported",
        " 2    12 MB     27 h  ░░                RUN apt-get update && apt-get install -…",
        " 3      0 B      3 h                    WORKDIR /app  (cached)",
        " 4   700 KB      3 h  █                 COPY . .  (0.1 s)",
        " 5    46 MB      3 h  ████████          RUN npm ci  (12.3 s)",
        "░ layers 1-2 are also in b:1",
        "░ layer 1 is also in api:1",
        "advice: layer 5 is large",
        "  hint: make it small",
    ]


def test_a_wide_window() -> None:
    """Longer bars and whole instructions."""
    assert layers(Report((IMAGE,)), 120, NOW)[2:4] == [
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░░░░░░░░░  imported",
        f" 2    12 MB     27 h  ░░░                       {IMAGE.layers[1].instruction}",
    ]


def test_layers_of_two_images() -> None:
    """The common layers come first, then those of each image, with sums; the bars have one scale."""
    assert layers(Report((IMAGE, OTHER), 1), 80, NOW) == [
        "shop-web (built on an image made here: x): 152 MB in 5 layers, made 3 h ago",
        "on node:22: 105 MB in 2 layers",
        "api:1: 93 MB in 2 layers, made 28 h ago",
        "in both: 93 MB in 1 layer",
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░  imported",
        "only in shop-web: 59 MB in 4 layers",
        " 2    12 MB     27 h  ░░                RUN apt-get update && apt-get install -…",
        " 3      0 B      3 h                    WORKDIR /app  (cached)",
        " 4   700 KB      3 h  █                 COPY . .  (0.1 s)",
        " 5    46 MB      3 h  ████████          RUN npm ci  (12.3 s)",
        "only in api:1: 5 B in 1 layer",
        " 2      5 B           █                 (unknown)",
    ]


def test_an_image_without_layers() -> None:
    """There is such a thing."""
    assert layers(Report((Anatomy("none", "", 0, ()),), unread="3.1 GB"), 80, NOW) == [
        "none: 0 B in 0 layers",
        "the files in the layers were not read: 3.1 GB",
    ]


@pytest.mark.parametrize(("count", "text"), [(5, "a0, a1, a2, a3, a4"), (7, "a0, a1, a2, a3, a4 and 2 more")])
def test_many_others_are_counted(count: int, text: str) -> None:
    """Some are named."""
    image = Anatomy("it", "", 1, (Layer("RUN x", 1, 0, "a", tuple(f"a{n}" for n in range(count))),))
    assert layers(Report((image,)), 80, NOW)[-1] == f"░ layer 1 is also in {text}"


@given(
    st.integers(60, 300),
    st.lists(st.tuples(st.text() | st.just("RUN x " * 100), st.integers(0, 10**10)), min_size=1, max_size=5),
)
def test_every_layer_has_one_line_that_fits(width: int, texts: list[tuple[str, int]]) -> None:
    """At sixty columns or more each layer is one line, with any instruction; a layer with bytes has a bar."""
    made = tuple(Layer(said, size, 1, cached=size % 2 == 0) for said, size in texts)
    said = layers(Report((Anatomy("it", "", 0, made),)), width, NOW)
    assert len(said) == 1 + len(made)
    assert all(cells.width(line) <= width for line in said)
    assert [
        ("█" in line[20:60]) for line, layer in zip(said[1:], made, strict=True) if "█" not in layer.instruction
    ] == [layer.size > 0 for layer in made if "█" not in layer.instruction]
