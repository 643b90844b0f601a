"""Parse the resolved model of Compose into a Project."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devenv.compose.schema import MODEL, ShapeError, mistakes
from devenv.model.project import (
    SHELL,
    Action,
    Build,
    Condition,
    Dependency,
    Hook,
    Moment,
    Mount,
    Port,
    Project,
    ProjectHook,
    Resource,
    Service,
    Settings,
    WatchRule,
)

Model = Mapping[str, Any]

_NAME_LIMIT = 255  # of the engine
_HIGHEST_PORT = 65535
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>(?:{_HOST}(?::(?P<port>[0-9]+))?/)?{_WORD}(?:/{_WORD})*)"
    r"(?::[\w][\w.-]{0,127})?(?:@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)


def parse(model: Model, *, directory: str, files: tuple[str, ...], others: Iterable[str] = ()) -> Project:
    """Parse the model. Raises ShapeError (a ConfigError) with the path of a wrong value.

    `others`: services in the files whose profile is not active.

    Compose prints each `$` doubled, so that it can read its own output; the project has a single `$`.
    """
    plain = undoubled(dict(model))
    names = {"service": {*(plain.get("services") or {}), *others}, "volume": {*(plain.get("volumes") or {})}}
    for wrong in mistakes(plain, MODEL, (), names):
        raise wrong
    block = plain.get("x-devenv") or {}
    return Project(
        name=plain["name"],
        directory=directory,
        files=files,
        services=tuple(_service(str(name), service or {}) for name, service in _items(plain, "services")),
        networks=_resources(plain, "networks"),
        volumes=_resources(plain, "volumes"),
        settings=Settings(
            ports=block.get("ports") or "",
            initial_sync_spec=block.get("initial_sync") is not None,
            deletes_recreate=block.get("deletes") is not None,
            keep=_texts(block.get("keep")),
            seed=block.get("seed") or "",
            mirrors=_texts((block.get("images") or {}).get("mirrors")),
        ),
        hooks=tuple(_hooks(block.get("hooks") or {})),
    )


def is_image(reference: str) -> bool:
    """Whether `reference` is valid by the grammar of image references."""
    match = _IMAGE.fullmatch(reference)
    return match is not None and len(match["name"]) <= _NAME_LIMIT and int(match["port"] or 0) <= _HIGHEST_PORT


def undoubled(value: Any) -> Any:
    """A part of the model, with `$` in place of `$$`."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [undoubled(item) for item in value]
    if isinstance(value, dict):
        return {undoubled(key): undoubled(item) for key, item in value.items()}
    return value


def _items(model: Model, key: str) -> Iterable[tuple[str, Any]]:
    return (model.get(key) or {}).items()


def _texts(value: str | list[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _text(value: object) -> str | None:
    """A number as text; true and false as in YAML."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _flag(value: object) -> bool:
    """Whether the value is true; below an `x-` key it may be text, since Compose does not type these keys."""
    return str(value).lower() == "true"


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """The pairs of a mapping or a list of KEY=VALUE. A key without a value is left out: its value is the host's."""
    if isinstance(value, list):
        halves = (item.partition("=") for item in value)
        return tuple((key, text) for key, sign, text in halves if sign)
    return tuple((str(key), text) for key, item in (value or {}).items() if (text := _text(item)) is not None)


def _hooks(block: Model) -> Iterator[ProjectHook]:
    for moment in Moment:
        given = block.get(moment) or []
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, dict):
                yield ProjectHook(moment, _hook(entry), entry["service"])
            else:
                shell = SHELL if isinstance(entry, str) else ()
                yield ProjectHook(moment, Hook((*shell, *_texts(entry))))


def _resources(model: Model, kind: str) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            key=key,
            name=(entry or {}).get("name") or key,
            external=_flag((entry or {}).get("external")),
            elsewhere=((entry or {}).get("driver_opts") or {}).get("device") is not None,
        )
        for key, entry in _items(model, kind)
    )


def _service(name: str, service: Model) -> Service:
    _require_valid(name, service.get("image"), service.get("environment"))
    build, deploy = service.get("build"), service.get("deploy") or {}
    return Service(
        name=name,
        image=service.get("image"),
        build=None if build is None else _build(build),
        platform=service.get("platform"),
        pull_policy=service.get("pull_policy"),
        depends_on=tuple(_dependency(other, entry or {}) for other, entry in _items(service, "depends_on")),
        ports=tuple(map(_port, service.get("ports") or ())),
        volumes=tuple(map(_mount, service.get("volumes") or ())),
        watch=tuple(map(_rule, (service.get("develop") or {}).get("watch") or ())),
        tmpfs=tuple(entry.partition(":")[0] for entry in _texts(service.get("tmpfs"))),
        read_only=_flag(service.get("read_only")),
        has_healthcheck=_has_healthcheck(service.get("healthcheck") or {}),
        restart=service.get("restart"),
        scale=int(service.get("scale", deploy.get("replicas", 1))),
        pre_start=tuple(step["image"] for step in service.get("pre_start") or () if step.get("image")),
    )


def _require_valid(name: str, image: str | None, environment: Any) -> None:
    """Raise ShapeError for an image reference or an environment that Compose accepts, but the engine does not."""
    if image is not None and not is_image(image):
        hint = "It is NAME, NAME:TAG or HOST/NAME:TAG; names are lower case."
        message = f"`{image[:80]}` is not a valid image reference"
        raise ShapeError(("services", name, "image"), message, hint=hint)
    for key, value in _pairs(environment):
        if "\0" in value:
            path = ("services", name, "environment", key)
            raise ShapeError(path, "the value contains a NUL byte", hint="Check its env_file.")


def _has_healthcheck(check: Model) -> bool:
    test = _texts(check.get("test"))
    return bool(test) and test[0] != "NONE" and not _flag(check.get("disable"))


def _build(build: Model) -> Build:
    return Build(
        context=build.get("context") or ".",
        dockerfile=build.get("dockerfile") or "Dockerfile",
        dockerfile_inline=build.get("dockerfile_inline"),
        target=build.get("target"),
        args=_pairs(build.get("args")),
        additional_contexts=_pairs(build.get("additional_contexts")),
        platforms=_texts(build.get("platforms")),
        pull=_flag(build.get("pull")),
    )


def _port(port: Model) -> Port:
    published, protocol = _text(port.get("published")), port.get("protocol") or "tcp"
    return Port(int(port["target"]), published, port.get("host_ip"), protocol)


def _mount(mount: Mapping[str, Any]) -> Mount:
    return Mount(
        type=mount["type"],
        target=mount["target"],
        source=mount.get("source"),
        read_only=_flag(mount.get("read_only")),
        creates_source=_flag((mount.get("bind") or {}).get("create_host_path")),
    )


def _dependency(service: str, entry: Model) -> Dependency:
    return Dependency(
        service=service,
        condition=Condition(entry.get("condition") or Condition.STARTED),
        required=_flag(entry.get("required", True)),
        restart=_flag(entry.get("restart")),
    )


def _rule(entry: Model) -> WatchRule:
    def newer(key: str, *more: str) -> Any:
        return next((entry[name] for name in (key, f"x-{key}", *more) if entry.get(name) is not None), None)

    return WatchRule(
        path=entry["path"],
        action=Action(entry["action"]),
        target=entry.get("target"),
        ignore=_texts(newer("ignore")),
        include=_texts(newer("include")),
        initial_sync=_flag(newer("initial_sync", "x-initialSync")),
        exec=_hook(entry["exec"]) if entry.get("exec") is not None else None,
    )


def _hook(hook: Model) -> Hook:
    command = hook["command"]
    return Hook(
        command=tuple(shlex.split(command)) if isinstance(command, str) else tuple(command),
        user=_text(hook.get("user")),
        working_dir=hook.get("working_dir"),
        environment=_pairs(hook.get("environment")),
        privileged=_flag(hook.get("privileged")),
    )
