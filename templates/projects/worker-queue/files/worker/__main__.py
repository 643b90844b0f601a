"""The worker: does one job after the other, until it is told to end."""

import signal
import threading

from jobs import Queue
from worker.health import beat
from worker.work import work

PATIENCE = 1.0  # seconds without a job, after which it looks whether it is to end

ending = threading.Event()
for sign in (signal.SIGINT, signal.SIGTERM):
    signal.signal(sign, lambda *_: ending.set())

queue = Queue()
queue.give_back()
print("ready for jobs")
while not ending.is_set():
    beat()
    if job := queue.take(PATIENCE):
        queue.done(job, work(job.text))
        print(f"done: {job.id}")
