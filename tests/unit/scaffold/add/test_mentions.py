"""Where files name a service: what is taken for its host name, and what is not."""

from __future__ import annotations

import pytest

from devenv.compose import yaml12
from devenv.scaffold.add.mentions import Mention, host, mentions, variables


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
    """Not its scheme, its user, or its database; what Compose puts in is no part of it."""
    assert host(value) == expected


def found(text: str, name: str = "redis") -> list[tuple[int, str, str]]:
    node = yaml12.check(text.encode(), file="c")
    return [(one.line, one.service, one.part) for one in mentions(node, name)]


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
def test_what_is_no_mention(text: str) -> None:
    """Images, volumes, names of other things, users and databases."""
    assert found(f"services:\n  web:\n    {text}\n") == []


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
def test_what_is_a_mention(text: str, part: str) -> None:
    """Host names in what a service runs, is told, or is called."""
    assert found(f"services:\n  web:\n    {text}\n") == [(3, "web", part)]


def test_the_rest_of_a_file() -> None:
    """What the service says itself does not count; merged parts, texts of configs and hooks do, each line once."""
    text = (
        "x-env: &env\n  URL: redis://redis\n"
        "x-devenv:\n  hooks:\n    after_healthy:\n      - {service: redis, run: x}\n"
        "services:\n  redis: {environment: {SELF: 'redis:1'}}\n  a: {environment: {<<: *env, B: 'redis:2'}}\n"
        "  b: {environment: *env}\nconfigs:\n  c: {content: 'upstream http://redis:80'}\n"
    )
    assert found(text) == [
        (2, "a", "environment.URL"),
        (2, "b", "environment.URL"),
        (6, "", "x-devenv.hooks"),
        (9, "a", "environment.B"),
        (12, "", "configs.c"),
    ]
    assert found("services:\n") == []
    assert found("services: {web: }\n") == []


def test_what_is_needed() -> None:
    """Without it Compose refuses the rest."""
    node = yaml12.check(b"services:\n  web: {depends_on: [redis], command: 'x://redis'}\n", file="c")
    assert list(mentions(node, "redis")) == [
        Mention(2, "web", "command", needed=False),
        Mention(2, "web", "depends_on", needed=True),
    ]


def test_variables_of_a_file() -> None:
    """Their names alone: values are secrets."""
    text = "# A=x://redis\nB=redis\nexport C_HOST=redis\nD='redis:1'\nE=\"x://u:p@redis/\"\n\nF\n"
    assert list(variables(text, "redis")) == [(3, "C_HOST"), (4, "D"), (5, "E")]
