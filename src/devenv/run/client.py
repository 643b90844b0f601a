"""Ask the run of a folder by its socket. Imports as little as `--version`, so that the command costs no time."""

from __future__ import annotations

import _socket
import os

from devenv import state_path

TYPE_CHECKING = False  # `typing` takes longer than the rest
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Answer = tuple[int, str, str]

SOCKET = "socket"  # in the folder of a run
PLACE = "place"  # the same; the file has the project and its folder, a line each
TIMEOUT = "60"  # seconds
GRACE = 5.0  # seconds after the timeout in which the run still has to answer
LONGEST_PATH = 100  # bytes of the address of a socket
END = "end"  # the verb by which `devenv down` asks a keeper to end its run
PATIENCE = 5.0  # seconds until a keeper has to begin
POLICIES = {"--keep-volumes": "keep", "--volumes": "drop", "-v": "drop", "--snapshot": "snapshot"}


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
    words = ["settle"]
    wanted = {"-p": "", "--project-name": "", "--output": "text", "--timeout": TIMEOUT}
    for word in _without_values(arguments, wanted):
        if word == "--synced":
            words.append("synced=yes")
        elif word.startswith("-"):
            return None
        else:
            words.append(f"service={word}")
    timeout, folder = wanted["--timeout"], _selected(wanted)
    if folder is None or not timeout.isdecimal():
        return None
    answer = ask(folder, [*words, f"timeout={timeout}"], int(timeout) + GRACE)
    if answer is None or answer[0] > 1:  # an error: it has another form
        return None
    code, document, lines = answer
    return code, document if wanted["--output"] == "json" else lines


def begin_down(arguments: list[str]) -> _socket.socket | None:
    """A connection to the keeper that is asked to end its run, as `devenv down` with these arguments would.

    It sends an empty line and then messages as to a view, or closes the connection if the command has to end the run.
    None if no keeper can be asked.
    """
    wanted, policies = {"-p": "", "--project-name": "", "--output": "text"}, []
    for word in _without_values(arguments, wanted):
        if word not in POLICIES:
            return None
        policies.append(POLICIES[word])
    folder = _selected(wanted) if len(policies) <= 1 else None
    if folder is None:
        return None
    about = [f"policy={''.join(policies)}", f"project={wanted['-p'] or wanted['--project-name']}"]
    return _connected(folder, [END, *about, *(f"setting={setting}" for setting in settings())], PATIENCE)


def settings() -> list[str]:
    """What selects the engine and the project in this process: its folder, and variables as `name=value`."""
    names = sorted(name for name in os.environ if name in ("HOME", "PWD") or name.startswith(("DOCKER_", "COMPOSE_")))
    return [os.getcwd(), *(f"{name}={os.environ[name]}" for name in names)]


def _without_values(arguments: list[str], wanted: dict[str, str]) -> Iterator[str]:
    """The arguments except for the `wanted` options, which get their values; an option without its value, too."""
    rest = iter(arguments)
    for word in rest:
        name, sign, value = word.partition("=")
        if name in wanted and not (sign and not name.startswith("--")):
            found = value if sign else next(rest, None)
            if found is None:
                yield word
            else:
                wanted[name] = found
        else:
            yield word


def _selected(wanted: Mapping[str, str]) -> str | None:
    """The folder of the only run that the options select; None if there is none, or if another way has to tell."""
    is_clear = not (wanted["-p"] and wanted["--project-name"]) and wanted["--output"] in ("text", "json")
    if "COMPOSE_FILE" in os.environ or not is_clear:
        return None
    try:
        found = list(folders(os.path.join(state_path(), "runs"), os.path.realpath(os.curdir), _project(wanted)))
    except OSError:  # the folder was removed
        return None
    return found[0] if len(found) == 1 else None


def _project(wanted: Mapping[str, str]) -> str:
    return wanted["-p"] or wanted["--project-name"] or os.environ.get("COMPOSE_PROJECT_NAME", "")


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
    stream, answer = _connected(folder, words, timeout), b""
    if stream is None:
        return None
    try:
        while piece := stream.recv(1 << 16):
            answer += piece
    except (ConnectionError, TimeoutError):
        return None
    finally:
        stream.close()
    return parsed(answer)


def _connected(folder: str, words: Iterable[str], timeout: float) -> _socket.socket | None:
    """A connection on which a request was sent; None if no process listens."""
    with socket_path(folder) as path:
        if path is None:
            return None
        stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            stream.settimeout(timeout)
            stream.connect(path)
            stream.sendall(request(words))
        except (FileNotFoundError, ConnectionError, TimeoutError):
            stream.close()
            return None
    return stream


def request(words: Iterable[str]) -> bytes:
    """A request as it is sent: a verb, and `name=value` for each of its options."""
    return "\0".join(words).encode(errors="surrogateescape") + b"\n"


def parsed(answer: bytes) -> Answer | None:
    """The exit code, the document and the lines for people of an answer; None if it is empty."""
    code, _, rest = answer.decode(errors="surrogateescape").partition("\n")
    document, _, lines = rest.partition("\n")
    return (int(code), document, lines) if code else None
