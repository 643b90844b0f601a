"""Removing services from a Compose file: what `add` wrote is removed, too; what a person wrote stays."""

from __future__ import annotations

import tempfile
from itertools import permutations
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from devenv.compose import yaml12
from devenv.errors import DevenvError, UsageError
from devenv.scaffold.add import remove as removal
from devenv.scaffold.add import services
from devenv.scaffold.add.proposal import write
from devenv.scaffold.add.remove import Mention, find_mentions, host, named_variables
from support.compose_texts import files, readable
from support.scaffold import STYLES, add, edited, model, project, remove

pytestmark = pytest.mark.usefixtures("offline")

KINDS = [key for key, kind in services.templates().items() if not kind.front and not kind.code]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("redis", "REDIS_URL", "redis://prod-cache.example:6379/0"),
        ("redis", "REDIS_URL", "redis://redis:6379/0"),
        ("postgres", "DATABASE_URL", "postgresql://postgres:${POSTGRES_PASSWORD:-x/y}@db:5432/app"),
        ("mysql", "DATABASE_URL", "mysql://mysql:pw@db"),
        ("mariadb", "DATABASE_URL", "mysql://root:pw@external.example:3306/mariadb"),
        ("rabbitmq", "AMQP_URL", "amqp://rabbitmq:pw@broker:5672/"),
        ("memcached", "MEMCACHED_URL", "memcached:11211"),
    ],
)
@pytest.mark.parametrize("form", ["{}: {}", '- "{}={}"'])
@pytest.mark.parametrize("is_added", [True, False])
def test_a_variable_that_a_person_wrote_stays(
    tmp_path: Path, kind: str, key: str, value: str, form: str, is_added: bool
) -> None:
    """It stays whatever its value is, even if the removed service was added by devenv."""
    before = f"services:\n  web:\n    image: w\n    environment:\n      {form.format(key, value)}\n"
    written = before if is_added else f"{before}  {kind}:\n    image: {kind}:1\n"
    selection = project(tmp_path, written)
    if is_added:
        write(add(selection, kind, to="web"))
    assert edited(remove(selection, kind)) == before


PERSONAL = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_PASSWORD: x}
    volumes: [ "db-data:/data", "db-more:/more" ]
  web:
    image: w
    environment:
      DATABASE_URL: postgresql://app:${DB_PASSWORD}@db:5432/app
      PGHOST: db
      DB: db # a name of a database
    command: [sh, -c, "wait-for db:5432"]
    build: {context: ., args: {DB: "x://db/"}}
    networks:
      default: {aliases: [db]}
volumes:
  db-data:
  db-more: {driver: local}
"""


def test_mentions_are_reported_and_kept(tmp_path: Path) -> None:
    """Without a record, no other service is changed: each mention is named by its line in the new file."""
    (tmp_path / ".env").write_text("# DATABASE_URL=x://db/\nOTHER=1\nexport URL='x://u:p@db:1/'\n", encoding="utf-8")
    (tmp_path / "compose.override.yml").write_text(
        "services:\n  worker:\n    image: v\n    environment: [BROKER=db:1]\n", encoding="utf-8"
    )
    proposal = remove(project(tmp_path, PERSONAL), "db")

    assert model(edited(proposal))["services"] == {"web": model(PERSONAL)["services"]["web"]}
    assert model(edited(proposal))["volumes"] == {"db-more": {"driver": "local"}}
    assert [note for note in proposal.notes if "still" in note] == [
        "compose.yml:5: services.web.environment.DATABASE_URL still names `db`",
        "compose.yml:6: services.web.environment.PGHOST still names `db`",
        "compose.yml:8: services.web.command still names `db`",
        "compose.yml:9: services.web.build.args.DB still names `db`",
        "compose.yml:11: services.web.networks still names `db`",
        "compose.override.yml:4: services.worker.environment.BROKER still names `db`",
        ".env:3: URL still names `db`",
    ]


@pytest.mark.parametrize(
    ("reference", "part"),
    [
        ("depends_on: [db]", "depends_on"),
        ("depends_on: {db: {condition: service_healthy}}", "depends_on"),
        ("links: ['db:database']", "links"),
        ("volumes_from: ['db:ro']", "volumes_from"),
        ("network_mode: 'service:db'", "network_mode"),
        ("pid: 'service:db'", "pid"),
        ("ipc: 'service:db'", "ipc"),
        ("extends: db", "extends"),
        ("extends: {service: db}", "extends"),
        ("build: {context: ., additional_contexts: {db: 'service:db'}}", "build.additional_contexts"),
        ("build: {context: ., additional_contexts: ['db=service:db']}", "build.additional_contexts"),
    ],
)
def test_needed_service_cannot_be_removed(tmp_path: Path, reference: str, part: str) -> None:
    """Compose would refuse the rest; the place is named, and nothing is written."""
    text = f"services:\n  db: {{image: 'postgres:17'}}\n  web:\n    image: w\n    {reference}\n"
    with pytest.raises(UsageError) as caught:
        remove(project(tmp_path, text), "db")
    assert caught.value.message == f"`db` is needed by web (compose.yml:5: {part})"
    assert caught.value.hint == f"Take `db` out of their `{part}` first, or remove them."


def test_the_only_service_stays(tmp_path: Path) -> None:
    """Nothing would be left to run."""
    with pytest.raises(UsageError, match="is the only service"):
        remove(project(tmp_path, STYLES["plain"]), "web")


def test_a_dependency_of_ours_in_another_service_is_refused(tmp_path: Path) -> None:
    """Lines of a user in another service or file stay, even if `add` would write the same."""
    selection = project(tmp_path, "services:\n  web: {image: w}\n  api: {image: a, depends_on: [web]}\n")
    write(add(selection, "redis", to="web"))
    path = tmp_path / "compose.yml"
    path.write_text(path.read_text().replace("depends_on: [web]", "depends_on: [web, redis]"))
    with pytest.raises(UsageError, match=r"`redis` is needed by api \(compose.yml:\d+: depends_on\)"):
        remove(selection, "redis")


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/1", {}),
        ("redis://redis:6379/0", "redis://elsewhere:6379/0", {"REDIS_URL": "redis://elsewhere:6379/0"}),
        ("REDIS_URL:", "CACHE_URL:", {"CACHE_URL": "redis://redis:6379/0"}),
    ],
)
def test_a_variable_of_ours_that_a_person_changed(tmp_path: Path, old: str, new: str, left: dict[str, str]) -> None:
    """It is removed if it still leads to the removed service."""
    selection = project(tmp_path, STYLES["plain"])
    write(add(selection, "redis", to="web"))
    path = tmp_path / "compose.yml"
    path.write_text(path.read_text().replace(old, new))
    assert model(edited(remove(selection, "redis")))["services"]["web"].get("environment", {}) == left


@pytest.mark.parametrize("edit", ["", "# edited\n"])
@pytest.mark.parametrize("environment", ["{A: b}", "[A=b]"])
def test_each_variable_that_another_service_loses_is_named(tmp_path: Path, edit: str, environment: str) -> None:
    """The line is that before the change, and values that stay in other files are named with it."""
    text = f"services:\n  web:\n    image: web\n    environment: {environment}\n"
    selection = project(tmp_path, text)
    write(add(selection, "postgres", name="db", to="web"))
    path = tmp_path / "compose.yml"
    path.write_text(edit + path.read_text())
    line = next(n for n, row in enumerate(path.read_text().splitlines(), 1) if "DATABASE_URL" in row)
    (tmp_path / ".env.example").write_text("# no DB_PASSWORD\nDB_PASSWORDS=\n", encoding="utf-8")
    notes = remove(selection, "db").notes
    assert f"compose.yml:{line}: web loses the variable DATABASE_URL, which `devenv add` wrote" in notes
    assert "DB_PASSWORD stays in .env" in notes


def test_a_record_counts_once(tmp_path: Path) -> None:
    """Lines that a user writes after a removal stay, and a record of another file does not count."""
    selection = project(tmp_path, STYLES["plain"])
    write(add(selection, "redis", to="web"))
    text = (tmp_path / "compose.yml").read_text()
    write(remove(selection, "redis"))
    assert (tmp_path / "compose.yml").read_text() == STYLES["plain"]
    (tmp_path / "compose.yml").write_text(text)
    with pytest.raises(UsageError, match="`redis` is needed by web"):
        remove(selection, "redis")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="`redis` is needed by web"):
        remove(project(tmp_path / "other", text), "redis")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("order", list(permutations(("redis", "postgres", "memcached"))))
def test_several_services_are_removed_in_any_order(tmp_path: Path, style: str, order: tuple[str, ...]) -> None:
    """After each step the file is as if the removed service had never been added, and in the end as at first."""
    kinds, selection = ["redis", "postgres", "memcached"], project(tmp_path, STYLES[style])
    for kind in kinds:
        write(add(selection, kind, to="web"))
    (tmp_path / "other").mkdir()
    for kind in order:
        kinds.remove(kind)
        without = project(tmp_path / "other", STYLES[style])
        for other in kinds:
            write(add(without, other, to="web"))
        write(remove(selection, kind))
        assert (tmp_path / "compose.yml").read_text() == (tmp_path / "other/compose.yml").read_text()
    assert (tmp_path / "compose.yml").read_text() == STYLES[style]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=files(), kind=st.sampled_from(KINDS))
def test_without_a_record_no_other_service_is_touched(file: tuple[str, bool], kind: str) -> None:
    """It stays unchanged even if it has variables that `add` would write."""
    assume(readable(file[0]))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as no_records:
        selection = project(Path(folder), file[0])
        try:
            write(add(selection, kind))
        except DevenvError:
            return
        proposal = anyio.run(removal.remove, selection, kind, no_records)
        assert model(edited(proposal))["services"] == model(file[0])["services"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=files(),
    kind=st.sampled_from(KINDS),
    to=st.sampled_from([None, "web", "cache"]),
    mark=st.sampled_from(["", "\ufeff"]),
    edit=st.booleans(),
)
def test_remove_restores_the_file_exactly(
    file: tuple[str, bool], kind: str, to: str | None, mark: str, *, edit: bool
) -> None:
    """Every file that `add` supports is restored, also if other parts were edited since then."""
    text = mark + file[0]
    assume(readable(file[0]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yml"
        selection = project(Path(folder), text)
        try:
            write(add(selection, kind, name="added", to=to))
        except DevenvError:
            assert path.read_bytes() == text.encode()
            return
        line = "# edited\n" if edit and not mark else ""
        path.write_bytes(line.encode() + path.read_bytes())
        write(remove(selection, "added"))
        assert path.read_bytes() == line.encode() + text.encode()


def test_users_changes_in_the_service_are_removed_with_it(tmp_path: Path) -> None:
    """They are in the diff; a volume with another user stays, and so do the lines around the service."""
    selection = project(tmp_path, STYLES["plain"])
    write(add(selection, "postgres", name="db", to="web"))
    changed = (
        (tmp_path / "compose.yml").read_text(encoding="utf-8").replace("interval: 10s", "interval: 9s # mine", 1)
    )
    changed = changed.replace("image: web\n", "image: web\n    volumes: ['db-data:/x']\n")
    (tmp_path / "compose.yml").write_text(changed, encoding="utf-8")
    proposal = remove(selection, "db")

    assert any("interval: 9s # mine" in line for line in proposal.diff())
    assert edited(proposal).startswith("services:\n  web:\n    image: web\n    volumes: ['db-data:/x']\n")
    assert model(edited(proposal)).keys() == {"services", "volumes"}
    assert "DB_PASSWORD stays in .env and .env.example" in proposal.notes


def test_a_service_of_another_file_is_named_with_it(tmp_path: Path) -> None:
    """Only the main file is edited."""
    (tmp_path / "compose.override.yml").write_text("services:\n  tool:\n    image: t\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"service `tool` is in another file, .*compose\.override\.yml:2"):
        remove(project(tmp_path, STYLES["plain"]), "tool")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("redis://redis:6379/0", "redis"),
        ("redis://prod-cache.example:6379/0", "prod-cache.example"),
        ("postgresql://postgres:${POSTGRES_PASSWORD:-a/b@c}@db:5432/app", "db"),
        ("postgresql://app:${A:-${B:-x/y}}@postgres:5432/app", "postgres"),
        ("mysql://root:pw@external.example:3306/mariadb", "external.example"),
        ("amqp://app:$PASSWORD@rabbitmq:5672", "rabbitmq"),
        ("memcached:11211", "memcached"),
        ("http://API:8000", "api"),
        ("http://[::1]:80/", "::1"),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_the_host_of_a_value(value: str, expected: str | None) -> None:
    """The host has neither scheme, user nor database; a value that Compose inserts is not a part of it."""
    assert host(value) == expected


def mentioned(text: str, name: str = "redis") -> list[tuple[int, str, str]]:
    node = yaml12.check(text.encode(), file="c")
    return [(mention.line, mention.service, mention.part) for mention in find_mentions(node, name)]


@pytest.mark.parametrize(
    "text",
    [
        "image: redis:7",
        "image: registry/redis:7",
        "volumes: ['redis:/data', './redis:/redis']",
        "container_name: redis",
        "ports: ['6379:6379']",
        "profiles: [redis]",
        "environment: {KIND: redis, URL: 'redis://cache:6379/redis', SERVER: redis2}",
        "environment: {URL: 'redis://redis@cache/0'}",
        "environment: [KIND=redis, redis, 'URL=x://a/?to=redis']",
        "command: redis-server --name redis",
        "depends_on: [redis2]",
        "links: ['cache:redis']",
        "network_mode: 'container:redis'",
        "extends: {file: other.yml, service: redis}",
    ],
)
def test_texts_that_are_not_mentions(text: str) -> None:
    """Images, volumes, names of other things, users and databases."""
    assert mentioned(f"services:\n  web:\n    {text}\n") == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("environment: {URL: 'redis://u:p@redis/0'}", "environment.URL"),
        ("environment: {URLS: 'redis://a:1,redis:2/0'}", "environment.URLS"),
        ("environment: {CACHES: 'a:1, redis:2'}", "environment.CACHES"),
        ("environment: ['CACHE_HOST=redis']", "environment.CACHE_HOST"),
        ("environment: ['CACHE=redis:${PORT}']", "environment.CACHE"),
        ("command: wait-for redis:6379 -- app --cache=redis://redis", "command"),
        ("entrypoint: [app, --cache, 'redis:6379']", "entrypoint"),
        ("healthcheck: {test: [CMD-SHELL, 'curl http://redis:80/']}", "healthcheck"),
        ("labels: {proxy.url: 'http://redis:80'}", "labels.proxy.url"),
        ("build: {context: ., args: {URL: 'x://redis'}}", "build.args.URL"),
        ("networks: {default: {aliases: [redis]}}", "networks"),
    ],
)
def test_texts_that_are_mentions(text: str, part: str) -> None:
    """A host name in a command, a variable or a name of a service is a mention."""
    assert mentioned(f"services:\n  web:\n    {text}\n") == [(3, "web", part)]


def test_mentions_in_other_parts_of_a_file() -> None:
    """The service's own part does not count; merged parts, texts of configs and hooks do, each line once."""
    text = (
        "x-env: &env\n  URL: redis://redis\n"
        "x-devenv:\n  hooks:\n    after_healthy:\n      - {service: redis, run: x}\n"
        "services:\n  redis: {environment: {SELF: 'redis:1'}}\n  a: {environment: {<<: *env, B: 'redis:2'}}\n"
        "  b: {environment: *env}\nconfigs:\n  c: {content: 'upstream http://redis:80'}\n"
    )
    assert mentioned(text) == [
        (2, "a", "environment.URL"),
        (2, "b", "environment.URL"),
        (6, "", "x-devenv.hooks"),
        (9, "a", "environment.B"),
        (12, "", "configs.c"),
    ]
    assert mentioned("services:\n") == []
    assert mentioned("services: {web: }\n") == []


def test_references_that_compose_requires() -> None:
    """Without the service, Compose refuses the rest."""
    node = yaml12.check(b"services:\n  web: {depends_on: [redis], command: 'x://redis'}\n", file="c")
    assert list(find_mentions(node, "redis")) == [
        Mention(2, "web", "command", needed=False),
        Mention(2, "web", "depends_on", needed=True),
    ]


def test_variables_with_the_host_name() -> None:
    """Their names alone: values are secrets."""
    text = "# A=x://redis\nB=redis\nexport C_HOST=redis\nD='redis:1'\nE=\"x://u:p@redis/\"\n\nF\n"
    assert list(named_variables(text, "redis")) == [(3, "C_HOST"), (4, "D"), (5, "E")]
