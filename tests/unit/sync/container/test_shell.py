"""The long-lived shell, tested with a real `sh`: commands work with any bytes in names."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.sync.container import perl_helper, shell_commands, tar
from devenv.sync.container import shell as shells
from devenv.sync.container.perl_helper import MAKE_FOLDER, REMOVE, REMOVE_EMPTY, RENAME, operation
from devenv.sync.container.shell import BrokenShellError, Shell
from devenv.sync.container.shell_commands import quoted
from devenv.sync.container.tar import NANO, TarEntry
from support.local_container import MARK, LocalEngine

pytestmark = pytest.mark.anyio

INSTALLED = [name for name in ("dash", "bash", "sh") if shutil.which(name)]
SHELLS = list({os.path.realpath(str(shutil.which(name))): name for name in INSTALLED}.values())  # each program once
NAMES = [
    b"plain.txt",
    b"two words",
    b'it\'s "quoted"',
    b"new\nline",
    b"-rf",
    b"--",
    b"$HOME `id` $(id) \\ * ? [a] ; & | < > # ~ !",
    b"\xff\xfe",
    "ünï/çödé".replace("/", "-").encode(),
    b"x" * 255,
    b" leading and trailing ",
    b"%s\\n%d",
]


async def opened(engine: Any) -> Shell:
    """An open shell."""
    shell = await Shell.open(engine, "id", MARK)
    assert shell is not None
    return shell


@pytest.fixture(params=SHELLS)
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    """A shell of each kind that this machine has."""
    opened_shell = await opened(LocalEngine([request.param]))
    yield opened_shell
    await opened_shell.close()


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    """A folder to work in, as bytes."""
    return os.fsencode(tmp_path)


def q(path: bytes) -> bytes:
    """The path as a word of a command."""
    return quoted(os.fsdecode(path))


def remove(*paths: bytes) -> bytes:
    """Return the command that removes paths of one folder."""
    ((command, _),) = shell_commands.remove(map(os.fsdecode, paths))
    return command


def write(path: bytes, content: bytes = b"new") -> bytes:
    """Write a file; its path."""
    with open(path, "wb") as file:
        file.write(content)
    return path


def read(path: bytes) -> bytes:
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_replaces_another(shell: Shell, folder: bytes, name: bytes) -> None:
    """`m` moves and `r` removes files with any names; other files stay unchanged."""
    staged, target, beside = folder + b"/.devenv-1~", folder + b"/" + name, write(folder + b"/beside", b"same")
    write(target, b"old")
    write(staged)
    assert await shell.run([b"m " + q(staged) + b" " + q(target)]) == {}
    assert (read(target), os.path.exists(staged)) == (b"new", False)
    assert await shell.run([remove(target)]) == {}
    assert os.listdir(folder) == [os.path.basename(beside)]
    assert read(beside) == b"same"


@pytest.mark.parametrize("name", NAMES)
async def test_make_and_remove_folders(shell: Shell, folder: bytes, name: bytes) -> None:
    """`d` makes a missing folder with its owner; `r` removes an empty folder, and keeps others without a failure."""
    target = folder + b"/" + name
    command = shell_commands.make_folder(os.fsdecode(target), os.getuid(), os.getgid())
    assert await shell.run([command, command]) == {}
    assert os.path.isdir(target)
    write(target + b"/x")
    assert await shell.run([remove(target)]) == {}
    assert os.path.isdir(target)
    assert (
        await shell.run([remove(target + b"/x"), remove(target + b"/x/below"), remove(target), remove(target)]) == {}
    )
    assert not os.path.exists(target)


async def test_many_files_are_moved_at_once(shell: Shell, folder: bytes) -> None:
    """`g` moves staged entries of every name over existing files."""
    stage = folder + b"/.devenv-2~"
    os.mkdir(stage)
    for name in NAMES:
        write(stage + b"/" + name)
        write(folder + b"/" + name, b"old")
    assert await shell.run([b"g " + q(stage) + b" " + q(folder) + b" " + b" ".join(map(q, NAMES))]) == {}
    assert sorted(os.listdir(folder)) == sorted([*NAMES, b".devenv-2~"])
    assert {read(folder + b"/" + name) for name in NAMES} == {b"new"}
    assert os.listdir(stage) == []


@pytest.mark.parametrize("verb", [b"m", b"l"])
@pytest.mark.parametrize("content", [[], [b"precious"]])
async def test_a_folder_is_never_replaced(shell: Shell, folder: bytes, verb: bytes, content: list[bytes]) -> None:
    """The command fails with a reason, the content of the folder stays, and nothing is moved into it."""
    target = folder + b"/it"
    os.mkdir(target)
    for name in content:
        write(target + b"/" + name)
    failed = await shell.run([b"true", verb + b" " + q(write(folder + b"/s~")) + b" " + q(target), b"true"])
    assert failed == {1: "a folder is there in the container"}
    assert os.listdir(target) == content
    assert sorted(os.listdir(folder)) == [b"it"]


async def test_a_file_replaces_a_link_to_a_folder(shell: Shell, folder: bytes) -> None:
    """It is not moved into the folder that the link points to."""
    os.mkdir(folder + b"/real")
    os.symlink(b"real", folder + b"/link")
    assert await shell.run([b"m " + q(write(folder + b"/s~")) + b" " + q(folder + b"/link")]) == {}
    assert not os.path.islink(folder + b"/link")
    assert os.listdir(folder + b"/real") == []


@pytest.mark.parametrize("before", ["nothing", "file", "link to a folder", "link to nothing"])
async def test_a_link_replaces_anything_but_a_folder(shell: Shell, folder: bytes, before: str) -> None:
    """`l` replaces files and links, also a link to a folder."""
    os.mkdir(folder + b"/real")
    target, staged = folder + b"/it", folder + b"/s~"
    match before:
        case "file":
            write(target)
        case "link to a folder":
            os.symlink(b"real", target)
        case "link to nothing":
            os.symlink(b"nothing", target)
    os.symlink(b"real", staged)
    assert await shell.run([b"l " + q(staged) + b" " + q(target)]) == {}
    assert os.readlink(target) == b"real"
    assert os.listdir(folder + b"/real") == []
    assert sorted(os.listdir(folder)) == [b"it", b"real"]


async def test_a_folder_that_exists_keeps_its_owner_and_mode(shell: Shell, folder: bytes) -> None:
    """`d` changes only folders that it makes."""
    os.mkdir(folder + b"/it", 0o700)
    assert await shell.run([shell_commands.make_folder(os.fsdecode(folder + b"/it"), 12345, 12345)]) == {}
    status = os.stat(folder + b"/it")
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700)


async def test_which_commands_failed_and_why(shell: Shell, folder: bytes) -> None:
    """Each failed command is named by its index, with its own output and no other."""
    missing = q(folder + b"/missing")
    commands = [
        b"true",
        b"m " + missing + b" " + q(folder + b"/x"),
        b"echo noise",
        b"false",
        b"sh -c 'echo why; exit 3'",
    ]
    failed = await shell.run(commands)
    assert list(failed) == [1, 3, 4]
    assert "missing" in failed[1]
    assert failed[4] == "why"


async def test_more_than_one_batch(shell: Shell, folder: bytes) -> None:
    """Thousands of commands and failures neither block each other nor mix up their indices."""
    commands = [b"true" if i % 2 else b"sh_no_such_command_%d" % i for i in range(600)] + [b": " + b"x" * 70000]
    failed = await shell.run(commands)
    assert list(failed) == list(range(0, 600, 2))
    assert all(f"sh_no_such_command_{i}" in text for i, text in failed.items())


async def test_runs_take_turns(shell: Shell) -> None:
    """Two callers at once each get their own answer."""
    answers: dict[bytes, dict[int, str]] = {}

    async def ask(word: bytes) -> None:
        answers[word] = await shell.run([b"sh -c 'echo " + word + b"; exit 1'"])

    async with anyio.create_task_group() as tasks:
        for word in (b"a", b"b", b"c"):
            tasks.start_soon(ask, word)
    assert answers == {b"a": {0: "a"}, b"b": {0: "b"}, b"c": {0: "c"}}


async def test_a_cancelled_command_breaks_the_shell() -> None:
    """The next answer could belong to it: the shell is not used again, and its process ends."""
    engine = LocalEngine(["sh"])
    shell = await opened(engine)
    with anyio.move_on_after(0.05):
        await shell.run([b"sleep 60"])
    assert shell.broken
    engine.children[0].kill()
    await shell.close()


async def test_a_shell_that_ends() -> None:
    """The call that meets the end raises, and every later call."""
    shell = await opened(LocalEngine(["sh"]))
    for _ in range(2):
        with pytest.raises(BrokenShellError):
            await shell.run([b"exit 3"])
        assert shell.broken
    await shell.close()


async def test_a_shell_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call raises after a while."""
    engine = LocalEngine(["sh"])
    shell = await opened(engine)
    monkeypatch.setattr(shells, "ANSWER_SECONDS", 0.05)
    with pytest.raises(BrokenShellError):
        await shell.run([b"sleep 60"])
    assert shell.broken
    engine.children[0].kill()
    await shell.close()


async def test_closing_ends_the_process() -> None:
    """The shell in the container reads the end of its input."""
    engine = LocalEngine(["sh"])
    shell = await opened(engine)
    with anyio.fail_after(20):
        await shell.close()
    assert engine.children[0].returncode == 0


async def test_an_image_without_a_shell() -> None:
    """The engine reports that there is none, or the program ends at once: None."""
    reason = 'OCI runtime exec failed: exec: "sh": executable file not found in $PATH: unknown'
    assert await Shell.open(LocalEngine([], CallError(400, reason, "opening")), "id", MARK) is None  # type: ignore[arg-type]
    assert await Shell.open(LocalEngine(["true"]), "id", MARK) is None  # type: ignore[arg-type]


async def test_an_image_without_a_tool(tmp_path: Path) -> None:
    """A shell that has `mv` but no `rmdir` cannot be used."""
    for tool in ("mv", "rm", "mkdir", "chown", "chmod", "ls"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    engine = LocalEngine([str(shutil.which("env")), f"PATH={tmp_path}", str(shutil.which("sh"))])
    assert await Shell.open(engine, "id", MARK) is None  # type: ignore[arg-type]
    assert engine.children[0].returncode is not None


async def test_a_container_that_is_paused() -> None:
    """An error, so that it is tried again: the image may have a shell."""
    engine = LocalEngine([], CallError(409, "Container x is paused, unpause the container before exec", "opening"))
    with pytest.raises(EngineError, match="paused"):
        await Shell.open(engine, "id", MARK)  # type: ignore[arg-type]


async def test_shell_that_ends_at_once_is_opened_again(tmp_path: Path) -> None:
    """A busy engine may lose a process: the image has a shell all the same."""
    lost = tmp_path / "lost"
    script = f"printf x >>{lost}; [ $(wc -c <{lost}) -gt 2 ] && exec sh"
    shell = await opened(LocalEngine(["sh", "-c", script, "sh"]))
    await shell.close()


async def test_shell_that_ends_with_its_container_is_an_error() -> None:
    """The image may have a shell; the next start is asked again."""
    with pytest.raises(EngineError, match="started again"):
        await Shell.open(LocalEngine(["true"]), "id", MARK, started_at="earlier")  # type: ignore[arg-type]


async def test_silent_shell_of_a_container_that_was_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection to the process of the earlier start may stay open: the error comes after a moment of silence."""
    monkeypatch.setattr(shells, "SILENT_SECONDS", 0.02)
    engine = LocalEngine(["sh", "-c", "cat >/dev/null"])
    with anyio.fail_after(5), pytest.raises(EngineError, match="started again"):
        await Shell.open(engine, "id", MARK, started_at="earlier")  # type: ignore[arg-type]


async def test_a_cancelled_open_leaves_nothing() -> None:
    """The session is closed."""
    engine = LocalEngine(["cat"])  # it never answers, and ends with its input
    with anyio.move_on_after(0.2):
        await Shell.open(engine, "id", MARK)  # type: ignore[arg-type]
    assert engine.children[0].returncode is not None


def test_broken_is_an_error_of_the_engine() -> None:
    """Callers that do not import the class catch it with the others."""
    assert issubclass(BrokenShellError, EngineError)


@pytest.fixture
def by_helper(shell: Shell) -> Shell:
    """A shell with a helper."""
    assert shell.has_helper
    return shell


async def test_operations_are_sent_while_earlier_ones_are_carried_out(by_helper: Shell, tmp_path: Path) -> None:
    """The second message is sent before the first is answered, and each caller gets the answer to its own."""
    sent: list[int] = []
    both_sent = anyio.Event()
    send, receive = by_helper._session.send, by_helper._receive
    failed: dict[int, list[int]] = {}

    async def sending(data: bytes) -> None:
        await send(data)
        sent.append(len(data))
        if len(sent) == 2:
            both_sent.set()

    async def receiving() -> bytes:
        with anyio.fail_after(20):
            await both_sent.wait()
        return await receive()

    by_helper._session.send = sending  # type: ignore[method-assign]
    by_helper._receive = receiving  # type: ignore[method-assign]

    async def do(number: int) -> None:
        good = operation(MAKE_FOLDER, f"{tmp_path}/{number}", os.getuid(), os.getgid())
        bad = operation(RENAME, f"{tmp_path}/missing", f"{tmp_path}/x")
        failed[number] = await by_helper.do([good] * number + [bad])

    async with anyio.create_task_group() as tasks:
        for number in (1, 2):
            tasks.start_soon(do, number)
    assert failed == {1: [1], 2: [2]}
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


async def test_a_broken_helper_fails_all_that_wait(by_helper: Shell) -> None:
    """A message that was sent after the one that is cut off has no answer either."""
    errors = []

    async def do() -> None:
        try:
            await by_helper.do([operation(REMOVE, "/nowhere/x")])
        except BrokenShellError as error:
            errors.append(error)

    await by_helper._session.send(b"nonsense\n")  # the helper ends
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(do)
    assert len(errors) == 3
    assert by_helper.broken


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o777, 0o400])
async def test_modes_of_new_files_are_exact(by_helper: Shell, tmp_path: Path, mode: int) -> None:
    """Whatever the umask of the helper takes from a new file is set again."""
    (put,) = perl_helper.put(entry(mode=mode), f"{tmp_path}/n~", f"{tmp_path}/n")
    assert await by_helper.do([put]) == []
    assert stat.S_IMODE(os.stat(tmp_path / "n").st_mode) == mode


def entry(content: bytes = b"new", mode: int = 0o640, mtime_ns: int = 1_700_000_000_123_456_789) -> TarEntry:
    """A file of this user."""
    return TarEntry(b"f", tar.FILE, mode, mtime_ns, os.getuid(), os.getgid(), content)


@pytest.mark.parametrize("name", NAMES)
async def test_operations_take_any_name(by_helper: Shell, folder: bytes, name: bytes) -> None:
    """Put over a file and a link, rename, remove; a failure leaves nothing staged; shell commands still work."""
    for made in (b"/real", b"/full", b"/full/x"):
        os.mkdir(folder + made)
    os.symlink(b"real", folder + b"/link")
    write(folder + b"/" + name, b"old")
    targets = [os.fsdecode(folder + b"/" + one) for one in (name, b"link", b"full", b"missing/f")]
    places = [os.path.join(os.path.dirname(target), f".{i}~") for i, target in enumerate(targets)]
    operations = [
        d for place, target in zip(places, targets, strict=True) for d in perl_helper.put(entry(), place, target)
    ]
    assert await by_helper.do(operations) == [2, 3]
    assert read(folder + b"/" + name) == read(folder + b"/link") == b"new"
    assert sorted(os.listdir(folder)) == sorted([name, b"link", b"real", b"full"])
    assert await by_helper.run([b"false", remove(folder + b"/link")]) == {0: ""}
    assert await by_helper.do(
        [
            operation(RENAME, targets[0], targets[1]),
            operation(RENAME, targets[0], targets[1]),
        ]
    ) == [1]
    assert await by_helper.do([operation(REMOVE, path) for path in (*targets, os.fsdecode(folder + b"/real"))]) == []
    assert (os.listdir(folder), os.listdir(folder + b"/full")) == ([b"full"], [b"x"])


@pytest.mark.parametrize("seconds", [0, -1, 1_700_000_000, 4_102_444_800])
@pytest.mark.parametrize("content", [b"", b"r 2f\nd 3\n\n\x01\n", b"\xff\x00\r\n" * 300_000])
async def test_a_file_arrives_unchanged(by_helper: Shell, folder: bytes, content: bytes, seconds: int) -> None:
    """Content of any bytes, even those of an operation, mode, and the time to the nanosecond."""
    path = os.fsdecode(folder + b"/f")
    for mode in (0o600, 0o755, 0o444):
        sent = entry(content, mode, seconds * NANO + 123_456_789)
        assert await by_helper.do(perl_helper.put(sent, f"{path}~", path)) == []
        status = os.stat(path)
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (mode, sent.mtime_ns)
        assert read(folder + b"/f") == content


async def test_folders_by_the_helper(by_helper: Shell, folder: bytes) -> None:
    """Missing folders are made with an owner; empty folders are removed, others stay."""
    old, new, deep, file = (os.fsdecode(folder + name) for name in (b"/old", b"/new", b"/new/deep", b"/file"))
    os.mkdir(old, 0o700)
    write(os.fsencode(file))
    made = [operation(MAKE_FOLDER, path, 1234, 1235) for path in (old, new, deep, file, f"{old}/no/where")]
    assert await by_helper.do(made) == [3, 4]
    assert {(os.stat(path).st_uid, os.stat(path).st_gid) for path in (new, deep)} == {(1234, 1235)}
    assert (os.stat(old).st_uid, stat.S_IMODE(os.stat(old).st_mode)) == (os.getuid(), 0o700)
    assert await by_helper.do([operation(REMOVE_EMPTY, path) for path in (new, old, file)]) == []
    assert sorted(os.listdir(folder)) == [b"file", b"new"]
    assert await by_helper.do([operation(REMOVE_EMPTY, path) for path in (deep, new)]) == []
    assert os.listdir(folder) == [b"file"]


async def test_more_operations_than_a_pipe_holds(by_helper: Shell, folder: bytes) -> None:
    """There are thousands, two thirds of which fail: they are named by their indices, in several answers."""
    path = os.fsdecode(folder)
    targets = [f"{path}/{'no/' if i % 3 else ''}f{i}" for i in range(6000)]
    failed = await by_helper.do(
        [d for target in targets for d in perl_helper.put(entry(b"x" * 900), f"{target}~", target)]
    )
    assert failed == [i for i in range(6000) if i % 3]
    assert len(os.listdir(path)) == 2000


async def test_a_helper_that_ends(by_helper: Shell, folder: bytes) -> None:
    """While many operations are sent: BrokenShellError."""
    by_helper._session.child.kill()  # type: ignore[attr-defined] # the local one
    with pytest.raises(BrokenShellError):
        await by_helper.do(perl_helper.put(entry(b"x" * 500_000), "/nowhere/~", "/nowhere/f") * 9)
    assert by_helper.broken


async def test_without_perl_every_operation_fails(folder: bytes, tmp_path: Path) -> None:
    """Shell commands can do the same."""
    for tool in ("sh", "mv", "rm", "rmdir", "mkdir", "chown", "chmod", "ls"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    engine: Any = LocalEngine([str(shutil.which("env")), f"PATH={tmp_path}", "sh"])
    plain = await Shell.open(engine, "c", MARK)
    assert plain is not None
    assert not plain.has_helper
    assert await plain.do([operation(RENAME, "/a", "/b"), operation(REMOVE, "/a")]) == [0, 1]
    assert await plain.run([b"m " + q(write(folder + b"/a~")) + b" " + q(folder + b"/a")]) == {}
    await plain.close()
    assert read(folder + b"/a") == b"new"


@pytest.mark.parametrize("text", [b"\n\x01r 2f", b"\nd 3\nr 2f\n", b"} ; {"])
async def test_commands_may_contain_operations(by_helper: Shell, folder: bytes, text: bytes) -> None:
    """Their bytes are counted, not parsed."""
    name = folder + b"/a" + text.replace(b"/", b"") + b"z"
    assert await by_helper.run([b"m " + q(write(folder + b"/s~")) + b" " + q(name)]) == {}
    assert read(name) == b"new"


@pytest.mark.parametrize("kind", ["operations", "commands"])
async def test_a_message_that_is_cut_off_has_no_effect(folder: bytes, kind: str) -> None:
    """It may be cut in the head, in a name, after a name or at the end: no operation runs."""
    mine, other = folder + b"/it's/mine", folder + b"/it"
    removals = (operation(REMOVE, os.fsdecode(path)) for path in (other, mine))
    whole = perl_helper.message(b"d", b"".join(removals))
    if kind == "commands":
        whole = perl_helper.message(b"s", b"{\nrm -rf -- " + q(mine) + b"\n}\n")
    names = re.compile(b"|".join((os.path.basename(other), os.path.basename(other).hex().encode())))
    ends = {match.end() for match in names.finditer(whole)}
    for size in sorted({*range(8), *range(8, len(whole), 9), *ends, len(whole) - 2, len(whole) - 1}):
        write(other)
        engine = LocalEngine(["sh"])
        shell = await opened(engine)
        assert shell.has_helper
        await shell._session.send(whole[:size])
        await shell.close()
        assert os.path.exists(other), whole[:size]


async def test_commands_that_are_cut_off_without_a_helper_have_no_effect(folder: bytes, tmp_path: Path) -> None:
    """A name that is cut off may be another file."""
    sent: list[bytes] = []
    shell = await Shell.open(LocalEngine(["sh"]), "id", MARK, by_helper=False)  # type: ignore[arg-type]
    assert shell is not None
    send = shell._session.send

    async def cut(data: bytes) -> None:
        sent.append(data)
        await send(data[: data.index(b"it'") + 3])

    shell._session.send = cut  # type: ignore[method-assign]
    write(folder + b"/it")
    with anyio.move_on_after(0.2):
        await shell.run([b"rm -rf -- " + q(folder + b"/it's/mine")])
    await shell.close()
    assert sent
    assert os.path.exists(folder + b"/it")


@pytest.mark.parametrize(
    "script", ["exit 1", "exit 127", "echo 42; exit 0", "if [ \"$2\" = 'print 42' ]; then echo 42; else exit 3; fi"]
)
async def test_a_perl_that_does_not_work(folder: bytes, tmp_path: Path, script: str) -> None:
    """A stub, or a program that ends: the shell is used without it."""
    for tool in ("sh", "mv", "rm", "rmdir", "mkdir", "chown", "chmod", "ls"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    (tmp_path / "perl").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "perl").chmod(0o755)
    plain = await opened(LocalEngine([str(shutil.which("env")), f"PATH={tmp_path}", "sh"]))
    assert not plain.has_helper
    assert await plain.run([b"m " + q(write(folder + b"/a~")) + b" " + q(folder + b"/a")]) == {}
    await plain.close()


@pytest.mark.parametrize("variable", ["PERL_UNICODE=SDA", "PERL5OPT=-CSD", "PERLIO=:utf8", "PERL5OPT=-MNo::Such"])
async def test_perl_variables_of_the_image_have_no_effect(folder: bytes, variable: str) -> None:
    """Names and contents stay bytes."""
    shell = await opened(LocalEngine([str(shutil.which("env")), variable, "sh"]))
    assert shell.has_helper
    path = os.fsdecode(folder + b"/\xff")
    assert await shell.do(perl_helper.put(entry(b"\xff\x00\xc3"), f"{path}~", path)) == []
    assert read(folder + b"/\xff") == b"\xff\x00\xc3"
    await shell.close()
