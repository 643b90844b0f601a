"""The API against a real database, in a schema of its own (PGOPTIONS in compose.yml)."""

from collections.abc import Iterator

import psycopg
import pytest
from fastapi.testclient import TestClient

from app.main import app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS test")
        with TestClient(app) as client:
            yield client
        connection.execute("DROP SCHEMA test CASCADE")


def test_a_note_is_added_listed_and_removed(client: TestClient) -> None:
    note = client.post("/notes", json={"text": "water the plants"}).json()
    assert client.get("/notes").json() == [note]
    assert client.delete(f"/notes/{note['id']}").status_code == 204
    assert client.get("/notes").json() == []


def test_an_empty_note_is_refused(client: TestClient) -> None:
    assert client.post("/notes", json={"text": ""}).status_code == 422


def test_a_note_that_is_not_there_cannot_be_removed(client: TestClient) -> None:
    assert client.delete("/notes/0").status_code == 404
