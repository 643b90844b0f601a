"""The Engine API in memory: method, path, query and body -> an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from support.memory import shown, verbs
from support.memory.host import MemoryHost
from support.memory.refusal import Refused

Query = Mapping[str, str]
Answer = tuple[int, Any]  # status and body: bytes as they are, all else as JSON


def answer(host: MemoryHost, method: str, path: str, query: Query, body: bytes) -> Answer:
    """The engine's answer. Raises Refused."""
    kind, *rest = path.split("/")
    handler = _HANDLERS.get(kind)
    response = handler(host, method, rest, query, body) if handler else None
    if response is None:
        raise Refused(404, "page not found")
    return response


def _system(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    return 200, shown.info(host)


def _disk_usage(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    sizes = {v.name: sum(len(node.content) for node in v.files.nodes.values()) for v in host.volumes.values()}
    volumes = [shown.volume(host, v) | {"UsageData": {"Size": sizes[v.name]}} for v in host.volumes.values()]
    return 200, {"Volumes": volumes}


def _version(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    return 200, shown.VERSION


def _ping(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    return 200, b"OK"


def _commit(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    tag = f"{query['repo']}:{query.get('tag') or 'latest'}" if query.get("repo") else ""
    changes = json.loads(body) if body else {}
    return 201, {"Id": verbs.commit(host, host.container(query["container"]), tag, changes).id}


def _containers(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    response: Answer | None = None
    match method, rest:
        case "GET", ["json"]:
            response = 200, _listed(host, query)
        case "POST", ["create"]:
            made = verbs.create(host, json.loads(body), query.get("name", ""))
            response = 201, {"Id": made.id, "Warnings": []}
        case "DELETE", [name]:
            flags = {key: query.get(key) in ("1", "true") for key in ("force", "v")}
            verbs.remove(host, host.container(name), force=flags["force"], volumes=flags["v"])
            response = 204, b""
        case "GET", [name, "json"]:
            response = 200, shown.container(host, host.container(name))
        case "GET", [name, "stats"]:
            response = 200, _stats(host, name)
        case (("GET" | "HEAD" | "PUT"), [name, "archive"]):
            response = _archive(host, method, name, query, body)
        case "POST", [name, verb]:
            response = _acted(host, name, verb, query)
    return response


def _listed(host: MemoryHost, query: Query) -> list[dict[str, Any]]:
    filters = _filters(query)
    states, names = filters.get("status", ()), [n.strip("^/$") for n in filters.get("name", ())]
    matches = host.labelled(host.containers.values(), filters.get("label", ()))
    return [
        shown.listed(host, container)
        for container in reversed([*matches])
        if (query.get("all") in ("1", "true") or container.running or states)
        and (not states or container.state in states)
        and (not names or any(name in container.name for name in names))
        and all(any(v in (m.source, m.target) for m in container.mounts) for v in filters.get("volume", ()))
        and all(
            n in container.networks or host.network(n).name in container.networks for n in filters.get("network", ())
        )
        and (not filters.get("id") or any(container.id.startswith(key) for key in filters["id"]))
    ]


def _archive(host: MemoryHost, method: str, name: str, query: Query, body: bytes) -> Answer:
    container, path = host.container(name), query["path"]
    if method == "PUT":
        verbs.write_archive(host, container, path, body)
        return 200, b""
    tar = verbs.read_archive(host, container, path)
    return 200, tar if method == "GET" else b""


def _acted(host: MemoryHost, name: str, verb: str, query: Query) -> Answer | None:
    container = host.container(name)
    match verb:
        case "start":
            return (204 if verbs.start(host, container) else 304), b""
        case "stop":
            return (204 if verbs.stop(host, container) else 304), b""
        case "restart":
            verbs.restart(host, container)
        case "kill":
            verbs.kill(host, container, query.get("signal", "9"))
        case "pause":
            verbs.pause(host, container)
        case "unpause":
            verbs.unpause(host, container)
        case "rename":
            verbs.rename(host, container, query["name"])
        case _:
            return None
    return 204, b""


def _stats(host: MemoryHost, name: str) -> dict[str, Any]:
    container = host.container(name)
    used = container.running * (host.now - container.started)
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": used // 100}, "system_cpu_usage": host.now, "online_cpus": 2},
        "memory_stats": {"usage": 1 << 20, "stats": {"inactive_file": 0}},
    }


def _networks(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    match method, rest:
        case "GET", []:
            filters = _filters(query)
            networks = host.labelled(host.networks.values(), filters.get("label", ()))
            names = filters.get("name", ())
            return 200, [shown.network(host, n) for n in networks if not names or any(x in n.name for x in names)]
        case "POST", ["create"]:
            return 201, {"Id": verbs.create_network(host, json.loads(body)).id, "Warning": ""}
        case "GET", [name]:
            return 200, shown.network(host, host.network(name))
        case "DELETE", [name]:
            verbs.remove_network(host, host.network(name))
            return 204, b""
        case "POST", [name, ("connect" | "disconnect") as verb]:
            wish = json.loads(body)
            act = verbs.connect if verb == "connect" else verbs.disconnect
            act(host, host.network(name), host.container(wish["Container"]))
            return 200, b""
    return None


def _volumes(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    match method, rest:
        case "GET", []:
            filters = _filters(query)
            volumes = host.labelled(host.volumes.values(), filters.get("label", ()))
            names = filters.get("name", ())
            some = [shown.volume(host, v) for v in volumes if not names or any(x in v.name for x in names)]
            return 200, {"Volumes": some, "Warnings": None}
        case "POST", ["create"]:
            return 201, shown.volume(host, verbs.create_volume(host, json.loads(body)))
        case "GET", [name]:
            return 200, shown.volume(host, host.volume(name))
        case "DELETE", [name]:
            verbs.remove_volume(host, name, force=query.get("force") in ("1", "true"))
            return 204, b""
    return None


def _images(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    *name, verb = rest or [""]
    reference = "/".join(name)
    match method, verb:
        case "GET", "json" if not name:
            images = host.labelled(host.images.values(), _filters(query).get("label", ()))
            return 200, [shown.image(image) for image in images]
        case "GET", "json":
            return 200, shown.image(host.image(reference))
        case "GET", "history":
            return 200, [{"Id": host.image(reference).id, "CreatedBy": "memory", "Size": 0}]
        case "POST", "tag":
            host.tag(host.image(reference), f"{query['repo']}:{query.get('tag') or 'latest'}")
            return 201, b""
        case "POST", "create":
            raise Refused(404, f"pull access denied for {query.get('fromImage')}, repository does not exist")
        case "DELETE", _:
            verbs.remove_image(host, "/".join(rest), force=query.get("force") in ("1", "true"))
            return 200, []
    return None


def _distribution(host: MemoryHost, method: str, rest: list[str], query: Query, body: bytes) -> Answer | None:
    raise Refused(404, "no registry is reached from here")


def _filters(query: Query) -> dict[str, list[str]]:
    filters = json.loads(query.get("filters") or "{}")
    return {key: [*value] for key, value in filters.items()}


_HANDLERS = {
    "info": _system,
    "system": _disk_usage,
    "version": _version,
    "_ping": _ping,
    "commit": _commit,
    "containers": _containers,
    "networks": _networks,
    "volumes": _volumes,
    "images": _images,
    "distribution": _distribution,
}
