"""An engine behind ssh that cannot be reached: the output of ssh, and what to type."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from devenv.docker import endpoint as endpoints
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.unreachable import reason, unreachable
from devenv.doctor import probes
from devenv.doctor.diagnose import diagnose
from devenv.doctor.facts import Facts
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio

FAR = Endpoint("ssh://ann@far:2222")
WRAPPED = (
    "error while Copy (stream to stdout): command [ssh -o ConnectTimeout=30 -- far docker system dial-stdio] has"
    " exited with exit status 255, please make sure the URL is valid, and Docker 18.09 or later is installed on the"
    " remote host: stderr="
)
CHANGED = (
    "@" * 59 + "\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n" + "@" * 59 + "\n"
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key for far has changed and you have requested"
    " strict checking.\nHost key verification failed.\n"
)
ROWS = [
    (
        "ssh: Could not resolve hostname far: Name or service not known\n",
        "ssh: Could not resolve hostname far: Name or service not known",
        "ssh -p 2222 ann@far   (no such name",
    ),
    (
        "ssh: connect to host far port 2222: Connection refused\n",
        "ssh: connect to host far port 2222: Connection refused",
        "ssh -p 2222 ann@far   (nothing listens",
    ),
    (
        "Welcome to far\nann@far: Permission denied (publickey,password).\n",
        "ann@far: Permission denied (publickey,password)",
        "ssh -p 2222 ann@far   (ssh must log in",
    ),
    (
        "No ED25519 host key is known for far.\nHost key verification failed.\n",
        "Host key verification failed",
        "ssh-keyscan -p 2222 far >> ~/.ssh/known_hosts",
    ),
    (CHANGED, "Host key for far has changed", "ssh-keygen -R far"),
    ("bash: line 1: docker: command not found\n", "docker: command not found", "ssh -p 2222 ann@far docker version"),
    (
        "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.7.0.9 port 22\n",
        "Connection reset by 10.7.0.9 port 22",
        "ssh -p 2222 ann@far   (its sshd ended",
    ),
    ("something new\n", "something new", "ssh -p 2222 ann@far"),
]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker program that prints the content of a file on standard error and fails."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\ncat {tmp_path}/words >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "words"


@pytest.mark.parametrize(("printed", "words", "hint"), ROWS)
async def test_ssh_says_why(docker: Path, printed: str, words: str, hint: str) -> None:
    """In the error of every command, and in what the doctor finds."""
    docker.write_text(f"{WRAPPED}{printed}\n")
    with anyio.fail_after(20), pytest.raises(EngineError) as caught:
        async with Engine.connect(FAR):
            pass
    assert caught.value.message.startswith("cannot reach the Docker engine at ssh://***@far:2222: ")
    assert words in caught.value.message
    assert (caught.value.hint or "").startswith(hint)
    first, *_ = diagnose(Facts(**await probes.unreached(FAR, caught.value)))
    assert (first.code, first.message, first.hint) == ("engine-unreachable", caught.value.message, caught.value.hint)


async def test_a_program_that_floods_its_standard_error_holds_nobody_up(docker: Path) -> None:
    """As ssh does with -v: the last lines count."""
    script = docker.parent / "docker"
    script.write_text(
        "#!/bin/sh\nyes debug1: packet | head -c 900000 >&2\necho ssh: connect to host far: timed out >&2\nexit 1\n"
    )
    with anyio.fail_after(20), pytest.raises(EngineError, match="ssh: connect to host far: timed out"):
        async with Engine.connect(FAR):
            pass


async def test_one_that_ends_well_says_nothing(docker: Path) -> None:
    """A warning is not a reason: the connection only ended."""
    docker.write_text("Warning: Permanently added 'far' (ED25519) to the list of known hosts.\n")
    (docker.parent / "docker").write_text(f"#!/bin/sh\ncat {docker} >&2\n")
    connection = await endpoints.dial(FAR)
    with anyio.fail_after(20):
        assert await connection.receive(10) == b""
    await connection.aclose()


def test_words_are_cleaned() -> None:
    """Escape sequences, secrets, and lines that are not a reason are removed."""
    assert reason("") == ""
    assert reason("Warning: Permanently added 'far' to the list of known hosts.\n") == ""
    assert reason("debug1: read\n\x1b]0;x\x07\x1b[31mssh: no\x1b[0m\x08 way\n") == "ssh: no way"
    assert "c4n4ry" not in reason("proxy http://ann:c4n4ry@proxy/ failed\n")
    assert reason("failed to open the raw stream connection: dial tcp 10.0.0.1:2376: i/o timeout\n") == (
        "10.0.0.1:2376: i/o timeout"
    )
    assert reason("dial tcp 127.0.0.1:9: connect: connection refused\n") == "127.0.0.1:9: connection refused"
    assert reason("dial tcp: lookup far on 10.0.0.2:53: no such host\n") == "the name far is not found"


def test_hints_for_other_ways() -> None:
    """The hint for a context is a command; no hint has a password."""
    assert unreachable(Endpoint("tcp://h:1", "far"), "", "dial tcp: no route to host").hint == (
        "docker context use default"
    )
    hint = unreachable(Endpoint("ssh://ann:c4n4ry@far"), "", "Connection refused").hint or ""
    assert hint.startswith("ssh ann@far ")
    assert "'" in (unreachable(Endpoint("ssh://a;b"), "", "Connection refused").hint or "")
