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
    "--project-name -p": ("text", "Project name."),
    "--profile": ("profile", "Profile to enable; may be repeated."),
    "--output": ("text|json", "Print text, or one JSON object per line."),
    "--quiet -q": ("", "Print results and problems only."),
    "--verbose -v": ("", "Show the commands that are run; twice: the engine's API calls too."),
}
COMMANDS: dict[str, tuple[Options, str, tuple[str, ...]]] = {
    "": ({
        "--version": ("", "Print the version and exit."),
    }, "", ()),
    "up": ({
        "--detach -d": ("", "Leave the project running; `devenv down` stops it."),
        "--watcher": ("auto|inotify|watchfiles|poll", "How changes are noticed; poll if the file system reports none."),
        "--no-watch": ("", "Do not sync saved files."),
        "--no-logs": ("", "Do not show the services' logs."),
        "--no-build": ("", "Do not build images."),
        "--keep": ("", "Leave everything running on exit."),
        "--keep-volumes": ("", "Keep the named volumes on exit."),
        "--fresh": ("", "Start with empty volumes; snapshots are kept."),
        "--from": ("text", "Start with the volumes of this snapshot."),
        "--port": ("text", "Publish a port elsewhere, e.g. web:8080=80; auto: all on free ports."),
        "--lan": ("", "Publish ports to the network, not only to this machine."),
        "--timeout": ("text", "Seconds to wait until all services are healthy."),
        "--open": ("", "Open the website in the browser once the project is up."),
        "--stand-ins": ("", "If no registry answers, build stand-in images from packages."),
        "--host-settings": ("", "Pass this machine's package registries, proxies and CA to builds and containers."),
        "--timings": ("", "Show how long each part of the start took."),
        "--scale": ("text", "Number of containers of a service."),
        "--trust": ("", "Allow the project's hooks on this machine and its privileged commands."),
        "--no-ui": ("", "Print plain lines instead of the live view."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "down": ({
        "--keep-volumes": ("", "Keep the named volumes."),
        "--volumes -v": ("", "Remove the volumes without saving them."),
        "--verbose": ("", "Show the commands that are run; twice: the engine's API calls too."),
    }, "--file -f --project-name -p --profile --output --quiet -q", ()),
    "sync": ({
        "--verify": ("", "Compare the containers with the source tree and print differences."),
        "--dry-run": ("", "Print what would be done and do nothing."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "gc": ({
        "--dry-run": ("", "Print what would be removed and remove nothing."),
    }, "--output --quiet -q --verbose -v", ()),
    "ps": ({
        "--watch -w": ("", "Show the list again at each change."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service*",)),
    "logs": ({
        "--follow -f": ("", "Follow the logs until Ctrl-C."),
        "--since": ("text", "Only lines since 10m, 1h30m, or a time such as 2026-01-31T12:00."),
        "--tail -n": ("text", "Only the last N lines of each container."),
        "--grep": ("text", "Only lines that match; plain text in any case."),
        "--level": ("text", "Only errors (with their tracebacks), or warnings too."),
        "--timestamps -t": ("", "Show the time of each line."),
        "--file": ("file", "Compose file; may be repeated."),
    }, "--project-name -p --profile --output --verbose -v", ("service*",)),
    "shell": ({
    }, "--file -f --project-name -p --profile --verbose -v", ("service*",)),
    "open": ({
        "--print": ("", "Print the URLs only."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service",)),
    "graph": ({
        "--output": ("text|mermaid|json", "Print a tree, a Mermaid flow chart, or JSON."),
        "--timings": ("", "Mark what the last start waited for, with times."),
    }, "--file -f --project-name -p --profile --verbose -v", ()),
    "explain": ({
    }, "--file -f --project-name -p --profile --output --verbose -v", ("file*",)),
    "config": ({
        "--validate": ("", "Report all mistakes in `x-devenv` and `develop`."),
        "--schema": ("", "Print a JSON schema of the Compose file, for editors."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "new": ({
        "--list": ("", "List the templates."),
        "--from": ("file", "A template elsewhere; the only argument is DIRECTORY then."),
        "--data -d": ("text", "An answer to a question of the template; may be repeated."),
        "--defaults": ("", "Take the default answers."),
        "--dry-run": ("", "Show the tree and write nothing."),
        "--overwrite": ("", "Replace existing files."),
    }, "--output --verbose -v", ("template", "file")),
    "add": ({
        "--name": ("text", "Name of the new service."),
        "--to": ("service", "Service that uses the new one, or that a proxy forwards to."),
        "--template": ("text", "Template of a service with its own code."),
        "--from-mounts": ("", "With `rules`: turn bind mounts of folders into rules."),
        "--dry-run": ("", "Show the diff and write nothing."),
        "--yes -y": ("", "Write the files without asking."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("addition", "service")),
    "remove": ({
        "--dry-run": ("", "Show the diff and write nothing."),
        "--yes -y": ("", "Write the files without asking."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service",)),
    "snapshot list": ({
    }, "--output --verbose -v", ("text*",)),
    "snapshot save": ({
        "--name -n": ("text", "Name of the snapshot."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("text*",)),
    "snapshot restore": ({
        "--from": ("text", "A snapshot of another project or worktree."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("snapshot", "text*")),
    "snapshot rm": ({
    }, "--output --verbose -v", ("snapshot*",)),
    "snapshot export": ({
    }, "--output --verbose -v", ("snapshot", "file")),
    "snapshot import": ({
    }, "--output --verbose -v", ("file",)),
    "images list": ({
        "--list": ("", "List the stand-ins that can be made, for any project."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "images pull": ({
        "--stand-ins": ("", "If no registry answers, build stand-in images from packages."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ()),
    "images save": ({
        "--stand-ins": ("", "If no registry answers, build stand-in images from packages."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("file",)),
    "images load": ({
    }, "--output --quiet -q --verbose -v", ("file",)),
    "build": ({
        "--registry": ("text", "Registry, the prefix of the image names."),
        "--tag -t": ("text", "Tag to use instead of version, `latest` and git revision; may be repeated."),
        "--target": ("text", "Stage to build instead of build.target."),
        "--no-cache": ("", "Do not use the build cache."),
        "--stand-ins": ("", "If no registry answers, build stand-in images from packages."),
        "--host-settings": ("", "Pass this machine's package registries, proxies and CA to builds and containers."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "push": ({
        "--registry": ("text", "Registry, the prefix of the image names."),
        "--tag -t": ("text", "Tag to use instead of version, `latest` and git revision; may be repeated."),
        "--target": ("text", "Stage to build instead of build.target."),
        "--no-cache": ("", "Do not use the build cache."),
    }, "--file -f --project-name -p --profile --output --quiet -q --verbose -v", ("service*",)),
    "layers": ({
        "--files --no-files": ("", "Read the files in the layers; by default for images up to 2 GB."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ("service", "service")),
    "doctor": ({
        "--fix": ("", "Fix what is safe to fix; shows the changes and asks first."),
        "--yes": ("", "With --fix: do not ask."),
        "--report": ("file", "Write a report for an issue, without secrets."),
        "--mirror": ("text", "Test and rank mirrors of registries; may be repeated. --fix: use them."),
    }, "--file -f --project-name -p --profile --output --verbose -v", ()),
    "completion": ({
    }, "--verbose -v", ("bash|zsh|fish",)),
    "version": ({
    }, "--output --verbose -v", ()),
}
# fmt: on
