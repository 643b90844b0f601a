"""Random sequences of commands, crashes and plain Compose on one volume, against a model of its content.

The model knows three things: what was in the volume before each command, what the user of each folder saw last, and
what others own. After each command, the old content of the volume still exists, in the volume or in a snapshot; a
user who gets another state is told so; and nothing of others has changed.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tarfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from devenv.compose.outline import Selection
from devenv.errors import DevenvError
from devenv.events import Kept, Notice, Problem
from devenv.run import live_restore, up
from devenv.run.preload import UpOptions
from devenv.state import all_runs
from devenv.state.ledger import VolumePolicy
from devenv.state.verified_archive import Unpacked
from devenv.volumes import exported
from devenv.volumes.store import Store
from support.engine import Crash, Fault, Faults
from support.memory.machine import Command, Machine, Site, mounted, shown
from support.memory.plain_docker import ComposeError

VOLUME = "shop_data"
OTHER_ADDRESS = "unix:///run/other.sock"
FAULTS = (Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.CHILD_KILLED_BEFORE, Fault.CHILD_KILLED_AFTER)
SERVICES = {"db": {"volumes": [mounted("data")]}, "web": {}}


class BrokenError(AssertionError):
    """An expectation failed; the text has the whole sequence."""


@dataclass
class Campaign:
    """One machine with two folders of one project name, objects of others, and a second owner."""

    folder: Path
    seed: int
    done: list[str] = field(default_factory=list)
    seen: dict[str, str | None] = field(default_factory=dict)  # folder -> what its user saw last
    lost: set[str] = field(default_factory=set)  # what was dropped on purpose
    users: set[str] = field(default_factory=set)  # folders whose data the volume has
    is_plain: bool = False  # plain Compose created the volume
    unclear: set[str] = field(default_factory=set)  # content that equal creation times attribute to the wrong folder
    seconds: set[int] = field(
        default_factory=set
    )  # seconds in which devenv created volumes: equal times prove nothing there
    count: int = 0
    dead: Command | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.machine = Machine(self.folder)
        self.machine.engines[OTHER_ADDRESS] = self.machine.host
        second = self.folder / "second"
        second.mkdir()
        self.second = Machine(second, engines=self.machine.engines, address=self.machine.address)
        self.sites = {name: self.machine.site("shop", name, **SERVICES) for name in ("a", "b")}
        self.theirs = self.second.site("shop", "c", **SERVICES)
        self.foreign_containers: dict[str, bytes] = {}

    # --- what is there ----------------------------------------------------------------------------------------

    @property
    def content(self) -> str | None:
        """What the volume holds; None if it is empty, or does not exist."""
        content = self.machine.docker.read(VOLUME, "x")
        return None if content is None else content.decode()

    def saved(self) -> set[str]:
        """The contents of the snapshots."""
        store, contents = Store.at_home(), set[str]()
        for snapshot in store.all():
            with open(store.archive(snapshot), "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as tar:
                for member in tar:
                    if member.name.endswith("/x") and (content := tar.extractfile(member)):
                        contents.add(content.read().decode())
        return contents

    def write(self, folder: str) -> None:
        """Write something new as the user of the folder."""
        self.count += 1
        text = f"{folder}{self.count}"
        self.machine.docker.write(VOLUME, "x", text.encode())
        self.seen |= dict.fromkeys(self.users, text)
        if self.is_plain and self.machine.host.volumes[VOLUME].created in self.seconds:
            self.unclear.add(text)

    def created(self, folder: str, before: object, *, plain: bool = False) -> None:
        """Note who owns the new volume: the folder whose run created it; all folders if plain Compose created it."""
        now = self.machine.host.volumes.get(VOLUME)
        if now is not before:
            self.users, self.is_plain = {folder}, plain
            if now is not None and not plain:
                self.seconds.add(now.created)
        elif self.is_plain:
            self.users.add(folder)

    # --- the sequence -----------------------------------------------------------------------------------------

    async def run(self, length: int) -> None:
        """Run that many steps. Raises BrokenError."""
        with self.machine.installed():
            await self.create_foreign_objects()
            for _ in range(length):
                step = self.random.choice(STEPS)
                self.done.append(step.__name__)
                plain = self.machine.host.volumes.get(VOLUME) if self.is_plain else None
                await step(self)
                if (
                    plain is not None
                    and step not in (*PLAIN, Campaign.stale_ledger)
                    and plain.created not in self.seconds
                ):
                    self.require(self.machine.host.volumes.get(VOLUME) is plain, "plain Compose's volume is gone")
                self.check_foreign_objects()

    def require(self, condition: object, why: str, command: Command | None = None) -> None:
        """Check the condition. Raises BrokenError with the sequence."""
        if not condition:
            report = f"\n{shown(command)}" if command else ""
            raise BrokenError(f"seed {self.seed}: {why}\nafter: {', '.join(self.done)}{report}")

    def check_foreign_objects(self) -> None:
        """Check that nothing that belongs to others has changed."""
        names = {c.name for c in self.machine.host.containers.values()}
        self.require(
            "my-debug" in names or "my-debug" not in self.foreign_containers, "the foreign container is gone"
        )
        self.require("plain" in names, "the foreign container is gone")
        self.require(self.machine.docker.read("shop_theirs", "x") == b"theirs", "the foreign volume is gone")
        self.require(any(n.name == "shop_net" for n in self.machine.host.networks.values()), "their network is gone")

    def check_kept(self, before: str | None, command: Command, *, dropped: bool = False) -> None:
        """Check that the old content of the volume is in it, is saved, or was dropped on purpose."""
        if before is None or before in self.lost or self.content == before or before in self.saved():
            return
        if dropped:
            self.lost.add(before)
            return
        self.require(before in self.saved(), f"lost: {before}", command)

    def check_found(self, folder: str, content: str | None, command: Command, *, existed: bool) -> None:
        """Check that users see what they saw last, or are told why not."""
        last = self.seen.get(folder)
        messages = "\n".join(str(e) for e in command.events if isinstance(e, Notice | Problem | Kept))
        if (
            content == last
            or last in self.lost
            or {last, content} & self.unclear
            or "data" in messages
            or VOLUME in messages
        ):
            return
        why = f"{folder} saw {content!r} instead of {last!r}, and was not told"
        self.require(existed and content is not None, why, command)

    # --- steps ------------------------------------------------------------------------------------------------

    def pick(self) -> tuple[str, Site]:
        """A folder, now and then by a link, and an address of the engine."""
        name = self.random.choice(("a", "a", "a", "b"))
        site = self.sites[name]
        self.machine.address = self.random.choice(list(self.machine.engines))
        if self.random.random() < 0.2:
            link = self.folder / f"link-{name}-{self.count}"
            if not link.is_symlink():
                link.symlink_to(site.folder)
            return name, Site(link, site.name, site.model)
        return name, site

    async def create_foreign_objects(self) -> None:
        """Create foreign objects that look like ours."""
        docker = self.machine.docker
        docker.create_volume("shop_theirs", {"com.docker.compose.project": "shop"})
        docker.write("shop_theirs", "x", b"theirs")
        docker.create_network("shop_net", {"com.docker.compose.project": "shop", "devenv.project": "shop"})
        docker.run("stand-in.devenv/debian:trixie-slim", name="plain", labels={"devenv.project": "shop"})

    async def up(self, *services: str, kill: str = "", **options: object) -> None:
        """A run: look, write, and an end of some kind."""
        name, site = self.pick()
        before, there = self.content, self.machine.host.volumes.get(VOLUME)
        async with anyio.create_task_group() as tasks:
            command = await self.machine.up(site, *services, tasks=tasks, **options)
            if not command.over.is_set():
                if "web" not in services and VOLUME in self.machine.host.volumes:  # or `db` is foreign
                    self.created(name, there)
                    if not options.get("fresh") and not options.get("source"):
                        self.check_found(name, self.content, command, existed=there is not None)
                    self.check_kept(before, command)
                    self.write(name)
                before = self.content
                if kill:
                    await command.killed()
                    self.dead = command
                elif not options.get("detach"):
                    command.interrupt()
            await command.over.wait()
        if isinstance(command.error, DevenvError) and self.content is not None:
            self.seen[name] = self.seen.get(name)
        if kill == "devenv":
            await self.machine.guard(command)
        self.check_kept(before, command)

    async def session(self) -> None:
        """Up, write, Ctrl-C."""
        await self.up()

    async def up_web(self) -> None:
        """`up` of the service without a volume."""
        await self.up("web")

    async def up_detached(self) -> None:
        """Up, write, left running."""
        await self.up(detach=True)

    async def up_fresh(self) -> None:
        """`up` with an empty volume."""
        await self.up(fresh=True)

    async def up_from(self) -> None:
        """`up` with a saved state, if there is one."""
        if snapshots := Store.at_home().all():
            await self.up(source=self.random.choice(snapshots).id)

    async def kill_both(self) -> None:
        """Up, write, kill -9 of devenv and guardian."""
        await self.up(kill="both")

    async def kill_devenv(self) -> None:
        """Up, write, kill -9 of devenv; the guardian ends it."""
        await self.up(kill="devenv")

    async def power_cut(self) -> None:
        """Up, write, and a power cut: no process and no container runs any more."""
        await self.up(kill="both")
        self.machine.host.stop_engine()
        self.machine.host.start_engine()

    async def crash(self) -> None:
        """Kill a start at any request."""
        await self.crashed(lambda faults: faults.at(self.random.randrange(1, 60), self.random.choice(FAULTS)))

    async def crash_in_restore(self) -> None:
        """Kill a restore; then, perhaps, plain Compose uses the volume."""
        await self.crashed(lambda faults: faults.on("PUT containers/.*/archive", Fault.KILLED_BEFORE), guarded=False)
        if self.random.random() < 0.5:
            await self.plain_up()
            await self.plain_down()

    async def stale_ledger(self) -> None:
        """Kill a run, and create the volume again with plain Compose."""
        await self.kill_both()
        await self.plain_down_volumes()
        await self.plain_up()
        await self.plain_down()

    async def crashed(self, plan: Callable[[Faults], None], *, guarded: bool = True) -> None:
        """A start with these faults; the guardian may be killed, too."""
        name, site = self.pick()
        before, command = self.content, Command(self.machine)
        there = self.machine.host.volumes.get(VOLUME)
        plan(command.faults)
        selection = Selection(str(site.folder))

        async def work() -> int:
            options = UpOptions(selection, watch=False, logs=False, build=False, detach=True)
            return await up._up(options, command.emit, command.ending, None)

        await command.serve(work)
        self.created(name, there)
        self.check_kept(before, command)
        if guarded and isinstance(command.error, Crash) and self.random.random() < 0.5:
            await self.machine.guard(command)
            self.check_kept(before, command)

    async def down(self) -> None:
        """`devenv down`."""
        before = self.content
        _, site = self.pick()
        command = await self.machine.down(site)
        self.check_kept(before, command)

    async def drop(self) -> None:
        """`devenv down --volumes`."""
        before, existed = self.content, VOLUME in self.machine.host.volumes
        name, site = self.pick()
        run_of = [ledger.directory for _, ledger in all_runs.every_runs()]
        command = await self.machine.down(site, VolumePolicy.DROP)
        self.check_kept(before, command, dropped=bool(run_of))
        if existed and VOLUME not in self.machine.host.volumes:  # also if a restore was cut off before it had content
            for folder, last in list(self.seen.items()):
                if last == before or folder in (name, *self.users):
                    self.lost.add(str(last))

    async def gc(self) -> None:
        """`devenv gc`."""
        before = self.content
        self.check_kept(before, await self.machine.gc())

    def take_note(self) -> None:
        """Let plain Compose take the container of a copied image for the service's: it is nothing lost."""
        if "my-debug" not in {c.name for c in self.machine.host.containers.values()}:
            self.foreign_containers.pop("my-debug", None)

    async def plain_up(self) -> None:
        """Bring it up with plain Compose, and write."""
        name, site = self.pick()
        self.machine.host.advance(self.random.choice((0, 2)))
        there = self.machine.host.volumes.get(VOLUME)
        try:
            self.machine.plain(site).up()
        except ComposeError:
            return
        self.created(name, there, plain=True)
        self.take_note()
        if VOLUME in self.machine.host.volumes:
            self.write(name)

    async def plain_down(self) -> None:
        """Take it down with plain Compose."""
        self.machine.plain(self.sites["a"]).down()
        self.take_note()

    async def plain_down_volumes(self) -> None:
        """Take it down with plain Compose, with its volumes."""
        before = self.content
        with contextlib.suppress(ComposeError):
            self.machine.plain(self.sites["a"]).down(volumes=True)
        self.take_note()
        if before is not None and self.content != before:
            self.lost |= {before, *(str(self.seen.get(name)) for name in self.users)}
        if "shop_theirs" not in self.machine.host.volumes or not self.machine.docker.read("shop_theirs", "x"):
            await self.restore_foreign_objects()

    async def restore_foreign_objects(self) -> None:
        """Create again what the user's own Compose removed of the foreign objects."""
        docker, host = self.machine.docker, self.machine.host
        if "shop_theirs" not in host.volumes:
            docker.create_volume("shop_theirs", {"com.docker.compose.project": "shop"})
        docker.write("shop_theirs", "x", b"theirs")
        names = {c.name for c in host.containers.values()}
        if "plain" not in names:
            docker.run("stand-in.devenv/debian:trixie-slim", name="plain", labels={"devenv.project": "shop"})
        if not any(n.name == "shop_net" for n in host.networks.values()):
            docker.create_network("shop_net", {"com.docker.compose.project": "shop", "devenv.project": "shop"})

    async def rename(self) -> None:
        """Rename the folder."""
        name = self.random.choice(("a", "b"))
        self.count += 1
        site = self.sites[name]
        moved = site.folder.rename(self.folder / f"{name}-{self.count}")
        self.machine.sites.pop(str(site.folder), None)
        self.sites[name] = self.machine.place(Site(moved, site.name, site.model))

    async def second_owner(self) -> None:
        """Bring up the same project on the same engine as another owner."""
        before = self.content
        ours = {c.id for c in self.machine.host.containers.values()}
        with self.second.installed():
            command = await self.second.run_up(self.theirs)
            await self.second.gc()
        now = {c.id for c in self.machine.host.containers.values()}
        self.require(ours <= now, "a second owner removed a container", command)
        with self.second.installed():
            self.check_kept(before, command)

    async def copied(self) -> None:
        """Copy a container of ours into an image as a foreigner does, and run that."""
        docker, host = self.machine.docker, self.machine.host
        ours = [c for c in host.containers.values() if c.name.startswith("shop-db-")]
        if ours and "my-debug" not in self.foreign_containers:
            docker.commit(ours[0].id, "dbg")
            docker.run("dbg", name="my-debug")
            self.foreign_containers["my-debug"] = b""

    async def import_(self) -> None:
        """Import a colleague's file, which is newer than everything."""
        store = Store.at_home()
        if snapshots := store.all():
            path = self.folder / "import.tar"
            with path.open("wb") as file:
                exported.pack(store, [self.random.choice(snapshots)], file)
            with path.open("rb") as file:
                exported.unpack(store, file, limit=10**9, single=10**9)

    async def restore(self) -> None:
        """`devenv snapshot restore`: at once in a project that is up, otherwise when the volume is started."""
        name, site = self.pick()
        if snapshots := Store.at_home().all():
            chosen, command = self.random.choice(snapshots), Command(self.machine)
            before, there = self.content, self.machine.host.volumes.get(VOLUME)
            await command.serve(
                lambda: live_restore.restore(Selection(str(site.folder)), chosen.id, (), "", command.emit)
            )
            if command.code == 0:
                self.created(name, there)
                self.seen[name] = _only(self.contents(chosen.id))
            self.check_kept(before, command)

    def contents(self, snapshot: str) -> list[str]:
        """The contents of the snapshots of that id."""
        store, contents = Store.at_home(), list[str]()
        for saved in store.all():
            if saved.id != snapshot:
                continue
            with open(store.archive(saved), "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as tar:
                for member in tar:
                    if member.name.endswith("/x") and (content := tar.extractfile(member)):
                        contents.append(content.read().decode())
        return contents

    async def restart_engine(self) -> None:
        """Restart the engine; its clock continues."""
        self.machine.host.stop_engine()
        self.machine.host.start_engine()

    async def wait(self) -> None:
        """Let time pass."""
        self.machine.host.advance(self.random.choice((0.1, 2.0, 4000.0)))


def _only(values: list[str]) -> str | None:
    return values[0] if values else None


Step = Callable[[Campaign], Awaitable[None]]
PLAIN: tuple[Step, ...] = (Campaign.plain_up, Campaign.plain_down, Campaign.plain_down_volumes)
STEPS: tuple[Step, ...] = (
    Campaign.session,
    Campaign.session,
    Campaign.session,
    Campaign.up_web,
    Campaign.up_detached,
    Campaign.up_fresh,
    Campaign.up_from,
    Campaign.kill_both,
    Campaign.kill_both,
    Campaign.kill_devenv,
    Campaign.power_cut,
    Campaign.crash,
    Campaign.crash,
    Campaign.crash_in_restore,
    Campaign.stale_ledger,
    Campaign.down,
    Campaign.drop,
    Campaign.gc,
    Campaign.plain_up,
    Campaign.plain_up,
    Campaign.plain_down,
    Campaign.plain_down_volumes,
    Campaign.rename,
    Campaign.second_owner,
    Campaign.copied,
    Campaign.import_,
    Campaign.restore,
    Campaign.restart_engine,
    Campaign.wait,
)


async def campaign(folder: Path, seed: int, length: int = 14) -> Campaign:
    """Run the sequence of that seed, in a folder that is emptied. Raises BrokenError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = Campaign(folder, seed)
    await run.run(length)
    return run
