"""`x-devenv.seed`, on an engine in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devenv.errors import ConfigError, StateError, UsageError
from devenv.events import Notice
from devenv.state.gzip_members import MAGIC
from devenv.volumes import commands
from devenv.volumes.store import Store
from support.memory.machine import Command, Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio


def seeded(machine: Machine, site: Site, seed: str) -> Site:
    """The project with a seed, also in its file."""
    (site.folder / "compose.yml").write_text(f"services: {{}}\n\nx-devenv:\n  seed: {seed}\n")
    return machine.place(replace(site, model={**site.model, "x-devenv": {"seed": seed}}))


def write(machine: Machine, text: str, volume: str) -> None:
    """Write a file into a volume."""
    machine.docker.write(volume, "x", text.encode())


async def begun(machine: Machine, site: Site, text: str = "", **options: object) -> tuple[Command, bytes | None]:
    """A run that writes the text, and the content that its volume began with."""
    seen, volume = list[bytes | None](), f"{site.name}_data"

    def work() -> None:
        seen.append(machine.docker.read(volume, "x"))
        if text:
            write(machine, text, volume)

    run = await machine.run_up(site, then=work, **options)
    return run, (seen or [None])[0]


async def saved(machine: Machine, site: Site, text: str) -> str:
    """A snapshot of the project with that text; its id."""
    run, _ = await begun(machine, site, text)
    assert run.code == 130, shown(run)
    return Store.at_home().all()[-1].id


def notices(run: Command) -> list[str]:
    """What the run says about seeds."""
    return [e.message for e in run.events if isinstance(e, Notice) and "seed" in e.message]


async def test_the_first_start_of_a_worktree_begins_with_the_seed_of_the_main_tree(
    machine: Machine, shop: Site, feature: Site
) -> None:
    """One line says so; the next start goes on with the worktree's own data."""
    seed = await saved(machine, shop, "seed")
    await saved(machine, shop, "newer")
    feature = seeded(machine, feature, seed)
    run, seen = await begun(machine, feature, "own")
    assert seen == b"seed", shown(run)
    assert notices(run) == [f"first start: data from the seed {seed} (x-devenv.seed)"]
    run, seen = await begun(machine, feature)
    assert (seen, notices(run)) == (b"own", []), shown(run)


async def test_own_data_and_options_win(machine: Machine, shop: Site, feature: Site) -> None:
    """A saved state, an existing volume, `--fresh` and `--from`: the seed is not even looked for."""
    first = await saved(machine, shop, "first")
    second = await saved(machine, shop, "second")
    shop = seeded(machine, shop, first)
    assert (await begun(machine, shop))[1] == b"second"
    feature = seeded(machine, feature, "missing")
    assert (await begun(machine, feature, fresh=True))[1] is None
    for site in (shop, feature):
        run, seen = await begun(machine, site, source=second)
        assert seen == b"second", shown(run)
        assert notices(run) == []
    clone = seeded(machine, machine.site("clone", db={"volumes": [mounted("data")]}), "missing")
    machine.plain(clone).up()
    write(machine, "plain", "clone_data")
    assert (await begun(machine, clone))[1] == b"plain"


async def test_a_seed_that_does_not_exist_is_an_error_before_anything_is_created(
    machine: Machine, shop: Site, feature: Site
) -> None:
    """With file and line; a snapshot of another project does not count."""
    other = await saved(machine, machine.site("other", db={"volumes": [mounted("data")]}), "secret")
    for seed, message, hint in (
        ("base", "there is no snapshot base of shop-feature or shop", "devenv snapshot save --name base"),
        (other, f"there is no snapshot {other} of shop-feature or shop", f"devenv snapshot save --name {other}"),
        ("./seed.tar", "there is no file ./seed.tar", "devenv snapshot export NAME ./seed.tar"),
    ):
        run, _ = await begun(machine, seeded(machine, feature, seed))
        error = run.error
        assert isinstance(error, ConfigError), shown(run)
        assert (error.message, error.line) == (f"x-devenv.seed: {message}", 4)
        assert (error.file or "").endswith("compose.yml")
        assert (error.hint or "").startswith(hint)
        assert "shop-feature_data" not in machine.host.volumes


@pytest.mark.parametrize("name", ["seed.tar", "data/seed.tar"])
async def test_an_exported_file_is_imported_once(machine: Machine, shop: Site, feature: Site, name: str) -> None:
    """Its path is relative to the Compose file; a file that git ignores is found in the main worktree."""
    seed = await saved(machine, shop, "seed")
    (shop.folder / name).parent.mkdir(exist_ok=True)
    commands.export(seed, str(shop.folder / name), print)
    for snapshot in Store.at_home().all():
        Store.at_home().remove(snapshot)
    feature, clone = seeded(machine, feature, name), machine.site("clone", db={"volumes": [mounted("data")]})
    (clone.folder / name).parent.mkdir(exist_ok=True)
    (clone.folder / name).write_bytes((shop.folder / name).read_bytes())
    for site in (feature, seeded(machine, clone, name)):
        run, seen = await begun(machine, site)
        assert seen == b"seed", shown(run)
    assert sum(not s.automatic for s in Store.at_home().all()) == 1


@pytest.mark.parametrize("damage", ["snapshot", "file"])
async def test_a_damaged_seed_is_an_error(machine: Machine, shop: Site, feature: Site, damage: str) -> None:
    """As with `--from`: nothing of it counts, and the next start tries again."""
    seed = await saved(machine, shop, "seed")
    if damage == "file":
        commands.export(seed, str(feature.folder / "seed.tar"), print)
    (snapshot,) = Store.at_home().all()
    path = feature.folder / "seed.tar" if damage == "file" else Path(Store.at_home().archive(snapshot))
    if damage == "file":
        Store.at_home().remove(snapshot)
    content = path.read_bytes()
    at = content.index(MAGIC) + 30
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    feature = seeded(machine, feature, "./seed.tar" if damage == "file" else seed)
    run, _ = await begun(machine, feature)
    assert isinstance(run.error, StateError), shown(run)
    assert "damaged" in run.error.message
    path.write_bytes(content)
    run, seen = await begun(machine, feature)
    assert seen == b"seed", shown(run)


async def test_a_seed_without_a_volume_of_the_project(machine: Machine, shop: Site) -> None:
    """The error names both."""
    seed = await saved(machine, shop, "seed")
    renamed = machine.site("shop", db={"volumes": [mounted("other")]})
    run, _ = await begun(machine, seeded(machine, renamed, seed))
    assert isinstance(run.error, UsageError), shown(run)
    assert run.error.message == f"x-devenv.seed: {seed} has no volume of shop"
