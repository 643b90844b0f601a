"""The options that select the project, repeated in the commands of hints."""

from __future__ import annotations

import pytest

from devenv.ui.hints import ProjectOptions

VERBS = ("up", "down", "logs", "ps", "exec", "snapshot")
DEMO = ProjectOptions(isolated="demo", verbs=VERBS)
FILES = ProjectOptions(files=("a.yml", "my b.yml"), profiles=("debug",), verbs=VERBS)
ALL = "devenv -f a.yml -f 'my b.yml' --profile debug {}"
NAMED = ProjectOptions(project_name="shop", verbs=VERBS)


@pytest.mark.parametrize(
    ("options", "hint", "expected"),
    [
        (DEMO, "devenv down", "devenv --isolated=demo down"),
        (ProjectOptions(isolated="", verbs=VERBS), "devenv down", "devenv --isolated down"),
        (NAMED, "devenv snapshot list   (then: devenv up)",
         "devenv -p shop snapshot list   (then: devenv -p shop up)"),
        (FILES, "devenv up -d", "devenv -f a.yml -f 'my b.yml' --profile debug up -d"),
        (DEMO, "`devenv up` rebuilds it", "`devenv --isolated=demo up` rebuilds it"),
        (DEMO, "BUILDX_BUILDER=default devenv up", "BUILDX_BUILDER=default devenv --isolated=demo up"),
        (DEMO, "devenv up -d --isolated=demo --stand-ins", "devenv up -d --isolated=demo --stand-ins"),
        (FILES, "devenv up -f c.yml", "devenv --profile debug up -f c.yml"),
        (FILES, "devenv up -p x-2   (beside it), or: devenv down -p x",
         ALL.format("up -p x-2   (beside it), or: ") + ALL.format("down -p x")),
        (FILES, "devenv logs -f", ALL.format("logs -f")),
        (DEMO, "devenv up -p x-2", "devenv up -p x-2"),
        (DEMO, "devenv down shop-feature", "devenv down shop-feature"),
        (DEMO, "devenv doctor, or: devenv gc", "devenv doctor, or: devenv gc"),
        (DEMO, "no process of devenv downloads", "no process of devenv downloads"),
        (DEMO, "cat /home/devenv up", "cat /home/devenv up"),
        (ProjectOptions(verbs=VERBS), "devenv down", "devenv down"),
        (DEMO, None, None),
    ],
)  # fmt: skip
def test_a_command_of_a_hint_selects_the_same_project(
    options: ProjectOptions, hint: str | None, expected: str | None
) -> None:
    """Unless it names another project, or takes none."""
    assert options.in_hint(hint) == expected


def test_in_messages_commands_are_in_parentheses() -> None:
    """Other words are not commands to type."""
    assert DEMO.in_message("shop is not up (devenv up)") == "shop is not up (devenv --isolated=demo up)"
    assert DEMO.in_message("what devenv up prints") == "what devenv up prints"


def test_in_answers_for_json() -> None:
    """Hints and suggested commands at any depth, and messages; other values are equal."""
    answer = {"said": "x (devenv up)", "commands": ({"command": "devenv down", "n": 1},), "hint": None, "on": True}
    assert DEMO.in_answer(answer) == {
        "said": "x (devenv --isolated=demo up)",
        "commands": [{"command": "devenv --isolated=demo down", "n": 1}],
        "hint": None,
        "on": True,
    }
