"""Names and texts of a template rendered with the answers: in a child process with little time and memory."""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from devenv.docker import process
from devenv.errors import ConfigError, RefusedError
from devenv.scaffold.new.template import MAX_BYTES, File, Template, check_paths

SECONDS = 5
MEMORY = 1024**3
SUFFIX = ".jinja"
TOO_LARGE = f"the template makes more than {MAX_BYTES // 1024**2} MB"


async def rendered(template: Template, answers: Mapping[str, str]) -> dict[str, File]:
    """Path -> file, rendered; a name that renders to nothing removes its file.

    Raises ConfigError if the template is wrong, RefusedError if it tries what a template may not.
    """
    texts = {path: file.content for path, file in template.files.items() if path.endswith(SUFFIX)}
    try:
        request = {"names": list(template.files), "texts": {path: text.decode() for path, text in texts.items()}}
    except UnicodeDecodeError:
        raise ConfigError("a file of the template that ends with .jinja is not UTF-8") from None
    answer = await _child({**request, "answers": dict(answers)})
    files = {}
    for path, parts in answer["names"].items():
        if not all(parts):
            continue
        if any("/" in part for part in parts):
            raise RefusedError(f"the template's entry {path!r} becomes a path of its own: {'/'.join(parts)!r}")
        file = template.files[path]
        content = str(answer["texts"][path]).encode() if path in texts else file.content
        files["/".join(parts)] = File(content, file.executable)
    check_paths(files)
    if sum(len(file.content) for file in files.values()) > MAX_BYTES:
        raise RefusedError(TOO_LARGE)
    return files


async def _child(request: Mapping[str, Any]) -> dict[str, Any]:
    argv = [sys.executable, "-P", "-m", "devenv.scaffold.new.render"]
    try:
        with anyio.fail_after(SECONDS):
            done = await process.run(argv, stdin=json.dumps(request).encode(), cwd="/")
    except TimeoutError:
        raise RefusedError(f"the template is not done after {SECONDS} seconds") from None
    if done.returncode:
        raise RefusedError("the template needs more time or memory than a template may have")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "refused" in answer:
        raise RefusedError(answer["refused"])
    if "wrong" in answer:
        raise ConfigError(answer["wrong"])
    return answer


def main(request: Mapping[str, Any]) -> dict[str, Any]:
    """The child's answer: names as rendered parts, texts, or why it was `refused` or is `wrong`."""
    from jinja2.exceptions import SecurityError, TemplateError, TemplateNotFound  # noqa: PLC0415 - only the child

    at = "a name"
    try:
        environment = _environment(request["texts"])
        answers, texts, left = request["answers"], {}, MAX_BYTES
        parts = {path: _parts(environment, path, answers) for path in request["names"]}
        for at in request["texts"]:
            texts[at] = environment.get_template(at).render(answers)
            left -= len(texts[at])
            if left < 0:
                return {"refused": TOO_LARGE}
    except (SecurityError, TemplateNotFound, OverflowError, MemoryError, RecursionError) as error:
        return {"refused": f"the template may not do this, in {at}: {str(error) or type(error).__name__}"}
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        line = getattr(error, "lineno", None)
        return {"wrong": f"the template cannot be rendered, in {at}{f', line {line}' if line else ''}: {error}"}
    return {"names": parts, "texts": texts}


def _environment(texts: Mapping[str, str]) -> Any:
    import jinja2.sandbox  # noqa: PLC0415 - only the child needs it

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(texts),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= FILTERS
    return environment


def _parts(environment: Any, path: str, answers: Mapping[str, str]) -> list[str]:
    parts: Sequence[str] = path.removesuffix(SUFFIX).split("/")
    return [environment.from_string(part).render(answers) if "{" in part else part for part in parts]


def compose(value: str) -> str:
    """The text as a scalar of a Compose file: YAML, in which `$` would be a variable."""
    return '"' + re.sub(r'[^ -~]|["\\$]', _escaped, value) + '"'


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\$':
        return "$$" if char == "$" else f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def as_json(value: str) -> str:
    """The text as a string of JSON; one line of text is valid in TOML, JavaScript and Python too."""
    return json.dumps(value, ensure_ascii=False)


def dotenv(value: str) -> str:
    """The text as a value in a file of variables, as Compose reads them."""
    return '"' + re.sub(r'["\\$]', r"\\\g<0>", value).replace("\n", "\\n").replace("\r", "\\r") + '"'


def markdown(value: str) -> str:
    """One line of text as Markdown that shows it."""
    return re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", value)


FILTERS = {"json": as_json, "compose": compose, "dotenv": dotenv, "markdown": markdown}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    if sys.platform == "linux":  # macOS takes this limit and does not keep it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(main(json.load(sys.stdin))))
