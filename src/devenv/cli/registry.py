"""All commands of devenv: name -> module and one-line help. A module is imported when its command runs."""

from __future__ import annotations

from dataclasses import dataclass

PROJECT = ("file", "project_name", "profile")
OUTPUT = ("output",)
DATA = (*PROJECT, *OUTPUT)  # of a command whose result is data
RUN = (*PROJECT, *OUTPUT, "quiet")  # of a command that tells what it does


@dataclass(frozen=True, slots=True)
class Command:
    """`function`: `MODULE:FUNCTION` below devenv.cli.commands; its parameters are the command's own options.

    `shared`: the options of `devenv.cli.options.SHARED` that it takes.
    """

    function: str
    help: str
    shared: tuple[str, ...] = DATA


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that share a first word; `default` runs if no second word is given."""

    help: str
    default: str | None = None


COMMANDS = {
    "new": Command("new:new", "Create a project from a template or from existing code.", OUTPUT),
    "up": Command("up:up", "Start the project, sync saved files, and clean up on Ctrl-C.", RUN),
    "down": Command("up:down", "Remove what `devenv up` created, after saving its volumes.", RUN),
    "gc": Command("up:gc", "Clean up what dead runs left, in every project.", (*OUTPUT, "quiet")),
    "ps": Command("show:ps", "List the services: state, health, addresses, age, restarts."),
    "logs": Command("logs:logs", "Show the services' logs, merged by time."),
    "shell": Command("shell:shell", "Open a shell in a service's container, or run a command there.", PROJECT),
    "open": Command("show:open_", "Open the project's website in the browser, and print its URLs."),
    "completion": Command("completion:completion", "Print the completion script for a shell.", ()),
    "layers": Command("images:layers", "Show the layers of an image, and what would make it smaller."),
    "graph": Command("show:graph", "Show the services, their dependencies, networks and volumes.", PROJECT),
    "add": Command("add:add", "Add a service or watch rules to the Compose file."),
    "remove": Command("add:remove", "Remove a service from the Compose file."),
    "build": Command("images:build", "Build and tag the project's images.", RUN),
    "push": Command("images:push", "Build, tag and push the project's images.", RUN),
    "explain": Command("rules:explain", "Show what saving a path would do, and which rule decides."),
    "config": Command("rules:config", "Show the watch rules and settings that are in effect."),
    "sync": Command("rules:sync", "Sync the source tree to the running containers once.", RUN),
    "doctor": Command("doctor:doctor", "Find problems of this machine and project, with fixes."),
    "images list": Command("images:list_", "List the images that the project needs, and their sources."),
    "images pull": Command("images:pull", "Pull every image that the project needs.", RUN),
    "images save": Command("images:save", "Save every image that the project needs to a file.", RUN),
    "images load": Command("images:load", "Load images from a file written by `images save`.", (*OUTPUT, "quiet")),
    "snapshot list": Command("snapshot:list_", "List snapshots, the newest first.", OUTPUT),
    "snapshot save": Command("snapshot:save", "Save the project's volumes now.", RUN),
    "snapshot restore": Command("snapshot:restore", "Let the next `devenv up` start with a snapshot.", RUN),
    "snapshot rm": Command("snapshot:rm", "Remove snapshots.", OUTPUT),
    "snapshot export": Command("snapshot:export", "Write a snapshot to a file, for another machine.", OUTPUT),
    "snapshot import": Command("snapshot:import_", "Import a snapshot from a file written by `export`.", OUTPUT),
}
GROUPS = {
    "images": Group("List, pull, save and load the images that the project needs.", default="list"),
    "snapshot": Group("Save, list and restore the contents of volumes."),
}
# Verbs of docker compose that go there as they are, and which of their arguments are services.
COMPOSE = {
    **dict.fromkeys(("exec", "run"), ("service", "file*")),
    **dict.fromkeys(("attach", "port"), ("service",)),
    **dict.fromkeys(("cp", "version"), ("text*",)),
    **dict.fromkeys(
        ("create", "events", "kill", "pause", "pull", "restart", "rm", "scale", "start", "stats", "stop", "top",
         "unpause", "wait"),
        ("service*",),
    ),
}  # fmt: skip
STATUS = Command("show:status", "Show the status of the project in this folder.", RUN)  # without a name


def names() -> dict[str, str]:
    """What can be typed as a first word, in the order of the help, with its help."""
    first = dict.fromkeys(name.partition(" ")[0] for name in COMMANDS)
    return {name: (GROUPS.get(name) or COMMANDS[name]).help for name in first}


def members(group: str) -> dict[str, Command]:
    """The commands of a group by their second word; empty if it is no group."""
    words = {name.partition(" "): command for name, command in COMMANDS.items()}
    return {second: command for (first, _, second), command in words.items() if first == group and second}
