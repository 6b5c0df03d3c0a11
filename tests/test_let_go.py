"""The engine of a test goes when nobody has a connection of it."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from portal.core import tasks
from portal.db.engine import make_engine
from portal.db.unit_of_work import Database

from .conftest import let_go


async def hold(database: Database, taken: asyncio.Event, enough: asyncio.Event) -> None:
    """Have a connection in use."""
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
        taken.set()
        await enough.wait()


async def test_what_stands_aside_gives_its_connection_back_before_the_engine_goes(database_url: URL) -> None:
    engine, taken = make_engine(database_url, "disable"), asyncio.Event()
    tasks.spawn(hold(Database(engine), taken, asyncio.Event()))
    await taken.wait()
    await let_go(engine)
    assert tasks._cancellable == set()


async def test_a_connection_that_is_still_in_use_fails_the_test(database_url: URL) -> None:
    engine, taken, enough = make_engine(database_url, "disable"), asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold(Database(engine), taken, enough))
    await taken.wait()
    with pytest.raises(AssertionError):
        await let_go(engine)
    enough.set()
    await holder
    await let_go(engine)
