"""`devenv add rules`: watch rules proposed from what a Dockerfile copies, from bind mounts, and from the language."""

from __future__ import annotations

import glob
import json
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded, load
from devenv.errors import ConfigError, UsageError
from devenv.model.project import Action, Service
from devenv.paths import is_within, relative_to
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.copied_files import copying_stages
from devenv.scaffold.add.main_file import MainFile, opened
from devenv.scaffold.add.proposal import Proposal
from devenv.scaffold.add.yaml_edit import flow
from devenv.sync.rules.lint import faults
from devenv.sync.rules.rules import is_bind_mounted, mount_over

MANIFESTS = re.compile(
    r"package(-lock)?\.json|npm-shrinkwrap\.json|(yarn|poetry|uv|Cargo|composer|Pipfile|Gemfile)\.lock|yarn\.lock|"
    r"pnpm-lock\.yaml|bun\.lockb?|requirements[\w.-]*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|Pipfile|Gemfile|"
    r"composer\.json|go\.(mod|sum)|Cargo\.toml|pom\.xml|build\.gradle(\.kts)?|\.npmrc|Dockerfile[\w.-]*|[\w.-]+\.csproj"
)
COMPILED = re.compile(r"go\.mod|Cargo\.toml|pom\.xml|build\.gradle(\.kts)?|[\w.-]+\.csproj")
INTERPRETED = re.compile(r"package\.json|requirements[\w.-]*\.txt|pyproject\.toml|Pipfile|Gemfile")
RELOADERS = re.compile(
    r"--reload|(?<!\bnode )(?<!\bnode\", \")--watch|nodemon|vite|tsx watch|--debug|runserver|webpack|\bdev\b|\bair\b"
)
BECAUSE = {Action.REBUILD: "; the language is compiled", Action.SYNC_RESTART: "; no reloader is in its command"}
SETTINGS = "/etc/"
CACHE = "__pycache__"
MADE = ("node_modules", CACHE, ".venv", "venv", "dist", "build", "target", ".next", ".pytest_cache")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and why it is proposed; the path is absolute."""

    path: str
    action: Action
    why: str
    target: str = ""
    ignore: tuple[str, ...] = ()

    def entry(self, folder: str) -> str:
        """The rule as block YAML, its path relative to the project's folder."""
        lines = [f"- path: {_scalar(shown(self.path, folder))}", f"action: {self.action}"]
        lines += [f"target: {_scalar(self.target)}"] if self.target else []
        lines += [f"ignore: {flow(list(self.ignore))}"] if self.ignore else []
        return "\n  ".join(lines)


def _scalar(text: str) -> str:
    return text if re.fullmatch(r"[./]?[\w./-]+", text, re.ASCII) else json.dumps(text)


async def rules(selection: Selection, name: str | None, *, from_mounts: bool = False) -> Proposal:
    """What adds watch rules to the service, or to all; checked and not written.

    With `from_mounts`, bind mounts of folders become rules. Raises as `load`; UsageError for an unknown service.
    """
    loaded = await load(selection, faults=faults)
    file = opened(selection)
    if name is not None:
        file.service(name)
        if name not in {service.name for service in loaded.project.services}:
            raise UsageError(f"the profile of `{name}` is not on", hint="Turn it on with --profile NAME.")
    folder = loaded.project.directory
    for service in loaded.project.services:
        if service.name not in ((name,) if name else file.services):
            continue
        mounted = list(_from_mounts(service, folder)) if from_mounts else []
        mounted = [rule for rule in mounted if _unmount(file, service.name, rule)]
        built = (rule for rule in _from_build(service, loaded) if not _covered(service, rule, mounted))
        found = [*mounted, *(_without(rule, mounted) for rule in built)]
        if found:
            file.own(service.name, "develop")
            entries = "\n".join(rule.entry(folder) for rule in found)
            file.draft.insert(["services", service.name, "develop", "watch"], entries)
        file.notes += [f"{service.name}: {rule.action} {shown(rule.path, folder)}: {rule.why}" for rule in found]
    if not file.notes:
        nothing = "nothing to add: what is copied from this machine has rules already, or nothing is copied"
        return Proposal(folder, (), (nothing,))
    edit = file.edit()
    await proposals.check(selection, edit, ())
    return Proposal(folder, (edit,) if edit.after != edit.before else (), tuple(file.notes))


def shown(path: str, folder: str) -> str:
    """A path as Compose files have it."""
    relative = relative_to(path, folder)
    return path if relative is None else f"./{relative}" if relative else "."


def _from_build(service: Service, loaded: Loaded) -> Iterator[Rule]:
    """Rules for what the build copies; an earlier one for a path comes first."""
    build = service.build
    if build is None or not os.path.isdir(build.context):
        return
    dockerfile = os.path.normpath(os.path.join(build.context, build.dockerfile))
    text = build.dockerfile_inline
    if text is None:
        data = proposals.read(dockerfile)
        text = (data or b"").decode(errors="replace")
    below, others = copying_stages(text, dict(build.args), build.target)
    given = loaded.model["services"][service.name].get("command") or ""
    command = f"{given} {below[-1].command if below else ''}"
    seen: set[str] = set()
    for stage in (*below, *others):
        for copy in stage.copies:
            source = f"{build.dockerfile}:{copy.line}"
            for rule in _copied(build.context, copy.sources, copy.target, source, command):
                if stage in others:
                    why = f"built in another stage ({source})"
                    rule = Rule(rule.path, Action.REBUILD, why, ignore=rule.ignore)  # noqa: PLW2901 - the same, built
                if rule.path not in seen and (rule.target == "" or not _in_mount(service, rule.target)):
                    seen.add(rule.path)
                    yield rule
    if build.dockerfile_inline is None and seen and os.path.isfile(dockerfile) and dockerfile not in seen:
        yield _rebuild(dockerfile)


def _in_mount(service: Service, target: str) -> bool:
    mount = mount_over(service, target)
    return mount is not None and mount.type == "bind"


def _copied(context: str, sources: Sequence[str], target: str, where: str, command: str) -> Iterator[Rule]:
    for source in sources:
        pattern = os.path.normpath(os.path.join(glob.escape(context), source.lstrip("/")))
        for path in sorted(glob.glob(pattern)):
            name = os.path.basename(path)
            if os.path.isdir(path):
                yield from _folder(path, target.rstrip("/") or "/", where, command)
            elif MANIFESTS.fullmatch(name):
                yield _rebuild(path)
            else:
                place = posixpath.join(target, name) if target.endswith("/") else target
                action = _action(os.path.dirname(path), command, place)
                yield Rule(path, action, f"copied by {where}{_because(action, place)}", place)


def _folder(path: str, target: str, where: str, command: str) -> Iterator[Rule]:
    names = sorted(os.listdir(path))
    manifests = [name for name in names if MANIFESTS.fullmatch(name)]
    action = _action(path, command, target)
    made = (name for name in MADE if name in names or (name == CACHE and _is_python(path)))
    private = (name for name in (".env",) if name in names)
    ignore = (*map(_ignored, made), *private, *(manifests if action is not Action.REBUILD else ()))
    yield Rule(
        path,
        action,
        f"copied by {where}{_because(action, target)}",
        "" if action is Action.REBUILD else target,
        ignore,
    )
    if action is not Action.REBUILD:
        for name in manifests:
            yield _rebuild(os.path.join(path, name))


def _ignored(name: str) -> str:
    """The pattern for a folder that tools make; Python has one in each of its folders."""
    return f"**/{name}/" if name == CACHE else f"{name}/"


def _rebuild(path: str) -> Rule:
    names = not MANIFESTS.fullmatch(name := os.path.basename(path)) or name.startswith("Dockerfile")
    why = "the image is built by it" if names else "what it names is installed while the image is built"
    return Rule(path, Action.REBUILD, why)


def _is_python(path: str) -> bool:
    for _, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name not in MADE and not name.startswith(".")]
        if any(name.endswith(".py") for name in files):
            return True
    return False


def _because(action: Action, target: str) -> str:
    if target.startswith(SETTINGS):
        return "; settings are read at the start"
    return BECAUSE.get(action, "")


def _action(path: str, command: str, target: str) -> Action:
    """What a change of sources takes: the language is told by the manifests beside or above them."""
    if target.startswith(SETTINGS):
        return Action.SYNC_RESTART
    names = {name for folder in (path, os.path.dirname(path)) if os.path.isdir(folder) for name in os.listdir(folder)}
    if any(COMPILED.fullmatch(name) for name in names):
        return Action.REBUILD
    interpreted = any(INTERPRETED.fullmatch(name) for name in names)
    return Action.SYNC_RESTART if interpreted and not RELOADERS.search(command) else Action.SYNC


def _covered(service: Service, rule: Rule, mounted: Sequence[Rule]) -> bool:
    """Whether a rule of the service, or one that is proposed already, is for the path."""
    covering = [*((one.path, one.action) for one in service.watch if not is_bind_mounted(service, one))]
    covering += [(one.path, one.action) for one in mounted]
    if rule.action is Action.REBUILD:
        covering = [(path, action) for path, action in covering if action is Action.REBUILD or path == rule.path]
    return any(is_within(rule.path, os.path.normpath(path)) for path, _ in covering)


def _without(rule: Rule, mounted: Sequence[Rule]) -> Rule:
    """The rule without the folders that have one of their own."""
    inside = (relative_to(one.path, rule.path) for one in mounted)
    return replace(rule, ignore=(*rule.ignore, *(f"{path}/" for path in inside if path)))


def _from_mounts(service: Service, folder: str) -> Iterator[Rule]:
    for mount in service.volumes:
        source = os.path.normpath(mount.source or "")
        if mount.type == "bind" and is_within(source, folder) and os.path.isdir(source):
            names = os.listdir(source)
            ignore = tuple(_ignored(name) for name in MADE if name in names or (name == CACHE and _is_python(source)))
            why = "was a bind mount; what the container writes there stays in it from now on"
            yield Rule(source, Action.SYNC, why, mount.target, ignore)


def _unmount(file: MainFile, name: str, rule: Rule) -> bool:
    """Whether the bind mount is an entry of this file, which is then gone."""
    entries = file.service(name).get("volumes")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        parts = str(entry).split(":")
        target = entry.get("target") if isinstance(entry, dict) else parts[1] if len(parts) > 1 else ""
        if str(target).rstrip("/") == rule.target.rstrip("/"):
            try:
                file.draft.cut(["services", name, "volumes", index])
            except ConfigError as error:
                file.notes.append(f"{name}: the mount of {rule.target} stays: {error.message}")
                return False
            return True
    return False
