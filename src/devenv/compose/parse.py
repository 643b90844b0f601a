"""Parse the resolved model of Compose into a Project."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from devenv.compose.schema import X_DEVENV, ShapeError, mistakes
from devenv.errors import nearest
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

T = TypeVar("T")

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


def parse(model: Mapping[str, Any], *, directory: str, files: tuple[str, ...], others: Iterable[str] = ()) -> Project:
    """The project. Raises ShapeError (a ConfigError) with the path of a wrong value.

    `others`: services in the files whose profile is not active.

    Compose prints each `$` doubled, so that its output can be read again; the project has single ones.
    """
    root = _Cursor(undoubled(dict(model)))
    services, block = root.at("services", {}), root.at("x-devenv", {})
    names = {"service": {*services.mapping(), *others}, "volume": root.at("volumes", {}).mapping()}
    for wrong in mistakes(block.value, X_DEVENV, block.path, names):
        raise wrong
    return Project(
        name=root.at("name").text(),
        directory=directory,
        files=files,
        services=tuple(_service(name, cursor) for name, cursor in services.entries()),
        networks=_resources(root.at("networks", {})),
        volumes=_resources(root.at("volumes", {})),
        settings=_settings(block),
        hooks=tuple(_hooks(block.at("hooks", {}))),
    )


def is_image(reference: str) -> bool:
    """Whether `reference` is valid by the grammar of image references."""
    match = _IMAGE.fullmatch(reference)
    return match is not None and len(match["name"]) <= _NAME_LIMIT and int(match["port"] or 0) <= _HIGHEST_PORT


def undoubled(value: Any) -> Any:
    """A part of the model with single `$`."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [undoubled(item) for item in value]
    if isinstance(value, dict):
        return {undoubled(key): undoubled(item) for key, item in value.items()}
    return value


class _Cursor:
    """A value with its path in the model, so that each error has a place."""

    def __init__(self, value: Any, path: tuple[str | int, ...] = ()) -> None:
        self.value = value
        self.path = path

    def at(self, key: str, default: Any = None) -> _Cursor:
        value = self.mapping().get(key)
        return _Cursor(default if value is None else value, (*self.path, key))

    def either(self, *keys: str) -> _Cursor:
        return self.at(next((key for key in keys if self.mapping().get(key) is not None), keys[0]))

    def optional(self, key: str, read: Callable[[_Cursor], T]) -> T | None:
        cursor = self.at(key)
        return None if cursor.value is None else read(cursor)

    def mapping(self) -> dict[str, Any]:
        return self._as(dict, "a mapping")

    def entries(self) -> list[tuple[str, _Cursor]]:
        return [(str(key), _Cursor(value, (*self.path, key))) for key, value in self.mapping().items()]

    def sequence(self) -> list[_Cursor]:
        if self.value is None:
            return []
        values = self._as(list, "a list")
        return [_Cursor(value, (*self.path, index)) for index, value in enumerate(values)]

    def text(self) -> str:
        return self._as(str, "text")

    def whole(self) -> int:
        if isinstance(self.value, str) and self.value.isdecimal():
            return int(self.value)
        if isinstance(self.value, bool):
            raise self.wrong("must be a whole number")
        return self._as(int, "a whole number")

    def flag(self) -> bool:
        # an `x-` key is not typed by Compose: after interpolation it is text
        if isinstance(self.value, str) and self.value.lower() in ("true", "false"):
            return self.value.lower() == "true"
        return False if self.value is None else self._as(bool, "true or false")

    def texts(self) -> tuple[str, ...]:
        if isinstance(self.value, str):
            return (self.value,)
        return tuple(item.text() for item in self.sequence())

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """A mapping or a list of KEY=VALUE, without keys that have no value: they get that of the host."""
        if isinstance(self.value, list):
            halves = (item.partition("=") for item in self.texts())
            return tuple((key, value) for key, sign, value in halves if sign)
        return tuple((key, cursor.scalar()) for key, cursor in self.entries() if cursor.value is not None)

    def scalar(self) -> str:
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, str | int | float):
            return str(self.value)
        raise self.wrong("must be text or a number")

    def command(self) -> tuple[str, ...]:
        if not isinstance(self.value, str):
            return self.texts()
        try:
            return tuple(shlex.split(self.value))
        except ValueError:
            raise self.wrong("a quote is not closed") from None

    def choice(self, values: Sequence[str]) -> str:
        text = self.text()
        if text in values:
            return text
        raise self.wrong(f"`{text}` is not one of {', '.join(values)}", hint=nearest(text, values))

    def wrong(self, message: str, *, hint: str | None = None) -> ShapeError:
        return ShapeError(self.path, message, hint=hint)

    def _as(self, kind: type[T], words: str) -> T:
        if not isinstance(self.value, kind):
            raise self.wrong("is missing" if self.value is None else f"must be {words}")
        return self.value


def _settings(block: _Cursor) -> Settings:
    return Settings(
        ports=block.at("ports", "").text(),
        initial_sync_spec=block.at("initial_sync").value is not None,
        deletes_recreate=block.at("deletes").value is not None,
        keep=block.at("keep").texts(),
        mirrors=block.at("images", {}).at("mirrors").texts(),
    )


def _hooks(block: _Cursor) -> Iterator[ProjectHook]:
    for moment in Moment:
        given = block.at(moment)
        for entry in given.sequence() if given.value is None or isinstance(given.value, list) else [given]:
            if isinstance(entry.value, dict):
                yield ProjectHook(moment, _hook(entry), entry.at("service").text())
            else:
                shell = SHELL if isinstance(entry.value, str) else ()
                yield ProjectHook(moment, Hook((*shell, *entry.texts())))


def _resources(block: _Cursor) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            key=key,
            name=cursor.at("name", key).text() if cursor.value is not None else key,
            external=cursor.value is not None and cursor.at("external").flag(),
            elsewhere=cursor.value is not None and cursor.at("driver_opts", {}).at("device").value is not None,
        )
        for key, cursor in block.entries()
    )


def _service(name: str, service: _Cursor) -> Service:
    _no_nul(service.at("environment", {}))
    deploy = service.at("deploy", {})
    scale = service.at("scale", deploy.at("replicas", 1).value)
    return Service(
        name=name,
        image=service.optional("image", _image),
        build=service.optional("build", _build),
        platform=service.optional("platform", _Cursor.text),
        pull_policy=service.optional("pull_policy", _Cursor.text),
        depends_on=tuple(_dependency(key, entry) for key, entry in service.at("depends_on", {}).entries()),
        ports=tuple(_port(entry) for entry in service.at("ports").sequence()),
        volumes=tuple(_mount(entry) for entry in service.at("volumes").sequence()),
        watch=tuple(_rule(entry) for entry in service.at("develop", {}).at("watch").sequence()),
        tmpfs=tuple(entry.partition(":")[0] for entry in service.at("tmpfs").texts()),
        read_only=service.at("read_only").flag(),
        has_healthcheck=_has_healthcheck(service.at("healthcheck", {})),
        restart=service.optional("restart", _Cursor.text),
        scale=scale.whole(),
    )


def _no_nul(environment: _Cursor) -> None:
    for _, cursor in environment.entries():
        if "\0" in str(cursor.value):
            raise cursor.wrong("the value contains a NUL byte", hint="Check its env_file.")


def _image(cursor: _Cursor) -> str:
    reference = cursor.text()
    if is_image(reference):
        return reference
    hint = "It is NAME, NAME:TAG or HOST/NAME:TAG; names are lower case."
    raise cursor.wrong(f"`{reference[:80]}` is not a valid image reference", hint=hint)


def _build(build: _Cursor) -> Build:
    return Build(
        context=build.at("context", ".").text(),
        dockerfile=build.at("dockerfile", "Dockerfile").text(),
        dockerfile_inline=build.optional("dockerfile_inline", _Cursor.text),
        target=build.optional("target", _Cursor.text),
        args=build.at("args", {}).pairs(),
        additional_contexts=build.at("additional_contexts", {}).pairs(),
        platforms=build.at("platforms").texts(),
        pull=build.at("pull").flag(),
    )


def _dependency(service: str, entry: _Cursor) -> Dependency:
    return Dependency(
        service=service,
        condition=Condition(entry.at("condition", Condition.STARTED.value).choice(list(Condition))),
        required=entry.at("required", True).flag(),
        restart=entry.at("restart").flag(),
    )


def _port(entry: _Cursor) -> Port:
    return Port(
        target=entry.at("target").whole(),
        published=entry.optional("published", _Cursor.scalar),
        host_ip=entry.optional("host_ip", _Cursor.text),
        protocol=entry.at("protocol", "tcp").text(),
    )


def _mount(entry: _Cursor) -> Mount:
    return Mount(
        type=entry.at("type").text(),
        target=entry.at("target").text(),
        source=entry.optional("source", _Cursor.text),
        read_only=entry.at("read_only").flag(),
    )


def _has_healthcheck(check: _Cursor) -> bool:
    test = check.at("test").texts()
    return bool(test) and test[0] != "NONE" and not check.at("disable").flag()


def _rule(entry: _Cursor) -> WatchRule:
    return WatchRule(
        path=entry.at("path").text(),
        action=Action(entry.at("action").choice(list(Action))),
        target=entry.optional("target", _Cursor.text),
        ignore=entry.either("ignore", "x-ignore").texts(),
        include=entry.either("include", "x-include").texts(),
        initial_sync=entry.either("initial_sync", "x-initial_sync", "x-initialSync").flag(),
        exec=entry.optional("exec", _hook),
    )


def _hook(hook: _Cursor) -> Hook:
    return Hook(
        command=hook.at("command").command(),
        user=hook.optional("user", _Cursor.scalar),
        working_dir=hook.optional("working_dir", _Cursor.text),
        environment=hook.at("environment", {}).pairs(),
        privileged=hook.at("privileged").flag(),
    )
