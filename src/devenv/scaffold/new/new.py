"""`devenv new`: choose a template, answer its questions, show the files and write them."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import field

import anyio

from devenv.errors import RefusedError, UsageError, unknown
from devenv.lazy_dataclass import dataclass
from devenv.phrases import counted
from devenv.scaffold.new import detect, place
from devenv.scaffold.new.render import rendered
from devenv.scaffold.new.template import Question, Template, fetched, read, shipped, shown, tree

MANIFEST_SIZE = 1024**2
LONGEST_PROJECT = 63

Ask = Callable[[Question], str]
Confirm = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class NewRequest:
    """The command line. `given` are answers to questions; the other questions are asked, or have their defaults."""

    template: str | None = None
    source: str | None = None
    directory: str | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    dry_run: bool = False

    @property
    def is_for_code(self) -> bool:
        """Whether the template is chosen by the code in the current folder."""
        return self.template is None and self.source is None


@dataclass(frozen=True, slots=True)
class Made:
    """The folder and files of a new project, and those that existed before; a dry run writes none of them."""

    template: str
    folder: str
    files: tuple[str, ...]
    replaced: tuple[str, ...]


def rows() -> list[dict[str, str]]:
    """Name and description of the templates that devenv contains, for a table."""
    return [{"template": name, "description": ours(name).description} for name in shipped()]


def ours(name: str) -> Template:
    """The template of devenv with that name. Raises UsageError if there is none."""
    folders = shipped()
    if name not in folders:
        raise unknown("template", name, folders)
    return read(folders[name], is_ours=True)


def new(request: NewRequest, ask: Ask | None, confirm: Confirm | None, show: Callable[[list[str]], None]) -> Made:
    """Write the files of a template. Without `ask` and `confirm` defaults are used, and no file is replaced.

    Raises UsageError, ConfigError (a mistake in the template), RefusedError (unsafe, or a file exists), StateError.
    """
    template, target, known = _chosen(request)
    _check_target(target)
    answers = answered(template, {**known, **request.given}, target, ask)
    files = anyio.run(rendered, template, answers)
    if request.is_for_code:  # the files in the folder are the user's
        files = {path: file for path, file in files.items() if not os.path.lexists(os.path.join(target, path))}
    replaced = tuple(place.taken(files, target))
    if request.dry_run or (request.is_for_code and confirm is not None):
        show([f"{target}/", *(f"  {line}" for line in tree(files))])
    if not request.dry_run:
        _check_consent(request, target, len(files), replaced, confirm)
        place.place(files, target)
    return Made(template.name, target, tuple(files), replaced)


def _check_target(target: str) -> None:
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        raise UsageError(f"folder {parent} not found", hint=f"mkdir -p {parent}")
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UsageError(f"{target} exists and is not a folder")


def _check_consent(
    request: NewRequest, target: str, count: int, replaced: tuple[str, ...], confirm: Confirm | None
) -> None:
    """Raise RefusedError if files would be replaced, or written into a folder with code, and nobody agrees."""
    if replaced and not request.overwrite:
        existing = f"{target} has {', '.join(replaced)} already"
        if confirm is None or not confirm(f"{existing}. Overwrite?"):
            source = ["--from", shown(request.source)] if request.source else []
            words = [*source, *filter(None, (request.template, request.directory)), "--overwrite"]
            raise RefusedError(f"{existing}; nothing was written", hint=shlex.join(["devenv", "new", *words]))
    elif request.is_for_code and confirm is not None and not confirm(f"Write {counted(count, 'file')}?"):
        raise RefusedError("nothing was written")


def _chosen(request: NewRequest) -> tuple[Template, str, dict[str, str]]:
    """The template, the folder, and the answers that are known already."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise UsageError("the current folder does not exist any more", hint="cd") from None
    if request.source is not None:
        template = anyio.run(fetched, request.source)
        return template, os.path.abspath(request.directory or request.template or template.name), {}
    if request.template is not None:
        template = ours(request.template)
        return template, os.path.abspath(request.directory or request.template), {}
    stack = detect.stack(_manifests(here))
    if isinstance(stack, str):
        raise UsageError(stack, hint="devenv new --list")
    return read(shipped("stacks")[stack.template], is_ours=True), here, dict(stack.answers)


def _manifests(folder: str) -> dict[str, str]:
    """Name -> text of the files that tell the language and tools of a folder; other files have an empty text."""
    texts = {}
    sources = [name for pattern in detect.SOURCES for name in sorted(glob.glob(pattern, root_dir=folder))]
    for name in (*detect.READ, *detect.COMPOSE_FILES, *detect.MODULES, "manage.py", *sources):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                texts[name] = file.read(MANIFEST_SIZE) if name in detect.READ or name in sources else ""
    return texts


def answered(template: Template, given: Mapping[str, str], target: str, ask: Ask | None) -> dict[str, str]:
    """Key -> answer, for all questions. Raises UsageError for an unknown key and for an invalid answer."""
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
