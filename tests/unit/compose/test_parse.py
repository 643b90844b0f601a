"""The resolved model becomes a Project, or an error that names the path."""

from __future__ import annotations

import pytest

from devenv.compose import yaml12
from devenv.compose.parse import is_image, parse
from devenv.compose.schema import ShapeError, dotted
from devenv.model.project import (
    Action,
    Build,
    Condition,
    Dependency,
    Hook,
    Moment,
    Mount,
    Port,
    Project,
    ProjectHook,
    Resource,
    Service,
    Settings,
    WatchRule,
)

MODEL = """\
name: shop
services:
  web:
    build:
      context: /p
      dockerfile: Dockerfile
      args: {A: "1", B: null, C: x$$y}
      additional_contexts: {other: /o}
      target: dev
      platforms: [linux/amd64]
    depends_on:
      db: {condition: service_healthy, restart: true, required: false}
    develop:
      watch:
        - {path: /p/src, action: sync, target: /src/, ignore: ["*.md"], include: "*.js", initial_sync: true}
        - path: /p/x$$y
          action: sync+exec
          target: /x
          x-include: ["**/*.css"]
          x-initial_sync: "true"
          exec:
            command: sh -c 'echo $$HOME'
            user: 1000
            working_dir: /w
            environment: [A=1, B]
            privileged: true
        - {path: /p/package.json, action: rebuild}
    healthcheck: {test: [CMD, x], interval: 1s}
    image: shop/web:1
    platform: linux/amd64
    pull_policy: build
    ports:
      - {mode: ingress, target: 80, published: "8080", protocol: tcp, host_ip: "::1"}
      - {mode: ingress, target: "53", protocol: udp}
    restart: "no"
    scale: 3
    stop_grace_period: 1m30s
    tmpfs: ["/t1:size=1m", /t2]
    volumes:
      - {type: bind, source: /p, target: /app, read_only: true}
      - {type: volume, target: /anon, volume: {}}
  db:
    image: mysql:9
    deploy: {replicas: 2}
    healthcheck: {disable: true}
networks:
  default: {name: shop_default}
  bare: null
volumes:
  data: {name: shop_data, external: true}
x-devenv: {ports: as-written, initial_sync: spec, deletes: recreate, images: {mirrors: [m.example]}, x-mine: 1}
"""


def read(text: str) -> Project:
    """The project of a model in YAML."""
    return parse(yaml12.construct(text, file="m"), directory="/p", files=("/p/compose.yml",))


def test_all_fields_of_a_project_are_parsed() -> None:
    """All fields are parsed, `$$` as `$`, with both spellings of the newer watch keys."""
    web = Service(
        name="web",
        image="shop/web:1",
        build=Build(
            context="/p",
            target="dev",
            args=(("A", "1"), ("C", "x$y")),
            additional_contexts=(("other", "/o"),),
            platforms=("linux/amd64",),
        ),
        platform="linux/amd64",
        pull_policy="build",
        depends_on=(Dependency("db", Condition.HEALTHY, required=False, restart=True),),
        ports=(Port(80, "8080", "::1"), Port(53, protocol="udp")),
        volumes=(Mount("bind", "/app", "/p", read_only=True), Mount("volume", "/anon")),
        watch=(
            WatchRule("/p/src", Action.SYNC, "/src/", ("*.md",), ("*.js",), initial_sync=True),
            WatchRule(
                "/p/x$y",
                Action.SYNC_EXEC,
                "/x",
                include=("**/*.css",),
                initial_sync=True,
                exec=Hook(("sh", "-c", "echo $HOME"), "1000", "/w", (("A", "1"),), privileged=True),
            ),
            WatchRule("/p/package.json", Action.REBUILD),
        ),
        tmpfs=("/t1", "/t2"),
        has_healthcheck=True,
        restart="no",
        scale=3,
    )
    assert read(MODEL) == Project(
        name="shop",
        directory="/p",
        files=("/p/compose.yml",),
        services=(web, Service(name="db", image="mysql:9", scale=2)),
        networks=(Resource("default", "shop_default"), Resource("bare", "bare")),
        volumes=(Resource("data", "shop_data", external=True),),
        settings=Settings(ports="as-written", initial_sync_spec=True, deletes_recreate=True, mirrors=("m.example",)),
    )


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ("services: []", "services: must be a mapping | None"),
        ("services: {a: x}", "services.a: must be a mapping | None"),
        (
            "services: {a: {depends_on: {b: {condition: healthy}}}}",
            (
                "services.a.depends_on.b.condition: `healthy` is not one of service_started, service_healthy, "
                "service_completed_successfully | Did you mean `service_healthy`?"
            ),
        ),
        (
            "services: {a: {develop: {watch: [{path: /p, action: snyc}]}}}",
            (
                "services.a.develop.watch[0].action: `snyc` is not one of sync, rebuild, restart, "
                "sync+restart, sync+exec | Did you mean `sync`?"
            ),
        ),
        (
            "services: {a: {develop: {watch: [{path: /p, action: sync, x-initial_sync: perhaps}]}}}",
            "services.a.develop.watch[0].x-initial_sync: must be true or false | None",
        ),
        (
            'services: {a: {develop: {watch: [{path: /p, action: sync+exec, exec: {command: "echo \'x"}}]}}}',
            "services.a.develop.watch[0].exec.command: a quote is not closed | None",
        ),
        (
            "services: {a: {image: ALPINE}}",
            (
                "services.a.image: `ALPINE` is not a valid image reference | "
                "It is NAME, NAME:TAG or HOST/NAME:TAG; names are lower case."
            ),
        ),
        (
            'services: {a: {environment: {A: "x\\0y"}}}',
            ("services.a.environment.A: the value contains a NUL byte | Check its env_file."),
        ),
        ("x-devenv: {port: as-written}", "x-devenv.port: unknown key | Did you mean `ports`?"),
        (
            "x-devenv: {zzz: 1}",
            "x-devenv.zzz: unknown key | Known here: ports, initial_sync, keep, seed, hooks, images, deletes.",
        ),
        (
            "x-devenv: {ports: lan}",
            "x-devenv.ports: `lan` is not one of as-written, auto | Known here: as-written, auto.",
        ),
        ("x-devenv: {images: {mirror: x}}", "x-devenv.images.mirror: unknown key | Did you mean `mirrors`?"),
        (
            "x-devenv: {images: {mirrors: ['https://u:p4ss@m.test/x']}}",
            "x-devenv.images.mirrors[0]: contains credentials: use `docker login` instead | None",
        ),
        ("x-devenv: 5", "x-devenv: must be a mapping | None"),
        (
            "x-devenv: {hooks: {after_healty: x}}",
            "x-devenv.hooks.after_healty: unknown key | Did you mean `after_healthy`?",
        ),
        ("x-devenv: {hooks: [x]}", "x-devenv.hooks: must be a mapping | None"),
        ("x-devenv: {hooks: {before_up: ['']}}", "x-devenv.hooks.before_up[0]: the command is empty | None"),
        ("x-devenv: {hooks: {before_up: [[]]}}", "x-devenv.hooks.before_up[0]: the command is empty | None"),
        ("x-devenv: {hooks: {before_up: [[a, 1]]}}", "x-devenv.hooks.before_up[0][1]: must be text | None"),
        (
            "x-devenv: {hooks: {before_down: true}}",
            (
                "x-devenv.hooks.before_down: must be a command: text or a list for the host, or a mapping with "
                "`service` and `command` | None"
            ),
        ),
        (
            "x-devenv: {hooks: {before_down: {servic: a, command: x}}}",
            "x-devenv.hooks.before_down.servic: unknown key | Did you mean `service`?",
        ),
        (
            "x-devenv: {hooks: {before_down: {command: x}}}",
            "x-devenv.hooks.before_down.service: is missing | None",
        ),
        (
            "services: {db: {}}\nx-devenv: {hooks: {before_down: {service: dbs, command: x}}}",
            "x-devenv.hooks.before_down.service: there is no service `dbs` | Did you mean `db`?",
        ),
        (
            "services: {db: {}}\nx-devenv: {hooks: {before_down: {service: db}}}",
            "x-devenv.hooks.before_down.command: is missing | None",
        ),
        (
            "services: {db: {}}\nx-devenv: {hooks: {before_up: {service: db, command: x}}}",
            (
                "x-devenv.hooks.before_up: must be a command of the host, text or a list: no container is running yet"
                " | None"
            ),
        ),
    ],
)
def test_a_wrong_shape_names_its_path(extra: str, complaint: str) -> None:
    """The error has the path of the model and, if it helps, the most similar valid word."""
    with pytest.raises(ShapeError) as caught:
        read(f"name: x\n{extra}\n")
    assert f"{caught.value} | {caught.value.hint}" == complaint
    assert dotted(caught.value.path) == str(caught.value).split(": ")[0]


def test_hooks() -> None:
    """Text runs in a shell, a list without, a mapping in a service, also if its profile is not active."""
    hooks = """\
name: x
services: {db: {}}
x-devenv:
  hooks:
    before_down: {service: off, command: [a, "b c"]}
    after_healthy:
      - {service: db, command: "sh -c 'echo $$A'", user: 1, working_dir: /w, environment: {A: 1}, privileged: true}
      - echo $$HOME
      - [make, gen it]
"""
    model = yaml12.construct(hooks, file="m")
    project = parse(model, directory="/p", files=(), others=["off"])
    assert project.hooks == (
        ProjectHook(
            Moment.AFTER_HEALTHY, Hook(("sh", "-c", "echo $A"), "1", "/w", (("A", "1"),), privileged=True), "db"
        ),
        ProjectHook(Moment.AFTER_HEALTHY, Hook(("sh", "-c", "echo $HOME"))),
        ProjectHook(Moment.AFTER_HEALTHY, Hook(("make", "gen it"))),
        ProjectHook(Moment.BEFORE_DOWN, Hook(("a", "b c")), "off"),
    )
    assert [hook.typed for hook in project.hooks] == [
        "devenv exec db sh -c 'echo $A'",
        "echo $HOME",
        "make 'gen it'",
        "devenv exec off a 'b c'",
    ]


def test_a_model_without_a_name() -> None:
    """All labels contain the name."""
    with pytest.raises(ShapeError, match="name: is missing"):
        read("services: {}")


@pytest.mark.parametrize(
    ("reference", "valid"),
    [
        ("node", True),
        ("node:22-slim", True),
        ("me/app", True),
        ("localhost:5000/a/b_c:1.0", True),
        ("[::1]:5000/a", True),
        ("ghcr.io/Me/app", False),
        ("a__b/c--d.e", True),
        ("node@sha256:" + "a" * 64, True),
        ("node:1@sha256:" + "a" * 64, True),
        ("-v", False),
        ("--privileged", False),
        (" alpine", False),
        ("alpine;id", False),
        ("alpine\n", False),
        ("ALPINE:1", False),
        ("a:b:c", False),
        ("x@sha256:123", False),
        ("localhost:99999/x", False),
        ("x:" + "t" * 300, False),
        ("../x", False),
        ("docker.io/", False),
        ("a" * 256, False),
        ("", False),
        ("a//b", False),
        ("a..b", False),
    ],
)
def test_image_references(reference: str, valid: bool) -> None:
    """Valid references, and texts that a command line would read as something else."""
    assert is_image(reference) is valid
