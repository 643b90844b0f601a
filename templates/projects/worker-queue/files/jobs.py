"""Jobs and their queue, which API and worker share.

A job lies in one of two lists: those that wait, and the one that a worker is at. It moves between them in one step
and leaves the second when it is done, so a worker that dies loses none.
"""

import json
import os
import uuid
from dataclasses import asdict, dataclass
from typing import Self

from valkey import Valkey

WAITING = "jobs:waiting"
TAKEN = "jobs:taken"
KEPT = 24 * 60 * 60  # seconds


@dataclass
class Job:
    id: str
    text: str
    result: str | None = None

    @classmethod
    def parse(cls, raw: str) -> Self:
        return cls(**json.loads(raw))


class Queue:
    def __init__(self, url: str | None = None) -> None:
        self.valkey = Valkey.from_url(url or os.environ["VALKEY_URL"], decode_responses=True)

    def add(self, text: str) -> Job:
        job = Job(uuid.uuid4().hex, text)
        self._keep(job)
        self.valkey.lpush(WAITING, job.id)
        return job

    def get(self, job_id: str) -> Job | None:
        raw = self.valkey.get(f"job:{job_id}")
        return Job.parse(raw) if raw else None

    def take(self, patience: float) -> Job | None:
        """The next job, now ours; None where none came within `patience` seconds."""
        job_id = self.valkey.blmove(WAITING, TAKEN, patience, "RIGHT", "LEFT")
        job = self.get(job_id) if job_id else None
        if job_id and job is None:
            self.valkey.lrem(TAKEN, 0, job_id)  # waited longer than it is kept
        return job

    def done(self, job: Job, result: str) -> None:
        job.result = result
        self._keep(job)
        self.valkey.lrem(TAKEN, 0, job.id)

    def give_back(self) -> None:
        """What a worker that died was at waits again, first in the line. For a single worker."""
        while self.valkey.lmove(TAKEN, WAITING, "LEFT", "RIGHT"):
            pass

    def _keep(self, job: Job) -> None:
        self.valkey.set(f"job:{job.id}", json.dumps(asdict(job)), ex=KEPT)
