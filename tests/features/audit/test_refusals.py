"""Refusals on record: each kind once and at once, the rest counted, and no flood of them fills the disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from portal.core import tasks
from portal.core.principal import Origin
from portal.db.connection import Connection, Engine
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit.events import Event
from portal.features.audit.record import Recorder
from portal.features.audit.refusals import MOST_OF_ALL, MOST_OF_ONE, NOBODY, VARIOUS, Refusal, Refusals

ORIGIN = Origin("a request", "192.0.2.1")


class House:
    def __init__(self, database: Database, journal: Path) -> None:
        self.database = database
        self.refusals = Refusals(Recorder(database, journal))

    def refuse(self, actor: str, subject: str | None = "file-1", address: str = "192.0.2.1") -> None:
        origin = Origin("a request", address)
        self.refusals.note(Refusal(actor, "files.download", "not_found", subject, address), origin)

    async def events(self) -> list[Event]:
        await tasks.drain()
        async with self.database.read() as connection:
            bodies = (await connection.execute(text("SELECT body FROM audit ORDER BY seq"))).scalars()
            return [Event.from_canonical(body) for body in bodies]


@pytest.fixture
async def house(engine: Engine, tmp_path: Path) -> AsyncIterator[House]:
    yield House(Database(engine), tmp_path / "journal.jsonl")
    await tasks.drain()


async def test_the_first_is_written_at_once_and_those_like_it_are_counted(house: House) -> None:
    for _ in range(5):
        house.refuse("user:1")
    house.refuse("user:1", "file-2")
    first, second = await house.events()
    assert (first.kind, first.actor, first.subject, first.origin) == ("access.refused", "user:1", "file-1", ORIGIN)
    assert first.details == {"action": "files.download", "code": "not_found"}
    assert second.subject == "file-2"
    await house.refusals.close_round()
    *_, counted = await house.events()
    assert (counted.subject, counted.details["more"], counted.origin.address) == ("file-1", 4, "192.0.2.1")
    house.refuse("user:1")
    assert len(await house.events()) == 4  # a new round begins with a row again


async def test_one_caller_has_room_for_so_many_kinds_and_one_row_for_the_rest(house: House) -> None:
    for number in range(MOST_OF_ONE * 5):
        house.refuse("user:1", f"file-{number}", f"2001:db8::{number:x}")
    house.refuse("user:2")
    events = await house.events()
    assert len(events) == MOST_OF_ONE + 2
    rest = events[MOST_OF_ONE]
    assert (rest.actor, rest.subject, rest.details["action"]) == ("user:1", None, VARIOUS)
    await house.refusals.close_round()
    (counted,) = (await house.events())[MOST_OF_ONE + 2 :]
    assert (counted.actor, counted.details["more"]) == ("user:1", MOST_OF_ONE * 4 - 1)


async def test_an_accounts_tokens_have_its_room_together(house: House) -> None:
    for number in range(MOST_OF_ONE * 3):
        house.refuse(f"user:1/token:{number}", f"file-{number}")
    events = await house.events()
    assert len(events) == MOST_OF_ONE + 1
    assert events[3].actor == "user:1/token:3"
    assert (events[-1].actor, events[-1].details["action"]) == ("user:1", VARIOUS)


async def test_strangers_use_up_no_room_of_those_who_are_signed_in(house: House, monkeypatch: Any) -> None:
    monkeypatch.setitem(MOST_OF_ALL, True, 3)
    for number in range(MOST_OF_ALL[False] * 3):
        house.refuse(NOBODY, None, f"192.0.2.{number}")
    for number in range(9):
        house.refuse(f"user:{number}")
    events = await house.events()
    strangers = [event for event in events if event.actor == NOBODY]
    assert len(strangers) == MOST_OF_ALL[False] + 1
    assert [event.actor for event in events if event.actor != NOBODY] == ["user:0", "user:1", "user:2", VARIOUS]


async def test_while_the_database_is_away_they_wait_in_the_journal(house: House, tmp_path: Path) -> None:
    class Away(Database):
        @asynccontextmanager
        async def write(self) -> AsyncIterator[Connection]:
            raise DatabaseAway
            yield

    refusals = Refusals(Recorder(Away(house.database.engine), tmp_path / "other.jsonl"))
    refusals.note(Refusal("user:1", "files.read", "forbidden"), ORIGIN)
    await tasks.drain()
    assert "access.refused" in (tmp_path / "other.jsonl").read_text()
