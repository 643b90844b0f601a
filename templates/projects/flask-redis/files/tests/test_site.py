"""The site on a real Redis, in a database of its own (REDIS_URL in compose.yml)."""

import os
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from redis import Redis

from app import create_app


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    redis = Redis.from_url(os.environ["REDIS_URL"])
    redis.flushdb()
    yield create_app().test_client()
    redis.flushdb()


def test_each_visit_is_counted(client: FlaskClient) -> None:
    assert "<strong>1</strong>" in client.get("/").text
    assert "<strong>2</strong>" in client.get("/").text


def test_it_says_that_it_is_healthy(client: FlaskClient) -> None:
    assert client.get("/health").json == {"status": "ok"}
