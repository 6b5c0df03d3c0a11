"""A client that asks again and again for what is new misses nothing, however transactions overlap."""

import asyncio
import itertools
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz.visibility import UNRESTRICTED
from portal.features.files import availability, repository
from portal.features.files.listing import Filters, list_page
from portal.features.files.order import FileOrder
from portal.features.files.views import FileView

from .conftest import CONTENT, ORIGIN, Bytes, House
from .test_repository import new_file

AVAILABLE = FileOrder.AVAILABLE


async def poll(house: House, start: datetime | None = None, limit: int = 200) -> list[FileView]:
    async with house.database.read() as connection:
        return await list_page(connection, Filters(UNRESTRICTED, available_from=start, order=AVAILABLE), None, limit)


class Poller:
    """Remembers what it saw, and from when on to ask."""

    def __init__(self, house: House) -> None:
        self._house, self.seen = house, dict[UUID, datetime]()
        self._newest: datetime | None = None

    async def ask(self) -> None:
        for file in await poll(self._house, self._newest):
            assert file.available_at is not None
            self.seen.setdefault(file.id, file.available_at)
            self._newest = file.available_at


async def ready(connection: Connection, owner: Principal, **changes: Any) -> UUID:
    """A file that becomes available with this transaction."""
    stamp = await availability.stamp(connection)
    row = new_file(owner, status="ready", size=3, sha256="ab" * 32, available_at=stamp, **changes)
    assert await repository.add(connection, row)
    file_id: UUID = row["id"]
    return file_id


async def test_an_upload_is_stamped_when_it_ends(house: House, analyst: Principal) -> None:
    for content_length in (None, len(CONTENT)):
        began: list[datetime] = []

        async def note(began: list[datetime] = began) -> None:
            await asyncio.sleep(0.01)  # the databases' clocks are this machine's
            began.append(clock.now())

        arrival = Bytes(content_length=content_length, meanwhile=note)
        file = await house.intake.receive(analyst, arrival, ORIGIN)
        assert file.available_at is not None
        assert file.created_at < began[0] <= file.available_at
        assert await house.found(file.id) == file


async def test_what_took_long_comes_behind_what_was_quick(house: House, analyst: Principal) -> None:
    quick: list[UUID] = []

    async def meanwhile() -> None:
        quick.append((await house.hand_in(analyst, b"quick")).id)

    slow = await house.hand_in(analyst, meanwhile=meanwhile)
    assert [file.id for file in await poll(house)] == [*quick, slow.id]
    (newest, _) = (await house.catalog.list(analyst, Filters(), None, 50)).items
    assert newest.id == quick[0]  # by when they began


async def test_a_file_is_not_shown_before_one_that_may_still_come_in_front(house: House, analyst: Principal) -> None:
    async def overtake() -> UUID:
        async with house.database.write() as quick:
            return await ready(quick, analyst)

    async with house.database.write() as slow:
        first = await ready(slow, analyst)
        overtaking = asyncio.create_task(overtake())
        if house.database.engine.dialect.name == "postgresql":
            assert await house.found(await overtaking) is not None  # in SQLite it waits its turn
        assert await poll(house) == []
    second = await overtaking
    assert [file.id for file in await poll(house)] == [first, second]


async def test_one_that_was_rolled_back_holds_nobody_up(house: House, analyst: Principal) -> None:
    with suppress(ZeroDivisionError):
        async with house.database.write() as connection:
            await ready(connection, analyst)
            raise ZeroDivisionError
    file = await house.hand_in(analyst)
    assert [one.id for one in await poll(house)] == [file.id]


async def test_of_many_writers_at_once_a_poller_misses_none(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its stamp and its commit each waits a little, so that they overtake each other wherever they can."""
    real, waits = record.write, itertools.cycle([0, 0.02, 0.002])

    async def slow(connection: Connection, event: Event) -> None:
        await real(connection, event)
        if event.kind is EventKind.FILE_UPLOADED:
            await asyncio.sleep(next(waits))

    monkeypatch.setattr(record, "write", slow)
    poller = Poller(house)

    async def write(number: int) -> None:
        for turn in range(10):
            content_length = len(CONTENT) if (number + turn) % 2 else None
            await house.hand_in(analyst, content_length=content_length)

    writers = [asyncio.create_task(write(number)) for number in range(5)]
    while not all(writer.done() for writer in writers):
        await poller.ask()
    await asyncio.gather(*writers)
    await poller.ask()
    assert set(poller.seen) == {UUID(str(row["id"])) for row in await house.rows("files")}
    assert len(poller.seen) == 50
    assert sorted(poller.seen.values()) == list(poller.seen.values())


async def test_a_clock_that_was_set_back_stamps_no_file_before_another(house: House, analyst: Principal) -> None:
    ahead = clock.now() + timedelta(hours=1)
    async with house.database.write() as connection:
        await repository.add(connection, new_file(analyst, status="ready", available_at=ahead))
    file = await house.hand_in(analyst)
    assert file.available_at == ahead + timedelta(microseconds=1)


async def test_pages_in_this_order_follow_each_other(house: House, analyst: Principal) -> None:
    ids = [(await house.hand_in(analyst)).id for _ in range(5)]
    case = await house.open_case(analyst)
    ids += [(await house.hand_in(analyst, case_id=case.id)).id for _ in range(2)]
    seen, after = [], None
    while True:
        page = await house.catalog.list(analyst, Filters(order=AVAILABLE), after, 2)
        seen += [file.id for file in page.items]
        if page.next_after is None:
            break
        after = page.next_after
    assert seen == ids


async def test_a_span_of_time_is_listed_from_its_beginning_to_before_its_end(house: House, analyst: Principal) -> None:
    files = [await house.hand_in(analyst) for _ in range(3)]
    times = [file.available_at for file in files]
    found = await house.catalog.list(analyst, Filters(available_from=times[1], available_to=times[2]), None, 50)
    assert [file.id for file in found.items] == [files[1].id]


async def test_a_file_that_is_moved_is_new_where_it_is(house: House, analyst: Principal) -> None:
    moved, other = await house.hand_in(analyst), await house.hand_in(analyst)
    case = await house.open_case(analyst)
    await house.files.mover.move(analyst, moved.id, None, case.id, ORIGIN)
    assert [file.id for file in await poll(house, other.available_at)] == [other.id, moved.id]
