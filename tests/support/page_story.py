"""Messages for the page: a run of a small project with a save that breaks it, many services, and many lines."""

from __future__ import annotations

from typing import Any

from support.page_server import Message

SERVICES = ("proxy", "client", "backend", "worker", "db", "cache")
BUILT = ("client", "backend", "worker")
URLS = {"proxy": ["http://localhost:8080/"], "client": ["http://localhost:5173/"], "db": ["http://localhost:8081/"]}
NEEDS = {"proxy": ["client", "backend"], "backend": ["db", "cache"], "worker": ["db", "cache"]}
LOADS = {"proxy": (0.4, 31), "client": (2.1, 148), "backend": (3.4, 92), "worker": (11.0, 75), "db": (1.2, 410),
         "cache": (0.3, 9)}  # fmt: skip
TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/usr/local/lib/python3.13/importlib/__init__.py", line 88, in import_module',
    "    return _bootstrap._gcd_import(name[level:], package, level)",
    '  File "/app/app/main.py", line 12, in <module>',
    "    from app.routes import todos",
    '  File "/app/app/routes/todos.py", line 63',
    "    return {'todos': rows",
    "           ^",
    "SyntaxError: '{' was never closed",
)
ERROR = "app/routes/todos.py:63: SyntaxError: '{' was never closed"


def hello(now: float, *, read_only: bool = False, project: str = "todo", started_ago: float = 200_000) -> Message:
    """The first message of a stream."""
    return {"type": "hello", "project": project, "folder": "~/src/todo", "branch": "filter-by-tag",
            "version": "0.9.0", "readOnly": read_only, "now": now, "startedAt": now - started_ago}  # fmt: skip


def service(name: str, now: float, **changes: Any) -> Message:
    """A healthy service."""
    cpu, memory = LOADS.get(name, (1.0, 50))
    return {
        "name": name, "phase": "healthy", "word": "healthy", "tone": "good", "detail": "", "error": "", "place": "",
        "check": "", "busy": "", "since": now - 180_000, "urls": URLS.get(name, []), "cpu": cpu,
        "memory": memory * 2**20, "restarts": 0, "pending": 0, "built": name in BUILT, "needs": NEEDS.get(name, []),
        "waiting": None, "sync": None, **changes,
    }  # fmt: skip


def state(now: float, services: list[Message], **changes: Any) -> Message:
    """The state of the project."""
    ready = {"seconds": 14.2, "urls": ["http://localhost:8080/"]}
    return {"type": "state", "services": services, "problems": [], "step": None, "ready": ready, **changes}


def healthy(now: float) -> Message:
    """All services are up."""
    return state(now, [service(name, now) for name in SERVICES])


def broken(now: float) -> Message:
    """The backend has a syntax error since a save."""
    sync = {"at": now - 12_400, "ms": 6.1, "files": 1, "deleted": 0, "paths": ["backend/app/routes/todos.py"]}
    client = {"at": now - 61_000, "ms": 8.0, "files": 2, "deleted": 0, "paths": ["client/src/App.jsx"]}
    backend = service("backend", now, phase="started", word="started", tone="bad", error=ERROR,
                      place="app/routes/todos.py:63", since=now - 11_900, cpu=0.0, sync=sync)  # fmt: skip
    others = {"backend": backend, "client": service("client", now, sync=client)}
    return state(now, [others.get(name) or service(name, now) for name in SERVICES])


def item(id_: int, kind: str, service_: str, start: float, took: float | None = 0, **more: Any) -> Message:
    """An item of the timeline."""
    end = None if took is None else start + took
    return {"id": id_, "kind": kind, "service": service_, "start": start, "end": end, "title": kind, "detail": "",
            "files": [], "tone": "good", "cause": None, "line": None, **more}  # fmt: skip


def events(now: float) -> list[Message]:
    """The timeline of the story: a start, some saves, a rebuild, and the save that breaks the backend."""
    items = [item(100 + index, "health", name, now - 190_000 + index * 2_500, title="healthy")
             for index, name in enumerate(reversed(SERVICES))]  # fmt: skip
    number = 200
    for ago, path, name in (
        (158, "client/src/components/Filter.jsx", "client"), (141, "client/src/components/Filter.jsx", "client"),
        (139, "client/src/styles.css", "client"), (118, "backend/app/models.py", "backend"),
        (97, "backend/app/routes/tags.py", "backend"), (61, "client/src/App.jsx", "client"),
        (12.4, "backend/app/routes/todos.py", "backend"),
    ):  # fmt: skip
        at = now - ago * 1000
        items += [
            item(number, "save", "", at, title=path, files=[path]),
            item(number + 1, "sync", name, at, 7, title="1 file synced", files=[path], cause=number),
        ]
        if name == "backend":
            bad = number == 260
            items += [
                item(number + 2, "restart", name, at + 90, 640, title="reloaded", cause=number),
                item(number + 3, "health", name, at + 1_400, title="unhealthy" if bad else "healthy",
                     tone="bad" if bad else "good", cause=number),
            ]  # fmt: skip
        number += 10
    at = now - 12_400
    error = item(269, "error", "backend", at + 520, None, title="SyntaxError", detail=ERROR, tone="bad", cause=260,
                 line=5001, files=["backend/app/routes/todos.py"])  # fmt: skip
    rebuild = item(300, "save", "", now - 84_000, title="worker/requirements.txt", files=["worker/requirements.txt"])
    built = item(301, "rebuild", "worker", now - 83_800, 14_000, title="rebuilt", cause=300)
    steps = [item(302 + index, "build-step", "worker", now - 83_500 + start, took, title=title, cause=301)
             for index, (title, start, took) in enumerate(
                 (("COPY requirements.txt .", 0, 400), ("RUN pip install -r requirements.txt", 500, 11_000),
                  ("COPY . .", 11_700, 900)))]  # fmt: skip
    migrate = item(310, "exec", "backend", now - 117_700, 1_900, title="alembic upgrade head", cause=230)
    return [*items, rebuild, built, *steps, migrate, error]


def log_lines(now: float) -> list[list[Any]]:
    """The log of the story."""
    lines: list[list[Any]] = []

    def add(ago: float, name: str, text: str, level: str = "", group: int = 0) -> None:
        lines.append([4900 + len(lines), now - ago * 1000, name, level, text, group])

    add(186, "db", "LOG:  database system is ready to accept connections")
    add(180, "backend", "INFO:     Application startup complete.")
    for index in range(84):
        ago = 178 - index * 1.92
        path = ("/api/todos", "/api/tags", "/api/todos?tag=garden")[index % 3]
        add(ago, "backend", f'INFO:     172.18.0.5:{40000 + index} - "GET {path} HTTP/1.1" 200 OK')
        if index % 9 == 4:
            add(ago - 0.3, "worker", f"reminder {index} queued in {index % 7 + 2} ms")
        if index % 31 == 17:
            add(ago - 0.5, "db", "LOG:  checkpoint complete: wrote 42 buffers (0.3%)")
    add(13.0, "cache", "Ready to accept connections tcp")
    add(12.3, "", "backend: backend/app/routes/todos.py → synced in 6 ms")
    add(12.1, "backend", "WARNING:  StatReload detected changes in 'app/routes/todos.py'. Reloading...", "warn")
    missing = 5001 - 4900 - len(lines)
    for index in range(missing):
        add(12.0 - index * 0.001, "client", "[vite] page reload src/App.jsx" if index else "[vite] connected.")
    for text in TRACEBACK:
        add(11.88, "backend", text, "error", 5001)
    add(9, "proxy", '"GET /api/todos HTTP/1.1" 502 0 "-" "Mozilla/5.0"', "error")
    add(4, "proxy", '"GET /api/todos HTTP/1.1" 502 0 "-" "Mozilla/5.0"', "error")
    lines[0] += [[[0, 4, "1;36"], [6, 21, "32"]]]  # colours, as a container may print them
    return lines


def startup() -> Message:
    """Where the time of the start went."""
    spans = [
        ("check", 0, 0.4, True, ""), ("images", 0.4, 1.3, True, ""), ("build", 1.3, 8.1, True, ""),
        ("build client", 1.3, 6.2, False, ""), ("build backend", 1.4, 8.1, True, ""), ("create", 8.1, 8.9, True, ""),
        ("sync", 8.9, 9.0, True, ""), ("start db", 9.0, 9.4, True, ""), ("health db", 9.4, 12.1, True, ""),
        ("start cache", 9.0, 9.3, False, ""), ("start backend", 12.1, 12.5, True, "db"),
        ("health backend", 12.5, 13.8, True, ""), ("start proxy", 13.8, 14.2, True, "backend"),
    ]  # fmt: skip
    keys = ("name", "start", "end", "critical", "after")
    return {"type": "startup", "seconds": 14.2, "spans": [dict(zip(keys, span, strict=True)) for span in spans]}


def loads(now: float, names: tuple[str, ...] = SERVICES) -> list[Message]:
    """Five minutes of load of each service."""
    return [
        {"type": "load", "service": name, "points": [
            [now - 180_000 + index * 2000, _wave(LOADS.get(name, (1.0, 50))[0], index, shift), 50 * 2**20]
            for index in range(90)
        ]}
        for shift, name in enumerate(names)
    ]  # fmt: skip


def _wave(mean: float, index: int, shift: int) -> float:
    steps = (0.6, 0.9, 1.3, 0.7, 1.1, 2.0, 0.8, 1.0, 0.5, 1.2, 3.1, 0.9)
    return mean * steps[(index * (shift + 3) + index // 7) % len(steps)]


def story(now: float, *, read_only: bool = False) -> list[Message]:
    """The messages of a run in which a save broke the backend 12 s ago."""
    return [
        hello(now, read_only=read_only), broken(now), *loads(now), {"type": "timeline", "items": events(now)},
        startup(), {"type": "log", "lines": log_lines(now)},
    ]  # fmt: skip


def many_services(now: float, count: int = 50) -> list[Message]:
    """A project of many services, of which three are broken."""
    names = [f"service-{index:02d}" for index in range(count)]
    tones = {7: "exited", 23: "unhealthy", 41: "restarting"}
    services = [
        service(name, now, word=tones.get(index, "healthy"), tone="bad" if index in tones else "good",
                phase=tones.get(index, "healthy"), detail="exit code 1" if index in tones else "")
        for index, name in enumerate(names)
    ]  # fmt: skip
    kinds = ("save", "sync", "sync")
    items = [item(index, kinds[index % 3], names[index % 17], now - 1000 * index, 30) for index in range(200)]
    return [hello(now, project="shop"), state(now, services), *loads(now, tuple(names)),
            {"type": "timeline", "items": items}, lines(2_000, now, names)]  # fmt: skip


def lines(count: int, now: float, names: list[str] | tuple[str, ...] = SERVICES, first: int = 1) -> Message:
    """A message with many lines, of which every 1,000th is an error."""
    written: list[list[Any]] = []
    for index in range(count):
        fails = index % 1000 == 999
        begin = "ERROR: refused" if fails else "INFO: request"
        path = f"/api/items/{index * 7919 % 100000}"
        text = f'{begin} {first + index} "GET {path} HTTP/1.1" 200 OK in {index % 97} ms'
        at = now - (count - index) * 0.2
        written.append([first + index, at, names[index % len(names)], "error" if fails else "", text, 0])
    return {"type": "log", "lines": written}
