"""All mistakes of a file with their places: thirty broken projects, with the output in validate.txt.

Run as a script, it writes validate.txt: read the difference before you commit it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import anyio
import pytest

from devenv.compose import validate
from devenv.compose.outline import Selection
from devenv.compose.resolve import NoServicesError
from devenv.compose.validate import in_files
from devenv.errors import ConfigError
from devenv.sync.rules.lint import faults
from devenv.ui.tables import mistakes

GOLDEN = Path(__file__).parent / "validate.txt"
WEB = "services:\n  web:\n    image: a\n    develop:\n      watch:\n"


def rule(text: str) -> str:
    """A file with one service that has the rule."""
    return f"{WEB}        - {text}\n"


def ours(text: str) -> str:
    """A file with a service, a volume and an `x-devenv` block."""
    return f"services: {{web: {{image: a}}}}\nvolumes: {{data: {{}}}}\nx-devenv:\n{text}"


Files = dict[str, str | bytes]
CASES: dict[str, Files] = {
    "nothing wrong": {
        "compose.yml": ours("  {ports: auto, keep: [data], hooks: {before_down: {service: web, command: x}}}\n")
    },
    "empty file": {"compose.yml": ""},
    "only a comment": {"compose.yml": "# nothing\n"},
    "a list": {"compose.yml": "- services\n"},
    "tab": {"compose.yml": "services:\n\tweb: {}\n"},
    "not UTF-8": {"compose.yml": b"services: {}\nx-devenv: {keep: [d\xe4ta]}\n"},
    "UTF-16": {"compose.yml": "services: {}\n".encode("utf-16")},
    "open quote": {"compose.yml": ours('  keep: ["data]\n')},
    "syntax beside a secret": {"compose.yml": "services:\n  web:\n    environment: {PASSWORD: 'hunter2', [}\n"},
    "duplicate key": {"compose.yml": ours("  ports: auto\n  ports: auto\n")},
    "unknown keys": {"compose.yml": ours("  port: auto\n  zzz: 1\n  x-mine: 1\n")},
    "wrong words": {"compose.yml": ours("  ports: lan\n  initial_sync: true\n  deletes: recreat\n")},
    "wrong types": {"compose.yml": ours("  ports: [auto]\n  keep: data\n  hooks: x\n  images: [m]\n")},
    "the block is no mapping": {"compose.yml": ours("  - ports\n")},
    "unknown names": {
        "compose.yml": ours("  keep: [dta, data]\n  hooks: {after_healthy: {service: wbe, command: x}}\n")
    },
    "hooks": {
        "compose.yml": ours(
            "  hooks:\n    before_up: {service: web, command: x}\n    after_helthy: x\n    after_healthy:\n"
            "      - ''\n      - []\n      - {command: x}\n      - {service: web, command: \"echo 'x\"}\n"
            "      - {service: web, command: x, privileged: 7, usr: root, environment: 5}\n"
        )
    },
    "credentials are starred": {"compose.yml": ours("  images: {mirrors: ['https://u:p4ss@m.test/x', m.example]}\n")},
    "environments are starred": {
        "compose.yml": ours("  hooks: {before_down: {servce: web, command: x, environment: {PASSWORD: hunter2}}}\n")
    },
    "rule keys": {"compose.yml": rule("{path: ., action: snyc, trget: /app, ignore: 5, initial_sync: perhaps}")},
    "rule without path": {"compose.yml": rule("target: /app")},
    "watch is no list": {"compose.yml": "services:\n  web:\n    develop: {watch: {path: .}, wacth: []}\n"},
    "rule is text": {"compose.yml": rule("./src")},
    "targets": {
        "compose.yml": WEB
        + "        - {action: sync, path: ./a, target: app}\n        - {action: sync, path: ./b}\n"
        + "        - {action: sync, path: ./c, target: /proc/x}\n        - {action: rebuild, path: ./d}\n"
    },
    "patterns": {"compose.yml": rule('{action: restart, path: ., ignore: ["ok", "x\\\\"], include: "[a"}')},
    "exec": {
        "compose.yml": WEB
        + "        - {action: sync+exec, path: ., target: /a}\n"
        + "        - {action: sync+exec, path: ., target: /b, exec: {comand: x}}\n"
        + "        - {action: sync+exec, path: ., target: /c, exec: {command: \"a 'b\"}}\n"
    },
    "outside": {
        "compose.yml": WEB + "        - {action: restart, path: ../x}\n        - {action: restart, path: /}\n"
    },
    "several files": {
        "compose.yml": rule("{action: sync, path: ., target: app}"),
        "compose.override.yml": "x-devenv:\n  hooks: {after_healthy: {service: db, command: x}}\n  keeps: []\n",
    },
    "one of several is broken": {"compose.yml": ours("  keep: [dta]\n  port: 1\n"), "compose.override.yml": "a: [\n"},
    "include": {
        "compose.yml": "include: [sub/c.yml]\nx-devenv: {hooks: {before_down: {service: db, command: x}}, prts: 1}\n",
        "sub/c.yml": "services:\n  db:\n    develop: {watch: [{action: restart, pth: .}]}\n",
    },
    "extends": {
        "compose.yml": "services:\n  web: {extends: {file: base.yml, service: base}}\n",
        "base.yml": WEB.replace("web", "base") + "        - {action: sync, path: ., target: app}\n",
    },
    "extends of a broken file": {
        "compose.yml": "services: {web: {extends: {file: base.yml, service: base}}}\nx-devenv: {prts: 1}\n",
        "base.yml": "services: {base: {}, base: {}}\n",
    },
    "tags": {"compose.yml": ours("  keep: !reset [x]\n  ports: !!int x\n  deletes: !override x\n")},
    "anchors and merge keys": {
        "compose.yml": "x-rule: &rule {action: snyc, path: .}\nservices:\n  a: {develop: {watch: [*rule]}}\n"
        "  b: {develop: {watch: [{<<: *rule, target: app, initial_sync: 7}]}}\n"
    },
    "CRLF and a byte order mark": {"compose.yml": b"\xef\xbb\xbfservices: {}\r\nx-devenv:\r\n  port: 1\r\n"},
    "wide characters": {"compose.yml": ours("  keep: [data, '日本', dta]\n")},
    "variables are Compose's": {
        "compose.yml": rule('{action: $A, path: "${P}", target: $T}')
        + "x-devenv: {ports: $X, keep: ['$$dta'], prts: $Y}\n"
    },
}  # fmt: skip


def told(files: Files, folder: Path) -> str:
    """The output for the project; `~` stands for its folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    errors = mistakes(in_files(Selection(str(folder)), faults))
    return "\n".join(errors).replace(os.path.dirname(folder), "~")


def section(name: str, folder: Path) -> str:
    """The mistake in the format of the golden file."""
    return f"### {name}\n{told(CASES[name], folder)}\n"


@pytest.mark.parametrize("name", CASES)
def test_every_mistake_is_told_at_its_place(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is that of validate.txt, without secrets."""
    monkeypatch.setenv("HOME", "/home/nobody")
    folder = tmp_path / "p"
    folder.mkdir()
    output = section(name, folder)
    assert f"{output}\n" in GOLDEN.read_text(encoding="utf-8")
    assert "hunter2" not in output
    assert "p4ss" not in output


def test_a_folder_without_a_project_is_one_error(tmp_path: Path) -> None:
    """The error has no line."""
    with pytest.raises(ConfigError, match="no compose file in"):
        in_files(Selection(str(tmp_path), ()), faults)


@pytest.mark.parametrize(("error", "level"), [(NoServicesError, "warning"), (ConfigError, "error")])
def test_a_project_without_active_services_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[ConfigError], level: str
) -> None:
    """`docker compose config -q` accepts it too; any other error of the resolved model is a mistake."""

    async def load(*_: object, **__: object) -> None:
        raise error("no services", file="compose.yml", line=1)

    monkeypatch.setattr(validate, "load", load)
    (tmp_path / "compose.yml").write_text("services: {}\n", encoding="utf-8")
    (mistake,) = anyio.run(validate.validate, Selection(str(tmp_path)), faults)
    assert (mistake.message, mistake.level, mistake.line) == ("no services", level, 1)


if __name__ == "__main__":
    os.environ["HOME"] = "/home/nobody"
    with tempfile.TemporaryDirectory() as above:
        sections = []
        for number, case in enumerate(CASES):
            place = Path(above, str(number), "p")
            place.mkdir(parents=True)
            sections.append(section(case, place))
    GOLDEN.write_text("\n".join(sections) + "\n", encoding="utf-8")
