"""Ask the run of a folder by its socket. Imports as little as `--version`, so that the command costs no time."""

from __future__ import annotations

import _socket
import os

from devenv import state_path

TYPE_CHECKING = False  # `typing` takes longer than the rest
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Answer = tuple[int, str, str]

SOCKET = "socket"  # in the folder of a run
PLACE = "place"  # the same; the file has the project and its folder, a line each
TIMEOUT = "60"  # seconds
GRACE = 5.0  # seconds after the timeout in which the run still has to answer
LONGEST_PATH = 100  # bytes of the address of a socket


class socket_path:  # noqa: N801 - a context manager, as a function would be with contextlib
    """The path by which the socket in the folder is reached while the block lasts; None if there is no such path."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> str | None:
        path = os.path.join(self._folder, SOCKET)
        if len(os.fsencode(path)) <= LONGEST_PATH:
            return path
        if not os.path.isdir("/proc/self/fd"):
            return None
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def quick(arguments: list[str]) -> tuple[int, str] | None:
    """The exit code and the output of `devenv settle` with these arguments; None if another way has to explain."""
    words, rest = ["settle"], iter(arguments)
    wanted = {"-p": "", "--project-name": "", "--output": "text", "--timeout": TIMEOUT}
    for word in rest:
        name, sign, value = word.partition("=")
        if name in wanted:
            wanted[name] = value if sign else next(rest, "")
        elif word == "--synced":
            words.append("synced=yes")
        elif word.startswith("-"):
            return None
        else:
            words.append(f"service={word}")
    project = wanted["-p"] or wanted["--project-name"] or os.environ.get("COMPOSE_PROJECT_NAME", "")
    timeout = wanted["--timeout"]
    if "COMPOSE_FILE" in os.environ or not timeout.isdecimal() or wanted["--output"] not in ("text", "json"):
        return None
    found = list(folders(os.path.join(state_path(), "runs"), os.path.realpath(os.curdir), project))
    answer = ask(found[0], [*words, f"timeout={timeout}"], int(timeout) + GRACE) if len(found) == 1 else None
    if answer is None or answer[0] > 1:  # an error: it has another form
        return None
    code, document, lines = answer
    return code, document if wanted["--output"] == "json" else lines


def folders(runs: str, directory: str, project: str) -> Iterator[str]:
    """The folders of runs that answer: of the project if it is named, else of the directory or the nearest above.

    A folder with a Compose file is a project of its own, whether it runs or not.
    """
    places = [directory]
    while places[-1] != os.path.dirname(places[-1]) and not _has_compose_file(places[-1]):
        places.append(os.path.dirname(places[-1]))
    found: dict[str, list[str]] = {}
    for name in os.listdir(runs) if os.path.isdir(runs) else ():
        try:
            with open(os.path.join(runs, name, PLACE), encoding="utf-8", errors="surrogateescape") as file:
                of_project, _, place = file.read().partition("\n")
        except OSError:
            continue
        if project in ("", of_project) and (project or place in places):
            found.setdefault("" if project else place, []).append(os.path.join(runs, name))
    yield from found[max(found, key=len)] if found else ()


def _has_compose_file(folder: str) -> bool:
    try:
        return any(name.startswith(("compose.y", "docker-compose.y")) for name in os.listdir(folder))
    except OSError:
        return False


def ask(folder: str, words: list[str], timeout: float) -> Answer | None:
    """The run's answer; None if no process answers in time."""
    with socket_path(folder) as path:
        if path is None:
            return None
        stream, answer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM), b""
        try:
            stream.settimeout(timeout)
            stream.connect(path)
            stream.sendall(request(words))
            while piece := stream.recv(1 << 16):
                answer += piece
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return None
        finally:
            stream.close()
    return parsed(answer)


def request(words: Iterable[str]) -> bytes:
    """A request as it is sent: a verb, and `name=value` for each of its options."""
    return "\0".join(words).encode(errors="surrogateescape") + b"\n"


def parsed(answer: bytes) -> Answer | None:
    """The exit code, the document and the lines for people of an answer; None if it is empty."""
    code, _, rest = answer.decode(errors="surrogateescape").partition("\n")
    document, _, lines = rest.partition("\n")
    return (int(code), document, lines) if code else None
