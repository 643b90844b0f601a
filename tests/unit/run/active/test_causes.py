"""The table of causes: output of engines, shells, languages and databases, and the messages for it."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest

from devenv.explain import table
from devenv.explain.table import TableEntry
from devenv.model.project import Mount

# ruff: noqa: E501 - outputs are quoted unchanged
from devenv.run.active.causes import (
    TABLE,
    Cause,
    FailureFacts,
    Script,
    explain,
    find,
    local_variables,
    owners,
    words,
)

ENTRIES = table.load(TABLE)

MODEL = {
    "networks": {"front": {"name": "shared", "external": True}, "none": None},
    "volumes": {"data": {"name": "shared", "external": True}},
    "secrets": {
        "key": {"file": "/p/key.txt"},
        "token": {"environment": "TOKEN"},
        "far": {"name": "far", "external": True},
    },
    "services": {"web": {}, "db": {}},
    "configs": {"site": {"file": "/p/site.conf"}},
}
MOUNTS = (
    Mount("volume", "/data", "data"),
    Mount("bind", "/data/cache", "/p/cache"),
    Mount("volume", "/anonymous"),
    Mount("tmpfs", "/run/t"),
)


def refused(words: str, **more: Any) -> FailureFacts:
    """The engine or Compose refused to create or start the service with this message."""
    return facts(0, refusal=words, **more)


def ended(code: int, *lines: str, **more: Any) -> FailureFacts:
    """The service exited, and this is the end of its log."""
    return facts(code, lines=lines, **more)


def sick(check: str, *lines: str) -> FailureFacts:
    """The health check fails and printed this."""
    return facts(0, check=check, lines=lines)


def facts(code: int, **more: Any) -> FailureFacts:
    """The service `web`, of a project that has `db` too."""
    known: dict[str, Any] = {
        "platform": "linux/amd64",
        "engine_platform": "linux/amd64",
        "mounts": MOUNTS,
        "user": "node",
    }
    script = more.pop("script", None)
    known |= {"services": ("db", "web"), "owners": owners(MODEL), "find_script": lambda _: script}
    return FailureFacts("web", code, **(known | more))


OLD = "its volume holds data of another version of the database"

CASES: tuple[tuple[str, FailureFacts, str], ...] = (
    # the health check
    (
        "check without its program",
        sick(
            'OCI runtime exec failed: exec failed: unable to start container process: exec: "curl": executable file not found in $PATH: unknown'
        ),
        "it calls `curl`, which its image does not have",
    ),
    (
        "check by a shell",
        sick("/bin/sh: 1: wget: not found"),
        "it calls `wget`, which its image does not have",
    ),
    ("check too slow", sick("Health check exceeded timeout (1s)"), "it takes longer than 1s"),
    (
        "check refused",
        sick("curl: (7) Failed to connect to localhost port 80 after 0 ms: Couldn't connect to server"),
        "nothing answers at its address",
    ),
    (
        "check refused, and the log says why",
        sick("Connection refused", "Error: Cannot find module 'express'"),
        "the module `express` is not in the container",
    ),
    (
        "check of nobody",
        sick("\r  0  0curl: (6) Could not resolve host: x"),
        "it cannot find the host `x`",
    ),
    (
        "check with a bad answer",
        sick("curl: (22) The requested URL returned error: 404"),
        "it gets the HTTP status 404",
    ),
    # refusals
    (
        "platform",
        refused(
            "image with reference x was found but its platform (linux/arm64) does not match the specified platform (linux/amd64)"
        ),
        "its image is for linux/arm64, but linux/amd64 is requested",
    ),
    ("runtime", refused("unknown or invalid runtime name: nvidia"), "the engine has no runtime `nvidia`"),
    (
        "network",
        refused("network shared declared as external, but could not be found"),
        "the external network `shared` does not exist",
    ),
    ("volume", refused('external volume "shared" not found'), "the external volume `shared` does not exist"),
    (
        "secret",
        refused('invalid mount config for type "bind": bind source path does not exist: /p/key.txt'),
        "the secret `key` is the file /p/key.txt, which does not exist",
    ),
    (
        "config",
        refused('invalid mount config for type "bind": bind source path does not exist: /p/site.conf'),
        "the config `site` is the file /p/site.conf, which does not exist",
    ),
    (
        "secret of a variable",
        refused('environment variable "TOKEN" required by secret "token" is not set'),
        "the secret `token` is the variable TOKEN, which is not set",
    ),
    (
        "external secret",
        refused("unsupported external secret far"),
        "the secret `far` is external, which only Swarm supports",
    ),
    (
        "volume of one letter",
        refused("invalid mount config for type \"volume\": invalid mount path: 'v:/x' mount path must be absolute"),
        "Compose reads `v:/x` as a Windows path, because the volume's name has one letter",
    ),
    (
        "relative target",
        refused("invalid mount config for type \"bind\": invalid mount path: 'data' mount path must be absolute"),
        "the target `data` of a mount is not an absolute path",
    ),
    (
        "bind",
        refused('invalid mount config for type "bind": bind source path does not exist: /p/src'),
        "/p/src, which it mounts, does not exist",
    ),
    (
        "file on folder",
        refused(
            'error mounting "/p/conf" to rootfs at "/etc/passwd": mount src=/p/conf, dst=/etc/passwd, dstFd=/proc/thread-self/fd/8, flags=0x5000: not a directory'
        ),
        "/p/conf cannot be mounted on /etc/passwd: one is a file, the other a folder",
    ),
    (
        "mountpoint on a read-only mount",
        refused('error mounting "/p/b" to rootfs at "/app/b": mkdir /app/b: read-only file system'),
        "the mount point /app/b is not in its image and cannot be created: the file system there is read-only",
    ),
    (
        "user",
        refused("unable to find user nobody2: no matching entries in passwd file"),
        "its image has no user `nobody2`",
    ),
    (
        "group",
        refused("unable to find group staff2: no matching entries in group file"),
        "its image has no group `staff2`",
    ),
    (
        "working folder",
        refused('chdir to cwd ("/root/x") set in config.json failed: permission denied'),
        "its working folder /root/x cannot be entered",
    ),
    (
        "container name",
        refused('Conflict. The container name "/mine" is already in use by container "…"'),
        "another container has the name `mine`",
    ),
    ("image", refused("No such image: nothing:1"), "image nothing:1 not found"),
    (
        "image denied",
        refused("pull access denied for nothing, repository does not exist"),
        "image nothing not found",
    ),
    (
        "address pools",
        refused("could not find an available, non-overlapping IPv4 address pool among the defaults"),
        "the engine has no free addresses for another network",
    ),
    (
        "subnet",
        refused("failed to create network x: Pool overlaps with other one on this address space"),
        "a network of the Compose file uses addresses of another network",
    ),
    (
        "gpu",
        refused('could not select device driver "nvidia" with capabilities: [[gpu]]'),
        "the engine's machine has no device `nvidia`",
    ),
    (
        "device",
        refused('error gathering device information while adding custom device "/dev/x": no such file or directory'),
        "the engine's machine has no device `/dev/x`",
    ),
    (
        "no health check",
        refused("dependency failed to start: `db` has no healthcheck configured"),
        "others wait for `db` to be healthy, but it has no health check",
    ),
    (
        "ended before it was healthy",
        refused("dependency failed to start: `db` exited (0)"),
        "others wait for `db` to be healthy, but it has exited",
    ),
    (
        "shared network",
        refused("cannot join network of a non running container: …"),
        "the container whose network it shares is not running",
    ),
    (
        "memory limit",
        refused("Minimum memory limit allowed is 6MB"),
        "its memory limit is below 6MB, the minimum of the engine",
    ),
    (
        "registry",
        refused('Get "https://registry.test/v2/": dial tcp: lookup registry.test on 1.1.1.1:53: no such host'),
        "the registry registry.test does not answer",
    ),
    (
        "working folder of a file",
        refused("Cannot mkdir: /etc/passwd is not a directory"),
        "its working folder /etc/passwd cannot be entered",
    ),
    (
        "shared network that went away",
        refused("unable to create new parent process: namespace path: lstat /proc/17/ns/net: no such file"),
        "the container whose network it shares is not running",
    ),
    # its program
    (
        "interpreter in a shell",
        ended(127, "sh: 1: exec: /x: not found"),
        "`/x` or the interpreter in its first line is not found; that line may end with CRLF",
    ),
    ("a folder, by runc", refused('exec: "/app": is a directory'), "`/app` is not executable"),
    (
        "other platform",
        ended(255, "exec /usr/local/bin/docker-entrypoint.sh: exec format error", platform="linux/arm64"),
        "its image is for linux/arm64, but the engine runs linux/amd64",
    ),
    (
        "exec format",
        ended(255, "exec /run.sh: exec format error"),
        "`/run.sh` is neither a program for this machine nor a script that names its interpreter",
    ),
    (
        "exec format by a shell",
        ended(126, "bash: line 1: ./tool: cannot execute binary file: Exec format error"),
        "`./tool` is neither a program for this machine nor a script that names its interpreter",
    ),
    (
        "CRLF by env",
        ended(127, "/usr/bin/env: 'bash\\r': No such file or directory"),
        "a script has Windows line endings (CRLF)",
    ),
    (
        "CRLF by the kernel",
        ended(126, "bash: ./x.sh: /bin/sh^M: bad interpreter: No such file or directory"),
        "`./x.sh` has Windows line endings (CRLF)",
    ),
    ("CRLF in a line", ended(127, "/run.sh: 2: \r: not found"), "`/run.sh` has Windows line endings (CRLF)"),
    (
        "CRLF in a line of bash",
        ended(127, "/run.sh: line 2: $'\\r': command not found"),
        "`/run.sh` has Windows line endings (CRLF)",
    ),
    ("CRLF after set", ended(2, "/run.sh: 2: set: Illegal option -"), "`/run.sh` has Windows line endings (CRLF)"),
    (
        "interpreter",
        ended(255, "exec /run.sh: no such file or directory"),
        "the interpreter in the first line of `/run.sh` is not found; usually that line ends with CRLF",
    ),
    ("not executable", refused('exec: "/app/run.sh": permission denied'), "`/app/run.sh` is not executable"),
    ("a folder", refused('exec: "/app": is a directory: permission denied'), "`/app` is not executable"),
    (
        "not executable in a shell",
        ended(126, "sh: 1: /data/run.sh: Permission denied"),
        "`/data/run.sh` is not executable",
    ),
    (
        "no program",
        refused('exec: "nodemon": executable file not found in $PATH'),
        "its image has no program `nodemon`",
    ),
    (
        "no such path",
        refused('exec: "/nope": stat /nope: no such file or directory'),
        "its image has no program `/nope`",
    ),
    ("no program in a shell", ended(127, "sh: 1: vite: not found"), "its image has no program `vite`"),
    (
        "no program in bash",
        ended(127, "/entry.sh: line 3: \x1b[31mfoo\x1b[0m: command not found"),
        "its image has no program `foo`",
    ),
    (
        "no program for env",
        ended(127, "env: 'python': No such file or directory"),
        "its image has no program `python`",
    ),
    # out of a resource
    ("out of memory", ended(137, out_of_memory=True), "it ran out of memory, and was killed"),
    (
        "killed within a limit",
        ended(137, limited=True),
        "it was killed (SIGKILL); most likely it ran out of memory, as it has a limit",
    ),
    (
        "heap",
        ended(134, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
        "its program ran out of memory",
    ),
    (
        "php memory",
        ended(255, "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted"),
        "its program ran out of memory",
    ),
    (
        "watches",
        ended(1, "Error: ENOSPC: System limit for number of file watchers reached, watch '/app'"),
        "the engine's machine has no inotify watches left",
    ),
    (
        "watches of .NET",
        ended(134, "The configured user limit (128) on the number of inotify instances has been reached, or"),
        "the engine's machine has no inotify watches left",
    ),
    (
        "watches of Python",
        ended(1, "OSError: [Errno 24] inotify instance limit reached"),
        "the engine's machine has no inotify watches left",
    ),
    (
        "CRLF, seen in the file",
        refused("exec /run.sh: no such file or directory", script=Script("bin/run.sh", "#!/bin/sh\r")),
        "`bin/run.sh` has Windows line endings (CRLF)",
    ),
    (
        "a program of the first line, seen in the file",
        refused("exec /run.sh: no such file or directory", script=Script("bin/run.sh", "#!/bin/bash")),
        "`bin/run.sh` begins with `#!/bin/bash`, and its image does not have that program",
    ),
    (
        "CRLF in a script that is called, seen in the file",
        ended(127, "sh: 1: ./run.sh: not found", script=Script("run.sh", "#!/bin/sh\r")),
        "`run.sh` has Windows line endings (CRLF)",
    ),
    (
        "an option of bash in the health check",
        sick("/healthchecks/redis.sh: 2: set: Illegal option -o pipefail"),
        "its script uses `set -o pipefail`, which the `sh` of its image does not know: it can never succeed",
    ),
    (
        "an option of bash in a script",
        ended(2, "/entrypoint.sh: 2: set: Illegal option -o pipefail"),
        "its script uses `set -o pipefail`, which the `sh` of its image does not know",
    ),
    ("tmpfs", ended(1, "cp: error writing '/run/t/x': No space left on device"), "the tmpfs on /run/t is full"),
    (
        "tmpfs, no path",
        ended(1, "head: error writing 'standard output': No space left on device"),
        "no space is left, most likely in its tmpfs on /run/t",
    ),
    (
        "tmpfs, Node",
        ended(1, "Error: ENOSPC: no space left on device, write '/run/t/x'"),
        "the tmpfs on /run/t is full",
    ),
    (
        "syntax of Node",
        ended(
            1, "/app/server.js:3", "const x = ;", "          ^", "", "SyntaxError: Unexpected token ';'", "    at x"
        ),
        "/app/server.js:3: SyntaxError: Unexpected token ';'",
    ),
    (
        "syntax of Python",
        ended(
            1,
            "Traceback (most recent call last):",
            '  File "/x/runpy.py", line 1, in run',
            "    import main",
            '  File "/app/main.py", line 63',
            "    def broken(:",
            "               ^",
            "SyntaxError: invalid syntax",
        ),
        "/app/main.py:63: SyntaxError: invalid syntax",
    ),
    (
        "privileged port, Node",
        ended(1, "Error: listen EACCES: permission denied 0.0.0.0:80"),
        "its user (node) may not listen on port 80, which only root may",
    ),
    (
        "privileged port, Go",
        ended(1, "listen tcp :80: bind: permission denied"),
        "its user (node) may not listen on port 80, which only root may",
    ),
    (
        "refused, redis-py",
        ended(1, "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused."),
        "nothing in its own container answers on localhost",
    ),
    (
        "refused, asyncio",
        ended(1, "ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)"),
        "nothing in its own container answers on 127.0.0.1",
    ),
    (
        "refused, Node with two addresses",
        ended(1, "AggregateError [ECONNREFUSED]:", "    Error: connect ECONNREFUSED ::1:5432"),
        "nothing in its own container answers on ::1",
    ),
    (
        "refused, no address",
        ended(1, "ConnectionRefusedError: [Errno 111] Connection refused", local_variables=("REDIS_URL",)),
        "its connection is refused, and its variable REDIS_URL names localhost, which is the container itself",
    ),
    (
        "refused, nothing known",
        ended(1, "ConnectionRefusedError: [Errno 111] Connection refused"),
        "its connection is refused: nothing listens at that address",
    ),
    ("disk", ended(1, "cp: error writing '/data/x': No space left on device"), "no space is left on its disk"),
    # databases
    (
        "postgres",
        ended(
            1,
            "FATAL:  database files are incompatible with server",
            "DETAIL:  The data directory was initialized by PostgreSQL version 16, which is not compatible with this version 17.2 (Debian 17.2-1).",
        ),
        "its volume holds data of version 16, which version 17.2 cannot read",
    ),
    (
        "postgres 18",
        ended(1, "Counter to that, there appears to be PostgreSQL data in:", "  /var/lib/postgresql/data"),
        OLD,
    ),
    (
        "mysql",
        ended(
            1,
            "[ERROR] [MY-014060] [Server] Invalid MySQL server upgrade: Cannot upgrade from 50744 to 90001. Upgrade to next major version is only allowed from the last LTS release",
        ),
        "its volume holds data of version 5.7.44, which version 9.0.1 cannot read",
    ),
    (
        "mysql back",
        ended(
            1,
            "[ERROR] [MY-013171] [InnoDB] Cannot boot server version 80036 on data directory built by version 90001. Downgrade is not supported",
        ),
        "its volume holds data of version 9.0.1, which version 8.0.36 cannot read",
    ),
    (
        "mariadb",
        ended(1, "[ERROR] InnoDB: Unsupported redo log format. The redo log was created with MySQL 8.0.36."),
        OLD,
    ),
    ("mongo", ended(62, '"msg":"Invalid featureCompatibilityVersion document"'), OLD),
    (
        "database without a password",
        ended(
            1,
            "[ERROR] [Entrypoint]: Database is uninitialized and password option is not specified",
            "    You need to specify one of the following as an environment variable:",
            "    - MYSQL_ROOT_PASSWORD",
        ),
        "a new database needs a password",
    ),
    (
        "postgres without a password",
        ended(
            1,
            "Error: Database is uninitialized and superuser password is not specified.",
            "       You must specify POSTGRES_PASSWORD to a non-empty value for the",
        ),
        "a new database needs a password",
    ),
    (
        "stand-in without a password",
        ended(
            1,
            "set MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD or MYSQL_RANDOM_ROOT_PASSWORD: the data folder is empty",
        ),
        "a new database needs a password",
    ),
    (
        "password",
        ended(1, 'FATAL:  password authentication failed for user "app"'),
        "the database refuses the user or the password",
    ),
    (
        "password of mysql",
        ended(1, "Error: Access denied for user 'app'@'172.18.0.3' (using password: YES)"),
        "the database refuses the user or the password",
    ),
    (
        "half a database",
        ended(
            1, "[ERROR] [MY-010457] [Server] --initialize specified but the data directory has files in it. Aborting."
        ),
        "its volume holds files, but no complete database: its first start may have been interrupted",
    ),
    # something is missing
    (
        "other system",
        ended(1, "Error: /app/node_modules/x/y.node: invalid ELF header"),
        "a library of its modules was built for another system",
    ),
    (
        "shared library",
        ended(
            127,
            "x: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory",
        ),
        "a library of its modules was built for another system",
    ),
    ("own file", ended(1, "Error: Cannot find module '/app/server.js'"), "/app/server.js is not in the container"),
    (
        "own file of python",
        ended(2, "python: can't open file '/app/main.py': [Errno 2] No such file or directory"),
        "/app/main.py is not in the container",
    ),
    ("module", ended(1, "Error: Cannot find module 'express'"), "the module `express` is not in the container"),
    (
        "package",
        ended(1, "Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@a/b' imported from /app/x.js"),
        "the module `@a/b` is not in the container",
    ),
    (
        "python module",
        ended(1, "ModuleNotFoundError: No module named 'flask'"),
        "the module `flask` is not in the container",
    ),
    (
        "working folder of npm",
        ended(
            254,
            "npm error enoent Could not read package.json: Error: ENOENT: no such file or directory, open '/package.json'",
        ),
        "/package.json is not in the container",
    ),
    (
        "file of python",
        ended(1, "FileNotFoundError: [Errno 2] No such file or directory: 'settings.toml'"),
        "settings.toml is not in the container",
    ),
    ("variable", ended(1, "/entry.sh: line 3: API_KEY: unbound variable"), "the variable API_KEY is not set"),
    ("variable of dash", ended(2, "/entry.sh: 3: API_KEY: parameter not set"), "the variable API_KEY is not set"),
    ("variable of python", ended(1, "KeyError: 'API_KEY'"), "the variable API_KEY is not set"),
    (
        "variable in words",
        ended(1, "Error: Missing required environment variable: API_KEY"),
        "the variable API_KEY is not set",
    ),
    ("variable in other words", ended(1, "fatal: API_KEY is not set"), "the variable API_KEY is not set"),
    ("variable in still others", ended(1, "API_KEY must be set"), "the variable API_KEY is not set"),
    (
        "perl module",
        ended(2, "Can't locate Nope.pm in @INC (you may need to install the Nope module)"),
        "the module `Nope.pm` is not in the container",
    ),
    # missing permissions
    (
        "volume",
        ended(1, "mkdir: cannot create directory '/data/x': Permission denied"),
        "its user (node) may not write to /data/x, in the mount on /data (data)",
    ),
    (
        "bind in a volume",
        ended(1, "Error: EACCES: permission denied, open '/data/cache/x'"),
        "its user (node) may not write to /data/cache/x, in the mount on /data/cache (/p/cache)",
    ),
    (
        "volume without a name",
        ended(1, "PermissionError: [Errno 13] Permission denied: '/anonymous'", user=""),
        "its user (root) may not write to /anonymous, in the mount on /anonymous (a volume without a name)",
    ),
    (
        "bind mount by a relative path",
        ended(1, "mkdir: cannot create directory '../public/css': Permission denied\nTask completed in 0m0.005s"),
        "its user (node) may not write to ../public/css",
    ),
    (
        "an option of another version",
        ended(
            1,
            "[ERROR] [MY-000067] [Server] unknown variable 'default-authentication-plugin=mysql_native_password'.\n"
            "[ERROR] [MY-010119] [Server] Aborting",
        ),
        "its program does not know the option `default-authentication-plugin`",
    ),
    (
        "image's own file",
        ended(1, "/entry.sh: line 2: /etc/x: Permission denied"),
        "its user (node) may not use /etc/x",
    ),
    ("read-only", ended(1, "touch: cannot touch '/app/x': Read-only file system"), "/app/x is read-only"),
    ("read-only in node", ended(1, "Error: EROFS: read-only file system, open '/app/x'"), "/app/x is read-only"),
    # the network
    (
        "address in node",
        ended(1, "Error: listen EADDRINUSE: address already in use :::3000"),
        "port 3000 is already in use in its container",
    ),
    (
        "address in nginx",
        ended(1, "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)"),
        "port 80 is already in use in its container",
    ),
    ("service not found", ended(1, "Error: getaddrinfo ENOTFOUND db"), "it cannot find the service `db`"),
    (
        "service not found by postgres",
        ended(1, 'could not translate host name "db" to address: Name or service not known'),
        "it cannot find the service `db`",
    ),
    (
        "host not found",
        ended(1, "dial tcp: lookup redis on 127.0.0.11:53: no such host"),
        "it cannot find the host `redis`",
    ),
    (
        "localhost",
        ended(1, "Error: connect ECONNREFUSED 127.0.0.1:5432"),
        "nothing in its own container answers on 127.0.0.1",
    ),
    (
        "refused",
        ended(1, "Error: connect ECONNREFUSED 172.18.0.2:3306"),
        "172.18.0.2 refuses its connection: nothing listens there yet",
    ),
    (
        "refused by mysql",
        ended(1, "ERROR 2003 (HY000): Can't connect to MySQL server on 'db:3306' (111)"),
        "db refuses its connection: nothing listens there yet",
    ),
    # only the exit code
    ("killed", ended(137), "it was killed (SIGKILL)"),
    (
        "killed after an error that was fixed",
        ended(
            137, '  File "/srv/app/main.py", line 63', "SyntaxError: invalid syntax", "Application startup complete."
        ),
        "it was killed (SIGKILL)",
    ),
    ("crashed", ended(139), "its program crashed (SIGSEGV)"),
    ("127", ended(127), "a program that it calls is not in its image"),
    ("126", ended(126), "a program that it calls is not executable"),
)


@pytest.mark.parametrize(("facts", "what"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_output_gives_a_cause_and_a_hint(facts: FailureFacts, what: str) -> None:
    """The output has one cause and a hint."""
    cause = explain(facts)
    assert cause is not None
    assert cause.what == what
    assert cause.hint
    assert "{" not in re.sub(r"`environment: \{\w+: \.\.\.\}`|`depends_on: \{NAME.*?\}\}`", "", cause.hint)


def test_every_table_entry_decides_a_case() -> None:
    """Each entry of the table decides a case, so that no entry is hidden by an earlier one."""
    deciding = {explanation.entry.id for _, facts, _ in CASES if (explanation := find(facts))}
    assert [entry.id for entry in ENTRIES if entry.id not in deciding] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.id for entry in ENTRIES])
def test_messages_have_all_their_words(entry: TableEntry) -> None:
    """Whichever pattern of an entry matches, it knows every word of the texts."""
    blamed = {(section, ""): "x" for section in entry.options.get("sections", ())}
    known = {*(words(FailureFacts("web", owners=blamed), entry, {}) or {})}
    wanted = {name for text in (entry.cause, entry.hint) for _, name, _, _ in string.Formatter().parse(text) if name}
    for pattern in entry.patterns:
        assert wanted <= known | set(re.compile(pattern).groupindex), pattern


@pytest.mark.parametrize(
    "facts",
    [
        ended(3, "listening on port 3000", "GET / 200"),
        ended(1),
        sick("false"),
        refused("no memory"),
        refused("network elsewhere declared as external, but could not be facts"),
        ended(1, "sh: 1: vite: not found"),
    ],
)
def test_unknown_output_gives_no_cause(facts: FailureFacts) -> None:
    """No cause is better than a wrong cause."""
    assert explain(facts) is None


def test_cause_has_the_place_in_the_file() -> None:
    """The element that is missing on the engine, or the keys of the service; names may contain dots."""
    network = explain(refused("network shared declared as external, but could not be found"))
    secret = explain(refused('environment variable "TOKEN" required by secret "token" is not set'))
    limit = explain(FailureFacts("a.b", 137, out_of_memory=True))
    assert network == Cause(
        "the external network `shared` does not exist",
        "docker network create shared",
        (("networks", "front"),),
        exit_code=4,
    )
    assert secret is not None
    assert (secret.paths, secret.exit_code) == ((("secrets", "token"),), 5)
    assert limit is not None
    assert limit.paths == (
        ("services", "a.b", "mem_limit"),
        ("services", "a.b", "deploy", "resources", "limits", "memory"),
    )


def test_the_hint_is_a_command_with_the_names_filled_in() -> None:
    """The hint can be typed as it is."""
    denied = explain(ended(1, "mkdir: cannot create directory '/data/x': Permission denied"))
    assert denied is not None
    assert denied.hint == "Correct `user` of web; an empty volume gets the owner that /data has in the image."


def test_cause_has_its_log_line() -> None:
    """The line is shown if it is not among the last lines."""
    explanation = explain(ended(1, "line 0", "Error: Cannot find module 'x'", "    at node:internal"))
    assert explanation is not None
    assert explanation.line == 1
    assert [
        explanation.line for explanation in map(explain, (ended(137), refused("No such image: x"))) if explanation
    ] == [-1, -1]


def test_only_some_services_are_named() -> None:
    """A large project does not fill the screen."""
    explanation = explain(FailureFacts("a", 1, lines=("getaddrinfo ENOTFOUND x",), services=tuple("abcdefghij")))
    assert explanation is not None
    assert "a, b, c, d, e, f, g, h, ...;" in explanation.hint


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DATABASE_URL", "postgres://app:x@localhost:5432/app", True),
        ("REDIS_HOST", "127.0.0.1", True),
        ("API", "http://[::1]:80/", True),
        ("KAFKA", "kafka:9092,localhost:9093", True),
        ("HOST", "0.0.0.0", False),
        ("DATABASE_URL", "postgres://localhost.example/app", False),
        ("VITE_API", "http://localhost:8000", False),
        ("CORS_ORIGINS", "http://localhost:3000", False),
        ("EMPTY", None, False),
    ],
)
def test_variables_that_name_localhost(name: str, value: str | None, *, expected: bool) -> None:
    """Variables for browsers do not count, since a browser runs on the host itself."""
    assert local_variables({"services": {"web": {"environment": {name: value}}}}, "web") == (
        (name,) if expected else ()
    )


def test_the_place_of_a_variable_and_the_file_of_a_script() -> None:
    """The line of the variable is to blame; the hint can be typed."""
    explanation = explain(ended(1, "ConnectionRefusedError: [Errno 111]", local_variables=("REDIS_URL",)))
    assert explanation is not None
    assert explanation.paths[0] == ("services", "web", "environment", "REDIS_URL")
    broken = explain(refused('exec: "/run.sh": permission denied', script=Script("bin/run.sh", "#!/bin/sh")))
    assert broken is not None
    assert broken.hint.startswith("chmod +x bin/run.sh, and git update-index --chmod=+x bin/run.sh; ")
