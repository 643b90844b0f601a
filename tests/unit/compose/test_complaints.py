# ruff: noqa: E501 - what Compose says is quoted whole
"""Errors of Compose 2.26.1 and 2.40.3, and the errors that devenv makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devenv.compose import yaml12
from devenv.compose.complaints import SPECIAL, TABLE, explain, warnings
from devenv.compose.files import ComposeFile
from devenv.explain import table

FILE = """\
name: x
services:
  web:
    image: a
    build: {contxt: .}
    ports:
      - "80:80"
      - "abc:80"
    networks: [inner]
    env_file: missing.env
    environment:
      KEY: hunter2
    depends_on: [db, tools]
    develop:
      watch:
        - {path: ./a, action: sync, target: /a}
        - {path: "", action: sync}
    healthcheck: {test: [sh]}
  my.db:
    image: b:${TAG}
    mem_limit: abc
    container_name: one
    scale: 2
  tools:
    image: c
    profiles: [extra]
    extends: {file: base.yml, service: gone}
include:
  - sub/more.yml
"""


def sources(text: str = FILE) -> list[ComposeFile]:
    """One source at /p without a file on disk."""
    return [ComposeFile("/p/compose.yml", "compose.yml", "/p", text, yaml12.check(text.encode(), file="compose.yml"))]


@pytest.mark.parametrize(
    ("output", "meant"),
    [
        (
            "validating -: services.web.build Additional property contxt is not allowed",
            "compose.yml:5: unknown key `contxt` in services.web.build | Did you mean `context`?",
        ),
        (
            "validating -: services.web Additional property provider is not allowed",
            "compose.yml:3: `provider` in services.web needs Docker Compose 2.36.0 | Update Docker Desktop, or docker-compose-plugin: https://docs.docker.com/compose/install/linux/",
        ),
        (
            "validating -: services.web additional properties 'use_api_socket' not allowed",
            "compose.yml:3: `use_api_socket` in services.web needs Docker Compose 2.37.2 | Update Docker Desktop, or docker-compose-plugin: https://docs.docker.com/compose/install/linux/",
        ),
        (
            "validating -: services.web.build additional properties 'contxt' not allowed",
            "compose.yml:5: unknown key `contxt` in services.web.build | Did you mean `context`?",
        ),
        (
            "validating -: (root) Additional property netwroks is not allowed",
            "compose.yml: unknown key `netwroks` at the top level | Did you mean `networks`?",
        ),
        (
            "validating -:  additional properties 'qqq' not allowed",
            "compose.yml: unknown key `qqq` at the top level | None",
        ),
        (
            "validating /p/compose.yml: services additional properties 'a b' not allowed",
            (
                "compose.yml:2: `a b` is not a valid service name | "
                "A service name consists of letters, digits, `.`, `_` and `-`."
            ),
        ),
        (
            "validating -: services.web.ports must be a array",
            "compose.yml:6: services.web.ports must be a list | None",
        ),
        (
            "validating -: services.web.ports must be a list or a mapping",
            "compose.yml:6: services.web.ports must be a list or a mapping | None",
        ),
        (
            "validating -: services.web.develop.watch.0.action value must be one of 'rebuild', 'sync'",
            "compose.yml:16: services.web.develop.watch[0].action: `sync` is not one of rebuild, sync | None",
        ),
        (
            "validating -: services.web.develop.watch.1 action is required",
            "compose.yml:17: services.web.develop.watch[1]: the key `action` is missing | None",
        ),
        (
            "services.web.develop.watch: target is required for non-rebuild actions: invalid compose project",
            "compose.yml:17: a rule that syncs needs a `target`, the path in the container | None",
        ),
        (
            "services.web.develop.watch.[].path: value can't be blank",
            "compose.yml:17: a watch rule needs a `path` | None",
        ),
        (
            'service "web" refers to undefined network inner: invalid compose project',
            (
                "compose.yml:9: `web` uses the network `inner`, which is not defined | "
                "Define it at the top level, under `networks:`."
            ),
        ),
        (
            'service "web" depends on undefined service "db": invalid compose project',
            "compose.yml:13: `web` needs the service `db`, which does not exist | Services here: my.db, tools, web.",
        ),
        (
            'service "web" depends on undefined service tools: invalid compose project',
            "compose.yml:13: `web` needs the service `tools`, whose profile is not active | Add --profile extra.",
        ),
        (
            "dependency cycle detected: web -> tools -> web",
            "compose.yml:13: services depend on each other in a cycle: web -> tools -> web | None",
        ),
        (
            "env file /p/missing.env not found: stat /p/missing.env: no such file or directory",
            (
                "compose.yml:10: the env_file missing.env does not exist | "
                "Create it, or write `env_file: [{path: ..., required: false}]` (Compose 2.24 and later)."
            ),
        ),
        ("line 2: key cannot contain a space", "missing.env:2: key cannot contain a space | None"),
        (
            "failed to read /p/.env: line 3: unterminated quoted value 'hunter2",
            ".env:3: a quote is not closed | None",
        ),
        (
            'failed to read /p/.env: line 1: unexpected character "%" in variable name near "%=hunter2"',
            '.env:1: unexpected character "%" in variable name | None',
        ),
        (
            'failed to read /p/.env: Invalid template: "${hunter2"',
            "compose.yml: failed to read /p/.env: Invalid template: … | None",
        ),
        (
            "error while interpolating services.my.db.image: required variable TAG is missing a value: see README",
            (
                "compose.yml:20: the variable TAG has no value: see README | "
                "Set TAG in your shell or in the file .env beside the Compose file."
            ),
        ),
        (
            "failed to read /p/.env: required variable B is missing a value",
            ".env: the variable B has no value | Set B in your shell or in the file .env beside the Compose file.",
        ),
        (
            "invalid interpolation format for services.web.environment.KEY.\nYou may need to escape any $ with another $.\nhunter2${",
            (
                "compose.yml:12: services.web.environment.KEY: `$` is not followed by a variable | "
                "A variable is written ${NAME}; a plain dollar sign is written $$."
            ),
        ),
        (
            "error while interpolating services.web.healthcheck.test: failed to cast to expected type: invalid boolean: hunter2",
            "compose.yml:18: services.web.healthcheck.test has the wrong type | None",
        ),
        (
            "Invalid hostPort: abc",
            (
                "compose.yml:8: `abc:80` is not a port mapping | "
                'Write "HOST:CONTAINER", for example "8080:80"; ports are 1 to 65535, protocols tcp and udp.'
            ),
        ),
        (
            "service ports services.web.ports.[1] is missing a target port",
            "compose.yml:8: services.web.ports[1] names no container port | None",
        ),
        (
            "decoding failed due to the following error(s):\n\n'services[my.db].mem_limit' invalid size: 'abc'",
            "compose.yml:21: services.my.db.mem_limit: invalid size: 'abc' | None",
        ),
        (
            "decoding failed due to the following error(s):\n\nerror decoding 'services[my.db].mem_limit': invalid size: 'abc'",
            "compose.yml:21: services.my.db.mem_limit: invalid size: 'abc' | None",
        ),
        (
            'cannot extend service "tools" in -: service "gone" not found in base.yml',
            "compose.yml:27: `tools` extends the service `gone`, which does not exist in base.yml | None",
        ),
        (
            "open /p/sub/more.yml: no such file or directory",
            "compose.yml:29: the file sub/more.yml does not exist | None",
        ),
        (
            'service "web" has neither an image nor a build context specified: invalid compose project',
            "compose.yml:4: `web` has neither `image` nor `build` | None",
        ),
        (
            "services.scale: can't set container_name and my.db as container name must be unique: invalid compose project",
            "compose.yml:22: `my.db` has a `container_name`, so it cannot have several containers | None",
        ),
        (
            'healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"',
            "compose.yml:2: healthcheck.test must begin with CMD, CMD-SHELL or NONE, or be one line of text | None",
        ),
        (
            'invalid project name "Foo": must consist only of lowercase alphanumeric characters',
            (
                "None: `Foo` is not a valid project name | "
                "It consists of a-z, 0-9, `_` and `-` and starts with a letter or digit; see -p and `name:`."
            ),
        ),
        ("Non-string key in services: 1", "compose.yml:2: the key `1` must be text | Put it in quotes."),
        (
            "services.web.environment.[0]: unexpected type 'hunter2'",
            "compose.yml:11: services.web.environment.[0]: unexpected type … | None",
        ),
        (
            "service web declares mutually exclusive `network_mode` and `networks`: invalid compose project",
            "compose.yml:3: service web declares mutually exclusive `network_mode` and `networks` | None",
        ),
        (
            'time="2026-01-01T00:00:00Z" level=warning msg="x"\n\x1b[31mservices must be a mapping\x1b[0m\n',
            "compose.yml:2: `services` must be a mapping of names to services | None",
        ),
        ("", "compose.yml: Compose refuses the project and gives no reason | None"),
    ],
    ids=lambda value: value[:40],
)
def test_compose_error_gets_place_cause_and_hint(output: str, meant: str) -> None:
    """The message has file and line, the cause, a hint if there is a useful one, and never a value."""
    error = explain(output, sources())
    assert f"{error.where}: {error} | {error.hint}" == meant
    assert "hunter2" not in f"{error} {error.hint}"


@pytest.mark.parametrize(
    ("example", "output", "meant"),
    [
        (
            ".env.example",
            "env file {}/.env not found: stat x",
            ".env not found, .env.example exists | cp .env.example .env",
        ),
        (
            "env.example",
            "env file {}/.env not found: stat x",
            ".env not found, env.example exists | cp env.example .env",
        ),
        (
            "a.env.dist",
            "env file {}/a.env not found: stat x",
            "a.env not found, a.env.dist exists | cp a.env.dist a.env",
        ),
        (
            ".env.sample",
            "error while interpolating services.web.image: required variable TAG is missing a value",
            "the variable TAG has no value | cp .env.sample .env   (.env not found)",
        ),
    ],
)
def test_an_env_file_that_is_to_be_copied(tmp_path: Path, example: str, output: str, meant: str) -> None:
    """The hint is the command that copies it, unless the env file exists."""
    text = "services:\n  web: {image: 'a:${TAG}', env_file: [.env, a.env]}\n"
    path = str(tmp_path / "compose.yml")
    files = [ComposeFile(path, "compose.yml", str(tmp_path), text, yaml12.check(text.encode(), file="compose.yml"))]
    (tmp_path / example).write_text("")
    error = explain(output.format(tmp_path), files)
    assert (f"{error} | {error.hint}", error.line) == (meant, 2)
    for name in (".env", "a.env"):
        (tmp_path / name).write_text("")
    assert "cp " not in (explain(output.format(tmp_path), files).hint or "")


@pytest.mark.parametrize(
    ("line", "warning", "meant"),
    [
        (
            "volumes: ['${A}:/media/']",
            "invalid spec: :/media/: empty section between colons",
            "`${A}:/media/` is not a mount: the variable A is not set",
        ),
        ("volumes: [x:/x, '$A']", "invalid empty volume spec", "`$A` is not a mount: the variable A is not set"),
        (
            "ports: ['${A}:1', '${A}:${B}/udp']",
            "No port specified: :/udp<empty>",
            "`${A}:${B}/udp` is not a port mapping: the variables A, B are not set",
        ),
        (
            "read_only: ${B}",
            "error while interpolating services.web.read_only: failed to cast to expected type: invalid boolean: ",
            "services.web.read_only has the wrong type: the variable B is not set",
        ),
        (
            "image: ${A}",
            'service "web" has neither an image nor a build context specified: invalid compose project',
            "`web` has neither `image` nor `build`: the variable A is not set",
        ),
        ("volumes: [x::/y]", "invalid spec: x::/y: empty section between colons", "`x::/y` is not a mount"),
    ],
)
def test_a_variable_without_a_value_is_named(tmp_path: Path, line: str, warning: str, meant: str) -> None:
    """The message has the line that uses it, and a command that sets it if there is an example."""
    warned = r'time="2026-01-01T00:00:00Z" level=warning msg="The \"{}\" variable is not set. Defaulting to a blank string."'
    text = f"services:\n  web:\n    {line}\n  other: {{image: '$C'}}\n"
    path = str(tmp_path / "compose.yml")
    files = [ComposeFile(path, "compose.yml", str(tmp_path), text, yaml12.check(text.encode(), file="compose.yml"))]
    output = "\n".join([*(warned.format(name) for name in "ABC"), warning])
    error = explain(output, files)
    assert (error.message, error.line) == (meant, 3)
    assert ("in your shell or in the file .env" in str(error.hint)) == ("not set" in meant)
    (tmp_path / "env.example").write_text("")
    copy = "cp env.example .env   (.env not found)"
    assert (explain(output, files).hint == copy) == ("not set" in meant)


def test_unicode_line_separators_count_as_lines() -> None:
    """As in YAML: U+2028 ends a line, so the line of an error may be beyond the number of line feeds."""
    files = sources("# a\u2028# b\u2028services:\n  web: {image: 'a:$TAG', networks: [inner]}\n")
    error = explain('service "web" refers to undefined network inner: invalid compose project', files)
    assert error.line == 4
    (warning,) = warnings('time="x" level=warning msg="The \\"TAG\\" variable is not set"', files)
    assert warning.endswith("(compose.yml:4)")


def test_warnings_are_told_once_with_their_place() -> None:
    """A variable that is not set, an obsolete key; other warnings stay as they are."""
    unset = r'time="2026-01-01T00:00:00Z" level=warning msg="The \"TAG\" variable is not set. Defaulting to a blank string."'
    others = """
        time="2026-01-01T00:00:00Z" level=warning msg="-: the attribute `version` is obsolete, it will be ignored"
        time="2026-01-01T00:00:00Z" level=debug msg="no"
        time="2026-01-01T00:00:00Z" level=warning msg="something else"
    """
    assert warnings(f"{unset}\n{unset}\n{others}", sources()) == (
        "the variable TAG is not set, so its value is empty (compose.yml:20)",
        "the key `version` is obsolete, and ignored",
        "something else",
    )


def test_each_function_that_an_entry_names_exists_and_is_named() -> None:
    """The table and the code know the same functions."""
    options = [entry.options for entry in table.load(TABLE)]
    assert {option["special"] for option in options if "special" in option} == set(SPECIAL)


@pytest.mark.parametrize(
    ("refused", "meant"),
    [
        ("services.web Additional property pre_start", "`pre_start` in services.web needs Docker Compose 5.3.0"),
        (
            "services.my.db additional properties 'pre_start'",
            "`pre_start` in services.my.db needs Docker Compose 5.3.0",
        ),
        (
            "services.web.build additional properties 'no_cache_filter'",
            "`no_cache_filter` in services.web.build needs Docker Compose 5.0.0",
        ),
        (
            "services.web.networks.default Additional property interface_name",
            "`interface_name` in services.web.networks.default needs Docker Compose 2.36.0",
        ),
        (
            "services.web.volumes.0 Additional property image",
            "`image` in services.web.volumes[0] needs Docker Compose 2.35.0",
        ),
        (
            "services.web.volumes.0.volume Additional property labels",
            "`labels` in services.web.volumes[0].volume needs a newer Docker Compose",
        ),
        ("(root) Additional property models", "`models` at the top level needs Docker Compose 2.38.0"),
        (" additional properties 'jobs'", "`jobs` at the top level needs a newer Docker Compose"),
    ],
    ids=lambda value: value[:40],
)
def test_a_key_of_a_newer_compose_is_an_error_with_the_version(refused: str, meant: str) -> None:
    """In the words of both versions of Compose; the hint names the installed version and how to get a newer one."""
    negated = "is not allowed" if "property" in refused else "not allowed"
    error = explain(f"validating -: {refused} {negated}", sources(), "2.26.1-4")
    assert error.message == meant
    assert error.hint is not None
    assert error.hint.startswith(
        "Compose 2.26.1-4 is installed. Update Docker Desktop, or docker-compose-plugin: http"
    )
    assert error.file == "compose.yml"


def test_the_versions_of_keys_follow_the_schema() -> None:
    """Each is a dotted path and a version of three numbers; no key is known twice."""
    content = table.read(TABLE)
    for name, version in content["versions"].items():
        shape, _, key = name.rpartition(".")
        assert re.fullmatch(r"(?:(?:\w+|\*)\.)*\w+", name), name
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert key not in content["keys"].get(shape, "").split(), name
    assert list(content["versions"]) == sorted(content["versions"])


@pytest.mark.parametrize(
    "reason",
    [
        "services.web Additional property  is not allowed",
        "services additional properties '' not allowed",
        "(root) additional properties '' not allowed",
        "validating /p/compose.yml: services.web additional properties '' not allowed",
        'service "" has neither an image nor a build context specified: invalid compose project',
        'service "" depends on undefined service "x": invalid compose project',
        'service "web" depends on undefined service "": invalid compose project',
    ],
)
def test_an_empty_name_is_an_error_as_any_other(reason: str) -> None:
    """Compose names an empty key or service by nothing."""
    assert explain(reason, sources()).message


def _emptied(pattern: str, example: str, flags: int) -> list[str]:
    """The example with one group of the pattern emptied, as often as the pattern still matches."""
    match = re.search(pattern, example, flags)
    assert match is not None
    spans = [match.span(name) for name in match.re.groupindex if match[name]]
    texts = [example[:start] + example[end:] for start, end in spans]
    return [text for text in texts if re.search(pattern, text, flags)]


@pytest.mark.parametrize("entry", table.load(TABLE), ids=lambda entry: entry.id)
def test_each_example_becomes_an_error(entry: table.TableEntry) -> None:
    """It becomes an error also with any of its groups empty."""
    content = table.read(TABLE)
    examples = content[content[entry.id].get("like", entry.id)]["examples"]
    for pattern, example in zip(entry.patterns, examples, strict=True):
        for reason in (example, *_emptied(pattern, example, entry.flags)):
            assert explain(reason, sources()).message, reason
