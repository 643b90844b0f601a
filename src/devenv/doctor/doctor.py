"""`devenv doctor`: examine the machine, report findings, fix what is safe to fix, and examine again."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio

from devenv import __version__
from devenv.compose.outline import Selection
from devenv.docker import process
from devenv.doctor import probes
from devenv.doctor.diagnose import diagnose, with_loopback
from devenv.doctor.facts import DoctorFacts, report
from devenv.errors import DevenvError, StateError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.model.answers import ERROR, Finding

SYSCTL_FILE = "/etc/sysctl.d/60-devenv-inotify.conf"
SYSCTL = "fs.inotify.max_user_watches = {}\nfs.inotify.max_user_instances = {}\n"
WATCHES, INSTANCES = 524288, 1024
BACKUP = ".devenv-backup"


@dataclass(frozen=True, slots=True)
class Fix:
    """A file that gets new content, or is removed (`after` is None); `shows` are the lines of the change.

    `before` is the current content, None if the file does not exist; the command `then` runs afterwards.
    """

    codes: tuple[str, ...]
    path: str
    shows: tuple[str, ...]
    before: bytes | None
    after: bytes | None
    then: tuple[str, ...] = ()

    @property
    def backup(self) -> str:
        """The first free path for a backup."""
        return next(path for n in range(1, 1000) if not os.path.lexists(path := f"{self.path}{BACKUP}{n}"))


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings, after the fixes if there were any: `fixed` are their codes, `failed` the errors of fixes."""

    facts: DoctorFacts
    findings: tuple[Finding, ...]
    seconds: float
    fixed: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    failed: tuple[DevenvError, ...] = ()

    @property
    def errors(self) -> int:
        """The number of findings that are errors."""
        return sum(finding.severity == ERROR for finding in self.findings)


async def examine(selection: Selection, say: Callable[[str], object]) -> Examination:
    """Examine this machine, and the selected project if there is one."""
    began = anyio.current_time()
    facts = await probes.gather(selection, say)
    return Examination(facts, diagnose(facts), anyio.current_time() - began)


async def apply_fixes(planned: Iterable[Fix], selection: Selection, say: Callable[[str], object]) -> Examination:
    """Apply the fixes and examine again; a finding counts as fixed only if it is gone."""
    backups: list[str | None] = []
    failed: list[DevenvError] = []
    codes: list[str] = []
    for fix in planned:
        try:
            backups.append(await carry_out(fix))
            codes += fix.codes
        except DevenvError as error:
            failed.append(error)
    after = await examine(selection, say)
    left = {finding.code for finding in after.findings}
    fixed = tuple(code for code in codes if code not in left)
    return Examination(after.facts, after.findings, after.seconds, fixed, tuple(filter(None, backups)), tuple(failed))


def write_report(path: str, outcome: Examination) -> None:
    """Write the report to a new file. Raises UsageError if the file exists or cannot be written."""
    versions = {"devenv": __version__, "Python": platform.python_version(), "system": platform.platform()}
    text = report(outcome.facts, outcome.findings, versions, os.path.expanduser("~"))
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists, and was left unchanged", hint="--report another-name.md") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def planned_fixes(facts: DoctorFacts, codes: set[str]) -> tuple[Fix, ...]:
    """The fixes for the findings with these codes. Reads files, changes nothing."""
    return (*_settings_fix(facts, codes), *_builder_fix(facts, codes), *_limits_fix(facts, codes))


async def carry_out(fix: Fix) -> str | None:
    """Apply the fix and return the path of the backup, None if there was no file. Raises StateError if it fails.

    The file is replaced atomically, or left as it is if it was changed since it was read.
    """
    try:
        if content(fix.path) != fix.before:
            raise StateError(f"{fix.path} was changed meanwhile, and was left unchanged", hint="devenv doctor --fix")
        backup = fix.backup if fix.before is not None else None
        if backup:
            shutil.copy2(fix.path, backup)
        _write(fix.path, fix.after)
    except OSError as error:
        raise StateError(f"cannot change {fix.path}: {error.strerror}", hint="sudo devenv doctor --fix") from error
    if fix.then and (await process.run(fix.then)).returncode:
        command = " ".join(fix.then)
        raise StateError(f"{fix.path} was written, but `{command}` failed", hint=f"sudo {command}")
    return backup


def _settings_fix(facts: DoctorFacts, codes: set[str]) -> Iterator[Fix]:
    """Remove missing helpers from config.json, and exclude this machine from its proxies."""
    done = tuple(code for code in ("helper-missing", "proxy-inside") if code in codes)
    if not done:
        return
    path = os.path.realpath(facts.client.path)
    before = content(path) or b"{}"
    new: dict[str, Any] = json.loads(before)
    shows = []
    if "helper-missing" in done:
        shows += _without_helpers(new, facts.client.missing_helpers)
    if "proxy-inside" in done:
        inside = new["proxies"]["default"]
        shows += [f'- "noProxy": {json.dumps(inside["noProxy"])}'] if inside.get("noProxy") is not None else []
        inside["noProxy"] = with_loopback(inside.get("noProxy") or "")
        shows.append(f'+ "noProxy": {json.dumps(inside["noProxy"])}')
    yield Fix(done, path, tuple(shows), before, json.dumps(new, indent="\t", ensure_ascii=False).encode() + b"\n")


def _without_helpers(new: dict[str, Any], missing: tuple[str, ...]) -> list[str]:
    """Remove the helpers from the settings, and return the lines of the change."""
    names = {program.removeprefix("docker-credential-") for program in missing}
    lines = [f'- "credsStore": {json.dumps(new.pop("credsStore"))}'] if new.get("credsStore") in names else []
    helpers: dict[str, str] = new.get("credHelpers") or {}
    registries = [registry for registry, helper in helpers.items() if helper in names]
    return lines + [f'- "credHelpers": {json.dumps({registry: helpers.pop(registry)})}' for registry in registries]


def _builder_fix(facts: DoctorFacts, codes: set[str]) -> Iterator[Fix]:
    path = facts.builder.selection
    if "builder-gone" in codes and path:
        shows = (f"- {facts.builder.name}   (then the engine itself builds)",)
        yield Fix(("builder-gone",), path, shows, content(path), None)


def _limits_fix(facts: DoctorFacts, codes: set[str]) -> Iterator[Fix]:
    done = tuple(code for code in ("inotify-watches", "inotify-instances") if code in codes)
    if done:
        # A limit without a finding may be larger than ours: it must not become smaller.
        text = SYSCTL.format(max(WATCHES, facts.machine.watches), max(INSTANCES, facts.machine.instances))
        shows = tuple(f"+ {line}" for line in text.splitlines())
        yield Fix(done, SYSCTL_FILE, shows, content(SYSCTL_FILE), text.encode(), ("sysctl", "-p", SYSCTL_FILE))


def content(path: str) -> bytes | None:
    """The file's content; None if it does not exist."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read()
    return None


def _write(path: str, after: bytes | None) -> None:
    if after is None:
        os.unlink(path)
        return
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".devenv-")
    try:
        with open(descriptor, "wb") as file:
            file.write(after)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
