"""python -m benchmarks.waterfall: where the time of a warm start goes, in parts: wall and processor time of each.

With `--page`, the table replaces the last one in docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime as dt
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks import engine, report
from benchmarks.contenders import scratch
from benchmarks.rows_start import IDLE, OFTEN, SERVICES
from devenv.model.containers import PROJECT_LABEL, SERVICE_LABEL

MARKS = ("<!-- waterfall: made by scripts/waterfall -->", "<!-- end of waterfall -->")
PARTS = "devenv up -d, with a wrapper around Compose"
DEVENV, FLOOR = "devenv up -d", "floor: raw create, start and healthy"
COMPOSE_FLOOR = "floor with Compose: its config, build and create, then raw start and healthy"
BUILT, PLAIN = "docker compose up -d --build --wait", "docker compose up -d --wait"
PR_SET_CHILD_SUBREAPER = 36
LAYERS = 3
REST = 1.0  # seconds after each end: the engine still removes things
# The plugin, and a line about it: begin and end, seconds of its processes, and its arguments.
WRAPPER = """#!/bin/bash
TIMEFORMAT='%U %S'
began=$EPOCHREALTIME
{{ time {plugin} "$@" 2>&3; }} 3>&2 2>{log}.$$
code=$?
printf '%s %s %s %s\\n' "$began" "$EPOCHREALTIME" "$(<{log}.$$)" "$*" >>{log}
exit $code
"""


@dataclass
class Start:
    """One start: seconds until its command had ended, and of processors; spans by what they are of."""

    wall: float
    cpu: float
    spans: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # begin, end, of processors


def stack(layers: int = 1) -> dict[str, Any]:
    """Six services with health checks, one of them built; each waits for all services of the layer before its own."""
    base = engine.image(engine.BASE)
    check = {"test": ["CMD", "test", "-e", "/etc/hostname"], **OFTEN}
    service = {"image": base, "command": IDLE, "healthcheck": check}
    services: dict[str, Any] = {f"s{number}": service for number in range(SERVICES - 1)}
    text = f"FROM {base}\nCOPY compose.yml /\nRUN true\n"
    services["web"] = {"build": {"context": ".", "dockerfile_inline": text}, **service}
    del services["web"]["image"]
    names, size = [*services], SERVICES // layers
    for place, name in enumerate(names):
        first = place // size * size
        needed = {other: {"condition": "service_healthy"} for other in names[max(first - size, 0) : first]}
        services[name] = {**services[name], "depends_on": needed} if needed else services[name]
    return {"services": services}


def measured(folder: Path, argv: list[str], env: Mapping[str, str]) -> tuple[Start, str]:
    """A start by this command, and what it printed. Raises SystemExit if it failed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    wall, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.returncode}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(wall, cpu), done.stdout


def by_devenv(folder: Path, env: Mapping[str, str]) -> Start:
    """A start by devenv, with its parts: steps, runs of Compose, and the keeper, which goes on."""
    log, began = folder / "compose.log", time.time()
    log.write_text("")
    argv = [sys.executable, "-m", "devenv", "up", "-d", "--output", "json"]
    start, printed = measured(folder, argv, env)
    own, spans = start.cpu, dict[str, tuple[float, float, float]]()
    for line in log.read_text().splitlines():
        first, last, user, system, words = line.split(" ", 4)
        verb = next(word for word in words.split() if word in ("config", "build", "create", "start"))
        used = float(user) + float(system)
        spans[f"docker compose {verb}"] = float(first) - began, float(last) - began, used
        own -= used
    for event in map(json.loads, printed.splitlines()):
        if event["event"] == "step" and event["state"] == "end":
            end = dt.datetime.fromisoformat(event["ts"]).timestamp() - began
            spans[f"step {event['name']}"] = max(end - event["seconds"], 0.0), end, 0.0
    for name, used in orphans():
        spans[name] = 0.0, start.wall, used
        start.cpu += used
    start.spans = {"devenv and its guardian": (0.0, start.wall, own), **spans}
    return start


def orphans() -> Iterator[tuple[str, float]]:
    """The processes that outlive the command, which belong to this one now, and their seconds of processors."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (path / "stat").read_text().rpartition(")")[2].split()
            words = (path / "cmdline").read_text().split("\0")
            if int(state[1]) == os.getpid() and state[0] != "Z":
                used = sum(int((task / "schedstat").read_text().split()[0]) for task in (path / "task").iterdir())
                yield "keeper" if "devenv.keeper" in words else "guardian", used / 1e9


def reap() -> None:
    """Collect the processes that outlived their command, and have ended by now."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def floor(project: str, layers: int = 1) -> Start:
    """A start of the same containers by requests of one thread each, without the labels of Compose."""
    seconds = {"Interval": 1.0, "Timeout": 3.0, "StartPeriod": 120.0, "StartInterval": 0.1}
    check: dict[str, Any] = {name: int(value * 1e9) for name, value in seconds.items()}
    check["Test"] = ["CMD", "test", "-e", "/etc/hostname"]
    command = [word.replace("$$", "$") for word in IDLE]
    host = {"NetworkMode": f"{project}_floor"}
    config = {"Image": engine.image(engine.BASE), "Cmd": command, "Healthcheck": check, "HostConfig": host}

    def create(_: int) -> str:
        key: str = engine.call("POST", "/containers/create", config)["Id"]
        return key

    engine.call("POST", "/networks/create", {"Name": f"{project}_floor"})
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(SERVICES) as threads:
        keys = list(threads.map(create, range(SERVICES)))
        begin(threads, keys, layers)
    start = Start(time.perf_counter() - began, time.process_time() - used)
    engine.docker("rm", "-f", *keys)
    engine.docker("network", "rm", f"{project}_floor")
    return start


def begin(threads: ThreadPoolExecutor, keys: Sequence[str], layers: int) -> None:
    """Start these containers, and wait until they are healthy, one layer after the other."""

    def start(key: str) -> None:
        engine.call("POST", f"/containers/{key}/start", {})
        while engine.call("GET", f"/containers/{key}/json")["State"]["Health"]["Status"] == "starting":
            time.sleep(0.02)

    size = SERVICES // layers
    for first in range(0, SERVICES, size):
        list(threads.map(start, keys[first : first + size]))


def compose_floor(folder: Path, env: Mapping[str, str], layers: int = 1) -> Start:
    """A start whose containers Compose makes: all its processes are begun at once, and wait for their model."""
    before, began, used = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), time.process_time()
    model, built, created = (
        subprocess.Popen(
            ["docker", "compose", *verb.split()],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for verb in ("config", "-f - build", "-f - create --no-build")
    )
    text = model.communicate()[0]
    for child in (built, created):
        child.communicate(text)
    if model.returncode or built.returncode or created.returncode:
        raise SystemExit("docker compose config, build or create failed")
    query = urllib.parse.quote(json.dumps({"label": [f"{PROJECT_LABEL}={env['COMPOSE_PROJECT_NAME']}"]}))
    listed = engine.call("GET", f"/containers/json?all=1&filters={query}")
    keys = {one["Labels"][SERVICE_LABEL]: one["Id"] for one in listed}
    with ThreadPoolExecutor(SERVICES) as threads:
        begin(threads, [keys[name] for name in stack()["services"]], layers)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + time.process_time() - used
    start = Start(time.perf_counter() - began, own)
    engine.docker("compose", "down", env=env, cwd=folder)
    return start


@contextlib.contextmanager
def project(layers: int) -> Iterator[tuple[Path, dict[str, str], dict[str, str]]]:
    """The folder of a project that is built, and two environments: the first with a wrapper that times Compose."""
    plugins = [json.loads(engine.docker("info", "--format={{json .ClientInfo.Plugins}}"))]
    paths = {plugin["Name"]: plugin["Path"] for plugin in plugins[0]}
    with scratch() as folder:
        (folder / "compose.yml").write_text(yaml.safe_dump(stack(layers)), encoding="utf-8")
        tools = folder / "tools" / "cli-plugins"
        tools.mkdir(parents=True)
        wrapper = WRAPPER.format(plugin=paths["compose"], log=folder / "compose.log")
        (tools / "docker-compose").write_text(wrapper)
        (tools / "docker-compose").chmod(0o755)
        (tools / "docker-buildx").symlink_to(paths["buildx"])
        name = {"COMPOSE_PROJECT_NAME": f"bench-waterfall-{secrets.token_hex(3)}"}
        state = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        env = {**os.environ, **name, **state, "PYTHONDONTWRITEBYTECODE": ""}
        try:
            yield folder, {**env, "DOCKER_CONFIG": str(tools.parent)}, env
        finally:
            subprocess.run(
                [sys.executable, "-m", "devenv", "down"], cwd=folder, env=env, capture_output=True, check=False
            )
            engine.docker("compose", "down", "-t", "1", "--rmi", "local", env=env, cwd=folder)


def measure(rounds: int, layers: int = 1) -> dict[str, list[Start]]:
    """The starts of each, in turn; the first round does not count."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    starts: dict[str, list[Start]] = {DEVENV: [], PARTS: [], BUILT: [], PLAIN: [], COMPOSE_FLOOR: [], FLOOR: []}
    with project(layers) as (folder, devenv, compose):
        ways = {DEVENV: compose, **({PARTS: devenv} if layers == 1 else {})}  # the wrapper takes time itself
        for number in range(1 + rounds):
            taken = {}
            for what, env in ways.items():
                taken[what] = by_devenv(folder, env)
                subprocess.run(
                    [sys.executable, "-m", "devenv", "down"], cwd=folder, env=env, capture_output=True, check=True
                )
                reap()
                time.sleep(REST)
            for what in (BUILT, PLAIN):
                taken[what] = measured(folder, what.split(), compose)[0]
                engine.docker("compose", "down", env=compose, cwd=folder)
                time.sleep(REST)
            taken[COMPOSE_FLOOR] = compose_floor(folder, compose, layers)
            time.sleep(REST)
            taken[FLOOR] = floor(compose["COMPOSE_PROJECT_NAME"], layers)
            time.sleep(REST)
            for what, start in taken.items() if number else ():
                starts[what].append(start)
    return starts


def compared(starts: Mapping[str, list[Start]], of: str) -> list[str]:
    """The table of the starts of each, by medians."""
    rows = [f"| start of {of} | until the command has ended | processor time |", "| --- | ---: | ---: |"]
    for what, some in starts.items():
        if what == PARTS:
            continue
        wall, cpu = (statistics.median(values) for values in zip(*((s.wall, s.cpu) for s in some), strict=True))
        rows.append(f"| {what if what in (FLOOR, COMPOSE_FLOOR) else f'`{what}`'} | {wall:.2f} s | {cpu:.2f} s |")
    return [*rows, ""]


def parts(ours: list[Start]) -> list[str]:
    """The table of the parts of a start by devenv, by medians."""
    rows = [
        "| part of `devenv up -d` | begins | ends | of the whole | processor time |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    whole = statistics.median(start.wall for start in ours)
    spans_of = {name: [s.spans[name] for s in ours if name in s.spans] for name in ours[0].spans}
    medians = {
        name: [statistics.median(values) for values in zip(*spans, strict=True)] for name, spans in spans_of.items()
    }
    for name, (begin, end, used) in sorted(medians.items(), key=lambda item: item[1][:2]):
        share = f"{100 * (end - begin) / whole:.0f} %" if name.startswith(("step", "docker")) else ""
        at = [f"{begin:.2f} s", f"{end:.2f} s"] if share else ["", ""]
        rows.append(f"| {name} | {' | '.join(at)} | {share} | {f'{used:.3f} s' if used else ''} |")
    return rows


def main() -> int:
    """Measure, print the tables, and put them into the page if asked for."""
    parser = argparse.ArgumentParser(prog="scripts/waterfall", description="Where the time of a warm start goes.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--page", action="store_true", help="replace the tables of docs/performance.md")
    chosen = parser.parse_args()
    flat, layered = measure(chosen.rounds), measure(chosen.rounds, LAYERS)
    rows = compared(flat, "six services with health checks")
    rows += compared(layered, "the same in three layers, each of which waits until the one before is healthy")
    print(text := "\n".join([*rows, *parts(flat[PARTS])]))
    if chosen.page:
        on = report.machine("waterfall")
        where = f"Medians of {chosen.rounds} starts on {on['date']} (load {on['load']}), devenv at `{on['devenv']}`."
        page = report.PAGE.read_text(encoding="utf-8")
        report.PAGE.write_text(
            report.put_into(page, f"{MARKS[0]}\n{where}\n\n{text}\n{MARKS[1]}", MARKS), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
