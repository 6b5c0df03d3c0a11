"""The record on both databases: written with what it speaks of, once, and not lost while the database is away."""

import asyncio
import errno
import fcntl
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Row, select, text

from portal.core.errors import StorageFull, Unavailable
from portal.core.ids import new_id
from portal.core.principal import Origin
from portal.db.connection import Connection, Engine
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.audit.models import AuditRow
from portal.features.audit.record import Recorder

AT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
details = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none(), max_size=6)
rows: Any = AuditRow


def event(**changes: Any) -> Event:
    made = Event(EventKind.FILE_DOWNLOAD_ENDED, "user:1", "file-1", Origin("r-1", "192.0.2.1"), {"outcome": "finished"})
    return replace(made, **changes)


async def written(database: Database) -> list[Row[Any]]:
    async with database.read() as connection:
        return list((await connection.execute(select(AuditRow).order_by(rows.seq))).all())


async def ids(database: Database) -> list[object]:
    return [row.id for row in await written(database)]


async def put(database: Database, *events: Event) -> None:
    async with database.write() as connection:
        for one in events:
            await record.write(connection, one)


def test_the_canonical_bytes_of_an_event() -> None:
    made = event(id=new_id(), at=AT, details={"size": 7, "name": "é", "whole": True, "none": None})
    assert made.canonical() == (
        '{"actor":"user:1","address":"192.0.2.1","at":"2026-02-03T04:05:06.000789Z",'
        '"details":{"name":"\\u00e9","none":null,"size":7,"whole":true},'
        f'"event":"file.download_ended","id":"{made.id}","request_id":"r-1","subject":"file-1"}}'
    )


@given(details=details, actor=st.text(), subject=st.none() | st.text(), address=st.none() | st.text())
def test_canonical_is_one_line_of_ascii_and_comes_back_exactly(
    details: dict[str, Any], actor: str, subject: str | None, address: str | None
) -> None:
    made = event(details=details, actor=actor, subject=subject, origin=Origin(None, address))
    text = made.canonical()
    assert text.isascii()
    assert text.isprintable()
    assert Event.from_canonical(text) == made
    assert Event.from_canonical(text).canonical() == text


@given(details)
def test_canonical_does_not_depend_on_the_order_of_details(details: dict[str, Any]) -> None:
    backwards = dict(reversed(details.items()))
    made = event()
    assert replace(made, details=details).canonical() == replace(made, details=backwards).canonical()


@given(st.text(st.characters()))
def test_any_string_at_all_has_canonical_bytes(text: str) -> None:
    made = event(details={"name": text}, actor=text)
    assert Event.from_canonical(made.canonical()).canonical() == made.canonical()


def test_one_moment_has_one_notation() -> None:
    made = event(at=AT)
    assert replace(made, at=AT.astimezone(timezone(timedelta(hours=5)))).canonical() == made.canonical()


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        event(details={"rate": float("nan")}).canonical()


@pytest.mark.parametrize("missing", ["actor", "address", "at", "details", "event", "id", "request_id", "subject"])
def test_a_canonical_text_without_a_field_is_none(missing: str) -> None:
    body = json.loads(event().canonical())
    del body[missing]
    with pytest.raises(KeyError):
        Event.from_canonical(json.dumps(body))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"x"', "{}", event().canonical()[:-1], "[" * 90_000],
    ids=lambda text: text[:9],
)
def test_what_is_no_canonical_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Event.from_canonical(text)


def test_events_have_stable_words() -> None:
    values = [kind.value for kind in EventKind]
    assert len(set(values)) == len(values)
    assert all(value.replace(".", "").replace("_", "").isalpha() and value.count(".") == 1 for value in values)


async def test_a_row_holds_the_whole_event_and_columns_to_search_by(database: Database) -> None:
    made = event(details={"name": 'é"\n\0\U0001f600', "size": 1 << 70})
    await put(database, made)
    (row,) = await written(database)
    assert row.body == made.canonical()
    assert Event.from_canonical(row.body) == made
    assert (row.id, row.at, row.event, row.actor, row.subject) == (
        made.id,
        made.at,
        "file.download_ended",
        "user:1",
        "file-1",
    )


async def test_an_event_about_nothing_in_particular(database: Database) -> None:
    await put(database, event(subject=None, origin=Origin()))
    (row,) = await written(database)
    assert row.subject is None


async def test_every_kind_of_event_fits(database: Database) -> None:
    await put(database, *(event(kind=kind, id=new_id()) for kind in EventKind))
    assert [row.event for row in await written(database)] == [kind.value for kind in EventKind]


async def test_what_is_rolled_back_is_not_on_record(database: Database) -> None:
    async def change_and_fail() -> None:
        async with database.write() as connection:
            await record.write(connection, event())
            raise ValueError("the change failed")

    with pytest.raises(ValueError, match="failed"):
        await change_and_fail()
    assert await written(database) == []


async def test_the_same_event_twice_is_one_row(database: Database) -> None:
    made = event()
    await put(database, made, made)
    await put(database, made)
    await asyncio.gather(*(put(database, made) for _ in range(5)))
    assert await ids(database) == [made.id]


async def test_what_is_on_record_is_not_overwritten(database: Database) -> None:
    made = event()
    await put(database, made)
    await put(database, replace(made, actor="user:2", details={"outcome": "nothing happened"}))
    assert [row.body for row in await written(database)] == [made.canonical()]


async def test_numbers_increase_in_the_order_of_writing_whatever_the_events_say(database: Database) -> None:
    events = [event(id=new_id(), at=AT - timedelta(days=day)) for day in range(10)]
    await put(database, *events[:5])
    await put(database, *events[5:])
    found = await written(database)
    assert [row.id for row in found] == [one.id for one in events]
    assert all(before.seq < after.seq for before, after in pairwise(found))


async def test_a_number_is_never_given_twice(database: Database) -> None:
    await put(database, event(), event(id=new_id()))
    last = (await written(database))[-1].seq
    async with database.write() as connection:
        await connection.execute(rows.__table__.delete())
    await put(database, event(id=new_id()))
    (row,) = await written(database)
    assert row.seq > last


class FlakyDatabase(Database):
    """Fails before the transaction, after its commit, or not at all; or waits for a gate before it."""

    before = after = False
    failure: Exception | type[Exception] = DatabaseAway
    gate: asyncio.Event | None = None

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        if self.before:
            raise self.failure
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        async with super().write() as connection:
            yield connection
        if self.after:
            raise self.failure


@pytest.fixture
def flaky(engine: Engine) -> FlakyDatabase:
    return FlakyDatabase(engine)


class Journal:
    """The files that outcomes wait in: the journal, and what replays set aside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def aside(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}.*"))

    @property
    def files(self) -> list[Path]:
        """All of them, oldest first."""
        return [*self.aside, *filter(Path.exists, [self.path])]

    @property
    def modes(self) -> set[int]:
        return {file.stat().st_mode & 0o777 for file in self.files}

    @property
    def lines(self) -> list[str]:
        return [line for file in self.files for line in file.read_text(encoding="ascii").splitlines()]

    def replace(self, content: str | bytes) -> None:
        self.path.write_bytes(content.encode("ascii") if isinstance(content, str) else content)

    def set_aside(self, content: str) -> None:
        """As a replay does that is cut off after it."""
        self.path.with_name(f"{self.path.name}.{new_id()}").write_text(content, encoding="ascii")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "audit.journal")


@pytest.fixture
def recorder(flaky: FlakyDatabase, journal: Journal) -> Recorder:
    return Recorder(flaky, journal.path)


async def test_an_outcome_is_a_row_and_leaves_no_journal(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    made = event()
    await recorder.outcome(made)
    assert await ids(flaky) == [made.id]
    assert journal.files == []
    assert await recorder.replay() == 0
    assert journal.files == []


async def test_with_the_database_away_an_outcome_is_a_synced_line_for_the_owner_alone(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    flaky.before, made = True, event()
    await recorder.outcome(made)
    assert journal.lines == [made.canonical()]
    assert journal.files == [journal.path]
    assert journal.modes == {0o600}
    assert synced == [len(made.canonical()) + 1]
    assert await written(flaky) == []


FAILURES = [DatabaseAway, StorageFull, RuntimeError("no"), KeyError("column"), OSError(28, "No space"), TimeoutError]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
async def test_whatever_fails_an_outcome_is_kept_and_replayed(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal, failure: Exception | type[Exception]
) -> None:
    flaky.before, flaky.failure, made = True, failure, event()
    await recorder.outcome(made)
    assert journal.lines == [made.canonical()]
    flaky.before = False
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]


async def rename_table(database: Database, old: str, new: str) -> None:
    async with database.write() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


async def test_an_outcome_that_the_database_itself_refuses_is_kept_and_replayed(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    table, made = rows.__table__.name, event()
    await rename_table(flaky, table, "elsewhere")
    await recorder.outcome(made)
    assert journal.lines == [made.canonical()]
    await rename_table(flaky, "elsewhere", table)
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]


async def test_the_journal_is_replayed_once_in_order(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    flaky.before, events = True, [event(id=new_id()) for _ in range(5)]
    for one in events:
        await recorder.outcome(one)
    flaky.before = False
    assert await recorder.replay() == 5
    assert [row.body for row in await written(flaky)] == [one.canonical() for one in events]
    assert journal.files == []
    assert await recorder.replay() == 0
    assert len(await written(flaky)) == 5


@pytest.mark.parametrize("failure", [DatabaseAway, StorageFull])
async def test_a_replay_with_the_database_still_away_or_full_keeps_every_line(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal, failure: type[Exception]
) -> None:
    flaky.before, flaky.failure, made = True, failure, event()
    await recorder.outcome(made)
    with pytest.raises(failure):
        await recorder.replay()
    assert journal.lines == [made.canonical()]
    assert journal.modes == {0o600}
    flaky.before = False
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]
    assert journal.files == []


async def journal_and_replay_in_vain(recorder: Recorder, *events: Event) -> None:
    for one in events:
        await recorder.outcome(one)
        with pytest.raises(DatabaseAway):
            await recorder.replay()


async def test_a_replay_sets_the_journal_aside_under_a_new_name_and_leaves_it_there_while_the_database_is_away(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    flaky.before = True
    await journal_and_replay_in_vain(recorder, event())
    (first,) = journal.files
    assert first.with_suffix("") == journal.path
    assert str(UUID(first.suffix[1:])) == first.suffix[1:]
    flaky.before = False
    await recorder.replay()
    flaky.before = True
    await journal_and_replay_in_vain(recorder, event(id=new_id()))
    (second,) = journal.files
    assert second not in {first, journal.path}


async def test_all_that_was_set_aside_and_the_journal_are_replayed(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    flaky.before, events = True, [event(id=new_id()) for _ in range(4)]
    await journal_and_replay_in_vain(recorder, *events[:3])
    await recorder.outcome(events[3])
    assert len(journal.aside) == 3
    assert sorted(journal.lines) == sorted(one.canonical() for one in events)
    flaky.before = False
    assert await recorder.replay() == 4
    assert sorted(map(str, await ids(flaky))) == sorted(str(one.id) for one in events)
    assert journal.files == []
    assert await recorder.replay() == 0


async def test_what_another_process_set_aside_is_replayed_without_a_journal(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    made = event()
    journal.set_aside(made.canonical() + "\n")
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]
    assert journal.files == []


async def test_a_commit_whose_answer_was_lost_is_not_on_record_twice(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    flaky.after, made = True, event()
    await recorder.outcome(made)
    assert await ids(flaky) == [made.id]
    with pytest.raises(DatabaseAway):
        await recorder.replay()
    assert journal.lines == [made.canonical()]
    flaky.after = False
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]
    assert journal.files == []


@pytest.mark.parametrize("put_back", [Journal.replace, Journal.set_aside])
async def test_a_replay_cut_off_before_its_file_was_gone_makes_no_duplicates(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal, put_back: Callable[[Journal, str], None]
) -> None:
    flaky.before, events = True, [event(id=new_id()) for _ in range(3)]
    for one in events:
        await recorder.outcome(one)
    flaky.before, before = False, "\n".join(journal.lines)
    await recorder.replay()
    put_back(journal, before)
    await recorder.replay()
    assert await ids(flaky) == [one.id for one in events]
    assert journal.files == []


TEARS: dict[str, Callable[[str], str]] = {
    "cut in the middle": lambda line: line[: len(line) // 2],
    "cut before its end": lambda line: line[:-1],
    "one character": lambda line: line[:1],
    "zeros": lambda line: "\0" * len(line),
    "not an event": lambda _: "{}",
    "another word": lambda line: line.replace("download_ended", "blown_away"),
    "a number for an id": lambda line: re.sub(r'"id":"[^"]+"', '"id":7', line),
    "too deep": lambda _: "[" * 90_000,
}


async def test_a_torn_line_is_skipped_and_the_others_are_kept(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    kept: list[object] = []
    for tear in TEARS.values():
        one, torn, two = (event(id=new_id()) for _ in range(3))
        journal.replace(f"{one.canonical()}\n{tear(torn.canonical())}\n{two.canonical()}\n")
        assert await recorder.replay() == 2
        assert await recorder.replay() == 0
        kept += [one.id, two.id]
        assert await ids(flaky) == kept


async def test_what_is_appended_after_a_torn_line_survives(
    recorder: Recorder, flaky: FlakyDatabase, journal: Journal
) -> None:
    kept: list[object] = []
    for tear in TEARS.values():
        one, torn, two, three = (event(id=new_id()) for _ in range(4))
        journal.replace(f"{one.canonical()}\n{tear(torn.canonical())}")
        flaky.before = True
        await recorder.outcome(two)
        await recorder.outcome(three)
        flaky.before = False
        assert await recorder.replay() == 3
        kept += [one.id, two.id, three.id]
        assert await ids(flaky) == kept


async def test_a_line_that_is_no_text_is_skipped(recorder: Recorder, flaky: FlakyDatabase, journal: Journal) -> None:
    made = event()
    journal.replace(b"\xff\xfe\n\n\n" + made.canonical().encode() + b"\n\x80")
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]


async def test_many_outcomes_at_once_are_whole_lines(flaky: FlakyDatabase, journal: Journal) -> None:
    flaky.before, events = True, [event(id=new_id(), details={"n": n}) for n in range(20)]
    workers = [Recorder(flaky, journal.path) for _ in range(4)]
    await asyncio.gather(*(workers[n % 4].outcome(one) for n, one in enumerate(events)))
    assert sorted(journal.lines) == sorted(one.canonical() for one in events)


async def test_an_outcome_that_comes_during_a_replay_is_not_lost(
    flaky: FlakyDatabase, engine: Engine, journal: Journal
) -> None:
    first, second, cut_off = event(), event(id=new_id()), FlakyDatabase(engine)
    cut_off.before = True
    worker = Recorder(cut_off, journal.path)
    await worker.outcome(first)
    flaky.gate = asyncio.Event()
    replaying = asyncio.create_task(Recorder(flaky, journal.path).replay())
    await flaky.asked.wait()
    appending = asyncio.create_task(worker.outcome(second))
    await asyncio.sleep(0)
    flaky.gate.set()
    assert await replaying == 1
    await appending
    assert journal.files == [journal.path]
    assert journal.lines == [second.canonical()]
    assert await ids(flaky) == [first.id]


class Lock:
    """The journal's lock: the first to ask for it gets it only when the gate opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.gate, self._really = threading.Event(), threading.Event(), fcntl.flock
        monkeypatch.setattr(fcntl, "flock", self._flock)

    def _flock(self, file: int, how: int) -> None:
        if not self.asked.is_set():
            self.asked.set()
            self.gate.wait(30)
        self._really(file, how)

    async def is_waited_for(self) -> None:
        assert await asyncio.to_thread(self.asked.wait, 30)


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lock]:
    made = Lock(monkeypatch)
    yield made
    made.gate.set()


async def test_an_append_that_waited_while_the_journal_was_set_aside_lands_in_a_new_one(
    flaky: FlakyDatabase, engine: Engine, journal: Journal, lock: Lock
) -> None:
    first, second, cut_off = event(), event(id=new_id()), FlakyDatabase(engine)
    journal.replace(first.canonical() + "\n")
    cut_off.before = True
    appending = asyncio.create_task(Recorder(cut_off, journal.path).outcome(second))
    await lock.is_waited_for()
    assert await Recorder(flaky, journal.path).replay() == 1
    assert journal.files == []
    lock.gate.set()
    await appending
    assert journal.files == [journal.path]
    assert journal.lines == [second.canonical()]
    assert await Recorder(flaky, journal.path).replay() == 1
    assert await ids(flaky) == [first.id, second.id]


async def test_two_replays_of_one_file_at_once_write_each_row_once(engine: Engine, journal: Journal) -> None:
    events, gate = [event(id=new_id()) for _ in range(5)], asyncio.Event()
    journal.replace("".join(one.canonical() + "\n" for one in events))
    replays = []
    for _ in range(2):
        database = FlakyDatabase(engine)
        database.gate = gate
        replays.append(asyncio.create_task(Recorder(database, journal.path).replay()))
        await database.asked.wait()
    gate.set()
    await asyncio.gather(*replays)
    assert await ids(Database(engine)) == [one.id for one in events]
    assert journal.files == []


async def test_a_replay_whose_file_another_replayed_meanwhile_goes_on_to_the_next(
    engine: Engine, journal: Journal
) -> None:
    first, second, slow = event(), event(id=new_id()), FlakyDatabase(engine)
    journal.set_aside(first.canonical() + "\n")
    journal.set_aside(second.canonical() + "\n")
    slow.gate = asyncio.Event()
    replaying = asyncio.create_task(Recorder(slow, journal.path).replay())
    await slow.asked.wait()
    await Recorder(Database(engine), journal.path).replay()
    slow.gate.set()
    await replaying
    assert sorted(map(str, await ids(slow))) == sorted([str(first.id), str(second.id)])
    assert journal.files == []


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Journal, Journal]:
    """A journal that is a link, and where it leads to."""
    link, target = Journal(tmp_path / "link"), Journal(tmp_path / "target")
    target.replace("untouched")
    link.path.symlink_to(target.path)
    return link, target


async def test_a_link_in_the_journals_place_is_not_followed(
    flaky: FlakyDatabase, linked: tuple[Journal, Journal]
) -> None:
    flaky.before, (link, target) = True, linked
    await Recorder(flaky, link.path).outcome(event())
    assert target.lines == ["untouched"]


async def test_an_outcome_that_nothing_takes_is_held_until_something_does(flaky: FlakyDatabase, tmp_path: Path) -> None:
    recorder, made = Recorder(flaky, tmp_path / "gone" / "journal"), event()
    flaky.before = True
    await recorder.outcome(made)
    with pytest.raises(Unavailable):
        await recorder.replay()
    flaky.before = False
    assert await recorder.replay() == 1
    assert await recorder.replay() == 0
    assert await ids(flaky) == [made.id]


def _raise(error: Exception) -> NoReturn:
    raise error


async def test_a_journal_that_cannot_be_read_is_a_part_that_is_away(
    recorder: Recorder, flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky.before, made = True, event()
    await recorder.outcome(made)
    flaky.before = False
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: _raise(OSError(errno.EIO, "a bad sector")))
        with pytest.raises(Unavailable):
            await recorder.replay()
    assert await recorder.replay() == 1
    assert await ids(flaky) == [made.id]
