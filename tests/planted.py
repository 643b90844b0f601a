"""Breaks the code on purpose, one line at a time in a copy of the tree, and checks that a test notices.

    .venv/bin/python tests/planted.py [NUMBER...]

Prints a table; exit code 1 if a bug stays unnoticed, 2 if a line to break no longer exists or the tests
are red without any bug.
"""

from __future__ import annotations

# ruff: noqa: T201 - a script: its table is what it is for
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXACT = "tests/engine/test_exact.py::test_"
FAULTS = "tests/engine/test_faults.py::test_"


@dataclass(frozen=True)
class Bug:
    """`old` becomes `new` in a file of src/devenv; `test` fails then."""

    what: str
    file: str
    old: str
    new: str
    test: str

    def plant(self, tree: Path) -> str:
        """Break the file; return its old text. Raises LookupError if the line is not there exactly once."""
        path = tree / "src/devenv" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise LookupError(f"{text.count(self.old)} times in {self.file}: {self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text


BUGS = (
    Bug(
        "lost events are not noticed",
        "sync/host/inotify.py",
        "batch.lost = batch.lost or bool(mask & IN_Q_OVERFLOW)",
        "batch.lost = False",
        "tests/unit/sync/host/test_inotify.py::test_lost_events_mean_look_at_everything",
    ),
    Bug(
        "what failed is not tried again",
        "sync/queue.py",
        "        self.paths |= failed\n",
        "",
        "tests/unit/sync/test_service.py::test_failed_paths_are_tried_again",
    ),
    Bug(
        "a failed path is held for ever",
        "sync/service.py",
        "for path in state.retries.take(anyio.current_time()):",
        "for path in ():",
        f"{FAULTS}full_disk_is_reported_once_and_repaired",
    ),
    Bug(
        "a link is followed",
        "sync/container/host_files.py",
        "status = os.lstat(name, dir_fd=folder)",
        "status = os.stat(name, dir_fd=folder)",
        f"{EXACT}links_are_copied_and_never_followed",
    ),
    Bug(
        "only times are compared",
        "sync/host/file_state.py",
        "return self == other",
        "return self[3:19] == other[3:19]",
        f"{EXACT}edit_with_the_same_size_and_time_is_synced",
    ),
    Bug(
        "a file is sent as it is found, half written or not",
        "sync/container/host_files.py",
        "if is_whole and same and len(content) == after.st_size:",
        "if content:",
        "tests/unit/sync/container/test_host_files.py::test_a_file_that_changes_all_the_time_is_not_sent",
    ),
    Bug(
        "a new folder is not walked",
        "sync/host/scan.py",
        "unseen |= _walk(path, now, prune, enter, found)",
        "pass",
        "tests/unit/sync/host/test_scan.py::test_look_finds_changes",
    ),
    Bug(
        "the journal of what was put is forgotten",
        "sync/container/journal.py",
        "if not data or self.path is None:",
        "if True:",
        f"{FAULTS}edits_between_two_runs_are_synced",
    ),
    Bug(
        "what is gone is not deleted before the rest is sent",
        "sync/container/target.py",
        "            await delivery.remove(deletes)\n",
        "",
        f"{EXACT}every_kind_of_path_replaces_every_other",
    ),
    Bug(
        "one replica is forgotten",
        "sync/service.py",
        "await each(deliver, self.state.targets.values())",
        "await each(deliver, [*self.state.targets.values()][:1])",
        f"{FAULTS}added_and_removed_replicas_are_equal",
    ),
    Bug(
        "a new container is taken to hold everything",
        "sync/adoption.py",
        "Seen(placed=left) if is_first_start else await target.compare(syncs, state.rules, left, record.placed)",
        "Seen(placed=left)",
        f"{FAULTS}container_restarted_amid_edits_is_equal",
    ),
    Bug(
        "files are put in their places at once",
        "sync/container/shell_commands.py",
        'single = {target: f"{folder}/{name()}" for target in inside}',
        "single = {target: target for target in inside}",
        f"{EXACT}readers_never_miss_a_replaced_file",
    ),
    Bug(
        "folders of the container are removed with all that is in them",
        "sync/container/prelude.sh",
        'then shift; rmdir -- "$@"',
        'then shift; rm -rf -- "$@"',
        f"{EXACT}files_made_by_the_container_are_never_removed",
    ),
    Bug(
        "files belong to root",
        "sync/container/host_files.py",
        "entry = read(item, opened, owner)",
        "entry = read(item, opened)",
        "tests/unit/sync/container/test_host_files.py::test_a_file_with_all_that_belongs_to_it",
    ),
    Bug(
        "an earlier shell goes on",
        "sync/container/shell.py",
        '[ "$f" = $$ ] || kill -9 "$f" 2>/dev/null',
        ":",
        "tests/engine/test_apply.py::test_pending_commands_of_an_earlier_shell_are_not_run",
    ),
    Bug(
        "the same problem is told again and again",
        "sync/service_state.py",
        "if self.reported.get(path) != reason:",
        "if reason:",
        f"{EXACT}failing_path_does_not_stop_others",
    ),
    Bug(
        "what was stored is not compared",
        "state/verified_archive.py",
        "if not self._members.is_in(file):",
        "if False:",
        "tests/unit/volumes/test_store.py::test_replaced_archive_is_detected",
    ),
    Bug(
        "what was compressed is not compared",
        "state/gzip_members.py",
        "if _inflated(packed, len(block)) != block:",
        "if False:",
        "tests/unit/state/test_gzip_members.py::test_a_compressor_that_fails_is_noticed",
    ),
    Bug(
        "half an archive of the engine passes for one",
        "state/verified_archive.py",
        "if self._tail != TAR_END or not self._walk.is_over:",
        "if False:",
        "tests/unit/volumes/test_store.py::test_truncated_archive_of_the_engine_is_refused",
    ),
    Bug(
        "a damaged file of images is loaded",
        "images/bundle_file.py",
        'if unpacked.stored.hexdigest() != note["archive"]:',
        "if False:",
        "tests/unit/images/test_bundle_file.py::test_damage_anywhere_is_detected",
    ),
    Bug(
        "a file of images gives them public names",
        "images/bundle_file.py",
        "if not all(SAVING.fullmatch(name) for name in names):",
        "if False:",
        "tests/unit/images/test_bundle_file.py::test_content_that_no_engine_writes_is_refused",
    ),
    Bug(
        "a damaged snapshot is restored",
        "volumes/store.py",
        "if digest.hexdigest() != snapshot.digest:",
        "if False:",
        "tests/unit/volumes/test_store.py::test_damaged_snapshot_is_not_restored",
    ),
    Bug(
        "a volume goes though it could not be saved",
        "run/cleanup/removal.py",
        "            why = error.message if",
        "            await self.engine.volumes.remove(name)\n            why = error.message if",
        "tests/unit/run/cleanup/test_teardown.py::test_a_volume_that_cannot_be_saved_stays",
    ),
    Bug(
        "a volume goes in a hurry",
        "run/cleanup/removal.py",
        "if not self._is_safe(judged) and not await self.progress.unhurried(lambda: self._save(judged)):",
        "if not self._is_safe(judged) and not await self.progress.unhurried(lambda: self._save(judged)) and False:",
        "tests/unit/run/cleanup/test_teardown.py::test_hurry_leaves_a_volume_that_takes_time",
    ),
    Bug(
        "any database is given the data",
        "model/snapshot.py",
        "        return not known or (self.database == other.database and not self._sorts_otherwise(other))\n",
        "        return True\n",
        "tests/unit/test_sequences.py::test_another_major_version_is_not_given_old_data",
    ),
    Bug(
        "a half-made database is restored",
        "volumes/transfer.py",
        "if line and settled:",
        "if line:",
        "tests/unit/volumes/test_transfer.py::test_incomplete_state_does_not_become_the_head",
    ),
    Bug(
        "nothing is restored",
        "run/active/volumes.py",
        "await initial.plan(self.ledger, keys, fresh=fresh,",
        "await initial.plan(self.ledger, keys, fresh=True,",
        "tests/e2e/test_snapshots.py::test_volume_is_restored_exactly",
    ),
    Bug(
        "the last snapshot of a volume is given up",
        "model/snapshot.py",
        "            lasting.add(snapshot)\n",
        "            surplus.append(snapshot)\n",
        "tests/unit/model/test_snapshot.py::test_needed_snapshots_are_never_expendable",
    ),
    Bug(
        "volumes are known by their labels",
        "state/ledger.py",
        "            for r in self.volumes\n            if r.name in volumes\n",
        "            for r in map(VolumeRecord, volumes)\n",
        "tests/unit/state/test_ledger.py::test_only_what_is_recorded_is_owned",
    ),
    Bug(
        "the ledger is written after the create",
        "run/active/volumes.py",
        "        self._write(records.values())\n",
        "        self.ledger = self.ledger.with_records(records.values())\n",
        "tests/e2e/test_order_of_creates.py::test_objects_are_labelled_and_recorded_before_their_creation",
    ),
    Bug(
        "a volume that was created again is ours",
        "state/identity.py",
        "return VolumeVerdict.MOVED if is_moved else VolumeVerdict.OTHER",
        "return VolumeVerdict.LIKELY",
        "tests/unit/run/cleanup/test_teardown.py::test_a_volume_that_was_created_again_is_not_ours",
    ),
    Bug(
        "equal times prove that it is the same volume",
        "state/identity.py",
        "return VolumeVerdict.SAME if record.is_proven else VolumeVerdict.LIKELY",
        "return VolumeVerdict.SAME",
        "tests/unit/run/cleanup/test_teardown.py::test_drop_removes_volumes_without_a_snapshot",
    ),
    Bug(
        "a container of a copied image is ours",
        "state/identity.py",
        "if fixed is None or thing.inherits or",
        "if fixed is None or",
        "tests/unit/state/test_identity.py::test_objects_that_a_call_may_have_created",
    ),
    Bug(
        "the newest state wins",
        "volumes/lineage.py",
        "    head = by_reference(snapshots, lineage.head)\n",
        "    head = max(snapshots, key=lambda s: s.created, default=None)\n",
        "tests/unit/volumes/test_lineage.py::test_content_of_a_new_volume",
    ),
    Bug(
        "an import is the last state that devenv 0.1 saved",
        "volumes/lineage.py",
        "        and s.automatic\n",
        "",
        "tests/unit/volumes/test_lineage.py::test_the_head_of_what_devenv_0_1_saved",
    ),
    Bug(
        "a torn line costs the next one",
        "state/created.py",
        'f"\\n{json.dumps(line)}\\n"',
        'f"{json.dumps(line)}\\n"',
        "tests/unit/state/test_created.py::test_a_torn_last_line_costs_nothing_else",
    ),
    Bug(
        "a damaged archive passes for what was restored",
        "volumes/transfer.py",
        "            self.store.check(whole)\n",
        "",
        "tests/unit/volumes/test_transfer.py::test_a_cut_off_restore_of_what_nobody_can_read",
    ),
    Bug(
        "a guardian cannot bear a full disk",
        "run/cleanup/guardian.py",
        "except OSError:  # a full disk",
        "except KeyError:",
        "tests/e2e/test_full_state.py::test_teardown_on_a_full_disk_keeps_only_the_volume",
    ),
    Bug(
        "a lost connection restarts services",
        "run/active/phases.py",
        "if any(c.running and self._keys.get(c.id) == c.key for c in current):",
        "if False:",
        "tests/unit/run/active/test_phases.py::test_a_lost_connection_starts_nothing",
    ),
    Bug(
        "a kill loses a volume",
        "run/cleanup/removal.py",
        "return judged.volume.elsewhere or",
        "return True or",
        "tests/e2e/test_kills.py::test_kill_leaves_nothing_and_loses_no_data",
    ),
    Bug(
        "a request without an origin reaches the page",
        "web/access.py",
        'if request.header("origin") != own or',
        'if request.header("origin") not in (own, None) or',
        "tests/unit/web/test_access.py",
    ),
    Bug(
        "another name of this machine reaches the page",
        "web/access.py",
        'if host not in [f"{name}:{port}" for name in LOCAL]:',
        "if not host:",
        "tests/unit/web/test_access.py",
    ),
    Bug(
        "a page that may only read restarts a service",
        "web/access.py",
        "if request.target == ACTION and not allowed:",
        "if False:",
        "tests/unit/web/test_access.py",
    ),
    Bug(
        "an error is not joined to its save",
        "web/timeline.py",
        "cause = self._blamed(service, at, LOG_AGO)",
        "cause = None",
        "tests/unit/web/test_timeline.py",
    ),
    Bug(
        "two services of one save are two saves",
        "web/timeline.py",
        "SAME_SAVE = 0.3 ",
        "SAME_SAVE = 0.0 ",
        "tests/unit/web/test_timeline.py",
    ),
    Bug(
        "a secret is on the page",
        "web/lines.py",
        "return self.redactor.line(raw.rstrip()), ()",
        "return raw.rstrip(), ()",
        "tests/unit/web/test_lines.py",
    ),
    Bug(
        "a page that hangs keeps all messages",
        "web/hub.py",
        "        if self._size > BEHIND:\n",
        "        if False:\n",
        "tests/unit/web/test_hub.py",
    ),
    Bug(
        "a closed page is followed for ever",
        "web/open_pages.py",
        "                if self._is_unused():\n                    return\n",
        "",
        "tests/unit/web/test_server.py::test_the_state_is_dropped_when_no_page_is_open",
    ),
)


def red(tree: Path, *tests: str) -> tuple[bool, str]:
    """Whether any of the tests fails in the tree, and the end of pytest's output."""
    argv = ["-m", "pytest", "-qx", "-m", "not long", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree}/src", "DEVENV_TEST_TREE": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise LookupError(f"the tests do not run: {done.stdout[-2000:]}{done.stderr[-500:]}")
    return done.returncode == 1, done.stdout[-1500:]


def main(numbers: list[str]) -> int:
    """Test all bugs, or those of the numbers; return the exit code."""
    bugs = [BUGS[int(number) - 1] for number in numbers] or list(BUGS)
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="devenv-planted-") as folder:
        tree = Path(folder) / "tree"
        for part in ("src", "tests", "templates", "docs/schemas"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        try:
            is_red, output = red(tree, *dict.fromkeys(bug.test for bug in bugs))
            if is_red:
                print(f"the tests are red without any bug: {output}", file=sys.stderr)
                return 2
            for bug in bugs:
                was = bug.plant(tree)
                began = time.monotonic()
                noticed, _ = red(tree, bug.test)
                (tree / "src/devenv" / bug.file).write_text(was, encoding="utf-8")
                unnoticed += not noticed
                sign = "red  " if noticed else "GREEN"
                print(
                    f"{sign} {bug.what:62} {bug.test.rpartition('/')[2]} {time.monotonic() - began:.0f} s", flush=True
                )
        except LookupError as error:
            print(error, file=sys.stderr)
            return 2
    print(f"{len(bugs) - unnoticed} of {len(bugs)} noticed")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
