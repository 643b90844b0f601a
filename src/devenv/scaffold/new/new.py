"""`devenv new`: a template asked for, questions answered, the files shown and put in place."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from devenv.errors import RefusedError, UsageError, unknown
from devenv.scaffold.new import detect, names, place
from devenv.scaffold.new.fetch import fetched, shown
from devenv.scaffold.new.render import rendered
from devenv.scaffold.new.template import Question, Template, read, shipped

MANIFEST_SIZE = 1024**2
LONGEST_PROJECT = 63

Ask = Callable[[Question], str]
Confirm = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What the command line says. `given` are answers; what is not among them is asked, or has its default."""

    template: str | None = None
    source: str | None = None
    directory: str | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A scaffold: its folder, its files, and those that were there before; nothing is written yet on a dry run."""

    template: str
    folder: str
    files: tuple[str, ...]
    replaced: tuple[str, ...]


def rows() -> list[dict[str, str]]:
    """The templates that devenv brings along, for a table."""
    return [{"template": name, "description": ours(name).description} for name in shipped()]


def ours(name: str) -> Template:
    """The template of that name that devenv brings along. Raises UsageError where there is none."""
    folders = shipped()
    if name not in folders:
        raise unknown("template", name, folders)
    return read(folders[name], is_ours=True)


def new(wish: NewRequest, ask: Ask | None, confirm: Confirm | None, show: Callable[[list[str]], None]) -> Made:
    """The scaffold. Without `ask` and `confirm` nothing is asked: defaults count, and what is there stays.

    Raises UsageError, ConfigError (the template's fault), RefusedError (unsafe, or a file is there), StateError.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError("the folder that you are in is gone", hint="cd") from None
    template, target, offered = _chosen(wish)
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise UsageError(f"there is no folder {parent}", hint=f"mkdir -p {parent}")
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UsageError(f"{target} is there and is no folder")
    answers = answered(template, {**offered, **wish.given}, target, ask)
    files = anyio.run(rendered, template, answers)
    if wish.template is None and wish.source is None:  # found in a folder with code, whose files are the user's
        files = {path: file for path, file in files.items() if not os.path.lexists(os.path.join(target, path))}
    replaced = tuple(place.taken(files, target))
    made = Made(template.name, target, tuple(files), replaced)
    is_asked = confirm is not None and (wish.template is None and wish.source is None)
    if wish.dry_run or is_asked:
        show([f"{target}/", *(f"  {line}" for line in names.tree(files))])
    if wish.dry_run:
        return made
    if replaced and not wish.overwrite:
        question = f"{target} has {', '.join(replaced)} already. Overwrite?"
        if confirm is None or not confirm(question):
            raise RefusedError(
                f"{target} has {', '.join(replaced)} already; nothing was written", hint=f"{_again(wish)} --overwrite"
            )
    elif is_asked and confirm is not None and not confirm(f"Write {len(files)} files?"):
        raise RefusedError("nothing was written")
    place.place(files, target)
    return made


def _again(wish: NewRequest) -> str:
    source = ["--from", shown(wish.source)] if wish.source else []
    return shlex.join(["devenv", "new", *source, *(word for word in (wish.template, wish.directory) if word)])


def _chosen(wish: NewRequest) -> tuple[Template, str, dict[str, str]]:
    """The template, the folder, and the answers that are known already."""
    if wish.source is not None:
        template = anyio.run(fetched, wish.source)
        return template, os.path.abspath(wish.directory or wish.template or template.name), {}
    if wish.template is not None:
        template = ours(wish.template)
        return template, os.path.abspath(wish.directory or wish.template), {}
    here = os.getcwd()
    found = detect.stack(_manifests(here))
    if isinstance(found, str):
        raise UsageError(found, hint="devenv new --list")
    return read(shipped("stacks")[found.template], is_ours=True), here, dict(found.answers)


def _manifests(folder: str) -> dict[str, str]:
    """Name -> text of the files that say what a folder is; the text of all others is empty."""
    found = {}
    sources = [name for pattern in detect.SOURCES for name in sorted(glob.glob(pattern, root_dir=folder))]
    for name in (*detect.READ, *detect.COMPOSE_FILES, *detect.MODULES, "manage.py", *sources):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                found[name] = file.read(MANIFEST_SIZE) if name in detect.READ or name in sources else ""
    return found


def answered(template: Template, given: Mapping[str, str], target: str, ask: Ask | None) -> dict[str, str]:
    """Key -> answer to every question. Raises UsageError for an answer to none, and for one that is no answer."""
    keys = [question.key for question in template.questions]
    if unknown := sorted(given.keys() - {"project", *keys}):
        raise UsageError(f"{template.name} does not ask for {', '.join(unknown)}: {', '.join(keys)}")
    plain = re.sub(r"[^a-z0-9_-]", "", os.path.basename(target).lower()).lstrip("_-")[:LONGEST_PROJECT]
    answers = {
        "project": Question("project", "", "", "name").checked(given.get("project", plain or "app")),
        "password": secrets.token_hex(16),
    }
    for question in template.questions:
        answer = given.get(question.key)
        if answer is None:
            answer = ask(question) if ask else question.default
        answers[question.key] = question.checked(answer)
    return answers
