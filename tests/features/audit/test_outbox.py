"""The outbox on both databases: what a sink wants is in it exactly once, in order, and nothing else ever is."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as events_of
from sqlalchemy import text

from portal.core import clock
from portal.db.unit_of_work import Database
from portal.features.audit import outbox, record
from portal.features.audit.events import Event, EventKind
from portal.features.audit.outbox import OutboxClaim, Sink
from portal.features.audit.record import Recorder

UPLOADS = Sink("uploads", frozenset({"file.uploaded"}))
FILES = Sink("files", frozenset({"file.*"}))
EVERYTHING = Sink("everything", frozenset({"*"}))
LEASE = timedelta(minutes=1)


def event(kind: EventKind = EventKind.FILE_UPLOADED) -> Event:
    return Event(kind, "user:1", "file-1", details={"size": 7})


async def put(database: Database, *events: Event) -> None:
    async with database.write() as connection:
        for one in events:
            await record.write(connection, one)


async def fail(database: Database, one: Event) -> None:
    """Write the event in a transaction that is rolled back. Raises KeyError."""
    async with database.write() as connection:
        await record.write(connection, one)
        raise KeyError


async def waiting(database: Database) -> list[tuple[str, str]]:
    """Sink and id of the event, of every row."""
    rows: Any = text("SELECT o.sink, a.body FROM audit_outbox o JOIN audit a ON a.seq = o.seq ORDER BY o.sink, o.seq")
    async with database.read() as connection:
        return [(sink, str(Event.from_canonical(body).id)) for sink, body in await connection.execute(rows)]


async def claim(database: Database, sink: Sink = FILES, most: int = 100) -> OutboxClaim:
    async with database.write() as connection:
        return await outbox.claim(connection, sink.name, most=most, lease=LEASE)


async def acknowledge(database: Database, claimed: OutboxClaim, *delivered: int) -> None:
    async with database.write() as connection:
        await outbox.acknowledge(connection, claimed, delivered)


@pytest.mark.parametrize(
    ("sink", "wanted"),
    [
        (UPLOADS, {EventKind.FILE_UPLOADED}),
        (FILES, {kind for kind in EventKind if kind.value.startswith("file.")}),
        (EVERYTHING, set(EventKind)),
        (Sink("none", frozenset()), set()),
        (Sink("no kind", frozenset({"file", "file.", "file.*.x", "FILE.*", ".*"})), set()),
    ],
)
def test_a_sink_wants_what_its_patterns_say(sink: Sink, wanted: set[EventKind]) -> None:
    assert {kind for kind in EventKind if sink.wants(kind)} == wanted


async def test_an_event_is_there_once_for_each_sink_that_wants_it(database: Database) -> None:
    outbox.register(database.engine, [UPLOADS, FILES, EVERYTHING])
    uploaded, deleted, signed_in = event(), event(EventKind.FILE_DELETED), event(EventKind.SIGN_IN)
    await put(database, uploaded, deleted, signed_in, uploaded)
    await put(database, uploaded)
    assert await waiting(database) == [
        *(("everything", str(one.id)) for one in (uploaded, deleted, signed_in)),
        *(("files", str(one.id)) for one in (uploaded, deleted)),
        ("uploads", str(uploaded.id)),
    ]


@pytest.mark.parametrize("sinks", [[], [UPLOADS]])
async def test_an_event_that_no_sink_wants_costs_no_row_and_no_statement(database: Database, sinks: list[Sink]) -> None:
    statements: list[str] = []
    outbox.register(database.engine, sinks)
    async with database.write() as connection:
        await connection.execute(text("SELECT 1"))
        events_of.listen(
            connection.sync_engine,
            "before_cursor_execute",
            lambda *seen: statements.append(str(seen[2])),
        )
        await record.write(connection, event(EventKind.SIGN_IN))
    assert len(statements) == 1
    assert statements[0].startswith("INSERT INTO audit ")
    assert await waiting(database) == []


async def test_what_is_rolled_back_takes_its_event_along(database: Database) -> None:
    outbox.register(database.engine, [FILES])
    with pytest.raises(KeyError):
        await fail(database, event())
    assert await waiting(database) == []


async def test_an_outcome_from_the_journal_is_delivered_too(database: Database, tmp_path: Path) -> None:
    outbox.register(database.engine, [FILES])
    ended, journal = event(EventKind.FILE_DOWNLOAD_ENDED), tmp_path / "journal.jsonl"
    journal.write_text(ended.canonical() + "\n" + ended.canonical() + "\n")
    await Recorder(database, journal).replay()
    assert await waiting(database) == [("files", str(ended.id))]


async def test_many_writers_lose_nothing_and_double_nothing(database: Database) -> None:
    outbox.register(database.engine, [FILES])
    kept, dropped = [event() for _ in range(30)], [event() for _ in range(10)]
    await asyncio.gather(
        *(put(database, one) for one in kept),
        *(put(database, one) for one in kept[:10]),
        *(fail(database, one) for one in dropped),
        return_exceptions=True,
    )
    assert sorted(await waiting(database)) == sorted(("files", str(one.id)) for one in kept)


async def test_a_claim_has_canonical_bytes_in_order(database: Database) -> None:
    outbox.register(database.engine, [FILES, EVERYTHING])
    written = [event() for _ in range(5)]
    await put(database, *written)
    first = await claim(database, most=3)
    assert list(first.events.values()) == [one.canonical().encode() for one in written[:3]]
    assert list(first.events) == sorted(first.events)
    await acknowledge(database, first, *first.events)
    rest = await claim(database)
    assert list(rest.events.values()) == [one.canonical().encode() for one in written[3:]]
    assert len((await claim(database, EVERYTHING)).events) == 5


async def test_one_deliverer_at_a_time_has_a_sinks_events(database: Database) -> None:
    outbox.register(database.engine, [FILES])
    await put(database, *(event() for _ in range(10)))
    claims = await asyncio.gather(*(claim(database, most=3) for _ in range(5)))
    (had,) = [one for one in claims if one.events]
    assert len(had.events) == 3
    await put(database, event())
    assert (await claim(database)).events == {}


async def test_what_was_not_delivered_is_claimed_again(
    database: Database, forward: Callable[[timedelta], None]
) -> None:
    outbox.register(database.engine, [FILES])
    await put(database, *(event() for _ in range(4)))
    first = await claim(database)
    one, *others = first.events
    await acknowledge(database, first, one)
    second = await claim(database)
    assert list(second.events) == others
    forward(LEASE)  # the deliverer died
    assert await claim(database) == replace(second, until=second.until + LEASE)


async def test_a_late_acknowledgement_takes_nothing_from_the_next_deliverer(
    database: Database, forward: Callable[[timedelta], None]
) -> None:
    outbox.register(database.engine, [FILES])
    await put(database, *(event() for _ in range(3)))
    late = await claim(database)
    forward(LEASE)
    current = await claim(database)
    first, second, third = current.events
    for _ in range(2):
        await acknowledge(database, late, first)
    assert (await claim(database)).events == {}  # the lease of the second stands
    await acknowledge(database, current, first, second)
    assert list((await claim(database)).events) == [third]


async def test_a_sink_that_has_nothing_gets_an_empty_claim(database: Database) -> None:
    empty = await claim(database)
    assert empty.events == {}
    await acknowledge(database, empty)


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """A clock that stands still until it is moved."""
    now = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def move(by: timedelta) -> None:
        now[0] += by

    return move
