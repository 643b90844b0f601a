"""All commands of devenv: name -> module and one-line help. A module is imported when its command runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`function`: `MODULE:FUNCTION` below devenv.cli.commands; its parameters are the command's options."""

    function: str
    help: str


@dataclass(frozen=True, slots=True)
class Group:
    """Commands that share a first word; `default` runs if no second word is given."""

    help: str
    default: str | None = None


COMMANDS = {
    "new": Command("new:new", "Make a project from a template, or find out what a folder with code needs."),
    "up": Command(
        "up:up", "Bring the project up, keep it equal to the source tree, and take it down again on Ctrl-C."
    ),
    "down": Command(
        "up:down",
        "End what devenv began in this project: containers, networks, and, once they are saved, its volumes.",
    ),
    "gc": Command("up:gc", "End what dead runs left, of every project; their volumes are saved as ever."),
    "ps": Command(
        "ps:ps", "Show the project's services: state, health, addresses, age, restarts, and who made them."
    ),
    "logs": Command(
        "logs:logs",
        "Show what the services print, merged by time; after the run, what its services printed last.",
    ),
    "shell": Command("shell:shell", "Open the best shell that a running service has, or run a command in it."),
    "open": Command("open:open_", "Open the project's site in the browser, and print its addresses."),
    "completion": Command(
        "completion:completion", "Print the script that lets a shell complete commands, options, services and more."
    ),
    "layers": Command(
        "layers:layers", "Show the layers of an image, who shares them, and what would make it smaller."
    ),
    "graph": Command("graph:graph", "Show the services, what they wait for, and their networks, volumes and ports."),
    "add": Command("add:add", "Add a service to the Compose file, or watch rules to a service."),
    "remove": Command(
        "add:remove", "Take a service out of the Compose file, with what `add` put into others for it."
    ),
    "build": Command("release:build", "Build the project's images and tag them: version, latest, git revision."),
    "push": Command(
        "release:push", "Build and tag the project's images, push them, and check that the registry has them."
    ),
    "explain": Command(
        "rules:explain", "Say what a save of each path would do, by which rule, and which pattern decides."
    ),
    "config": Command("rules:config", "Show the watch rules and settings as devenv understands them."),
    "sync": Command("sync:sync", "Bring the running containers to the state of the source tree now."),
    "doctor": Command(
        "doctor:doctor", "Find what is wrong with this machine and this project, and what to type about it."
    ),
    "images list": Command(
        "images:list_", "List every image that the project needs, who needs it, and where it would come from."
    ),
    "images pull": Command(
        "images:pull", "Bring every image that the project needs to the engine, from where it can be had."
    ),
    "images save": Command(
        "images:save",
        "Write every image that the project needs into one file, for another machine or a day without a network.",
    ),
    "images load": Command(
        "images:load",
        "Check a file that `save` wrote, whole, and bring its images to the engine, under names of their own.",
    ),
    "snapshot list": Command("snapshot:list_", "List what is saved, of all projects or of these, the newest first."),
    "snapshot save": Command(
        "snapshot:save", "Save the project's volumes now; containers that use them are paused meanwhile."
    ),
    "snapshot restore": Command("snapshot:restore", "Let the next `devenv up` begin with what was saved."),
    "snapshot rm": Command("snapshot:rm", "Remove saved sets of volumes."),
    "snapshot export": Command("snapshot:export", "Write a saved set to a file, for another machine."),
    "snapshot import": Command("snapshot:import_", "Take in what `export` wrote."),
}
GROUPS = {
    "images": Group("List the images that the project needs; pull, save and load them.", default="list"),
    "snapshot": Group("Save, list and restore the content of volumes."),
}
STATUS = Command("status:status", "Say what stands here, and what can be done about it.")  # without a name


def names() -> list[str]:
    """What can be typed as a first word, in the order of the help."""
    return list(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def members(group: str) -> dict[str, Command]:
    """The commands of a group by their second word; empty if it is no group."""
    found = (name.partition(" ") for name in COMMANDS)
    return {second: COMMANDS[f"{first} {second}"] for first, _, second in found if first == group and second}
