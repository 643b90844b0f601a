"""Why a service failed or could not start, and what to do: a table of the common causes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from devenv.model.project import Mount

MATTERS = 500  # characters of a line
SHOWN = 8  # services
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_HERE = re.compile(r"localhost|127\.\S*|::1|0\.0\.0\.0")
_MYSQL_MAJOR = 10000  # 8.0.36 calls itself 80036
_SIGNALS = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a service that failed.

    `limited` says whether it has a memory limit: an engine loses word of what it killed for that, now and then.
    `refusal` is why the engine or Compose would not create or start it, `lines` are the last of its log, `check` is
    what its failing health check printed. Platforms are written `linux/amd64`. For `owners`, see there.
    """

    service: str
    exit_code: int = 0
    out_of_memory: bool = False
    limited: bool = False
    refusal: str = ""
    lines: tuple[str, ...] = ()
    check: str = ""
    user: str = ""
    platform: str = ""
    engine_platform: str = ""
    mounts: tuple[Mount, ...] = ()
    services: tuple[str, ...] = ()
    owners: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cause:
    """What happened, and what to do about it.

    `paths` are the places in the Compose file that may be to blame, the likeliest first; `outside`: the file may be
    right, and what it asks for is missing on the engine. `line` is the index of the log line that says it, or -1.
    """

    what: str
    hint: str
    paths: tuple[tuple[str, ...], ...] = ()
    outside: bool = False
    line: int = -1


class Row(NamedTuple):
    """One cause: the words that give it away, what they mean, what to do.

    The patterns are tried in turn on what `where` names (see `_texts`); their groups fill the texts, beside the words
    of `_words`. The row is out where one of `needs` is empty, or the exit code is not `code`. To blame are `keys` of
    the service, or the `thing` in one of the top-level `sections`.
    """

    said: tuple[str, ...]
    what: str
    hint: str
    keys: str = ""
    sections: str = ""
    needs: str = ""
    where: str = "words"
    code: int | None = None
    outside: bool = False

    def explain(self, facts: Facts) -> Cause | None:
        """The cause, where it is this one."""
        if self.code not in (None, facts.exit_code):
            return None
        text = _texts(facts)[self.where]
        for found in filter(None, (re.search(pattern, text, re.MULTILINE) for pattern in self.said)):
            words = _words(facts, {name: value for name, value in found.groupdict().items() if value})
            named = [(s, facts.owners.get((s, words["thing"]), "")) for s in self.sections.split()]
            tops = [(section, key) for section, key in named if key]
            if all(words[need] for need in self.needs.split()) and (tops or not self.sections):
                words |= {"one": tops[0][0].removesuffix("s"), "key": tops[0][1]} if tops else {}
                own = (("services", facts.service, *key.split(".")) for key in self.keys.split())
                what, hint = self.what.format_map(words), self.hint.format_map(words)
                line = text[: found.start()].count("\n") - 1 if self.where == "words" else -1
                return Cause(what, hint, (*tops, *own), self.outside, line)
        return None


def explain(facts: Facts) -> Cause | None:
    """The first cause of the table that fits; None where none does."""
    return next(filter(None, (row.explain(facts) for row in TABLE)), None)


def owners(model: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(section, name on the engine, file or variable) of what the model defines -> its key."""
    return {("services", name): name for name in model.get("services") or {}} | {
        (section, str(entry[part])): key
        for section in ("networks", "volumes", "secrets", "configs")
        for key, entry in (model.get(section) or {}).items()
        for part in ("environment", "file", "name")
        if entry and part in entry
    }


def _texts(facts: Facts) -> dict[str, str]:
    lines = (_COLOUR.sub("", line)[:MATTERS] for line in (facts.refusal, *facts.lines))
    memory = ", out of memory" if facts.out_of_memory else ", memory limit" if facts.limited else ""
    end = f"exit code {facts.exit_code}{memory}"
    return {"words": "\n".join(lines), "check": facts.check, "end": end}


def _words(facts: Facts, said: Mapping[str, str]) -> dict[str, str]:
    mount = _mount(facts.mounts, said.get("path", ""))
    host = said.get("host", "")
    return {
        "service": facts.service,
        "services": ", ".join([*facts.services[:SHOWN], *(["..."] if len(facts.services) > SHOWN else [])]),
        "user": facts.user or "root",
        "image": facts.platform,
        "engine": facts.engine_platform,
        "foreign": facts.platform if facts.engine_platform not in ("", facts.platform) else "",
        "mount": mount.target if mount else "",
        "source": (mount.source or "a volume without a name") if mount else "",
        "thing": "",
        "peer": host if host in facts.services else "",
        "self": host if _HERE.fullmatch(host) else "",
        "signal": _SIGNALS.get(facts.exit_code, ""),
        **said,
        **{name: _version(said[name]) for name in ("old", "new") if name in said},
    }


def _mount(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The innermost mount that the path lies in."""
    around = [m for m in mounts if f"{path}/".startswith(f"{m.target.rstrip('/')}/")] if path else []
    return max(around, key=lambda mount: len(mount.target), default=None)


def _version(text: str) -> str:
    number = int(text) if text.isdecimal() else 0
    if number < _MYSQL_MAJOR:
        return text
    return f"{number // _MYSQL_MAJOR}.{number // 100 % 100}.{number % 100}"


_CHMOD = "chmod +x FILE, and git update-index --chmod=+x FILE; or in the Dockerfile: COPY --chmod=755"
_FRESH = "or begin with an empty volume: devenv up --fresh"
_PATH = r"(?P<path>/[^\s'\"’:,]+)"
_NAME = r"(?P<name>[A-Z][A-Z0-9_]{2,})"
_DENIED = (
    rf"(?i)(?:^|[\s'\"‘]){_PATH}['\"’]?[^\n/]*(?:permission denied|operation not permitted|errno 13)",
    rf"(?i)(?:permission denied|operation not permitted|errno 13)[^\n/]*{_PATH}",
)
_NO_HOST = (
    r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<host>[\w.-]+)",
    r'could not translate host name "(?P<host>[^"]+)"',
    r"lookup (?P<host>[\w.-]+?)(?: on \S+)?: (?:no such host|server misbehaving|i/o timeout)",
    r"[Uu]nknown (?:\w+ )?server host '(?P<host>[^']+)'",
    r'host not found in upstream "(?P<host>[^":]+)',
    r"(?:[Cc]ould not resolve host|bad address|getaddrinfo for):? '?(?P<host>[\w.-]+)",
)
_REFUSED = (
    r"ECONNREFUSED (?P<host>[\w.:]+?):\d+",
    r'connection to server at "(?P<host>[^"]+)".* failed: Connection refused',
    r"[Cc]an't connect to (?:\w+ )*server on '(?P<host>[^':]+)",
    r"dial tcp (?P<host>[\w.-]+|\[::1\]):\d+.* connection refused",
    r"Failed to connect to (?P<host>\S+) port \d+",
)

# The first row that fits counts: what is told in definite words stands before what is told in vague ones.
TABLE = (
    # --- the health check cannot even be made
    Row(
        (r'exec: "(?P<program>[^"]+)": executable file not found', r"(?P<program>[\w./-]+): (?:command )?not found"),
        "it calls `{program}`, which its image does not have",
        "Install it in the image, or let `healthcheck.test` use what is there.",
        keys="healthcheck.test healthcheck",
        where="check",
    ),
    Row(
        (r"exceeded timeout \((?P<time>\S+)\)",),
        "it takes longer than {time}",
        "Raise `healthcheck.timeout` of {service}; if the service only begins slowly, `healthcheck.start_period`.",
        keys="healthcheck.timeout healthcheck",
        where="check",
    ),
    Row(
        (r"(?i)could not resolve host:? (?P<host>[\w.-]+)", r"bad address '(?P<host>[^']+)'"),
        "it does not find the host `{host}`",
        "In a health check the service itself is `localhost`: correct `healthcheck.test`.",
        keys="healthcheck.test healthcheck",
        where="check",
    ),
    Row(
        (r"returned error: (?P<code>[45]\d\d)", r"HTTP/\S+ (?P<code>[45]\d\d)", r"ERROR (?P<code>[45]\d\d):"),
        "it gets the answer {code}",
        "Correct the address in `healthcheck.test`, or the program that answers there.",
        keys="healthcheck.test healthcheck",
        where="check",
    ),
    # --- what the engine refuses
    Row(
        (r"platform \((?P<image>\S+?)\) does not match the specified platform \((?P<engine>\S+?)\)",),
        "its image is for {image}, and {engine} is asked for",
        "Take an image for {engine}, or correct `platform` of {service}.",
        keys="platform image",
    ),
    Row(
        (r"network (?P<thing>\S+) (?:declared as external, but could not be found|not found)",),
        "the external network `{thing}` does not exist",
        "docker network create {thing}",
        sections="networks",
        outside=True,
    ),
    Row(
        (r'(?:external )?volume "?(?P<thing>[^\s"]+)"? not found',),
        "the external volume `{thing}` does not exist",
        "docker volume create {thing}",
        sections="volumes",
        outside=True,
    ),
    Row(
        (r"bind source path does not exist: (?P<thing>.+)",),
        "the {one} `{key}` is the file {thing}, which does not exist",
        "Write it, or correct the {one} in the compose file.",
        sections="secrets configs",
    ),
    Row(
        (r'environment variable "(?P<thing>[^"]+)" required by',),
        "the {one} `{key}` is the variable {thing}, which is not set",
        "Set {thing} in your shell or in the file .env beside the compose file.",
        sections="secrets configs",
    ),
    Row(
        (r"invalid mount path: '(?P<letter>[A-Za-z]):(?P<target>/[^']*)'",),
        "Compose takes `{letter}:{target}` for a path of Windows: the volume's name has one letter",
        "Give it a longer name, or use the long form: type: volume, source: {letter}, target: {target}",
        keys="volumes",
    ),
    Row(
        (r"bind source path does not exist: (?P<source>.+)",),
        "{source}, which it mounts, does not exist",
        "Make it, or correct `volumes` of {service}.",
        keys="volumes",
    ),
    Row(
        (r"unsupported external (?:secret|config) \"?(?P<thing>[^\s\"]+)",),
        "the {one} `{key}` is external, which only Swarm knows",
        "Let it come from a `file` or from the `environment`.",
        sections="secrets configs",
    ),
    Row(
        (r'error mounting "(?P<source>[^"]*)" to rootfs at "(?P<target>[^"]*)".*(?:not a directory|vs\.? file)',),
        "{source} does not fit on {target}: one is a file, the other a folder",
        "Correct `volumes` of {service}. Where a file was missing, Docker made a folder of its name: remove it.",
        keys="volumes",
    ),
    Row(
        (r'(?:error mounting|mounts? denied).* at "(?P<target>[^"]*)".*read-only file system',),
        "there is no {target} in its image to mount on, and none can be made: what it lies in is read-only",
        "Make it in the image or in the mounted folder, or mount it elsewhere.",
        keys="volumes",
    ),
    Row(
        (r"unable to find (?P<one>user|group) (?P<name>[^\s:]+)",),
        "its image knows no {one} `{name}`",
        "Correct `user` of {service}, or make the {one} in the Dockerfile.",
        keys="user",
    ),
    Row(
        (r'chdir to cwd \("(?P<folder>[^"]+)"\)', r"Cannot mkdir: (?P<folder>\S+) is not a directory"),
        "its working folder {folder} cannot be entered",
        "Correct `working_dir` of {service}: a folder, which its user may enter.",
        keys="working_dir",
    ),
    Row(
        (r'[Nn]ame "/?(?P<name>[^"]+)" is already in use',),
        "another container is called `{name}`",
        "Remove or rename that one (docker rename {name} OTHER), or take `container_name` from {service}.",
        keys="container_name",
        outside=True,
    ),
    Row(
        (r"[Nn]o such image: (?P<name>\S+)", r"pull access denied for (?P<name>[^\s,]+)"),
        "its image {name} is not there",
        "`devenv build` makes what is built here; `devenv images` shows which others are needed and which are there.",
        keys="image",
        outside=True,
    ),
    Row(
        (r"non-overlapping IPv4 address pool", r"predefined address pools have been fully subnetted"),
        "the engine has no room for another network",
        "docker network ls shows them, docker network prune removes those that nothing uses.",
        outside=True,
    ),
    Row(
        (r"Pool overlaps with other one on this address space",),
        "a network of the file wants addresses that another network has",
        "Choose another `ipam.config.subnet`, or remove the network that has it: docker network ls",
    ),
    Row(
        (r'could not select device driver "(?P<name>[^"]*)"', r'custom device "(?P<name>[^"]+)"'),
        "the engine's machine has no device `{name}`",
        "Take it from {service} (`devices`, `deploy.resources.reservations`), or install its driver.",
        keys="devices deploy.resources.reservations.devices",
    ),
    Row(
        (r"`(?P<thing>\S+)` has no healthcheck configured",),
        "others wait for `{thing}` to be healthy, and it has no health check",
        "Give {thing} a `healthcheck`, or wait with `condition: service_started`.",
        sections="services",
    ),
    Row(
        (r"dependency failed to start: `(?P<thing>\S+)` exited \(0\)",),
        "others wait for `{thing}` to be healthy, and it has ended",
        "Wait with `condition: service_completed_successfully`, or correct `command` of {thing}.",
        sections="services",
    ),
    Row(
        (r"[Mm]inimum memory limit allowed is (?P<size>\w+)",),
        "its memory limit is below {size}, the least that the engine takes",
        "Raise `mem_limit` of {service}.",
        keys="mem_limit deploy.resources.limits.memory",
    ),
    Row(
        (r'Get "https?://(?P<name>[^/"]+)/v\d/',),
        "the registry {name} does not answer",
        "`devenv images` shows which images are needed, which are there, and for which platform one is missing.",
        keys="platform image",
        outside=True,
    ),
    Row(
        (r"cannot join network (?:namespace )?of", r"non[- ]running container", r"namespace path: lstat"),
        "the container whose network it shares does not run",
        "Correct `network_mode` of {service}, and let `depends_on` name the service that it shares.",
        keys="network_mode",
    ),
    # --- its program cannot be run
    Row(
        (r"(?i)exec format error",),
        "its image is for {image}, and the engine runs {engine}",
        "Pull or build it for {engine} (`platform: {engine}`), or install an emulator on the engine's machine: "
        "qemu-user-static.",
        keys="platform image build",
        needs="foreign",
    ),
    Row(
        (
            r'exec:? "?(?P<program>[^\s":]+)"?: exec format error',
            r"(?P<program>[^\s:]+): (?:cannot execute binary file: )?(?i:exec format error)",
        ),
        "`{program}` is neither a program for this machine nor a script that names its interpreter",
        "A script begins with `#!/bin/sh`, the first two characters of the file; a program is built for {engine}.",
    ),
    Row(
        (
            r"env: (?:can't execute )?['\"‘]?(?P<program>[\w./-]+)(?:\\r|\r|\^M)",
            r"(?P<program>[\w./-]+)(?:\\r|\r|\^M): bad interpreter",
            r"(?P<program>)(?:\\r|\r)'?: (?:command )?not found",
            r"Illegal option -\s*$",
            r"exec: \"(?P<program>[^\"]*)(?:\\r|\r)\"",
        ),
        "a script has the line ends of Windows (CRLF)",
        "Save it with LF: sed -i 's/\\r$//' FILE. With `*.sh text eol=lf` in .gitattributes, git leaves it so.",
    ),
    Row(
        (r"^exec (?P<program>/\S+): no such file or directory",),
        "the interpreter that the first line of `{program}` names is not there; most often that line ends with CRLF",
        "Save it with LF (sed -i 's/\\r$//' FILE; `*.sh text eol=lf` in .gitattributes), or install the interpreter.",
    ),
    Row(
        (r"sh: (?:(?:line )?\d+: )?(?:exec: )?(?P<program>[.]*/[\w./@-]+): (?:not found|No such file)",),
        "`{program}` is not there, or its first line names an interpreter that is not: it may end with CRLF",
        "If the file is there, save it with LF (sed -i 's/\\r$//' FILE), or install the interpreter.",
        code=127,
    ),
    Row(
        (
            r'exec: "(?P<program>[^"]+)": (?:is a directory: )?permission denied',
            r'exec: "(?P<program>[^"]+)": is a directory',
            r"^exec (?P<program>/\S+): permission denied",
        ),
        "`{program}` is not executable",
        _CHMOD,
        keys="entrypoint command",
    ),
    Row(
        (r"sh: (?:(?:line )?\d+: )?(?P<program>[\w./@-]+): Permission denied",),
        "`{program}` is not executable",
        _CHMOD,
        code=126,
    ),
    Row(
        (r'exec: "(?P<program>[^"]+)": (?:executable file not found|stat [^:]*: no such file|no such file)',),
        "its image has no program `{program}`",
        "Correct `command` or `entrypoint` of {service}, or install it in the image.",
        keys="entrypoint command",
    ),
    Row(
        (
            r"sh: (?:(?:line )?\d+: )?(?:exec: )?(?P<program>[\w./@-]+): (?:command )?not found",
            r"env: ['\"‘]?(?P<program>[\w./-]+)['\"’]?: No such file or directory",
        ),
        "its image has no program `{program}`",
        "Install it in the image, or correct `command` of {service}; a mount may hide the folder that it is in.",
        keys="command",
        code=127,
    ),
    # --- what it runs out of
    Row(
        (r"out of memory",),
        "it ran out of memory, and was killed",
        "Raise the memory limit of {service} (`mem_limit`); where it has none, the engine's machine is too small.",
        keys="mem_limit deploy.resources.limits.memory",
        where="end",
    ),
    Row(
        (
            r"heap out of memory|java\.lang\.OutOfMemoryError|^MemoryError|std::bad_alloc|[Cc]annot allocate memory",
            r"Allowed memory size of",
        ),
        "its program ran out of memory",
        "Raise `mem_limit` of {service}, or the program's own limit (Node: NODE_OPTIONS=--max-old-space-size=MB).",
        keys="mem_limit deploy.resources.limits.memory",
    ),
    Row(
        (
            r"number of file watchers reached|inotify_(?:init|add_watch)",
            r"inotify (?:watch(?:es)?|instances?) (?:limit|has been reached)",
        ),
        "the engine's machine has no inotify watches left",
        "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
    ),
    Row(
        (r"(?i)no space left on device|ENOSPC|database or disk is full",),
        "no room is left on its disk",
        "docker system df shows what takes the engine's; a volume or a tmpfs may have a limit of its own.",
        outside=True,
    ),
    # --- databases
    Row(
        (
            r"initialized by PostgreSQL version (?P<old>[\d.]+), .* this version (?P<new>\d+(?:\.\d+)*)",
            r"Cannot (?:upgrade|downgrade) from (?P<old>\d+) to (?P<new>\d+)",
            r"Cannot boot server version (?P<new>\d+) on data directory built by version (?P<old>\d+)",
        ),
        "its volume holds data of version {old}, which version {new} does not read",
        f"Go back to the image of that version and dump the data there, {_FRESH}",
        keys="image",
    ),
    Row(
        (
            r"database files are incompatible with server|appears to be PostgreSQL data in",
            r"Unsupported redo log format|redo log was created with|Invalid My[A-Za-z]+ server (?:up|down)grade",
            r"Upgrade (?:after a crash )?is not supported|[Ii]nvalid featureCompatibilityVersion",
        ),
        "its volume holds data of another version of the database",
        f"Go back to the image of that version and dump the data there, {_FRESH}",
        keys="image",
    ),
    Row(
        (r"data directory has files in it|directory \"[^\"]+\" exists but is not empty",),
        "its volume holds files, but no whole database: a first start may have been cut off",
        "Begin with an empty volume: devenv up --fresh",
        keys="volumes",
    ),
    Row(
        (
            r"Database is uninitialized and (?:.*\n)*?.*(?P<name>(?:MYSQL|MARIADB)_ROOT_PASSWORD|POSTGRES_PASSWORD)",
            r"set (?P<name>MYSQL_ROOT_PASSWORD), .*the data folder is empty",
        ),
        "a new database needs a password",
        "Give {service} one: `environment: {{{name}: ...}}`",
        keys="environment",
    ),
    Row(
        (r"password authentication failed for user|Access denied for user|Authentication failed",),
        "the database refuses the user or the password",
        f"A database keeps the passwords of its first start: use those, {_FRESH}",
        keys="environment",
    ),
    # --- what is not in the container
    Row(
        (
            r"invalid ELF header|compiled against a different Node\.js|version `GLIBC_[\d.]+' not found",
            r"Error loading shared library|cannot open shared object file",
        ),
        "a library of its modules was built for another system",
        "Keep the host's modules out: name their folder in `.dockerignore` and under `ignore` of the watch rule.",
    ),
    Row(
        (
            r"Cannot find module '(?P<path>/[^']+)'",
            r"can't open file '(?P<path>[^']+)'",
            r"open input file: (?P<path>.+)",
        ),
        "{path} is not in the container",
        "Correct `command` or `working_dir` of {service}; a mount may hide what its image has there.",
        keys="command working_dir",
    ),
    Row(
        (
            r"Cannot find (?:module|package) '(?P<name>[^./'][^']*)'",
            r"No module named '?(?P<name>[\w.]+)",
            r"cannot load such file -- (?P<name>[\w/-]+)",
            r"Can't locate (?P<name>\S+) in @INC",
        ),
        "the module `{name}` is not in the container",
        "Let the image install it (devenv up builds it anew); a volume over the modules hides those of the image.",
    ),
    Row(
        (
            r"ENOENT: no such file or directory, \w+ '(?P<path>[^']+)'",
            r"No such file or directory: '(?P<path>[^']+)'",
        ),
        "{path} is not in the container",
        "Correct `working_dir` or `command` of {service}; a mount or `.dockerignore` may leave it out.",
        keys="working_dir",
    ),
    Row(
        (
            rf"{_NAME}: (?:unbound variable|parameter (?:null or )?not set)",
            rf"KeyError: '{_NAME}'",
            rf"(?i:environment variables?|env vars?):? [`'\"]?{_NAME}",
            rf"{_NAME}[`'\"]? (?i:(?:environment variable )?(?:is|was) (?:not set|not defined|missing|required))",
            rf"{_NAME}[`'\"]? (?i:must be (?:set|defined|provided))",
        ),
        "the variable {name} is not set",
        "Give it to {service}: `environment: {{{name}: ...}}`, or in a file that `env_file` names.",
        keys="environment env_file",
    ),
    # --- what it may not do
    Row(
        _DENIED,
        "its user ({user}) may not write to {path}, in the mount on {mount} ({source})",
        "Correct `user` of {service}; a volume that begins empty takes the owner that {mount} has in the image.",
        keys="volumes",
        needs="mount",
    ),
    Row(
        _DENIED,
        "its user ({user}) may not use {path}",
        "Give it to that user in the Dockerfile (COPY --chown={user}, RUN chown), or correct `user` of {service}.",
        keys="user",
    ),
    Row(
        (rf"(?i){_PATH}[^\n]*read-only file system", rf"(?i)(?:read-only file system|EROFS)[^\n/]*{_PATH}"),
        "{path} is read-only",
        "Take `read_only` or `:ro` from {service}, or give it a `tmpfs` or a volume there.",
        keys="read_only volumes",
    ),
    # --- the network
    Row(
        (
            r"EADDRINUSE[^\n]*?:(?P<port>\d+)",
            r"(?i):(?P<port>\d+)[^\n]*address (?:already )?in use",
            r"(?i)address (?:already )?in use[^\n]*?port (?P<port>\d+)",
        ),
        "something in its container has port {port} already",
        "Let only one program listen there. With `network_mode: host` it is one of the machine's: ss -ltnp",
    ),
    Row(
        _NO_HOST,
        "it does not find the service `{host}`",
        "Start it first (`depends_on: [{host}]`), and put both on one network (`networks`).",
        keys="networks depends_on",
        needs="peer",
    ),
    Row(
        _NO_HOST,
        "it does not find the host `{host}`",
        "The services here are {services}; a host outside needs a network that is not `internal`.",
    ),
    Row(
        _REFUSED,
        "nothing in its own container answers on {host}",
        "In a container, {host} is the container itself: use the name of the service instead ({services}).",
        keys="environment",
        needs="self",
    ),
    Row(
        _REFUSED,
        "{host} refuses its connection: nothing listens there yet",
        "Wait for it: `depends_on: {{NAME: {{condition: service_healthy}}}}`, and give it a `healthcheck`.",
        keys="depends_on",
    ),
    # --- only how it ended
    Row(
        (r"(?i)connection refused|failed to connect|couldn't connect",),
        "nothing answers where it asks",
        "Correct the port in `healthcheck.test`; or raise `healthcheck.start_period` where it begins slowly.",
        keys="healthcheck.test healthcheck",
        where="check",
    ),
    Row(
        (r"exit code 137, memory limit",),
        "it was killed (SIGKILL); most likely it ran out of memory, as it has a limit",
        "Raise the memory limit of {service} (`mem_limit`), unless somebody killed it.",
        keys="mem_limit deploy.resources.limits.memory",
        where="end",
    ),
    Row(
        (r"exit code 137\b",),
        "it was killed (SIGKILL)",
        "Somebody killed it, or the engine's machine ran out of memory: docker stats",
        where="end",
    ),
    Row(
        (r"exit code (?:132|134|135|136|139)\b",),
        "its program crashed ({signal})",
        "A program for another processor crashes so as well: docker image inspect says what the image is for.",
        where="end",
    ),
    Row(
        (r"exit code 127\b",),
        "a program that it calls is not in its image",
        "Install it in the image, or correct `command` or `entrypoint` of {service}.",
        keys="entrypoint command",
        where="end",
    ),
    Row(
        (r"exit code 126\b",),
        "a program that it calls is not executable",
        _CHMOD,
        keys="entrypoint command",
        where="end",
    ),
)
