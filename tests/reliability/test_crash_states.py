"""Every state in which a power cut can leave store and database, at every moment of an upload and of a delete.

The calls are recorded from a portal at work; `disk.py` says what each prefix of them may leave. In each such state a
portal is opened, sweeps and checks every byte: what was acknowledged is whole, what was not is whole or not there, what
was deleted stays so, and nothing is left over.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from portal.backends.blobs import local_folders

from ..e2e.conftest import MakePortal, Served
from . import invariants, strace
from .conftest import Figures
from .disk import Disk, State, Step, steps
from .driven import Driven, driven

CALLS = [f"?{name}" for name in ("openat", "write", "fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat")]
SIZE = 2_300_000  # bytes: three segments, of which two go past the page cache


@dataclass(frozen=True)
class Recording:
    """An upload of `file` and its delete, step by step; the upload was answered after `uploaded` of them."""

    steps: tuple[Step, ...]
    uploaded: int
    file: str
    digest: str
    blob: bytes
    database: bytes
    log: bytes

    def commits(self, position: int) -> list[Step]:
        return [step for step in self.steps[:position] if step.kind == "commit"]

    def disk(self, position: int) -> Disk:
        disk = Disk(self.blob)
        disk.take(self.steps[:position])
        return disk


class Crash(NamedTuple):
    """A moment, and what is found after it: so many commits, so many bytes of the database's log, and the store."""

    position: int
    commits: int
    log: int
    state: State


@pytest.fixture
def portal(make_portal: MakePortal) -> Served:
    made = make_portal(DELETE_GRACE_DAYS="0")  # a delete removes its bytes itself
    made.prepare(analyst="analyst")
    return made


@pytest.fixture
def recording(portal: Served, tmp_path: Path) -> Recording:
    with driven(portal, "analyst") as driver:
        driver.do("delete", driver.do("upload", SIZE)["id"])  # the first file has a data key made for it
        with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database = portal.folder / "var" / "portal.db"
        before = database.read_bytes()
        answer, upload = recorded(driver, tmp_path / "upload", "upload", SIZE)
        (blob,) = (path for path in (portal.folder / "var" / "store").glob("*/**/*") if path.is_file())
        content = blob.read_bytes()
        _, delete = recorded(driver, tmp_path / "delete", "delete", answer["id"])
        assert database.read_bytes() == before  # everything is in the log
        log = database.with_name("portal.db-wal").read_bytes()
    return Recording((*upload, *delete), len(upload), answer["id"], answer["sha256"], content, before, log)


def recorded(driver: Driven, trace: Path, verb: str, *arguments: object) -> tuple[dict[str, Any], list[Step]]:
    with strace.traced(driver.pid, trace, calls=[*CALLS, "pwrite64", "fdatasync"]):
        answer = driver.do(verb, *arguments)
    return answer, list(steps(strace.read(trace), driver.portal.folder / "var" / "store"))


def crashes(recording: Recording) -> Iterator[Crash]:
    """Every state after every prefix of the steps."""
    for position in range(len(recording.steps) + 1):
        for commits, log in logs(recording, position):
            for state in recording.disk(position).states():
                yield Crash(position, commits, log, state)


def distinct(recording: Recording) -> dict[tuple[object, ...], Crash]:
    """A crash of each kind, by all that the portal can find after it and all that it had promised before it."""
    return {(crash.position >= recording.uploaded, *crash[1:]): crash for crash in crashes(recording)}


def logs(recording: Recording, position: int) -> Iterator[tuple[int, int]]:
    """How many commits there are, and how long the log is. One under way may not be there, or torn, or whole."""
    ended = recording.commits(position)
    before = ended[-1].size if ended else 0
    yield len(ended), before
    if recording.steps[position : position + 1] and recording.steps[position].kind == "commit":
        after = recording.steps[position].size
        yield len(ended), (before + after) // 2
        yield len(ended) + 1, after


def lay_out(portal: Served, recording: Recording, crash: Crash) -> None:
    var = portal.folder / "var"
    put_database(var, recording.database)
    (var / "portal.db-wal").write_bytes(recording.log[: crash.log])
    put_store(var / "store", crash.state)


def put_database(var: Path, content: bytes) -> None:
    for name in ("portal.db-wal", "portal.db-shm"):
        (var / name).unlink(missing_ok=True)
    (var / "portal.db").write_bytes(content)


def put_store(store: Path, state: State) -> None:
    for path in [path for path in store.glob("*/**/*") if path.is_file()]:
        path.unlink()
    for name in state.names:
        (store / name).write_bytes(state.content)


def assert_sound(portal: Served, recording: Recording, position: int, commits: int) -> None:
    """The portal on what is laid out, once it has swept. Before the upload was answered its file may be there; after it
    the file has to be, until the delete's first commit is."""
    holdings = invariants.settled(portal)
    answered = position >= recording.uploaded
    deleted = commits > len(recording.commits(recording.uploaded))
    acknowledged = {recording.file: recording.digest} if answered and not deleted else {}
    invariants.assert_whole(portal, holdings, acknowledged, () if answered else [recording.digest])
    assert list((portal.folder / "var" / "store" / "tmp").iterdir()) == []


def violations(
    portal: Served, recording: Recording, sound: Collection[tuple[object, ...]] = ()
) -> Iterator[str | None]:
    """For each distinct crash what is wrong after it, or None. Those that are known to be `sound` are passed over."""
    for crash in (crash for key, crash in distinct(recording).items() if key not in sound):
        lay_out(portal, recording, crash)
        try:
            assert_sound(portal, recording, crash.position, crash.commits)
        except AssertionError as error:
            done = recording.steps[: crash.position][-1:]
            yield f"after {done}, {crash.commits} commits, {crash.state.names}: {error}"
        else:
            yield None


def test_no_power_cut_loses_or_leaves_anything(portal: Served, recording: Recording, figures: Figures) -> None:
    found = list(violations(portal, recording))
    assert [violation for violation in found if violation is not None] == []
    figures(steps=len(recording.steps), states=len(found))


def without(recording: Recording, number: int) -> Recording:
    """The same without its sync of that number."""
    at = [at for at, step in enumerate(recording.steps) if step.kind == "sync"][number]
    fewer = recording.steps[:at] + recording.steps[at + 1 :]
    return replace(recording, steps=fewer, uploaded=recording.uploaded - (at < recording.uploaded))


def test_without_any_one_of_the_syncs_something_is_lost_or_left(portal: Served, recording: Recording) -> None:
    """That of `tmp` in a delete has its turn below. What all of the syncs allow is judged above."""
    synced = [step.path.partition("/")[0] for step in recording.steps if step.kind == "sync"]
    assert synced == ["tmp", "blobs", "tmp", "tmp", "blobs"]  # the blob, its new folder, its old one; both in a delete
    sound = distinct(recording)
    for number in (0, 1, 2, 4):
        assert any(violations(portal, without(recording, number), sound)), f"nobody misses sync {number}"


@pytest.fixture
def sweeping(portal: Served, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What a sweep in this process does to the store's folder, while it does it."""
    done: list[Step] = []
    store = portal.folder / "var" / "store"
    really_fsync, really_unlink = os.fsync, Path.unlink

    def fsync(descriptor: int) -> None:
        really_fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(store):
            done.append(Step("sync", path.relative_to(store).as_posix()))

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.is_relative_to(store) and path.exists():
            done.append(Step("remove", path.relative_to(store).as_posix()))
        really_unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "unlink", unlink)
    return done


def swept(portal: Served, recording: Recording, crash: Crash, sweeping: list[Step]) -> Iterator[State]:
    """What the power cut may leave that comes once a killed portal was started again and has swept."""
    lay_out(portal, recording, crash)
    sweeping.clear()
    assert_sound(portal, recording, crash.position, crash.commits)
    disk = recording.disk(crash.position)
    disk.take(tuple(sweeping))
    yield from disk.states()


def after_kills(portal: Served, recording: Recording, sweeping: list[Step]) -> Iterator[None]:
    """Judges each state of `swept` for a kill at every moment: what was written is there, synced or not."""
    var = portal.folder / "var"
    moments = dict.fromkeys((crash.position, crash.commits, crash.log) for crash in crashes(recording))
    for position, commits, log in moments:
        killed = Crash(position, commits, log, recording.disk(position).seen())
        states = list(swept(portal, recording, killed, sweeping))
        database = (var / "portal.db").read_bytes()
        assert not (var / "portal.db-wal").exists()  # the last one that left emptied it
        for state in states:
            put_database(var, database)
            put_store(var / "store", state)
            assert_sound(portal, recording, position, commits)
            yield


def test_no_power_cut_after_a_kill_and_a_sweep_loses_or_leaves_anything(
    portal: Served, recording: Recording, sweeping: list[Step], figures: Figures
) -> None:
    figures(states=len(list(after_kills(portal, recording, sweeping))))


def test_a_sweep_that_syncs_no_folder_leaves_what_it_removed(
    portal: Served, recording: Recording, sweeping: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_folders, "sync_folder", lambda _: None)
    with pytest.raises(AssertionError):
        list(after_kills(portal, recording, sweeping))
