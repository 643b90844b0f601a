"""Containers, networks and volumes from the JSON of the Engine API."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from devenv.lazy_imports import LazyImports
from devenv.model import containers as model
from devenv.model.containers import bare
from devenv.model.snapshot import database

with LazyImports():  # only a container that depends on others needs it
    from devenv.model import project as projects

# Compiled at its first use by `re`: few projects have such a health check.
_CHECKED = (
    r"(?:https?://|(?:curl|wget)\b[^|;&]*?[\s'\"])"
    r"(?:localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[::1?\])(?::[^/\s'\"]+)?(/[\w./~-]*)?"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def labelled(project: str) -> str:
    """The filter for objects with the project's label."""
    return json.dumps({"label": [f"{model.PROJECT_LABEL}={project}"]})


def text(value: Any) -> str:
    """The value, which must be a string, as names and ids are. Raises TypeError."""
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is not a string")


def is_podman(version: Mapping[str, Any]) -> bool:
    """Whether Podman has answered the question for its version."""
    return any(part.get("Name") == "Podman Engine" for part in version.get("Components") or ())


def wanted_id(entry: Mapping[str, Any]) -> str | None:
    """The id of a container in a listing; None for a `compose run` container that devenv did not create.

    Compose does not count such containers as parts of their service either.
    """
    labels = entry["Labels"]
    is_one_off = labels.get(model.ONE_OFF_LABEL) == "True"
    return None if is_one_off and not {model.OWNER_LABEL, model.OLD_LABEL} & labels.keys() else object_id(entry)


def object_id(answer: Mapping[str, Any]) -> str:
    """The id in the answer of a listing, an inspection or a creation."""
    return text(answer["Id"])


def listed_name(entry: Mapping[str, Any]) -> str:
    """The name of a container in a listing, or an empty text."""
    return text(next(iter(entry.get("Names") or ()), "")).lstrip("/")


def listed(entry: Mapping[str, Any]) -> model.Container:
    """The container in a listing, with the fields by which a run recognizes it, and its state."""
    code = re.match(r"Exited \((\d+)\)", _value(entry, "Status", ""))
    return model.Container(
        id=object_id(entry),
        name=listed_name(entry),
        state=entry["State"],
        ours=False,
        exit_code=int(code[1]) if code else 0,
        **_labels(_value(entry, "Labels", {}), _value(entry, "ImageID", "")),
    )


def _labels(labels: Mapping[str, str], image: str) -> dict[str, Any]:
    """The fields of a container that its labels tell; `image` is the id of its image."""
    project = labels.get(model.PROJECT_LABEL, "")
    return {
        "service": labels.get(model.SERVICE_LABEL, ""),
        "holds": labels.get(model.HOLDS_LABEL, ""),
        "project": project,
        "number": labels.get(model.NUMBER_LABEL, "") if model.HASH_LABEL in labels else "",
        "owner": labels.get(model.OWNER_LABEL, ""),
        "is_old": bool(project) and labels.get(model.OLD_LABEL) == project,
        "inherits": labels.get(model.IMAGE_LABEL, image) != image,
    }


def container(answer: Mapping[str, Any]) -> model.Container:
    """The container in the answer of an inspection. `ours` is False: labels are no proof that it is ours."""
    config, state = answer["Config"], answer["State"]
    labels = _value(config, "Labels", {})
    health = _value(state, "Health", {}).get("Status")
    checks = _value(_value(state, "Health", {}), "Log", ())
    host, networking = _value(answer, "HostConfig", {}), _value(answer, "NetworkSettings", {})
    image = _value(answer, "Image", "")
    needs = [d.partition(":")[::2] for d in labels.get(model.DEPENDS_LABEL, "").split(",") if d]
    timeout = config.get("StopTimeout")
    bindings = _value(networking, "Ports", {})
    volumes = [m for m in _value(answer, "Mounts", ()) if m.get("Type") == "volume"]
    return model.Container(
        id=object_id(answer),
        name=text(answer["Name"]).lstrip("/"),
        state=state["Status"],
        ours=False,
        health=health if health in ("starting", "healthy", "unhealthy") else None,
        exit_code=int(_value(state, "ExitCode", 0)),
        out_of_memory=bool(state.get("OOMKilled")),
        error=_value(state, "Error", ""),
        started_at=_value(state, "StartedAt", ""),
        finished_at=_value(state, "FinishedAt", ""),
        user=_value(config, "User", ""),
        tty=bool(config.get("Tty")),
        command=" ".join([_value(answer, "Path", ""), *_value(answer, "Args", ())]),
        image=image,
        reference=_value(config, "Image", ""),
        stop_timeout=float(10 if timeout is None else timeout),
        depends_on=tuple(name for name, _ in needs),
        awaits=tuple(name for name, how in needs if how.startswith(projects.Condition.COMPLETED)),
        ports=_ports(bindings, "tcp"),
        udp_ports=_ports(bindings, "udp"),
        volumes=tuple(m["Name"] for m in volumes),
        anonymous=tuple(m["Destination"] for m in volumes if model.is_anonymous(m["Name"])),
        database=database(variables(config.get("Env")), _value(config, "Image", "")),
        restart=_value(_value(host, "RestartPolicy", {}), "Name", ""),
        restarts=int(_value(answer, "RestartCount", 0)),
        check=_last_line(checks[-1]) if checks and checks[-1]["ExitCode"] else "",
        check_every=_value(_value(config, "Healthcheck", {}), "Interval", 30e9) / 1e9,
        checked=checked(_value(_value(config, "Healthcheck", {}), "Test", ())),
        publishes=bool(host.get("PortBindings")),
        networks=tuple(sorted(_value(networking, "Networks", {}))),
        created=_value(answer, "Created", ""),
        **_labels(labels, image),
    )


def checked(test: Sequence[str]) -> str:
    """The path that a health check requests by HTTP from its own container, or an empty text."""
    match = re.search(_CHECKED, " ".join(test)) if test else None
    return (match[1] or "/") if match else ""


def _last_line(check: Mapping[str, Any]) -> str:
    """The last line of a health check without escape sequences; progress bars end lines with a carriage return."""
    lines = (bare(line).strip() for line in reversed(re.split(r"[\r\n]+", check["Output"])))
    return next(filter(None, lines), "")


def _value(answer: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value under the key, or the default if it is missing, null or empty."""
    return answer.get(key) or default


def network(answer: Mapping[str, Any]) -> model.Network:
    """The network in a listing. `ours` is False: labels are no proof that it is ours."""
    labels = answer.get("Labels") or {}
    is_old = labels.get(model.OLD_LABEL, "") == labels.get(model.PROJECT_LABEL)
    owner = labels.get(model.OWNER_LABEL, "")
    return model.Network(object_id(answer), text(answer["Name"]), ours=False, owner=owner, is_old=is_old)


def volume(answer: Mapping[str, Any]) -> model.Volume:
    """The volume in the answer of a listing, an inspection or a creation."""
    labels = answer.get("Labels") or {}
    return model.Volume(
        name=text(answer["Name"]),
        project=labels.get(model.PROJECT_LABEL),
        key=labels.get(model.VOLUME_LABEL, ""),
        elsewhere="device" in (answer.get("Options") or {}),
        driver=answer.get("Driver") or "",
        created=answer.get("CreatedAt") or "",
        owner=labels.get(model.OWNER_LABEL, ""),
    )


def _ports(bindings: Mapping[str, Any], protocol: str) -> tuple[tuple[str, int, int], ...]:
    return tuple(
        (binding["HostIp"], int(binding["HostPort"]), int(target.partition("/")[0]))
        for target, published in bindings.items()
        if target.endswith(f"/{protocol}")
        for binding in published or ()
    )


def variables(entry: Sequence[str] | None) -> dict[str, str]:
    """The variables in a list of NAME=VALUE."""
    return dict(entry.partition("=")[::2] for entry in entry or ())


def time(date: str) -> dt.datetime:
    """The time in an HTTP `Date` header. Raises ValueError."""
    _, day, month, year, clock, _ = date.split()
    return dt.datetime.fromisoformat(f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{clock}+00:00")


def platform(answer: Mapping[str, Any], key: str) -> str:
    """The platform, such as `linux/amd64`, with the architecture under `key`; empty if the answer has none."""
    return f"{answer['Os']}/{answer[key]}" if answer.get("Os") and answer.get(key) else ""
