"""Which rule of `develop.watch` a host path falls under, and where in the container it belongs.

A path below a rule's own path counts unless one of these hides it, the later over the earlier: it is a compose
file or a Dockerfile (only where files are copied); the build's .dockerignore; the rule's `ignore`, whose `!x`
takes back what came before. Editors' temporary files never count; `.git` only where an `ignore` entry such as
`!.git` names it. Then `include`, where given, must match.

The rule's own path was named on purpose: neither list hides it, and .dockerignore patterns that would hide it
as a whole (`dist` for a rule on ./dist) have no say for that rule. So a rule on a single file always counts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from devenv.errors import ConfigError
from devenv.model.project import Action, Mount, Project, Service, WatchRule
from devenv.sync.rules.patterns import BACKSLASH, Patterns

EDITOR_TEMP = (
    "**/.devenv-*~",  # our own files on their way to the container
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/4913",
    "**/.#*",
    "**/#*#",
    "**/.*.kate-swp",
    "**/*___jb_old___",
    "**/*___jb_tmp___",
    "**/.idea",
    "**/*-go-tmp-umask",
    "**/.goutputstream-*",
    "**/*.crswap",
)
NOTHING = Patterns()
_GIT = "**/.git"


@dataclass(frozen=True)
class BoundRule:
    """A rule of one service with everything that decides about paths.

    `index` is its place in the service; `overlaps` says that another rule may put something at the same place.
    """

    service: str
    index: int
    rule: WatchRule
    never: Patterns
    ignored: Patterns
    included: Patterns | None = None
    context: str | None = None
    dockerignore: Patterns = NOTHING
    own_files: frozenset[str] = frozenset()
    skip_sync: bool = False
    mounted: tuple[str, ...] = ()
    overlaps: bool = False

    @property
    def copies(self) -> bool:
        """Whether this rule puts files into the container itself: a bind mount may do it already."""
        return self.rule.action.syncs and not self.skip_sync

    @property
    def inert(self) -> bool:
        """Whether nothing is left to do: a plain `sync` on a bind mount."""
        return self.skip_sync and self.rule.action is Action.SYNC

    def matches(self, path: str) -> bool:
        """Whether the rule is for this absolute host path."""
        relative = relative_to(path, self.rule.path)
        if not relative:
            return relative is not None
        return not self._ignores(path, relative) and (self.included is None or self.included.matches(relative))

    def decision(self, path: str) -> tuple[str, str]:
        """The list that decides whether the rule is for a path, and the pattern in it; "" where none does.

        The list is `include`, `ignore`, `.dockerignore`, `built-in` (editors' files, .git) or `own file` (a compose
        file or a Dockerfile); an `include` without a pattern is one that does not name the path.
        """
        relative = relative_to(path, self.rule.path)
        if not relative:
            return "", ""
        named, pattern = self._said(path, relative)
        if self.included is not None and not self._ignores(path, relative):
            return "include", self.included.deciding(relative) or ""
        return named, pattern

    def prunes(self, directory: str) -> bool:
        """Whether no path below the directory can match, so that it needs no watch and no walk."""
        relative = relative_to(directory, self.rule.path)
        if relative is None:
            return relative_to(self.rule.path, directory) is None
        if self.included is not None and True not in self.included.outcomes_below(relative):
            return True
        if False not in self.never.outcomes_below(relative):
            return True
        return False not in self.ignored.outcomes_below(relative, defaults=self._dockerignored_below(directory))

    def target_for(self, path: str) -> str:
        """The absolute container path, normalised, for a host path that matches.

        A target that ends in `/` means "into" for a rule on a single file.
        """
        relative = relative_to(path, self.rule.path)
        if not relative and (self.rule.target or "").endswith("/"):
            relative = posixpath.basename(path)
        return f"{self.top.rstrip('/')}/{relative}" if relative else self.top

    def sources_for(self, target: str) -> tuple[str, ...]:
        """The host paths, there or not, that this rule maps to an absolute container path."""
        relative = relative_to(target, self.top)
        below = () if relative is None else (f"{self.rule.path}/{relative}" if relative else self.rule.path,)
        into = (self.rule.path,) if relative and self.target_for(self.rule.path) == target else ()
        return (*below, *into)

    def is_mounted(self, target: str) -> bool:
        """Whether this container path lies in a bind mount below the rule's target: the host's own files."""
        return any(relative_to(target, mount) is not None for mount in self.mounted)

    def _ignores(self, path: str, relative: str) -> bool:
        if self.never.matches(relative):
            return True
        hidden = path in self.own_files or self._is_dockerignored(path)
        return self.ignored.matches(relative, default=hidden)

    def _said(self, path: str, relative: str) -> tuple[str, str]:
        """What was said last about the path, by whatever hides or takes back."""
        if self.never.matches(relative):
            return "built-in", self.never.deciding(relative) or ""
        if pattern := self.ignored.deciding(relative):
            return "ignore", pattern
        if path in self.own_files:
            return "own file", ""
        in_context = relative_to(path, self.context) if self.context else None
        pattern = self.dockerignore.deciding(in_context) if in_context else None
        return (".dockerignore", pattern) if pattern else ("", "")

    def _is_dockerignored(self, path: str) -> bool:
        relative = relative_to(path, self.context) if self.context else None
        return self.dockerignore.matches(relative) if relative else False

    def _dockerignored_below(self, directory: str) -> frozenset[bool]:
        relative = relative_to(directory, self.context) if self.context else None
        if relative is not None:
            return self.dockerignore.outcomes_below(relative)
        return frozenset({False})  # also above the context: what lies beside it is not ignored

    @cached_property
    def top(self) -> str:
        """The target as an absolute, clean container path."""
        return container_path(self.rule.target or "")


def bind(project: Project, dockerignores: Mapping[str, tuple[str, ...]]) -> tuple[BoundRule, ...]:
    """Every rule of the project, in order; `dockerignores` has the .dockerignore lines of each service.

    ConfigError where a pattern is no pattern.
    """
    own = frozenset(_own_files(project))
    return tuple(
        rule
        for service in project.services
        for rule in _marked(
            [
                _bound(service, index, rule, dockerignores.get(service.name, ()), own)
                for index, rule in enumerate(service.watch)
            ]
        )
    )


def roots(rules: Iterable[BoundRule]) -> tuple[str, ...]:
    """The host paths to watch, none of them inside another."""
    minimal: list[str] = []
    for path in sorted({rule.rule.path for rule in rules if not rule.inert}):
        if not any(relative_to(path, root) is not None for root in minimal):
            minimal.append(path)
    return tuple(minimal)


def wanted(rules: Iterable[BoundRule], path: str) -> bool:
    """Whether any rule is for this host path."""
    return any(rule.matches(path) for rule in rules if not rule.inert)


def prune(rules: Iterable[BoundRule], directory: str) -> bool:
    """Whether no rule is for anything below this folder."""
    return all(rule.prunes(directory) for rule in rules if not rule.inert)


def relative_to(path: str, folder: str) -> str | None:
    """The path below the folder, "" for the folder itself, None elsewhere. Both are absolute and clean."""
    if path == folder:
        return ""
    inside = folder if folder.endswith("/") else f"{folder}/"
    return path[len(inside) :] if path.startswith(inside) else None


def container_path(path: str) -> str:
    """A path in a container, absolute and clean."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def mount_over(service: Service, target: str) -> Mount | None:
    """The innermost mount that a container path of the service lies in, if any."""
    mounts = (*service.volumes, *(Mount("tmpfs", path) for path in service.tmpfs))
    place = container_path(target)
    covering = [mount for mount in mounts if relative_to(place, container_path(mount.target)) is not None]
    return max(covering, key=lambda mount: len(container_path(mount.target)), default=None)


def is_bind_mounted(service: Service, rule: WatchRule) -> bool:
    """Whether the files are at the rule's target already, through a bind mount of what the rule watches."""
    mount = mount_over(service, rule.target or "") if rule.action.syncs else None
    source = mount.source if mount and mount.type == "bind" else None
    return source is not None and relative_to(posixpath.normpath(rule.path), posixpath.normpath(source)) is not None


def _bound(
    service: Service, index: int, rule: WatchRule, dockerignore: tuple[str, ...], own: frozenset[str]
) -> BoundRule:
    rule = replace(rule, path=posixpath.normpath(rule.path))
    place = f"service `{service.name}`, rule {index + 1} of `develop.watch`"
    ignored = _parsed(rule.ignore, f"{place}, `ignore`")
    included = _parsed(rule.include, f"{place}, `include`")
    context = posixpath.normpath(service.build.context) if service.build else None
    hidden = _parsed(dockerignore, f"service `{service.name}`, .dockerignore")
    below = relative_to(rule.path, context) if context else None
    return BoundRule(
        service=service.name,
        index=index,
        rule=rule,
        never=_never(ignored),
        ignored=ignored,
        included=included if included.lines else None,
        context=context,
        dockerignore=hidden.sparing(below) if below and hidden.matches(below) else hidden,
        own_files=own if rule.action.syncs else frozenset(),
        skip_sync=is_bind_mounted(service, rule),
        mounted=tuple(_binds_below(service, rule)),
    )


def _marked(rules: Sequence[BoundRule]) -> Iterator[BoundRule]:
    """One service's rules, those marked whose places in the container meet."""
    for rule in rules:
        others = [other.top for other in rules if other is not rule and other.copies] if rule.copies else []
        yield replace(rule, overlaps=any(_meet(rule.top, top) for top in others))


def _meet(one: str, other: str) -> bool:
    return relative_to(one, other) is not None or relative_to(other, one) is not None


def _parsed(lines: Iterable[str], place: str) -> Patterns:
    try:
        return Patterns.parse(lines)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}", hint=BACKSLASH) from None


def _never(ignored: Patterns) -> Patterns:
    taken_back = (line for line in ignored.lines if line.startswith("!") and ".git" in line[1:].split("/"))
    return Patterns.parse((_GIT, *taken_back, *EDITOR_TEMP))


def _own_files(project: Project) -> Iterator[str]:
    """The compose files and Dockerfiles: a container has no use for them, a rebuild rule has."""
    for file in project.files:
        yield posixpath.normpath(posixpath.join(project.directory, file))
    for service in project.services:
        if service.build and service.build.dockerfile_inline is None:
            yield posixpath.normpath(posixpath.join(service.build.context, service.build.dockerfile))


def _binds_below(service: Service, rule: WatchRule) -> Iterator[str]:
    """Container folders below the target where a copy would be written through to the host."""
    target = container_path(rule.target or "")
    for mount in service.volumes:
        place = container_path(mount.target)
        if mount.type == "bind" and relative_to(place, target):
            yield place
