"""The run model as text: the resolved model, and the model for Compose."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest
import yaml

from devenv.compose import yaml12
from devenv.compose.run_model import (
    BuildChange,
    Choices,
    Existing,
    PortChange,
    Scale,
    context_key,
    dump,
    port_change,
    rescale,
    run_model,
    scale,
)
from devenv.errors import UsageError

OWNER = "me@host-1"
MODEL = """\
name: shop
services:
  db:
    image: mysql:9
    networks:
      default: null
    volumes:
      - type: volume
        source: data
        target: /var/lib/mysql
  web:
    build:
      context: /p
      dockerfile: Dockerfile
      pull: true
    depends_on:
      db:
        condition: service_healthy
        required: true
    develop:
      watch:
        - path: /p/src
          action: sync
          target: /src
    environment:
      PRICE: 5$$
    labels:
      a: b
    ports:
      - mode: ingress
        target: 80
        published: "8080"
        protocol: tcp
      - mode: ingress
        host_ip: 0.0.0.0
        target: 81
        published: "8081"
        protocol: tcp
      - mode: ingress
        target: 82
        protocol: udp
    profiles:
      - x
networks:
  default:
    name: shop_default
  outer:
    name: outer
    external: true
volumes:
  data:
    name: shop_data
  fresh:
    name: shop_fresh
    labels:
      keep: "me"
x-devenv:
  initial_sync: spec
x-other:
  kept: true
"""


def shown(**changes: Any) -> str:
    """The run model of MODEL as YAML, with the arguments that a test changes."""
    model = yaml12.construct(changes.pop("model", MODEL), file="m")
    arguments: dict[str, Any] = {"existing": Existing(), "choices": Choices(), **changes}
    arguments["choices"] = replace(arguments["choices"], owner=OWNER)
    return yaml.safe_dump(run_model(model, **arguments), sort_keys=False)


def difference(**changes: Any) -> str:
    """The lines that a changed call adds to and takes from the plain run model, in order."""
    plain, changed = shown().splitlines(), shown(**changes).splitlines()
    gone = [f"- {line}" for line in plain if line not in changed]
    return "\n".join(gone + [f"+ {line}" for line in changed if line not in plain])


def text(block: str) -> str:
    """An indented block in the form that is compared."""
    return dedent(block).strip()


def test_run_model_of_a_whole_project() -> None:
    """Watch rules, profiles, `pull` and `x-devenv` are removed, labels and loopback added; volumes stay."""
    assert shown() == dedent("""\
        name: shop
        services:
          db:
            image: mysql:9
            networks:
              default: null
            volumes:
            - type: volume
              source: data
              target: /var/lib/mysql
            labels:
              devenv.owner: me@host-1
          web:
            build:
              context: /p
              dockerfile: Dockerfile
            depends_on:
              db:
                condition: service_healthy
                required: true
            environment:
              PRICE: 5$$
            labels:
              a: b
              devenv.owner: me@host-1
            ports:
            - mode: ingress
              target: 80
              published: '8080'
              protocol: tcp
              host_ip: 127.0.0.1
            - mode: ingress
              host_ip: 0.0.0.0
              target: 81
              published: '8081'
              protocol: tcp
            - mode: ingress
              target: 82
              protocol: udp
              host_ip: 127.0.0.1
        networks:
          default:
            name: shop_default
            labels:
              devenv.owner: me@host-1
          outer:
            name: outer
            external: true
        volumes:
          data:
            name: shop_data
          fresh:
            name: shop_fresh
            labels:
              keep: me
        x-other:
          kept: true
        """)


def labels(choices: Choices, found: Existing | None = None) -> dict[str, dict[str, str]]:
    """The elements with our label."""
    model = run_model(yaml12.construct(MODEL, file="m"), existing=found or Existing(), choices=choices)
    everything = {**model["services"], **model["networks"], **model["volumes"]}
    ours = {
        name: {k: v for k, v in value.get("labels", {}).items() if "devenv" in k}
        for name, value in everything.items()
    }
    return {name: marks for name, marks in ours.items() if marks}


def test_services_and_networks_get_the_owner_label() -> None:
    """Services and networks get the label; never a volume, since a newer Compose would ask to recreate it."""
    mine, old = {"devenv.owner": OWNER}, {"devenv.project": "shop"}
    assert labels(Choices(owner=OWNER)) == {"db": mine, "web": mine, "default": mine}
    assert labels(Choices(owner="a$b")) == {name: {"devenv.owner": "a$$b"} for name in ("db", "web", "default")}
    assert labels(Choices()) == {}
    existing = Existing(old_services=frozenset({"db"}))
    assert labels(Choices(owner=OWNER), existing) == {"db": old, "web": mine, "default": mine}
    existing = Existing(foreign_services=frozenset({"web"}), networks=frozenset({"shop_default"}))
    assert labels(Choices(owner=OWNER), existing) == {"db": mine}


def test_unmarked_services_get_no_label() -> None:
    """A one-off container gets no label, and neither does its network if no other service uses it."""
    mine = {"devenv.owner": OWNER}
    assert labels(Choices(owner=OWNER, unmarked=frozenset({"db"}))) == {"web": mine, "default": mine}
    assert labels(Choices(owner=OWNER, unmarked=frozenset({"db", "web"}))) == {}
    old = Existing(old_services=frozenset({"db"}))
    assert labels(Choices(owner=OWNER, unmarked=frozenset({"db", "web"})), old) == {}


def test_existing_networks_and_volumes_become_external() -> None:
    """An existing network or volume is external, so that Compose does not compare or change it."""
    existing = Existing(networks=frozenset({"shop_default"}), volumes=frozenset({"shop_data", "shop_fresh"}))
    model = run_model(yaml12.construct(MODEL, file="m"), existing=existing, choices=Choices())
    assert model["networks"]["default"] == {"name": "shop_default", "external": True}
    assert model["volumes"] == {
        "data": {"name": "shop_data", "external": True},
        "fresh": {"name": "shop_fresh", "external": True},
    }


def test_foreign_service_is_not_changed() -> None:
    """A service whose container is not ours keeps all parts of its hash, rules and profiles too."""
    choices = Choices(images={"mysql:9": "stand-in.devenv/mysql:9"})
    existing = Existing(foreign_services=frozenset({"db", "web"}))
    model = run_model(yaml12.construct(MODEL, file="m"), existing=existing, choices=choices)
    assert model["services"] == yaml12.construct(MODEL, file="m")["services"]


def test_images_of_containers_before_a_service_are_replaced() -> None:
    """As those of services; a step without an image uses that of its service."""
    steps = [{"image": "mysql:9"}, {"command": ["x"]}]
    model = {"name": "m", "services": {"web": {"build": {"context": "."}, "pre_start": steps}}}
    choices = Choices(images={"mysql:9": "stand-in.devenv/mysql:9"})
    changed = run_model(model, existing=Existing(), choices=choices)["services"]["web"]["pre_start"]
    assert changed == [{"image": "stand-in.devenv/mysql:9"}, {"command": ["x"]}]


def ports(choices: Choices) -> list[str]:
    """How web's ports are published: address, host port, container port."""
    model = run_model(yaml12.construct(MODEL, file="m"), existing=Existing(), choices=choices)
    published = model["services"]["web"]["ports"]
    return [f"{port.get('host_ip', '')} {port.get('published', '')} {port['target']}" for port in published]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ((), [" 8080 80", "0.0.0.0 8081 81", "  82"]),
        (("127.0.0.1",), ["127.0.0.1 8080 80", "0.0.0.0 8081 81", "127.0.0.1  82"]),
        (
            ("127.0.0.1", "::1"),
            ["127.0.0.1 8080 80", "::1 8080 80", "0.0.0.0 8081 81", "127.0.0.1  82"],
        ),
    ],
)
def test_ports_are_published_on_the_given_addresses(addresses: tuple[str, ...], expected: list[str]) -> None:
    """An address in the file stays; a number that the engine picks is picked once."""
    assert ports(Choices(addresses=addresses)) == expected


def test_a_port_without_a_number_can_be_given_one() -> None:
    """Such a port is published as any other."""
    choices = Choices(addresses=("127.0.0.1", "::1"), ports=(PortChange("web", "20123", 82),))
    assert ports(choices)[3:] == ["127.0.0.1 20123 82", "::1 20123 82"]


def test_services_get_the_ports_as_variables() -> None:
    """Variables of a service stay; services of others are not changed."""
    variables = {"DEVENV_PORT_WEB_80": "20123", "PRICE": "1"}
    assert difference(choices=Choices(environment={"web": variables, "db": variables})) == text("""
        +       DEVENV_PORT_WEB_80: '20123'
        +       PRICE: '1'
        +       DEVENV_PORT_WEB_80: '20123'
    """)
    foreign = Existing(foreign_services=frozenset({"db", "web"}))
    assert "DEVENV_PORT" not in shown(
        existing=foreign, choices=Choices(environment={"web": variables, "db": variables})
    )


def test_stand_ins_take_the_place_of_images() -> None:
    """An `image:` is replaced and never pulled; a `FROM` is replaced through additional_contexts."""
    choices = Choices(
        images={"mysql:9": "stand-in.devenv/mysql:9"},
        builds={
            "web": BuildChange({"docker.io/library/node:latest": "stand-in.devenv/node:latest", "caddy:2": "mine:2"})
        },
    )
    assert difference(choices=choices) == text("""
        -     image: mysql:9
        +     image: stand-in.devenv/mysql:9
        +     pull_policy: never
        +       additional_contexts:
        +         node: docker-image://stand-in.devenv/node:latest
        +         caddy:2: docker-image://mine:2
    """)


def test_a_context_that_is_an_image() -> None:
    """A `docker-image://` context is replaced as other images are."""
    contexts = "      additional_contexts: {a: 'docker-image://caddy:2', b: /b}\n"
    model = MODEL.replace("      pull: true\n", contexts)
    changed = yaml.safe_load(shown(model=model, choices=Choices(images={"caddy:2": "mine/caddy:2"})))
    assert changed["services"]["web"]["build"]["additional_contexts"] == {
        "a": "docker-image://mine/caddy:2",
        "b": "/b",
    }


def test_what_a_build_is_given() -> None:
    """Arguments that the file does not set, labels, and another Dockerfile."""
    model = MODEL.replace("      pull: true\n", "      args: {A: mine}\n      labels: {m: n}\n")
    change = BuildChange(arguments={"A": "1", "B": "2$"}, labels={"devenv.built-on": "x"}, dockerfile="/t/$A")
    build = yaml.safe_load(shown(model=model, choices=Choices(builds={"web": change})))["services"]["web"]["build"]
    assert build == {
        "context": "/p",
        "args": {"A": "mine", "B": "2$$"},
        "labels": {"m": "n", "devenv.built-on": "x"},
        "dockerfile": "/t/$$A",
    }


def test_no_image_is_pulled_again() -> None:
    """Images are pulled before the first Compose command; offline, a second pull would fail."""
    model = MODEL.replace("    image: mysql:9\n", "    image: mysql:9\n    pull_policy: always\n")
    assert "always" in model
    assert "pull_policy" not in shown(model=model)


def test_a_context_that_the_file_names_wins() -> None:
    """Contexts in the file are kept."""
    model = MODEL.replace("      pull: true\n", "      additional_contexts: {'node:22': /own}\n")
    changed = shown(model=model, choices=Choices(builds={"web": BuildChange({"node:22": "other"})}))
    assert "docker-image" not in changed
    assert "node:22: /own" in changed


def test_port_option_moves_one_port() -> None:
    """`--port` changes the host side of one published port, and nothing else."""
    assert difference(choices=Choices(ports=(PortChange("web", "9090", 80),))) == text("""
        -       published: '8080'
        +       published: '9090'
    """)


def test_of_two_entries_for_a_port_one_stays() -> None:
    """A port that is published twice is published once, on the port of `--port`."""
    model = MODEL.replace("target: 81", "target: 80")
    services = run_model(
        yaml12.construct(model, file="m"),
        existing=Existing(),
        choices=Choices(ports=(PortChange("web", "9090", 80),)),
    )["services"]
    assert [(port["target"], port.get("published")) for port in services["web"]["ports"]] == [
        (80, "9090"),
        (82, None),
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (PortChange("wbe", "1", 80), "--port names the service `wbe`, which does not exist | Did you mean `web`?"),
        (
            PortChange("web", "1", 99),
            "`web` does not publish the container port 99 | Container ports that it publishes: 80, 81, 82.",
        ),
        (
            PortChange("db", "1", 99),
            "`db` does not publish the container port 99 | Container ports that it publishes: none.",
        ),
    ],
)
def test_a_port_change_must_fit(change: PortChange, complaint: str) -> None:
    """A port that the service does not publish is a usage error, which lists its ports."""
    with pytest.raises(UsageError) as caught:
        shown(choices=Choices(ports=(change,)))
    assert f"{caught.value} | {caught.value.hint}" == complaint


def test_only_some_services() -> None:
    """Other services and dependencies on them are removed; a port change for a removed service is not an error."""
    changed = yaml.safe_load(shown(services=frozenset({"db"}), choices=Choices(ports=(PortChange("web", "9", 80),))))
    assert list(changed["services"]) == ["db"]
    web = yaml.safe_load(shown(services=frozenset({"web"})))["services"]["web"]
    assert web["depends_on"] == {}


def test_the_given_model_is_not_changed() -> None:
    """The resolved model is not changed."""
    model = yaml12.construct(MODEL, file="m")
    run_model(model, existing=Existing(), choices=Choices(ports=(PortChange("web", "9", 80),)))
    assert model == yaml12.construct(MODEL, file="m")


def test_the_swap_limit_that_compose_does_not_read_back() -> None:
    """Compose prints "-1" for unlimited swap but does not read the text; it reads the number."""
    model = {"name": "n", "services": {"a": {"image": "i", "memswap_limit": "-1"}}}
    assert run_model(model, existing=Existing(), choices=Choices())["services"]["a"]["memswap_limit"] == -1


def test_an_optional_dependency_of_another_profile() -> None:
    """Compose prints it, but an older Compose refuses it, since the service is not in the model."""
    needs = {"gone": {"condition": "service_started", "required": False}, "b": {}}
    model = {"name": "n", "services": {"a": {"image": "i", "depends_on": needs}, "b": {"image": "i"}}}
    services = run_model(model, existing=Existing(foreign_services=frozenset({"a"})), choices=Choices())["services"]
    assert services["a"]["depends_on"] == {"b": {}}


@pytest.mark.parametrize(
    ("value", "dumped"),
    [
        ("5$$", b'{"a": "5$$"}'),
        ("💥ü", '{"a": "💥ü"}'.encode()),
        ("\x7f\x85\u2028\ufeff\0", rb'{"a": "\u007f\u0085\u2028\ufeff\u0000"}'),
        ("a\udcff", b'{"a": !!binary "Yf8="}'),
        ('"\\\n', rb'{"a": "\"\\\n"}'),
    ],
)
def test_the_dump_is_yaml_that_means_the_same(value: str, dumped: bytes) -> None:
    """JSON, with all characters escaped that a YAML reader would refuse or change."""
    assert dump({"a": value}) == dumped
    assert yaml12.construct(dumped.decode(), file="d") == {"a": value}


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("node:22", "node:22"),
        ("node:latest", "node"),
        ("docker.io/library/node:22", "node:22"),
        ("index.docker.io/library/node", "node"),
        ("library/node", "node"),
        ("docker.io/me/app:1", "me/app:1"),
        ("ghcr.io/me/app:latest", "ghcr.io/me/app"),
    ],
)
def test_the_name_that_buildkit_looks_up(written: str, key: str) -> None:
    """A context replaces a FROM only by the short name without `:latest`."""
    assert context_key(written) == key


def test_a_port_change_is_read() -> None:
    """SERVICE:HOST=CONTAINER; the name of the service may contain dots and dashes."""
    assert port_change("my.web-1:8080=80") == PortChange("my.web-1", "8080", 80)


@pytest.mark.parametrize(
    "wrong", ["", "web", "web:80", "web:0=80", "web:80=65536", "web:-1=80", "web:80:80", "a b:1=1", "w:1=1\n"]
)
def test_invalid_port_change_is_a_usage_error(wrong: str) -> None:
    """Anything else is a usage error that shows the form."""
    with pytest.raises(UsageError, match="is not a port change") as caught:
        port_change(wrong)
    assert caught.value.hint == "Write SERVICE:HOST=CONTAINER, for example --port web:8080=80."


def test_a_scale_is_read() -> None:
    """SERVICE=N."""
    assert scale("my.web-1=30") == Scale("my.web-1", 30)


@pytest.mark.parametrize("wrong", ["", "web", "web=", "web=-1", "web=x", "web=1.5", "a b=1", "web=1\n", "web:1"])
def test_invalid_scale_is_a_usage_error(wrong: str) -> None:
    """Anything else is a usage error that shows the form."""
    with pytest.raises(UsageError, match="is not a number of containers") as caught:
        scale(wrong)
    assert caught.value.hint == "Write SERVICE=N, such as --scale web=3."


def test_a_scale_counts_more_than_the_file() -> None:
    """Both keys have the same number afterwards, since Compose refuses different numbers."""
    services = yaml.safe_load(
        "{a: {scale: 2}, b: {deploy: {replicas: 4, x: 1}}, d: {},"
        " c: {deploy: {}, ports: [{target: 1}, {target: 2, published: 8000-8005}, {target: 3, published: '0'}]}}"
    )
    rescale(services, (Scale("a", 1), Scale("b", 3), Scale("c", 2), Scale("c", 5)))
    assert services["a"] == {"scale": 1}
    assert services["b"] == {"scale": 3, "deploy": {"replicas": 3, "x": 1}}
    assert (services["c"]["scale"], services["c"]["deploy"]) == (5, {})
    assert services["d"] == {}


@pytest.mark.parametrize(
    ("service", "complaint"),
    [
        ("{ports: [{target: 80, published: '8080'}]}", "only one of them can have the host port 8080"),
        ("{container_name: w}", "only one of them can have the name w"),
    ],
)
def test_fixed_names_and_ports_prevent_scaling(service: str, complaint: str) -> None:
    """The error comes before any port is in use; a single container is allowed."""
    services = {"web": yaml.safe_load(service)}
    rescale(services, (Scale("web", 1), Scale("web", 0)))
    with pytest.raises(UsageError, match="`web` cannot have 2 containers") as caught:
        rescale(services, (Scale("web", 2),))
    assert str(caught.value).endswith(complaint)


def test_scale_of_an_unknown_service_is_a_usage_error() -> None:
    """A service that does not exist is a usage error with a suggestion."""
    with pytest.raises(UsageError, match="--scale names the service `wbe`, which does not exist") as caught:
        rescale({"web": {}, "db": {}}, (Scale("wbe", 2),))
    assert caught.value.hint == "Did you mean `web`?"
