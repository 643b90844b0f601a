"""The model that Compose resolved -> Project."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from devenv.errors import ConfigError
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

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "ports": ("as-written", "auto"),
    "initial_sync": ("spec",),
    "deletes": ("recreate",),
    "keep": (),
    "hooks": tuple(Moment),
    "images": ("mirrors",),
}

_HOOK_KEYS = ("service", "command", "user", "working_dir", "environment", "privileged")
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


class ShapeError(ConfigError):
    """A value of the model has the wrong shape; `path` leads to it, so that a file and line can be found."""

    def __init__(self, path: Sequence[str | int], message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{dotted(path)}: {message}" if path else message, hint=hint)
        self.path = tuple(path)


def parse(model: Mapping[str, Any], *, directory: str, files: tuple[str, ...], others: Iterable[str] = ()) -> Project:
    """The project; raises ShapeError (a ConfigError) that names the path of what is wrong.

    `others`: services that are written, too, but whose profile is not on.

    Compose prints every `$` doubled, so that its output can be read again; the project holds plain ones.
    """
    root = _Cursor(undoubled(dict(model)))
    services = root.at("services", {})
    return Project(
        name=root.at("name").text(),
        directory=directory,
        files=files,
        services=tuple(_service(name, cursor) for name, cursor in services.entries()),
        networks=_resources(root.at("networks", {})),
        volumes=_resources(root.at("volumes", {})),
        settings=_settings(root.at("x-devenv", {}), volumes=root.at("volumes", {}).mapping()),
        hooks=_hooks(root.at("x-devenv", {}).at("hooks", {}), {*services.mapping(), *others}),
    )


def is_image(reference: str) -> bool:
    """Whether `reference` can name an image at all (the grammar of image references)."""
    match = _IMAGE.fullmatch(reference)
    return match is not None and len(match["name"]) <= _NAME_LIMIT and int(match["port"] or 0) <= _HIGHEST_PORT


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `services.web.ports[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def undoubled(value: Any) -> Any:
    """A part of the model with plain `$`."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [undoubled(item) for item in value]
    if isinstance(value, dict):
        return {undoubled(key): undoubled(item) for key, item in value.items()}
    return value


class _Cursor:
    """A value with the path that leads to it, so that every complaint names its place."""

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
        """A mapping or a list of KEY=VALUE; what has no value takes the host's, so it is left out."""
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
        raise self.wrong(f"`{text}` is not one of {', '.join(values)}", hint=_nearest(text, values))

    def wrong(self, message: str, *, hint: str | None = None) -> ShapeError:
        return ShapeError(self.path, message, hint=hint)

    def _as(self, kind: type[T], words: str) -> T:
        if not isinstance(self.value, kind):
            raise self.wrong("is missing" if self.value is None else f"must be {words}")
        return self.value


def _settings(block: _Cursor, volumes: Mapping[str, Any]) -> Settings:
    for key, cursor in block.entries():
        if key not in SETTINGS and not key.startswith("x-"):
            raise cursor.wrong("unknown key", hint=_nearest(key, tuple(SETTINGS)))
    return Settings(
        ports=_setting(block, "ports") or "",
        initial_sync_spec=_setting(block, "initial_sync") is not None,
        deletes_recreate=_setting(block, "deletes") is not None,
        keep=tuple(_volume_key(entry, volumes) for entry in block.at("keep").sequence()),
        mirrors=_mirrors(block.at("images", {})),
    )


def _mirrors(block: _Cursor) -> tuple[str, ...]:
    for key, cursor in block.entries():
        if key not in SETTINGS["images"]:
            raise cursor.wrong("unknown key", hint=_nearest(key, SETTINGS["images"]))
    return tuple(_mirror(entry) for entry in block.at("mirrors").sequence())


def _mirror(entry: _Cursor) -> str:
    address = entry.text()
    if "@" in address:
        host = address.rpartition("@")[2].partition("/")[0]
        raise entry.wrong("holds credentials, which are nobody else's business", hint=f"docker login {host}")
    return address


def _volume_key(entry: _Cursor, volumes: Mapping[str, Any]) -> str:
    key = entry.text()
    if key not in volumes:
        raise entry.wrong(f"there is no volume `{key}`", hint=_nearest(key, tuple(volumes)))
    return key


def _setting(block: _Cursor, key: str) -> str | None:
    return block.optional(key, lambda value: value.choice(SETTINGS[key]))


def _hooks(block: _Cursor, services: Collection[str]) -> tuple[ProjectHook, ...]:
    for key, cursor in block.entries():
        if key not in tuple(Moment):
            raise cursor.wrong("unknown hook", hint=_nearest(key, tuple(Moment)))
    return tuple(
        _project_hook(moment, entry, services) for moment in Moment for entry in _one_or_more(block.at(moment))
    )


def _one_or_more(cursor: _Cursor) -> list[_Cursor]:
    return cursor.sequence() if cursor.value is None or isinstance(cursor.value, list) else [cursor]


def _project_hook(moment: Moment, entry: _Cursor, services: Collection[str]) -> ProjectHook:
    if not entry.value:
        raise entry.wrong("the command is empty")
    if isinstance(entry.value, str):
        return ProjectHook(moment, Hook((*SHELL, entry.value)))
    if isinstance(entry.value, list):
        return ProjectHook(moment, Hook(entry.texts()))
    if not isinstance(entry.value, dict):
        raise entry.wrong("must be a command: text or a list for the host, or a mapping with `service` and `command`")
    for key, cursor in entry.entries():
        if key not in _HOOK_KEYS:
            raise cursor.wrong("unknown key", hint=_nearest(key, _HOOK_KEYS))
    service, hook = entry.at("service").text(), _hook(entry)
    if moment is Moment.BEFORE_UP:
        raise entry.at("service").wrong("no container runs yet then", hint="Move it to `after_healthy`.")
    if service not in services:
        raise entry.at("service").wrong(f"there is no service `{service}`", hint=_nearest(service, sorted(services)))
    if not hook.command:
        raise entry.at("command").wrong("the command is empty")
    return ProjectHook(moment, hook, service)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean `{close[0]}`?" if close else f"Known here: {', '.join(known)}."


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
            raise cursor.wrong("the value holds a NUL byte, which no environment can", hint="Look into its env_file.")


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
