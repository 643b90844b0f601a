"""Containers, networks and volumes from the JSON of the Engine API."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from devenv.model.containers import (
    DEPENDS_LABEL,
    HASH_LABEL,
    HOLDS_LABEL,
    IMAGE_LABEL,
    NUMBER_LABEL,
    OLD_LABEL,
    ONE_OFF_LABEL,
    OWNER_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    VOLUME_LABEL,
    Container,
    Network,
    Volume,
)
from devenv.model.snapshot import database

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def labelled(project: str) -> str:
    """The filter for objects with the project's label."""
    return json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})


def text(value: Any) -> str:
    """The value if it is a string, as names and ids must be. Raises TypeError."""
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")


def wanted_id(listed: Mapping[str, Any]) -> str | None:
    """The id of a container in a listing; None for a one-off container that devenv did not create."""
    return None if is_foreign_one_off(listed["Labels"]) else object_id(listed)


def object_id(shown: Mapping[str, Any]) -> str:
    """The id of an object in a listing, or that was created."""
    return text(shown["Id"])


def listed_name(listed: Mapping[str, Any]) -> str:
    """The name of a container in a listing, or an empty text."""
    return text(next(iter(listed.get("Names") or ()), "")).lstrip("/")


def is_foreign_one_off(labels: Mapping[str, str]) -> bool:
    """Whether a container of `compose run` was not created by devenv: it is no part of its service then."""
    return labels.get(ONE_OFF_LABEL) == "True" and not {OWNER_LABEL, OLD_LABEL} & labels.keys()


def container(shown: Mapping[str, Any]) -> Container:
    """The container that was inspected. `ours` is False: its labels do not say whether it is ours."""
    config, state = shown["Config"], shown["State"]
    labels = _value(config, "Labels", {})
    health = _value(state, "Health", {}).get("Status")
    project = labels.get(PROJECT_LABEL, "")
    image = _value(shown, "Image", "")
    timeout = config.get("StopTimeout")
    bindings = _value(_value(shown, "NetworkSettings", {}), "Ports", {})
    return Container(
        id=object_id(shown),
        name=text(shown["Name"]).lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
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
        image=image,
        stop_timeout=float(10 if timeout is None else timeout),
        depends_on=tuple(d.split(":")[0] for d in labels.get(DEPENDS_LABEL, "").split(",") if d),
        ports=_ports(bindings, "tcp"),
        udp_ports=_ports(bindings, "udp"),
        volumes=tuple(m["Name"] for m in _value(shown, "Mounts", ()) if m.get("Type") == "volume"),
        holds=labels.get(HOLDS_LABEL, ""),
        database=database(variables(config.get("Env")), _value(config, "Image", "")),
        restarts=int(_value(shown, "RestartCount", 0)),
        project=project,
        number=labels.get(NUMBER_LABEL, "") if HASH_LABEL in labels else "",
        created=_value(shown, "Created", ""),
        owner=labels.get(OWNER_LABEL, ""),
        is_old=bool(project) and labels.get(OLD_LABEL) == project,
        inherits=labels.get(IMAGE_LABEL, image) != image,
    )


def _value(shown: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value under the key, or the default if it is missing, null or empty."""
    return shown.get(key) or default


def network(shown: Mapping[str, Any]) -> Network:
    """The network in a listing. `ours` is False: its labels do not say whether it is ours."""
    labels = shown.get("Labels") or {}
    is_old = labels.get(OLD_LABEL, "") == labels.get(PROJECT_LABEL)
    return Network(
        text(shown["Id"]), text(shown["Name"]), ours=False, owner=labels.get(OWNER_LABEL, ""), is_old=is_old
    )


def volume(shown: Mapping[str, Any]) -> Volume:
    """The volume in a listing, or that was inspected or created."""
    labels = shown.get("Labels") or {}
    return Volume(
        name=text(shown["Name"]),
        project=labels.get(PROJECT_LABEL),
        key=labels.get(VOLUME_LABEL, ""),
        elsewhere="device" in (shown.get("Options") or {}),
        driver=shown.get("Driver") or "",
        created=shown.get("CreatedAt") or "",
    )


def _ports(bindings: Mapping[str, Any], protocol: str) -> tuple[tuple[str, int, int], ...]:
    return tuple(
        (binding["HostIp"], int(binding["HostPort"]), int(target.partition("/")[0]))
        for target, published in bindings.items()
        if target.endswith(f"/{protocol}")
        for binding in published or ()
    )


def variables(listed: Sequence[str] | None) -> dict[str, str]:
    """The variables in a list of NAME=VALUE."""
    return dict(entry.partition("=")[::2] for entry in listed or ())


def time(date: str) -> dt.datetime:
    """The time in the header `Date` of an answer. Raises ValueError."""
    _, day, month, year, clock, _ = date.split()
    return dt.datetime.fromisoformat(f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{clock}+00:00")


def platform(shown: Mapping[str, Any], key: str) -> str:
    """Such as `linux/amd64`, the architecture under `key`; empty if the engine does not say."""
    return f"{shown['Os']}/{shown[key]}" if shown.get("Os") and shown.get(key) else ""
