"""Which rules of `develop.watch` match a host path, and to which container path they copy it.

A path below a rule's own path matches unless one of these excludes it; a later one overrides an earlier one: the path
is a Compose file or a Dockerfile (only for rules that copy files); the build's .dockerignore; the rule's `ignore`, in
which `!x` includes a path again. Editors' temporary files never match, and `.git` only if an `ignore` entry such as
`!.git` names it. If the rule has `include`, that must match, too.

The rule's own path is never excluded, since it was named on purpose; .dockerignore patterns that would exclude all of
it (`dist` for a rule on ./dist) do not apply to that rule. So a rule on a single file always matches it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from devenv import package_text
from devenv.errors import ConfigError
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Action, Mount, Project, Service, WatchRule
from devenv.paths import is_below, is_within, normal, relative_to
from devenv.sync.rules.patterns import BACKSLASH, Patterns

EDITOR_TEMP = package_text("sync/rules/editor_temp.txt").splitlines()
NOTHING = Patterns()
_GIT = "**/.git"


@dataclass(frozen=True)
class BoundRule:
    """A rule of one service, with everything that decides whether it matches a path.

    `index` is its position in the service; `overlaps`: another rule may copy to the same container paths. `mounted`
    are the container paths of bind mounts below the target.
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
        """Whether this rule copies files into the container; false if a bind mount provides them."""
        return self.rule.action.syncs and not self.skip_sync

    @property
    def inert(self) -> bool:
        """Whether the rule does nothing: a plain `sync` whose files a bind mount provides."""
        return self.skip_sync and self.rule.action is Action.SYNC

    def matches(self, path: str) -> bool:
        """Whether the rule matches this absolute host path."""
        relative = relative_to(path, self.rule.path)
        if not relative:
            return relative is not None
        return not self._ignores(path, relative) and (self.included is None or self.included.matches(relative))

    def decision(self, path: str) -> tuple[str, str]:
        """The list that decides whether the rule matches a path, and the pattern in it; "" if none decides.

        The list is `include`, `ignore`, `.dockerignore`, `built-in` (editors' files, .git) or `own file` (a Compose
        file or a Dockerfile); `include` without a pattern means that none of its patterns matches the path.
        """
        relative = relative_to(path, self.rule.path)
        if not relative:
            return "", ""
        excluded_by = self._last_decision(path, relative)
        if self.included is not None and not self._ignores(path, relative):
            return "include", self.included.deciding(relative) or ""
        return excluded_by

    def prunes(self, directory: str) -> bool:
        """Whether no path below the directory can match, so that it need not be watched or walked."""
        relative = relative_to(directory, self.rule.path)
        if relative is None:
            return not is_within(self.rule.path, directory)
        if self.included is not None and True not in self.included.outcomes_below(relative):
            return True
        if False not in self.never.outcomes_below(relative):
            return True
        in_context, outcomes = self._in_context(directory), frozenset({False})
        if in_context is not None:  # files outside of the context are not ignored
            outcomes = self.dockerignore.outcomes_below(in_context)
        return False not in self.ignored.outcomes_below(relative, defaults=outcomes)

    def target_for(self, path: str) -> str:
        """The container path for a host path; the target of a single file is a folder if it ends in `/`."""
        relative = relative_to(path, self.rule.path)
        if not relative and (self.rule.target or "").endswith("/"):
            relative = posixpath.basename(path)
        return f"{self.top.rstrip('/')}/{relative}" if relative else self.top

    def sources_for(self, target: str) -> tuple[str, ...]:
        """The host paths, existing or not, that this rule copies to an absolute container path."""
        relative = relative_to(target, self.top)
        below = () if relative is None else (f"{self.rule.path}/{relative}" if relative else self.rule.path,)
        into = (self.rule.path,) if relative and self.target_for(self.rule.path) == target else ()
        return (*below, *into)

    def is_mounted(self, target: str) -> bool:
        """Whether this container path is in a bind mount below the rule's target."""
        return is_within(target, *self.mounted)

    def _ignores(self, path: str, relative: str) -> bool:
        if self.never.matches(relative):
            return True
        in_context = self._in_context(path)
        is_ignored = in_context and self.dockerignore.matches(in_context)
        return self.ignored.matches(relative, default=path in self.own_files or bool(is_ignored))

    def _last_decision(self, path: str, relative: str) -> tuple[str, str]:
        """The list and the pattern that decided last whether the path is excluded or included again."""
        if self.never.matches(relative):
            return "built-in", self.never.deciding(relative) or ""
        if pattern := self.ignored.deciding(relative):
            return "ignore", pattern
        if path in self.own_files:
            return "own file", ""
        in_context = self._in_context(path)
        pattern = self.dockerignore.deciding(in_context) if in_context else None
        return (".dockerignore", pattern) if pattern else ("", "")

    def _in_context(self, path: str) -> str | None:
        return relative_to(path, self.context) if self.context else None

    @cached_property
    def top(self) -> str:
        """The target as an absolute, clean container path."""
        return normal(self.rule.target or "")


def bind(project: Project, dockerignores: Mapping[str, tuple[str, ...]]) -> tuple[BoundRule, ...]:
    """All rules of the project, with each service's .dockerignore lines. Raises ConfigError for a bad pattern."""
    own = frozenset(_own_files(project))
    bound: list[BoundRule] = []
    for service in project.services:
        ignored = dockerignores.get(service.name, ())
        bound += _with_overlaps(
            [_bound(service, index, rule, ignored, own) for index, rule in enumerate(service.watch)]
        )
    return tuple(bound)


def roots(rules: Iterable[BoundRule]) -> tuple[str, ...]:
    """The host paths to watch, without paths below others."""
    minimal: list[str] = []
    for path in sorted({rule.rule.path for rule in rules if not rule.inert}):
        if not is_within(path, *minimal):
            minimal.append(path)
    return tuple(minimal)


def prune(rules: Iterable[BoundRule], directory: str) -> bool:
    """Whether no rule matches anything below this folder."""
    return all(rule.prunes(directory) for rule in rules if not rule.inert)


def mount_over(service: Service, target: str) -> Mount | None:
    """The innermost mount that contains a container path of the service, or None."""
    mounts = (*service.volumes, *(Mount("tmpfs", path) for path in service.tmpfs))
    path = normal(target)
    covering = [mount for mount in mounts if is_within(path, normal(mount.target))]
    return max(covering, key=lambda mount: len(normal(mount.target)), default=None)


def is_bind_mounted(service: Service, rule: WatchRule) -> bool:
    """Whether a bind mount of the watched path provides the files at the rule's target."""
    mount = mount_over(service, rule.target or "") if rule.action.syncs else None
    source = mount.source if mount and mount.type == "bind" else None
    return source is not None and is_within(posixpath.normpath(rule.path), posixpath.normpath(source))


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


def _with_overlaps(rules: Sequence[BoundRule]) -> Iterator[BoundRule]:
    """One service's rules, with `overlaps` set if targets are equal or below one another."""
    for rule in rules:
        tops = [other.top for other in rules if other is not rule and other.copies] if rule.copies else []
        yield replace(rule, overlaps=is_within(rule.top, *tops) or any(is_within(top, rule.top) for top in tops))


def _parsed(lines: Iterable[str], place: str) -> Patterns:
    try:
        return Patterns.parse(lines)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}", hint=BACKSLASH) from None


def _never(ignored: Patterns) -> Patterns:
    included_again = (line for line in ignored.lines if line.startswith("!") and ".git" in line[1:].split("/"))
    return Patterns.parse((_GIT, *included_again, *EDITOR_TEMP))


def _own_files(project: Project) -> Iterator[str]:
    for file in project.files:
        yield posixpath.normpath(posixpath.join(project.directory, file))
    for service in project.services:
        if service.build and service.build.dockerfile_inline is None:
            yield service.build.path


def _binds_below(service: Service, rule: WatchRule) -> Iterator[str]:
    """Bind mounts below the target: a copy there would be written to the host."""
    binds = (normal(mount.target) for mount in service.volumes if mount.type == "bind")
    return (path for path in binds if is_below(path, normal(rule.target or "")))
