"""The options and arguments of all commands, for completion, which has no time to import the commands.

Made by scripts/write-pages from the commands. `*` marks an argument that may be repeated, `|` separates choices, a
flag takes nothing. Of each command: its own options, the spellings of the shared ones, and its arguments.
"""

from __future__ import annotations

# ruff: noqa: E501 - made, not written
# fmt: off
Options = dict[str, tuple[str, str]]  # spellings -> what the option takes, its help
SHARED: Options = {
    "--file -f": ("file", "Compose file; may be repeated."),
    "--project-name -p": ("text", "Name of the project."),
    "--profile": ("profile", "Profile to enable; may be repeated."),
    "--output": ("text|json", "Text for people, or JSON events, one a line."),
    "--quiet -q": ("", "Only what matters."),
    "--verbose -v": ("", "Say what is run; twice: what the engine is asked, too."),
}
COMMANDS: dict[str, tuple[Options, str, tuple[str, ...]]] = {
    "": ({
        "--version": ("", "Print the version and leave."),
    }, "", ()),
    "new": ({
        "--list": ("", "List the templates."),
        "--from": ("file", "Somebody else's template; the argument is DIRECTORY."),
        "--data -d": ("text", "An answer; may be repeated."),
        "--defaults": ("", "Ask nothing."),
        "--dry-run": ("", "Show the tree, write nothing."),
        "--overwrite": ("", "Replace files that are there."),
    }, "--output --verbose -v", ("template", "file")),
    "up": ({
        "--detach -d": ("", "Leave it running; `down` ends it."),
        "--watcher": ("auto|inotify|watchfiles|poll", "How saves are noticed; poll where a file system tells of none."),
        "--no-watch": ("", "Do not sync saved files."),
        "--no-logs": ("", "Do not show the services' logs."),
        "--no-build": ("", "Use the images as they are."),
        "--keep": ("", "On exit, leave everything running."),
        "--keep-volumes": ("", "On exit, leave the named volumes."),
        "--fresh": ("", "Begin with empty volumes; what was saved stays."),
        "--from": ("text", "Begin with these saved volumes."),
        "--port": ("text", "Publish a port elsewhere, e.g. web:8080=80; auto: all on free ones."),
        "--lan": ("", "Publish ports to the network, not only here."),
        "--timeout": ("text", "Seconds to wait until all is healthy."),
        "--open": ("", "Open the site in the browser when it is up."),
        "--stand-ins": ("", "Where no registry answers, make stand-in images from packages."),
        "--host-settings": ("", "Give builds and containers this machine's package registries, proxies and CA."),
        "--timings": ("", "Show where the time until ready went."),
        "--scale": ("text", "How many containers a service has."),
        "--trust": ("", "Allow the project's hooks on this machine, and its privileged commands."),
        "--no-ui": ("", "Plain lines on a terminal, too."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "down": ({
        "--keep-volumes": ("", "Leave the named volumes."),
        "--volumes -v": ("", "Remove the volumes without a snapshot."),
        "--verbose": ("", "Say what is run; twice: what the engine is asked, too."),
    }, "--file -f --project-name -p --profile --output --quiet -q", ()),
    "gc": ({
        "--dry-run": ("", "Say what is left, and leave it."),
    }, "--output --quiet -q --verbose -v", ()),
    "ps": ({
        "--watch -w": ("", "Show it again whenever something changes."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service*",)),
    "logs": ({
        "--file": ("file", "Compose file; may be repeated."),
        "--follow -f": ("", "Go on with what comes, until Ctrl-C."),
        "--since": ("text", "Only since 10m, 1h30m, or a time such as 2026-01-31T12:00."),
        "--tail -n": ("text", "Only the last lines of each container."),
        "--grep": ("text", "Only lines with this in them; text in any case."),
        "--timestamps -t": ("", "Say when each line was printed."),
    }, "--project-name -p --profile --output --verbose -v", ("service*",)),
    "shell": ({
    }, "--file -f --project-name -p --profile --verbose -v", ("service*",)),
    "open": ({
        "--print": ("", "Print the addresses and open nothing."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service",)),
    "completion": ({
    }, "--verbose -v", ("bash|zsh|fish",)),
    "layers": ({
        "--files --no-files": ("", "Read the files of the layers, too; without it up to 2 GB."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service", "service")),
    "graph": ({
        "--output": ("text|mermaid|json", "A tree, a Mermaid flow chart, or JSON."),
        "--timings": ("", "Mark what the last run's ready waited for, and say how long."),
    }, "--file -f --project-name -p --profile --verbose -v", ()),
    "add": ({
        "--name": ("text", "Name of the new service."),
        "--to": ("service", "Service that is to use it, or that it stands before."),
        "--template": ("text", "Kind of a service with code of its own."),
        "--from-mounts": ("", "With `rules`: make rules of the bind mounts of folders."),
        "--dry-run": ("", "Show the diff, write nothing."),
        "--yes -y": ("", "Write without asking."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("addition", "service")),
    "remove": ({
        "--dry-run": ("", "Show the diff, write nothing."),
        "--yes -y": ("", "Write without asking."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service",)),
    "build": ({
        "--registry": ("text", "Where the images belong: names begin so."),
        "--tag -t": ("text", "In place of the version, `latest` and the git revision; may be repeated."),
        "--target": ("text", "Another stage of the Dockerfile than build.target."),
        "--no-cache": ("", "Run every step anew."),
        "--stand-ins": ("", "Where no registry answers, make stand-in images from packages."),
        "--host-settings": ("", "Give builds and containers this machine's package registries, proxies and CA."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "push": ({
        "--registry": ("text", "Where the images belong: names begin so."),
        "--tag -t": ("text", "In place of the version, `latest` and the git revision; may be repeated."),
        "--target": ("text", "Another stage of the Dockerfile than build.target."),
        "--no-cache": ("", "Run every step anew."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "explain": ({
    }, "--file -f --project-name -p --profile --output --verbose -v", ("file*",)),
    "config": ({
        "--validate": ("", "Say every mistake in the `x-devenv` and `develop` parts."),
        "--schema": ("", "Print a JSON schema of the Compose file, for editors."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "sync": ({
        "--verify": ("", "Read the containers back and print what differs."),
        "--dry-run": ("", "Print what would be done, and do nothing."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "doctor": ({
        "--fix": ("", "Mend what is safe to mend; shows it and asks first."),
        "--yes": ("", "With --fix: do not ask."),
        "--report": ("file", "Write a file to attach to an issue, without secrets."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "images list": ({
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "images pull": ({
        "--stand-ins": ("", "Where no registry answers, make stand-in images from packages."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ()),
    "images save": ({
        "--stand-ins": ("", "Where no registry answers, make stand-in images from packages."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("file",)),
    "images load": ({
    }, "--output --quiet -q --verbose -v", ("file",)),
    "snapshot list": ({
    }, "--output --verbose -v", ("text*",)),
    "snapshot save": ({
        "--name -n": ("text", "A name to find it by."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("text*",)),
    "snapshot restore": ({
        "--from": ("text", "One of another project or worktree."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("snapshot", "text*")),
    "snapshot rm": ({
    }, "--output --verbose -v", ("snapshot*",)),
    "snapshot export": ({
    }, "--output --verbose -v", ("snapshot", "file")),
    "snapshot import": ({
    }, "--output --verbose -v", ("file",)),
}
# fmt: on
