"""The stand-in images behave like the images that they replace."""

from __future__ import annotations

import gzip
import re
import secrets
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.events import Emit, Event
from devenv.images import acquire
from devenv.images.failures import read_failure
from devenv.images.standins import build as standins
from devenv.images.standins.recipes import find
from devenv.model.project import Build, Project, Service
from support.docker_cli import DockerError, docker, execute, inspect, succeeds, until

pytestmark = pytest.mark.engine

WANTED = (
    "node:22",
    "mysql:9",
    "caddy:2",
    "phpmyadmin:5",
    "redis:8",
    "nginx:1",
    "postgres:17",
    "python:3.13-slim",
    "memcached:1",
)
LONG = pytest.mark.long
Start = Callable[..., str]
T = TypeVar("T")


@pytest.fixture(scope="module")
def images(engine: str) -> dict[str, str]:
    """The stand-ins, built if they are missing."""
    return make(WANTED)


@pytest.fixture
def start(engine: str) -> Iterator[Start]:
    """Starts a container: `start(image, *arguments, options=[...]) -> name`; removed with its volumes."""
    names: list[str] = []

    def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
        names.append(f"dvt-stand-in-{secrets.token_hex(4)}")
        docker("run", "--detach", "--name", names[-1], *options, image, *arguments)
        return names[-1]

    yield run
    for name in names:
        docker("rm", "--force", "--volumes", name)


def test_labels_describe_the_content(images: dict[str, str]) -> None:
    """Labels have original, content and version; there is no public name."""
    for reference, image in images.items():
        details = inspect(image)
        labels = details["Config"]["Labels"]
        assert labels["devenv.stand-in"] == reference
        assert re.search(r"\d+\.\d+.* Debian", labels["devenv.stand-in.inside"]), labels
        assert all(tag.startswith("stand-in.devenv/") for tag in details["RepoTags"])


def test_current_stand_in_is_not_built_again(images: dict[str, str]) -> None:
    """A stand-in of the current recipe is not changed, and the command ends at once."""
    events: list[Event] = []
    before = {image: inspect(image)["Id"] for image in images.values()}
    assert make(WANTED, events.append) == images
    assert events == []
    assert {image: inspect(image)["Id"] for image in images.values()} == before


def test_node_runs_flags_scripts_and_commands(images: dict[str, str]) -> None:
    """Unknown words go to node, and npm exists."""
    run = partial(docker, "run", "--rm", "--network=none")
    node = images["node:22"]
    assert run(node, "--version").startswith("v22.")
    assert run(node, "-e", "console.log(process.arch.length > 2)") == "true"
    assert run("--entrypoint=sh", node, "-c", "echo 'console.log(6*7)' >/a.js && docker-entrypoint.sh /a.js") == "42"
    assert run("--workdir=/tmp", node, "sh", "-c", "echo 'console.log(1)' >app && docker-entrypoint.sh app") == "1"
    assert re.fullmatch(r"10\.\d+\.\d+", run(node, "npm", "--version"))
    assert run(node, "npx", "--version").startswith("10.")
    assert run(node, "yarn", "--version").startswith("1.22.")
    assert run(node, "sh", "-c", "corepack enable && readlink /usr/local/bin/pnpm").endswith("corepack/dist/pnpm.js")
    assert run("--user=node", node, "sh", "-c", "id -u && cd && pwd && touch ~/x") == "1000\n/home/node"


def test_hosts_cas_are_trusted_in_stand_ins(images: dict[str, str]) -> None:
    """Every certificate that the host trusts is in the bundle that the image's tools read."""
    ours = certificates(standins.host_authorities().decode())
    assert ours
    for image in images.values():
        text = docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", 'cat "$SSL_CERT_FILE"')
        assert ours <= certificates(text)


def test_caddy_serves_files_with_its_caddyfile(images: dict[str, str], start: Start) -> None:
    """A default Caddyfile, a given one in its place, and files below /srv are used."""
    command = "caddy run --config /etc/caddy/Caddyfile --adapter caddyfile"
    name = start(
        images["caddy:2"],
        "sh",
        "-c",
        f"printf ':80\nroot * /srv\nfile_server\n' >/etc/caddy/Caddyfile && pwd >where && exec {command}",
        options=("--publish=127.0.0.1::80",),
    )
    assert until(partial(fetched, name, "/where")) == "/srv\n"
    welcome = start(images["caddy:2"], options=("--publish=127.0.0.1::80",))
    assert "caddy" in until(partial(fetched, welcome, "/")).lower()
    assert execute(welcome, "sh", "-c", 'echo "$XDG_DATA_HOME" && ls -d /data /config') == "/data\n/config\n/data"


def test_mysql_first_start_runs_init_scripts(images: dict[str, str], start: Start, tmp_path: Path) -> None:
    """Users, a database and every kind of init script are done before the first TCP connection."""
    scripts = tmp_path / "init scripts"
    scripts.mkdir()
    tmp_path.chmod(0o755)
    (scripts / "1.sql").write_text("CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1);\n")
    (scripts / "2.sql.gz").write_bytes(gzip.compress(b"DELIMITER //\nINSERT INTO t VALUES (2)//\n"))
    (scripts / "3.sh").write_text('mysql -uroot -p"$MYSQL_ROOT_PASSWORD" my_db -e "INSERT INTO t VALUES (3)"\n')
    (tmp_path / "password").write_text("it's \\a secret`\n")
    (tmp_path / "password").chmod(0o600)
    name = start(
        images["mysql:9"],
        options=(
            "--env=MYSQL_ROOT_PASSWORD_FILE=/run/password",
            "--env=MYSQL_DATABASE=my_db",
            "--env=MYSQL_USER=o'hara",
            "--env=MYSQL_PASSWORD=pass'word",
            f"--volume={scripts}:/docker-entrypoint-initdb.d:ro",
            f"--volume={tmp_path}/password:/run/password:ro",
        ),
    )
    user = partial(query, name, "o'hara", "pass'word")
    assert until(partial(user, "SELECT GROUP_CONCAT(n ORDER BY n) FROM my_db.t"), timeout=60) == "1,2,3"
    assert user("SELECT CONVERT_TZ('2026-01-01', 'UTC', 'Europe/Berlin')") == "2026-01-01 01:00:00"
    assert user("CREATE DATABASE other") is None
    assert query(name, "root", "it's \\a secret`", "SELECT CURRENT_USER()") == "root@%"
    assert query(name, "root", "wrong", "SELECT 1") is None
    assert execute(name, "sh", "-c", "ps -o user= -p 1 2>/dev/null || stat -c %U /proc/1") == "mysql"
    began = time.monotonic()
    docker("restart", "--time=60", name)
    assert time.monotonic() - began < 40, "it did not end when it was asked to"
    assert until(partial(user, "SELECT COUNT(*) FROM my_db.t")) == "3"
    docker("stop", name)
    assert inspect(name)["State"]["ExitCode"] == 0


def test_mysql_is_silent_until_its_first_start_is_done(images: dict[str, str], start: Start, tmp_path: Path) -> None:
    """No port or public socket exists before all scripts ran; a killed first start is repeated, then completes."""
    tmp_path.chmod(0o755)
    (tmp_path / "wait.sh").write_text("until [ -e /run/go-on ]; do sleep 0.1; done\n")
    (tmp_path / "z.sql").write_text("CREATE DATABASE late;\n")
    name = start(
        images["mysql:9"],
        options=("--env=MYSQL_ALLOW_EMPTY_PASSWORD=yes", f"--volume={tmp_path}:/docker-entrypoint-initdb.d:ro"),
    )
    hidden = ("exec", name, "mysqladmin", "--socket=/run/mysqld/first-start.sock", "ping")
    until(lambda: "running /docker-entrypoint-initdb.d/wait.sh" in docker("logs", name), timeout=60)
    assert succeeds(*hidden)
    assert not succeeds("exec", name, "mysqladmin", "ping")
    assert not succeeds("exec", name, "bash", "-c", "</dev/tcp/127.0.0.1/3306")
    docker("kill", name)
    docker("start", name)
    until(lambda: succeeds(*hidden), timeout=60)
    execute(name, "touch", "/run/go-on")
    assert until(partial(query, name, "root", "", "SHOW DATABASES LIKE 'late'")) == "late"
    assert execute(name, "sh", "-c", "ls -A /var/lib/mysql | grep -c first-start || true") == "0"


def test_mysql_accepts_flags_and_random_passwords(images: dict[str, str], start: Start) -> None:
    """Flags that change the files on disk work, too; a random password is printed."""
    name = start(
        images["mysql:9"],
        "--character-set-server=latin1",
        "--innodb-page-size=8k",
        options=("--env=MYSQL_RANDOM_ROOT_PASSWORD=1",),
    )
    match = until(lambda: re.search(r"GENERATED ROOT PASSWORD: (\S+)", docker("logs", name)))
    assert match
    asked = "SELECT CONCAT(@@character_set_server, ' ', @@innodb_page_size)"
    assert until(partial(query, name, "root", match[1], asked), timeout=60) == "latin1 8192"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ((), "set MYSQL_ROOT_PASSWORD"),
        (("MYSQL_ROOT_PASSWORD=a", "MYSQL_ROOT_PASSWORD_FILE=/x"), "are both set"),
        (("MYSQL_ROOT_PASSWORD=a", "MYSQL_USER=root"), "MYSQL_USER is root"),
        (("MYSQL_ROOT_PASSWORD=a", "MYSQL_USER=u"), "MYSQL_PASSWORD is not"),
    ],
)
def test_mysql_requires_a_password(images: dict[str, str], variables: tuple[str, ...], complaint: str) -> None:
    """Without a password there is no server, and the log says what to set."""
    with pytest.raises(DockerError, match=complaint):
        docker("run", "--rm", *(f"--env={variable}" for variable in variables), images["mysql:9"])


def test_phpmyadmin_shows_a_database(images: dict[str, str], start: Start) -> None:
    """With PMA_HOST, a user and a password, the first page is the server's, logged in."""
    database = start(
        images["mysql:9"], options=("--env=MYSQL_ROOT_PASSWORD=secret", "--env=MYSQL_DATABASE=seen_here")
    )
    until(partial(query, database, "root", "secret", "SELECT 1"), timeout=60)
    options = ("--publish=127.0.0.1::80", f"--link={database}:store")
    asking = start(images["phpmyadmin:5"], options=(*options, "--env=PMA_HOST=store"))
    assert 'name="pma_username"' in until(partial(fetched, asking, "/"))
    inside = start(
        images["phpmyadmin:5"],
        options=(*options, "--env=PMA_HOST=store", "--env=PMA_USER=root", "--env=PMA_PASSWORD=secret"),
    )
    assert "seen_here" in until(partial(fetched, inside, "/index.php?route=/server/databases"))


def test_interrupted_build_leaves_nothing(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build cancelled during the installation of packages leaves no image, no files, no process."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    succeeds("image", "rm", "stand-in.devenv/debian:forky-slim")
    recipe = find("debian:forky-slim")
    assert recipe is not None

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            def watch(event: Event) -> None:
                if "extracting" in str(event):
                    tasks.cancel_scope.cancel()

            tasks.start_soon(with_engine, partial(standins.make, recipes=[recipe], emit=watch))

    anyio.run(main)
    assert list(tmp_path.iterdir()) == []
    assert docker("images", "-q", "--filter=reference=stand-in.devenv/debian:forky-slim*") == ""
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout == b""


def test_stand_in_replaces_a_base_image(images: dict[str, str], tmp_path: Path) -> None:
    """A Dockerfile with an unreachable public base is built."""
    (tmp_path / "Dockerfile").write_text("FROM unreachable.invalid/node:22\nRUN node --version >/version\n")
    name = f"dvt-built-{secrets.token_hex(4)}"
    context = f"--build-context=unreachable.invalid/node:22=docker-image://{images['node:22']}"
    try:
        docker("build", "--tag", name, context, str(tmp_path))
        assert docker("run", "--rm", name, "cat", "/version").startswith("v22.")
    finally:
        succeeds("image", "rm", name)


def test_engines_error_for_a_silent_registry_is_recognized(engine: str) -> None:
    """An unreachable registry is recognized in the text of this engine."""
    for reference, cause in {
        "127.0.0.1:9/no/where:1": "connection refused",
        "registry.invalid/no/where:1": "its name is not found (DNS)",
    }.items():
        with pytest.raises(CallError) as raised:
            anyio.run(with_engine, partial(pull, reference=reference))
        failure = read_failure(raised.value.reason, reference)
        assert (failure.impossible, failure.cause) == (True, cause), raised.value.reason


def test_images_on_the_engine_need_no_registry(images: dict[str, str], tmp_path: Path) -> None:
    """Images are found by tag or full name."""
    (tmp_path / "Dockerfile").write_text(f"FROM {images['node:22']}\n")
    services = (Service("a", build=Build(str(tmp_path))), Service("b", image=images["caddy:2"]))
    project = Project("p", str(tmp_path), (), services)
    provided = anyio.run(
        with_engine, partial(acquire.acquire_images, project=project, mirrors=(), stand_ins=False, emit=ignore)
    )
    assert provided == acquire.AcquiredImages()


@pytest.mark.long
def test_mariadb_replaces_mysql(engine: str, start: Start) -> None:
    """If MySQL is not available, MariaDB behaves the same and names itself."""
    recipe = find("mysql:lts")
    assert recipe is not None
    fallback = replace(recipe, roots=recipe.roots[1:])
    anyio.run(with_engine, partial(standins.make, recipes=[fallback], emit=ignore))
    try:
        assert inspect(fallback.image)["Config"]["Labels"]["devenv.stand-in.inside"].startswith("MariaDB")
        variables = ("ROOT_PASSWORD=a'b", "DATABASE=my_db", "USER=u", "PASSWORD=p")
        name = start(fallback.image, options=tuple(f"--env=MYSQL_{variable}" for variable in variables))
        asked = "CREATE TABLE IF NOT EXISTS my_db.t (n INT); SELECT CURRENT_USER()"
        assert until(partial(query, name, "u", "p", asked), timeout=60) == "u@%"
        assert query(name, "root", "a'b", "SELECT CURRENT_USER()") == "root@%"
        docker("restart", name)
        assert until(partial(query, name, "u", "p", "SELECT COUNT(*) FROM my_db.t")) == "0"
    finally:
        succeeds("image", "rm", "--force", fallback.image)


@pytest.mark.parametrize(
    ("reference", "client"),
    [
        ("redis:8", "redis-cli"),
        pytest.param("redis:7", "redis-cli", marks=pytest.mark.long),
        *(pytest.param(f"valkey/valkey:{n}", "valkey-cli", marks=pytest.mark.long) for n in (8, 9)),
    ],
)
def test_redis_and_valkey_accept_connections_and_keep_data(
    start: Start, tmp_path: Path, reference: str, client: str
) -> None:
    """No password is required unless one is set; flags or a file configure the servers."""
    image = made(reference)
    name = start(image)
    assert until(partial(tried, name, client, "ping")) == "PONG"
    assert docker("run", "--rm", f"--link={name}:store", image, client, "-h", "store", "set", "a", "1") == "OK"
    assert execute(name, "sh", "-c", "stat -c %u /proc/1 && pwd") == "999\n/data"
    assert execute(name, client, "save") == "OK"
    docker("restart", name)
    assert until(partial(tried, name, client, "get", "a")) == "1"
    locked = start(image, "--requirepass", "x")
    assert "NOAUTH" in until(partial(tried, locked, client, "ping"))
    assert execute(locked, client, "--no-auth-warning", "-a", "x", "ping") == "PONG"
    (tmp_path / "my.conf").write_text("port 7000\nprotected-mode yes\n")
    tmp_path.chmod(0o755)
    server = client.replace("cli", "server")
    filed = start(image, server, "/etc/my.conf", options=(f"--volume={tmp_path}/my.conf:/etc/my.conf:ro",))
    assert until(partial(tried, filed, client, "-p", "7000", "config", "get", "protected-mode")).split()[1] == "yes"


def test_memcached_accepts_flags(start: Start) -> None:
    """The server does not run as root and answers on its port."""
    name = start(made("memcached:1"), "-m", "33")
    ask = "exec 3<>/dev/tcp/127.0.0.1/11211 && echo 'stats settings' >&3 && head -n 1 <&3 && stat -c %u /proc/1"
    answer = until(partial(tried, name, "bash", "-c", ask))
    assert answer.split() == ["STAT", "maxbytes", str(33 * 1024 * 1024), "11211"]


def test_nginx_keeps_the_official_layout(start: Start, tmp_path: Path) -> None:
    """Templates are filled in, scripts run before the server, the log is the container's, SIGQUIT ends it cleanly."""
    image = made("nginx:1")
    tmp_path.chmod(0o755)
    for folder in ("templates/deep", "scripts", "html"):
        (tmp_path / folder).mkdir(parents=True)
    answer = 'location /x { return 200 "$uri ${WORD} $arg_none"; }'
    site = f"server {{ listen 80; location / {{ root /usr/share/nginx/html; }} {answer} }}"
    (tmp_path / "templates/default.conf.template").write_text(site)
    (tmp_path / "html/index.html").write_text("mine")
    (tmp_path / "scripts/50-mine.sh").write_text("#!/bin/sh\necho ran >/tmp/ran\n")
    (tmp_path / "scripts/50-mine.sh").chmod(0o755)
    mounts = {
        "templates": "/etc/nginx/templates",
        "scripts/50-mine.sh": "/docker-entrypoint.d/50-mine.sh",
        "html": "/usr/share/nginx/html",
    }
    volumes = [f"--volume={tmp_path / ours}:{theirs}:ro" for ours, theirs in mounts.items()]
    name = start(image, options=("--publish=127.0.0.1::80", "--env=WORD=hello", *volumes))
    assert until(partial(fetched, name, "/")) == "mine"
    assert fetched(name, "/x?none=1") == "/x hello 1"
    assert execute(name, "cat", "/tmp/ran") == "ran"
    assert "GET /x?none=1" in docker("logs", name)
    assert "101" in execute(name, "sh", "-c", "stat -c %u /proc/[0-9]*").split()
    docker("stop", name)
    assert inspect(name)["State"]["ExitCode"] == 0
    unprivileged = ("--user=nginx", "--read-only", "--tmpfs=/var/cache/nginx:uid=101", "--tmpfs=/run:uid=101")
    plain = start(image, options=("--publish=127.0.0.1::80", *unprivileged))
    assert "Welcome to nginx!" in until(partial(fetched, plain, "/"))


@pytest.mark.parametrize("reference", ["postgres:17", *(pytest.param(f"postgres:{n}", marks=LONG) for n in (15, 18))])
def test_postgres_first_start_runs_init_scripts(start: Start, tmp_path: Path, reference: str) -> None:
    """Role, database and every kind of init script are done before the first TCP connection."""
    scripts = tmp_path / "init scripts"
    scripts.mkdir()
    tmp_path.chmod(0o755)
    (scripts / "1.sql").write_text("CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1);\n")
    (scripts / "2.sql.gz").write_bytes(gzip.compress(b"INSERT INTO t VALUES (2);\n"))
    (scripts / "more").write_text("INSERT INTO t VALUES (3);\n")
    script = 'psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -f "${0%/*}/more"\n'
    (scripts / "3.sh").write_text(script)
    (scripts / "3.sh").chmod(0o755)
    (tmp_path / "password").write_text("it's \\a secret`\n")
    (tmp_path / "password").chmod(0o600)
    name = start(
        made(reference),
        "-c",
        "max_connections=17",
        options=(
            "--env=POSTGRES_PASSWORD_FILE=/run/password",
            "--env=POSTGRES_USER=o-hara",
            "--env=POSTGRES_DB=my-db",
            "--env=POSTGRES_INITDB_ARGS=--data-checksums --lc-messages='C'",
            f"--volume={scripts}:/docker-entrypoint-initdb.d:ro",
            f"--volume={tmp_path}/password:/run/password:ro",
        ),
    )
    ask = partial(psql, name, "o-hara", "it's \\a secret`", "my-db")
    assert until(partial(ask, "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), timeout=60) == "1,2,3"
    assert execute(name, "pg_isready") == "/var/run/postgresql:5432 - accepting connections"
    assert ask("SHOW max_connections") == "17"
    assert ask("SHOW data_checksums") == "on"
    assert psql(name, "o-hara", "wrong", "my-db", "SELECT 1") is None
    owners = execute(name, "sh", "-c", 'stat -c "%u %a" /proc/1 "$PGDATA"; psql --version').split()
    assert owners[:4] == ["999", "555", "999", "700"]
    docker("restart", name)
    assert until(partial(ask, "SELECT COUNT(*) FROM t")) == "3"
    docker("stop", name)
    assert inspect(name)["State"]["ExitCode"] == 0


def test_postgres_is_silent_until_its_first_start_is_done(start: Start, tmp_path: Path) -> None:
    """No port or public socket exists before all scripts ran; a killed first start is repeated, then completes."""
    tmp_path.chmod(0o755)
    (tmp_path / "wait.sh").write_text("until [ -e /tmp/go-on ]; do sleep 0.1; done\n")
    (tmp_path / "z.sql").write_text("CREATE DATABASE late;\n")
    trusting = "--env=POSTGRES_HOST_AUTH_METHOD=trust"
    name = start(made("postgres:17"), options=(trusting, f"--volume={tmp_path}:/docker-entrypoint-initdb.d:ro"))
    waiting = "running /docker-entrypoint-initdb.d/wait.sh"
    until(lambda: waiting in docker("logs", name), timeout=60)
    assert not succeeds("exec", name, "pg_isready")
    assert not succeeds("exec", name, "bash", "-c", "</dev/tcp/127.0.0.1/5432")
    docker("kill", name)
    docker("start", name)
    until(lambda: docker("logs", name).count(waiting) > 1, timeout=60)
    execute(name, "touch", "/tmp/go-on")
    asked = "SELECT datname FROM pg_database WHERE datname = 'late'"
    assert until(partial(psql, name, "postgres", "", "postgres", asked)) == "late"
    assert not succeeds("exec", name, "sh", "-c", 'test -e "$PGDATA/.first-start"')


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ((), "superuser password is not specified"),
        (("POSTGRES_PASSWORD=a", "POSTGRES_PASSWORD_FILE=/x"), "are both set"),
    ],
)
def test_postgres_requires_a_password(variables: tuple[str, ...], complaint: str) -> None:
    """Without a password there is no server, and the log says what to set."""
    image = made("postgres:17")
    with pytest.raises(DockerError, match=complaint):
        docker("run", "--rm", *(f"--env={variable}" for variable in variables), image)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("python:3.13-slim", "3.13"),
        *(
            pytest.param(f"python:{version}{more}", version, marks=LONG)
            for version in ("3.11", "3.14")
            for more in ("", "-slim")
        ),
    ],
)
def test_python_has_the_official_layout(tmp_path: Path, reference: str, version: str) -> None:
    """Packages go to /usr/local, pip and venvs work; a C extension is built if gcc exists."""
    wheel(tmp_path / "dvt_x-1-py3-none-any.whl")
    run = partial(docker, "run", "--rm", "--network=none", f"--volume={tmp_path}:/w:ro", made(reference), "sh", "-ec")
    lines = run('python -c "import platform as p; print(p.python_version())"; echo "$PYTHON_VERSION"').split()
    assert lines[0] == lines[1]
    assert lines[0].startswith(version)
    pip = "pip install --quiet --no-index --root-user-action=ignore /w/*.whl"
    site = f"/lib/python{version}/site-packages/dvt_x.py"
    assert run(f"{pip}; python -c 'import dvt_x; print(dvt_x.__file__)'; which pip python3 dvt-x; dvt-x").split() == [
        f"/usr/local{site}", "/usr/local/bin/pip", "/usr/local/bin/python3", "/usr/local/bin/dvt-x", "ran",
    ]  # fmt: skip
    assert run(f"{pip} --user; ~/.local/bin/dvt-x") == "ran"
    assert run(f"{pip} --prefix=/install; ls /install{site}") == f"/install{site}"
    assert run(f"python -m venv /v; . /v/bin/activate; {pip}; command -v dvt-x; dvt-x").split() == [
        "/v/bin/dvt-x",
        "ran",
    ]
    if "slim" not in reference:
        code = "#include <Python.h>\nint main(void) { return Py_IsInitialized(); }"
        where = "$(python -c 'import sysconfig; print(sysconfig.get_path(\"include\"))')"
        assert not run(f"echo '{code}' >/a.c; gcc /a.c -o /a -I{where} -lpython{version}; /a")
        assert run("git --version; pg_config --version; mysql_config --version")


@pytest.mark.long
@pytest.mark.parametrize("reference", ["golang:1.24", "golang:1.19", "golang:1.26", "golang:1"])
def test_go_has_the_official_layout(reference: str) -> None:
    """Go is in /usr/local/go, with a writable /go; it builds C, too, and downloads no other Go."""
    run = partial(docker, "run", "--rm", "--network=none")
    image = made(reference)
    lines = run(
        image, "sh", "-c", "pwd; which go; go env GOPATH GOTOOLCHAIN; echo $GOLANG_VERSION; go version; git -v"
    )
    folder, which, home, chain, version, *more = lines.split("\n")
    assert (folder, which, home) == ("/go", "/usr/local/go/bin/go", "/go")
    assert chain == ("" if reference == "golang:1.19" else "local")
    assert f"go{version} " in more[0]
    assert version.startswith(reference.partition(":")[2])
    code = 'package main\n// int six(void) { return 6; }\nimport "C"\nfunc main() { println(C.six() * 7) }'
    build = f"mkdir ~ && cd && echo '{code}' >a.go && go mod init a && go build -o /go/bin/a . && a 2>&1"
    assert run("--user=1000", "--env=HOME=/tmp/home", image, "sh", "-c", build).endswith("42")


@pytest.mark.long
@pytest.mark.parametrize(
    "reference", ["rabbitmq:4-management", "rabbitmq:3-management", "rabbitmq:4", "rabbitmq:4.3"]
)
def test_rabbitmq_uses_its_variables_and_keeps_messages(start: Start, reference: str) -> None:
    """User, password and virtual host are set; the log is the container's."""
    image = made(reference)
    variables = ("USER=u", "PASS=p'w", "VHOST=v")
    name = start(image, options=tuple(f"--env=RABBITMQ_DEFAULT_{variable}" for variable in variables))
    until(partial(tried, name, "rabbitmq-diagnostics", "-q", "ping"), timeout=60)
    until(lambda: "Server startup complete" in docker("logs", name), timeout=60)
    assert execute(name, "rabbitmqctl", "-q", "list_vhosts").split() == ["name", "v"]
    assert succeeds("exec", name, "rabbitmqctl", "-q", "authenticate_user", "u", "p'w")
    assert execute(name, "sh", "-c", "stat -c %u /proc/1 && echo $HOME") == "999\n/var/lib/rabbitmq"
    asked = ("curl", "--silent", "--user", "u:p'w", "http://127.0.0.1:15672/api/vhosts")
    assert ('"name":"v"' in (tried(name, *asked) or "")) == ("management" in reference)
    execute(name, "rabbitmqctl", "-q", "add_vhost", "more")
    docker("restart", name)
    until(partial(tried, name, "rabbitmq-diagnostics", "-q", "check_running"), timeout=60)
    assert set(execute(name, "rabbitmqctl", "-q", "list_vhosts").split()) == {"name", "v", "more"}
    with pytest.raises(DockerError, match="RABBITMQ_DEFAULT_PASS_FILE is set but deprecated"):
        docker("run", "--rm", "--env=RABBITMQ_DEFAULT_PASS_FILE=/x", image)


@pytest.mark.long
@pytest.mark.parametrize("reference", ["mariadb:11", "mariadb:10"])
def test_mariadb_accepts_its_own_variables(start: Start, tmp_path: Path, reference: str) -> None:
    """MARIADB_ variables, an init script and the health check work; without a password there is no server."""
    image = made(reference)
    tmp_path.chmod(0o755)
    (tmp_path / "1.sql").write_text("CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1);\n")
    variables = ("ROOT_PASSWORD=a'b", "DATABASE=my_db", "USER=u", "PASSWORD=p")
    scripts = f"--volume={tmp_path}:/docker-entrypoint-initdb.d:ro"
    name = start(image, options=(scripts, *(f"--env=MARIADB_{variable}" for variable in variables)))
    until(lambda: succeeds("exec", name, "healthcheck.sh", "--connect", "--innodb_initialized"), timeout=60)
    user = partial(query, name, "u", "p")
    assert user("SELECT n FROM my_db.t") == "1"
    assert query(name, "root", "a'b", "SELECT CURRENT_USER()") == "root@%"
    asked = ("SELECT DISTINCT host FROM mysql.user", "SELECT DISTINCT host FROM mysql.proxies_priv")
    hosts = " ".join(query(name, "root", "a'b", host) or "" for host in asked)
    assert set(hosts.split()) == {"%", "localhost"}
    assert "buildkitsandbox" not in docker("logs", name)
    docker("restart", name)
    assert until(partial(user, "SELECT n FROM my_db.t")) == "1"
    with pytest.raises(DockerError, match="MARIADB_ROOT_PASSWORD"):
        docker("run", "--rm", image)


@pytest.mark.long
@pytest.mark.parametrize("reference", ["adminer:5", "adminer:4"])
def test_adminer_shows_the_default_server(start: Start, reference: str) -> None:
    """The server is shown on port 8080; the container ends at once when stopped."""
    options = ("--publish=127.0.0.1::8080", "--env=ADMINER_DEFAULT_SERVER=my<db", "--env=ADMINER_DESIGN=dracula")
    name = start(made(reference), options=options)
    page = until(partial(fetched, name, "/", "8080/tcp"))
    assert 'name="auth[server]" value="my&lt;db"' in page
    assert re.search(r"adminer(-dark)?\.css", page)
    docker("stop", name)
    assert inspect(name)["State"]["ExitCode"] == 0


@pytest.mark.long
@pytest.mark.parametrize(("reference", "port"), [("axllent/mailpit", 8025), ("schickling/mailcatcher", 1080)])
def test_mailpit_shows_received_mails(start: Start, reference: str, port: int) -> None:
    """A mail sent to port 1025 is shown."""
    name = start(made(reference), options=(f"--publish=127.0.0.1::{port}",))
    until(partial(fetched, name, "/", f"{port}/tcp"))
    talk = "HELO a|MAIL FROM:<a@a.test>|RCPT TO:<b@b.test>|DATA|Subject: dvt-hello||.|QUIT|".replace("|", "\\r\\n")
    send = f"exec 3<>/dev/tcp/127.0.0.1/1025; printf '{talk}' >&3; cat <&3"
    assert "250" in execute(name, "bash", "-c", send)
    assert "dvt-hello" in until(partial(fetched, name, "/messages", f"{port}/tcp"))


@pytest.mark.long
def test_uv_and_bun_are_at_the_copied_paths() -> None:
    """`COPY --from` takes /uv and /uvx; Bun runs flags and files, and has its user."""
    run = partial(docker, "run", "--rm", "--network=none")
    assert run("--entrypoint=/uvx", made("ghcr.io/astral-sh/uv:latest"), "--version").startswith("uvx ")
    bun = made("oven/bun:1")
    assert run(bun, "-e", "console.log(6*7)") == "42"
    assert run("--user=bun", bun, "sh", "-c", "bunx --version >/dev/null && pwd") == "/home/bun/app"


@pytest.mark.long
@pytest.mark.parametrize("reference", ["node:18-bookworm-slim", "node:24", "node:lts", "debian:12", "debian:sid"])
def test_tags_give_the_promised_versions(reference: str) -> None:
    """A full Node.js builds packages that need a compiler."""
    image = made(reference)
    run = partial(docker, "run", "--rm", "--entrypoint=sh", image, "-c")
    lines = run(". /etc/os-release; echo $VERSION_CODENAME; node -v; :")
    expected = {
        "node:18-bookworm-slim": "bookworm v18.",
        "node:24": "trixie v24.",
        "node:lts": "trixie v26.",
        "debian:12": "bookworm",
    }
    assert " ".join(lines.split()).startswith(expected.get(reference, ""))
    if reference == "node:24":
        assert run("g++ --version && git version && make -v && python3 -V")


async def pull(engine: Engine, reference: str) -> None:
    """Pull an image."""
    await engine.images.pull(reference)


async def with_engine(work: Callable[[Engine], Awaitable[T]]) -> T:
    """The result of the work with a connected engine."""
    async with Engine.connect() as engine:
        return await work(engine)


def ignore(_: Event) -> None:
    """Ignore the event."""


def make(references: Iterable[str], emit: Emit = ignore) -> dict[str, str]:
    """Reference -> the name of its stand-in, which is built if it is missing."""
    recipes = {reference: recipe for reference in references if (recipe := find(reference))}
    anyio.run(with_engine, partial(standins.make, recipes=recipes.values(), emit=emit))
    return {reference: recipe.image for reference, recipe in recipes.items()}


def made(reference: str) -> str:
    """The name of the stand-in, which exists."""
    return make([reference])[reference]


def tried(container: str, *argv: str) -> str:
    """The output of a command in the container; empty if it fails."""
    try:
        return execute(container, *argv)
    except DockerError:
        return ""


def psql(container: str, user: str, password: str, database: str, sql: str) -> str | None:
    """The answer over TCP from elsewhere than localhost, which is trusted; None if there is none."""
    host = inspect(container)["NetworkSettings"]["IPAddress"]
    login = (f"--host={host}", f"--username={user}", f"--dbname={database}", "--no-password")
    try:
        return docker("exec", f"--env=PGPASSWORD={password}", container, "psql", *login, "-At", f"--command={sql}")
    except DockerError:
        return None


def wheel(path: Path) -> None:
    """A package with a module and a command."""
    info = "dvt_x-1.dist-info"
    files = {
        "dvt_x.py": "def main():\n    print('ran')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: dvt-x\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ndvt-x = dvt_x:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    path.parent.chmod(0o755)


def query(container: str, user: str, password: str, sql: str) -> str | None:
    """The answer over TCP, as text; None if there is none."""
    login = ("--host=127.0.0.1", f"--user={user}", "--batch", "--skip-column-names", f"--execute={sql}")
    try:
        return docker("exec", f"--env=MYSQL_PWD={password}", container, "mysql", *login)
    except DockerError:
        return None


def fetched(container: str, path: str, port: str = "80/tcp") -> str:
    """The page that the container serves on that port; empty if there is none."""
    try:
        address = docker("port", container, port).splitlines()[0]
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except (OSError, DockerError):
        return ""


def certificates(text: str) -> set[str]:
    """The bodies of all certificates in a PEM text, without blanks."""
    bodies = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", text, re.DOTALL)
    return {re.sub(r"\s", "", body) for body in bodies}
