"""The queue and the API on a real Valkey, in a database of its own (VALKEY_URL in compose.yml)."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.main import app
from jobs import Queue
from worker.work import work

client = TestClient(app)


@pytest.fixture
def queue() -> Iterator[Queue]:
    queue = Queue()
    queue.valkey.flushdb()
    yield queue
    queue.valkey.flushdb()


def test_a_job_is_taken_done_and_asked_for(queue: Queue) -> None:
    added = client.post("/jobs", json={"text": "water the plants"}).json()
    job = queue.take(1)
    assert job is not None
    queue.done(job, work(job.text))
    assert client.get(f"/jobs/{added['id']}").json()["result"] == "WATER THE PLANTS"
    assert queue.take(0.1) is None


def test_jobs_are_taken_in_their_order(queue: Queue) -> None:
    texts = ["first", "second", "third"]
    for text in texts:
        queue.add(text)
    assert [job.text for _ in texts if (job := queue.take(1))] == texts


def test_a_job_of_a_worker_that_died_is_done_by_the_next(queue: Queue) -> None:
    added = queue.add("water the plants")
    assert queue.take(1) == added
    queue.give_back()
    assert queue.take(1) == added


def test_a_job_that_is_not_there_is_a_404(queue: Queue) -> None:
    assert client.get("/jobs/none").status_code == 404
