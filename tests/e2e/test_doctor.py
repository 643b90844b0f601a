"""`devenv doctor` on machines with real problems, and engines, registries and proxies of the tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support import cli
from support.docker_cli import BASE_IMAGE
from support.lab import Authority, ConnectProxy, Lab, shut_off
from support.lab_stack import HUB_KEY, LabStack, assert_plain
from support.registries import Answer, Forward, Front, Rule, Seen, Tokens, error, hang, listening, registry
from support.schemas import checked_document

pytestmark = pytest.mark.engine
CANARY = "c4n4ry"
HUB = ("registry-1.docker.io", "auth.docker.io")
LOOPBACK = "localhost,127.0.0.1"
NO_PROXIES = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"), "")


class Bench:
    """A folder with its own settings, in which the doctor is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.docker = folder / "docker"
        self.folder.mkdir()
        self.docker.mkdir()
        self.env = {
            **NO_PROXIES,
            "DOCKER_CONFIG": str(self.docker),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        self.within: Sequence[str] = ()

    def settings(self, **settings: object) -> Path:
        """Write the docker CLI's config.json."""
        path = self.docker / "config.json"
        path.write_text(json.dumps(settings, indent="\t"), encoding="utf-8")
        return path

    def compose(self, **services: Mapping[str, object]) -> None:
        """Write the project's file, as JSON."""
        (self.folder / "compose.yml").write_text(json.dumps({"services": services}), encoding="utf-8")

    def call(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `devenv doctor ARGS` to its end."""
        return cli.run("doctor", *args, cwd=self.folder, env=self.env, within=self.within)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench on this machine, with the test's own settings."""
    return Bench(tmp_path)


def examined(bench: Bench | LabStack, *args: str) -> dict[str, Any]:
    """The doctor's JSON report, with its findings by code; its `seconds` do not include the start of Python."""
    began = time.monotonic()
    argv = ("--output", "json", *args)
    done = bench.call(*argv) if isinstance(bench, Bench) else bench.run("doctor", *argv)
    assert time.monotonic() - began < 20
    assert_plain((done.stdout + done.stderr).replace("failed to fetch oauth token", ""))
    report = checked_document("doctor", done.stdout)
    assert done.returncode == int(report["errors"] > 0)
    assert report["errors"] == sum(finding["severity"] == "error" for finding in report["findings"])
    return {**report, "codes": {finding["code"]: finding for finding in report["findings"]}}


# --- registries and proxies ---------------------------------------------------------------------------------------


def test_client_without_proxy_is_explained_in_one_finding(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack]
) -> None:
    """A token endpoint that only the engine reaches, through its proxy, is one finding within 5 s."""
    hub(proxied_lab)
    lab_stack = lab_stacks(proxied_lab, within=shut_off(*HUB))
    lab_stack.write("Dockerfile", "FROM node:20\nCOPY compose.yml /\n")
    lab_stack.compose_file({"client": {"build": {"context": "."}}})
    lab_stack.login(HUB_KEY, "ann", CANARY)

    report = examined(lab_stack)
    assert report["seconds"] < 5, report
    finding = report["codes"]["registry-client"]
    assert "auth.docker.io answers the engine and not this machine (no answer in time)" in finding["message"]
    assert "the docker command fetches that token itself" in finding["message"]
    assert finding["hint"].startswith("export HTTPS_PROXY=http://127.0.0.1:3128")
    assert not {"registry-silent", "registry-engine", "image-refused"} & report["codes"].keys()


def hub(lab: Lab, *rules: Callable[[Seen, Forward], Answer | None]) -> Tokens:
    """Docker Hub with node:20, which requires tokens."""
    lab.registry.put("library/node", "20", text="node 20")
    tokens = Tokens({"ann": CANARY}, anonymous=True)
    lab.site(HUB[0], tokens.bearer(f"https://{HUB[1]}/token"), *rules)
    lab.site(HUB[1], tokens, empty=True)
    return tokens


@contextlib.contextmanager
def way_of_the_client(lab: Lab, lab_stack: LabStack) -> Iterator[ConnectProxy]:
    """A proxy for the client only, with the same routes as the engine's."""
    proxy = ConnectProxy(listener := listening())
    proxy.routes.update(lab.proxy.routes)
    address = f"http://ann:{CANARY}@127.0.0.1:{listener.getsockname()[1]}"
    lab_stack.env |= {"HTTPS_PROXY": address, "NO_PROXY": LOOPBACK, "SSL_CERT_FILE": str(lab.authority.certificate)}
    proxy.demands = f"ann:{CANARY}"
    try:
        yield proxy
    finally:
        proxy.close()


def test_healthy_machine_is_reported_within_three_seconds(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack]
) -> None:
    """If engine and client reach Docker Hub through proxies, only the proxy that intercepts TLS is reported."""
    hub(proxied_lab)
    lab_stack = one_image(lab_stacks(proxied_lab))
    with way_of_the_client(proxied_lab, lab_stack) as proxy:
        report = examined(lab_stack)
        assert {"registry-1.docker.io:443", "auth.docker.io:443"} <= set(proxy.seen)
    assert report["seconds"] < 3, report
    assert "Lab Root" in report["codes"]["tls-intercepted"]["message"]
    assert not [
        finding for finding in report["findings"] if finding["area"] == "registries" and finding["severity"] != "info"
    ]


def one_image(lab_stack: LabStack, reference: str = "node:20") -> LabStack:
    """Let the project need one image."""
    lab_stack.compose_file({"one": {"image": reference}})
    return lab_stack


def test_engine_without_the_proxy_of_the_environment_is_reported(lab: Lab, lab_stack: LabStack) -> None:
    """The hint is to give the engine the proxy of the environment, without showing its password."""
    hub(lab)
    one_image(lab_stack)
    with way_of_the_client(lab, lab_stack):
        finding = examined(lab_stack)["codes"]["registry-engine"]
    assert finding["severity"] == "error"
    assert "stand-ins can be made for node:20" in finding["message"]
    assert "http://***@127.0.0.1:" in finding["hint"]


def test_client_that_does_not_trust_the_registry_is_reported(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack], tmp_path: Path
) -> None:
    """The finding says that the engine trusts the certificate, and this machine does not."""
    hub(proxied_lab)
    lab_stack = one_image(lab_stacks(proxied_lab))
    with way_of_the_client(proxied_lab, lab_stack):
        lab_stack.env["SSL_CERT_FILE"] = str(Authority(tmp_path / "stranger").certificate)
        assert "its certificate is not trusted here" in examined(lab_stack)["codes"]["registry-client"]["message"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(401, "UNAUTHORIZED", "authentication required"), "denied"),
        (error(404, "MANIFEST_UNKNOWN", "x"), "image or tag not found"),
    ],
    ids=["denied", "unknown"],
)
def test_refusing_registry_is_reported_with_its_images(
    lab: Lab, lab_stack: LabStack, answer: Answer, reason: str
) -> None:
    """The reason is shown with each image and the services that need it."""
    front = lab.front(lambda seen, _: answer if "/manifests/" in seen.path else None)
    one_image(lab_stack, f"{front.address}/team/app:1")
    finding = examined(lab_stack)["codes"]["image-refused"]
    assert reason in finding["message"]
    assert "service one" in finding["message"]


def test_doctor_ends_within_eight_seconds_if_nothing_answers(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack]
) -> None:
    """A registry, token endpoint, mirror and proxy that do not answer are each reported."""
    proxied_lab.site(HUB[0], hang(), empty=True)
    mirror = proxied_lab.front(hang(), empty=True)
    lab_stack = one_image(lab_stacks(proxied_lab, within=shut_off(*HUB, "proxy.lab.test")))
    lab_stack.mirrors(mirror.address)
    lab_stack.env["HTTP_PROXY"] = "http://proxy.lab.test:3128"

    report = examined(lab_stack)
    assert report["seconds"] < 8, report
    assert report["codes"]["registry-silent"]["severity"] == "error"
    assert {"mirror-dead", "proxy-dead", "proxy-loopback"} <= report["codes"].keys()


def test_unreachable_hub_is_a_warning_if_a_mirror_answers(lab: Lab, lab_stack: LabStack) -> None:
    """`up` works in that case."""
    lab.registry.put("library/node", "20", text="node 20")
    lab_stack = one_image(lab_stack)
    lab_stack.mirrors(front := lab.front(prefix="docker.io").address)
    report = examined(lab_stack)
    assert f"the mirror {front} answers instead" in report["codes"]["registry-silent"]["message"]
    assert report["errors"] == 0


def test_registry_name_that_containers_cannot_resolve_is_reported(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack]
) -> None:
    """A registry's name that only this machine can resolve is reported."""
    front = proxied_lab.site("registry.lab.test")
    orders = (
        "printf '127.0.0.1 registry.lab.test\n' | cat /etc/hosts - >{0}; mount --bind {0} /etc/hosts; exec \"$@\""
    )
    lab_stack = lab_stacks(proxied_lab)
    lab_stack.within = ["unshare", "--mount", "--propagation=private", "sh", "-c",
                      orders.format(lab_stack.folder / "hosts"), "sh"]  # fmt: skip
    port = front.address.rpartition(":")[2]
    proxied_lab.proxy.routes[f"registry.lab.test:{port}"] = front.address
    lab_stack.env |= {"SSL_CERT_FILE": str(proxied_lab.authority.certificate)}
    proxied_lab.borrow(BASE_IMAGE)
    lab_stack.compose_file({"one": {"image": BASE_IMAGE, "command": "sleep 60"},
                          "two": {"image": f"registry.lab.test:{port}/x:1", "profiles": ["late"]}})  # fmt: skip
    assert lab_stack.plain("compose", "up", "-d").returncode == 0
    report = examined(lab_stack, "--profile", "late")
    message = report["codes"]["dns-inside"]["message"]
    assert message == "containers cannot resolve registry.lab.test, but this machine can"


# --- the engine and the tools -------------------------------------------------------------------------------------


def missing(path: Path) -> contextlib.AbstractContextManager[object]:
    """A socket path that does not exist."""
    return contextlib.nullcontext(path)


@contextlib.contextmanager
def left_behind(path: Path) -> Iterator[None]:
    """A socket whose engine has ended."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    yield


@contextlib.contextmanager
def silent(path: Path) -> Iterator[None]:
    """A server that accepts connections and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(50)
        yield


@contextlib.contextmanager
def another_program(path: Path) -> Iterator[None]:
    """A server that answers with HTML."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(50)

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>")

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """An engine that belongs to another user."""
    with silent(path):
        shutil.chown(path, "nobody")
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        yield


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        (missing, "engine-missing"),
        (left_behind, "engine-stopped"),
        (silent, "engine-silent"),
        (another_program, "engine-unusable"),
        (forbidden, "engine-forbidden"),
    ],
)
def test_failing_engine_is_reported_by_doctor_and_up(
    bench: Bench, tmp_path: Path, engine: Callable[[Path], contextlib.AbstractContextManager[object]], code: str
) -> None:
    """The doctor reports the failure within 8 s, and `up` uses the same words."""
    path = tmp_path / "engine.sock"
    bench.env["DOCKER_HOST"] = f"unix://{path}"
    bench.within = ["setpriv", "--bounding-set=-all"] if code == "engine-forbidden" else ()
    bench.compose(one={"image": "x:1"})
    with engine(path):
        report = examined(bench)
        assert report["seconds"] < 8
        assert report["codes"][code]["severity"] == "error"
        assert "engine-elsewhere" in report["codes"], "the system's own engine answers"
        if code in ("engine-silent", "engine-unusable"):
            return  # `up` waits longer, and words an answer that is not HTTP differently
        done = cli.run("up", cwd=bench.folder, env=bench.env, within=bench.within)
    assert done.returncode == 4
    assert report["codes"][code]["message"] in done.stderr


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"DOCKER_HOST": f"http://ann:{CANARY}@:x"}, "engine-address"),
        ({"DOCKER_HOST": "ssh://-oProxyCommand=x"}, "engine-address"),
        ({"DOCKER_CONTEXT": "nowhere"}, "engine-address"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:9"}, "engine-unreachable"),
    ],
)
def test_invalid_engine_address_is_one_finding(bench: Bench, variables: Mapping[str, str], code: str) -> None:
    """An invalid address is one finding, also outside of a project; Compose's error about it is none."""
    bench.env |= variables
    assert code in examined(bench)["codes"]
    bench.compose(one={"image": "x:1"})
    report = examined(bench)
    assert code in report["codes"]
    assert "project-wrong" not in report["codes"]
    assert CANARY not in json.dumps(report)


def test_machine_without_docker_is_reported(bench: Bench, tmp_path: Path) -> None:
    """A missing docker command is reported, without a project too, as is another `devenv` that is first on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "devenv").write_text("#!/bin/sh\necho nix\n")
    (programs / "devenv").chmod(0o755)
    bench.env["PATH"] = str(programs)
    report = examined(bench)
    assert "cli-missing" in report["codes"]
    assert str(programs / "devenv") in report["codes"]["other-devenv"]["message"]


def test_missing_buildx_is_reported(bench: Bench, tmp_path: Path) -> None:
    """A missing Buildx is reported for a project with builds."""
    programs = tmp_path / "bin"
    programs.mkdir()
    older = '[ "$1" = buildx ] && exit 1; [ "$2" = version ] && echo 2.26.1 && exit'
    (programs / "docker").write_text(f'#!/bin/sh\n{older}\nexec {shutil.which("docker")} "$@"\n')
    (programs / "docker").chmod(0o755)
    bench.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    bench.compose(one={"build": "."})
    (bench.folder / "Dockerfile").write_text("FROM scratch\n")
    report = examined(bench)
    assert "one" in report["codes"]["buildx-missing"]["message"]


# --- the machine and the project ----------------------------------------------------------------------------------


def test_unusable_ports_platforms_and_scripts_are_reported(bench: Bench) -> None:
    """Ports in use, another processor and scripts with wrong line ends are reported before anything starts."""
    with contextlib.ExitStack() as stack:
        four, six = (stack.enter_context(socket.create_server((ip, 0), family=family))
                     for ip, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)))  # fmt: skip
        ports = [server.getsockname()[1] for server in (four, six)]
        bench.compose(
            one={"build": "."},
            two={"image": "x:1", "platform": "linux/s390x", "ports": [f"{port}:80" for port in ports]},
        )
        (bench.folder / "Dockerfile").write_text("FROM scratch\nCOPY entrypoint.sh /\n")
        (bench.folder / "entrypoint.sh").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
        report = examined(bench)
    taken = [finding["message"] for finding in report["findings"] if finding["code"] == "port-taken"]
    assert [f"port {port} on {ip} (service two) is taken by pid {os.getpid()} (" in message for port, ip, message in
            zip(ports, ("127.0.0.1", "::1"), taken, strict=True)] == [True, True], taken  # fmt: skip
    assert "linux/s390x" in report["codes"]["platform-missing"]["message"]
    assert "entrypoint.sh" in report["codes"]["crlf"]["message"]


def test_small_mtu_is_reported(bench: Bench) -> None:
    """A containers' network with larger packets than the uplink takes is reported."""
    orders = (
        "mount -t sysfs sys /sys; ip link add tun0 type veth peer name far; ip link set far up;"
        " ip link set tun0 mtu 1380 up; ip addr add 192.0.2.2/24 dev tun0; ip route add default via 192.0.2.1;"
        ' exec "$@"'
    )
    bench.within = ["unshare", "--net", "--mount", "--propagation=private", "sh", "-c", orders, "sh"]
    bench.compose(one={"image": "x:1"})
    assert "the MTU of tun0 (1380)" in examined(bench)["codes"]["mtu"]["message"]


@pytest.mark.parametrize(("options", "left"), [("size=1m", "0.0 GB"), ("size=5g,nr_inodes=2", "hardly any inodes")])
def test_full_disk_for_snapshots_is_reported(bench: Bench, tmp_path: Path, options: str, left: str) -> None:
    """A folder for snapshots without free bytes or inodes is reported, by `up` too."""
    (tmp_path / "state").mkdir()
    mounted = (
        f'mount -t tmpfs -o {options} full "{tmp_path}/state"; mkdir "{tmp_path}/state/devenv-compose"; exec "$@"'
    )
    bench.within = ["unshare", "--mount", "--propagation=private", "sh", "-c", mounted, "sh"]
    bench.compose(one={"image": "x:1", "pull_policy": "never"})
    message = f"has {left} left"
    assert message in examined(bench)["codes"]["disk-full"]["message"]
    if "inodes" not in options:
        done = cli.run("up", cwd=bench.folder, env=bench.env, within=bench.within)
        assert done.returncode == 4
        assert message in done.stdout


def test_low_inotify_limits_are_reported_and_raised(bench: Bench, tmp_path: Path) -> None:
    """Fewer watches than folders (without ignored ones) are reported; `--fix` raises the limits permanently."""
    limits, settings = tmp_path / "inotify", tmp_path / "sysctl.d"
    for folder in (limits, settings):
        folder.mkdir()
    for name, value in (("max_user_watches", 40), ("max_user_instances", 5)):
        (limits / name).write_text(f"{value}\n")
    mounted = f'mount --bind {limits} /proc/sys/fs/inotify; mount --bind {settings} /etc/sysctl.d; exec "$@"'
    bench.within = ["unshare", "--mount", "--propagation=private", "sh", "-c", mounted, "sh"]
    rule = {"path": "./src", "action": "sync", "target": "/a", "ignore": ["old/"]}
    bench.compose(one={"image": "x:1", "develop": {"watch": [rule]}})
    for number in range(30):
        (bench.folder / f"src/{number}").mkdir(parents=True)
        (bench.folder / f"src/old/{number}").mkdir(parents=True)
    assert "inotify-watches" not in (report := examined(bench))["codes"], report
    assert "inotify-instances" in report["codes"]
    for number in range(30):
        (bench.folder / f"src/more/{number}").mkdir(parents=True)
    assert "62 folders, and inotify allows 40" in examined(bench)["codes"]["inotify-watches"]["message"]
    assert set(examined(bench, "--fix", "--yes")["fixed"]) == {"inotify-watches", "inotify-instances"}
    assert (limits / "max_user_watches").read_text() == "524288\n"
    assert "max_user_instances = 1024" in (settings / "60-devenv-inotify.conf").read_text()


def test_project_error_does_not_stop_the_other_checks(bench: Bench) -> None:
    """An error in the file is a finding with its place, and the machine is checked, too."""
    (bench.folder / "compose.yml").write_text("services:\n  web:\n    imagee: x\n")
    report = examined(bench)
    assert report["codes"]["project-wrong"]["message"].startswith("compose.yml:3: unknown key `imagee`")


# --- what is mended, and what is handed on ------------------------------------------------------------------------


def test_fixes_are_shown_backed_up_applied_and_checked(bench: Bench) -> None:
    """Fixes are shown and need consent; then files are backed up, changed and checked."""
    proxies = {"httpProxy": f"http://ann:{CANARY}@proxy.example:3128", "noProxy": "a.example"}
    before = {"auths": {"x.example": {"auth": CANARY}}, "credsStore": "gone", "proxies": {"default": proxies}}
    config = bench.settings(**before)
    config.chmod(0o600)
    (bench.docker / "buildx").mkdir()
    current = bench.docker / "buildx/current"
    current.write_text(json.dumps({"Key": "unix:///var/run/docker.sock", "Name": "gone", "Global": True}))
    codes = {"helper-missing", "proxy-inside", "builder-gone"}
    assert codes <= examined(bench)["codes"].keys()

    refused = bench.call("--fix")
    assert refused.returncode == 2, refused.stderr
    assert json.loads(config.read_text()) == before
    done = bench.call("--fix", "--yes")
    assert CANARY not in done.stdout + done.stderr + refused.stderr
    assert '- "credsStore": "gone"' in done.stderr
    assert '+ "noProxy": "a.example,localhost,127.0.0.1,::1"' in done.stderr
    assert [f"fixed: {code}" in done.stderr for code in codes] == [True] * 3, done.stderr
    after = json.loads(config.read_text())
    assert after.pop("proxies")["default"]["noProxy"] == "a.example,localhost,127.0.0.1,::1"
    assert after == {"auths": before["auths"]}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert json.loads((bench.docker / "config.json.devenv-backup1").read_text()) == before
    assert not current.exists()
    assert not codes & examined(bench)["codes"].keys()


def test_doctor_shows_no_secret(bench: Bench) -> None:
    """No output or file of the doctor contains a password from an address that it reads."""
    proxy = f"http://ann:{CANARY}%40@127.0.0.1:9"
    bench.env |= {"HTTPS_PROXY": proxy, "http_proxy": f"http://{CANARY}:{CANARY}@http.docker.internal:3128"}
    bench.env |= {"NO_PROXY": f"{CANARY}@x/y", "MY_TOKEN": CANARY}
    bench.settings(auths={"x.example": {"auth": CANARY}}, proxies={"default": {"httpProxy": proxy}})
    (bench.folder / ".env").write_text(f"PASSWORD={CANARY}\n")
    bench.compose(one={"image": "x.example/y:1", "environment": {"PASSWORD": "${PASSWORD}"}})
    report = bench.folder / "report.md"
    done = bench.call("--report", str(report))
    assert "report.md: read it before you send it" in done.stderr
    text = report.read_text()
    assert text.index("What is in this file") < text.index("## Findings") < text.index("## Facts")
    assert "http://***@127.0.0.1:9" in text
    assert CANARY not in text + done.stdout + done.stderr
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    again = bench.call("--report", str(report))
    assert again.returncode == 2
    assert report.read_text() == text


def test_doctor_prints_one_line_per_finding_and_a_count(bench: Bench) -> None:
    """Each finding has a hint, one line says what is fine, and the exit code is 0 without an error."""
    done = bench.call()
    assert done.returncode == 0, done.stdout
    *_, well, count = done.stdout.splitlines()
    assert well.startswith("✓ ")
    assert "tools, engine" in well
    assert count.startswith("no errors, ")


# --- mirrors ------------------------------------------------------------------------------------------------------


def test_mirrors_are_tested_and_written_in_order_of_speed(engine: str, bench: Bench, tmp_path: Path) -> None:
    """Mirrors that lack an image, have another one, or do not answer are left out."""
    with registry(tmp_path / "one") as own, registry(tmp_path / "two") as other, contextlib.ExitStack() as stack:
        for name in ("redis", "caddy"):
            own.put(f"library/{name}", "1")
        other.put("library/redis", "1", text="another")

        def front(*rules: Rule) -> str:
            made = Front(listening(), *rules, upstream=own.address)
            stack.callback(made.close)
            return made.address

        slow = front(lambda seen, _: time.sleep(1) if "/blobs/" in seen.path else None)
        absent = error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        some = front(lambda seen, _: absent if "redis" in seen.path else None)
        with listening() as closed:
            silent = f"127.0.0.1:{closed.getsockname()[1]}"
        bench.compose(a={"image": "redis:1"}, b={"image": "caddy:1"})
        path = tmp_path / "config/devenv-compose/config.toml"
        path.parent.mkdir(parents=True)
        path.write_text("# mine\nstand_ins = true\n")
        asked = f"{silent} {other.address} {some} {slow} {own.address}"
        done = bench.call("--mirror", asked, "--fix", "--yes", "--output", "json")
        report = checked_document("doctor --mirror", done.stdout)
        assert done.returncode == 0, done.stderr
        names = [mirror["mirror"] for mirror in report["mirrors"]]
        assert ({*names[:2]}, names[2:]) == ({own.address, slow}, [some, other.address, silent])
        assert [mirror["is_good"] for mirror in report["mirrors"]] == [True, True, True, False, False]
        ranking = {mirror["mirror"]: mirror for mirror in report["mirrors"]}
        assert ranking[some]["lacks"] == ["redis:1"]
        assert ranking[other.address]["differs"] == ["redis:1"]
        assert ranking[silent]["fault"] == "connection refused"
        assert ranking[slow]["first_byte"] >= 1
        assert path.read_text() == f"# mine\nstand_ins = true\n\n[registry]\nmirrors = {json.dumps(names[:3])}\n"
