"""The module and one-line help of all commands by name. A module is imported when its command runs."""

from __future__ import annotations

from devenv.lazy_dataclass import dataclass

PROJECT = ("file", "project_name", "isolated", "profile", "on")
OUTPUT = ("output",)
DATA = (*PROJECT, *OUTPUT)  # shared options of commands that print data
RUN = (*PROJECT, *OUTPUT, "quiet")  # shared options of commands that print their progress


@dataclass(frozen=True, slots=True)
class Command:
    """`function`: `MODULE:FUNCTION` below devenv.cli.commands; its parameters are the command's own options.

    `shared`: the options of `devenv.cli.options.SHARED` that the command takes.
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
    "up": Command("up:up", "Start the project, sync files, clean up on Ctrl-C.", RUN),
    "down": Command("up:down", "Remove what `up` created; volumes are saved first.", RUN),
    "attach": Command("attach:attach", "Show the project that runs in the background.", RUN),
    "sync": Command("up:sync", "Sync the source tree to the running containers once.", RUN),
    "settle": Command("settle:settle", "Wait until every save is in effect and services work."),
    "gc": Command("up:gc", "Clean up what dead runs and removed folders left.", (*OUTPUT, "quiet", "on")),
    "ps": Command("show:ps", "List services: state, health, addresses, restarts."),
    "ls": Command("up:ls", "List all runs of this machine, with folder and state.", (*OUTPUT, "on")),
    "logs": Command("containers:logs", "Show the services' logs, merged by time."),
    "shell": Command("containers:shell", "Open a shell or run a command in a container.", PROJECT),
    "page": Command("page:page", "Show the run in the browser: services, timeline, log."),
    "open": Command("show:open_", "Open the website in the browser and print its URLs."),
    "graph": Command("show:graph", "Show services, dependencies, networks and volumes.", PROJECT),
    "explain": Command("show:explain", "Show what saving a path does, and which rule decides."),
    "config": Command("show:config", "Show the watch rules and settings that are in effect."),
    "new": Command("scaffold:new", "Create a project from a template or from existing code.", OUTPUT),
    "add": Command("scaffold:add", "Add a service or watch rules to the Compose file."),
    "remove": Command("scaffold:remove", "Remove a service from the Compose file."),
    "agent init": Command("scaffold:agent_init", "Write a skill file for coding agents.", OUTPUT),
    "snapshot list": Command("snapshot:list_", "List snapshots, the newest first.", OUTPUT),
    "snapshot save": Command("snapshot:save", "Save the project's volumes now.", RUN),
    "snapshot restore": Command("snapshot:restore", "Restore a snapshot, also while the project runs.", RUN),
    "snapshot rm": Command("snapshot:rm", "Remove snapshots.", OUTPUT),
    "snapshot export": Command("snapshot:export", "Write a snapshot to a file, for another machine.", OUTPUT),
    "snapshot import": Command("snapshot:import_", "Import a snapshot from a file written by `export`.", OUTPUT),
    "images list": Command("images:list_", "List the images that the project needs, with sources."),
    "images pull": Command("images:pull", "Pull every image that the project needs.", RUN),
    "images save": Command("images:save", "Save every image that the project needs to a file.", RUN),
    "images load": Command(
        "images:load", "Load images from a file written by `images save`.", (*OUTPUT, "quiet", "on")
    ),
    "build": Command("images:build", "Build and tag the project's images.", RUN),
    "push": Command("images:push", "Build, tag and push the project's images.", RUN),
    "layers": Command("images:layers", "Show an image's layers, and what would shrink it."),
    "doctor": Command("doctor:doctor", "Find problems of this machine and project, with fixes."),
    "completion": Command("completion:completion", "Print the completion script for a shell.", ()),
    "version": Command("show:version", "Print the versions of devenv and Docker Compose.", OUTPUT),
}
GROUPS = {
    "snapshot": Group("Save, list and restore the contents of volumes."),
    "agent": Group("Help coding agents to work with the project."),
    "images": Group("List, pull, save and load the project's images.", default="list"),
}
# The first command of each section of `devenv --help`; the sections follow the order of the commands.
SECTIONS = {
    "up": "Start and stop", "ps": "Look inside", "new": "Create and edit", "snapshot": "Data", "images": "Images",
    "doctor": "This machine",
}  # fmt: skip
ALIASES = {"status": "ps"}
OTHER_NAMES = (*ALIASES, "init", "watch")  # `init` depends on the folder, and `watch` is an error with a hint
# Verbs that are passed to docker compose, with the kinds of their arguments.
COMPOSE = {
    **dict.fromkeys(("exec", "run"), ("service", "file*")),
    **dict.fromkeys(("attach", "port"), ("service",)),
    **dict.fromkeys(("cp",), ("text*",)),
    **dict.fromkeys(
        ("create", "events", "kill", "pause", "pull", "restart", "rm", "scale", "start", "stats", "stop", "top",
         "unpause", "wait"),
        ("service*",),
    ),
}  # fmt: skip
STATUS = Command("show:status", "Show the status of the project in this folder.", RUN)  # without a command


def names() -> dict[str, str]:
    """The first words of all commands, in the order of the overview, with their help."""
    first = dict.fromkeys(name.partition(" ")[0] for name in COMMANDS)
    return {name: (GROUPS.get(name) or COMMANDS[name]).help for name in first}


def members(group: str) -> dict[str, Command]:
    """The commands of a group by their second word; empty for a word that is not a group."""
    words = {name.partition(" "): command for name, command in COMMANDS.items()}
    return {second: command for (first, _, second), command in words.items() if first == group and second}
