"""Right tests for what Postgres refuses while connecting: each fails until `src` is mended."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import URL

from portal.core.ids import new_id
from portal.db.engine import make_engine
from portal.db.unit_of_work import Database, DatabaseAway


async def administer(server: URL, *statements: str) -> None:
    connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def crowded(postgres: URL) -> AsyncIterator[URL]:
    """A role that may not open one connection more, as every role of a full server."""
    name = f"r{new_id().hex}"
    await administer(postgres, f'CREATE ROLE "{name}" LOGIN CONNECTION LIMIT 0')
    yield postgres.set(username=name)
    await administer(postgres, f'DROP ROLE "{name}"')


async def check(url: URL) -> None:
    database = Database(make_engine(url, "disable"))
    try:
        await database.check()
    finally:
        await database.aclose()


async def test_a_server_without_room_for_one_more_is_away(crowded: URL) -> None:
    with pytest.raises(DatabaseAway):
        await check(crowded)


async def test_a_database_or_role_that_is_not_there_is_away(postgres: URL) -> None:
    for url in (postgres.set(database=new_id().hex), postgres.set(username=new_id().hex)):
        with pytest.raises(DatabaseAway):
            await check(url)


class Refusing(asyncio.Protocol):
    """Answers every client the same, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(self._answer)
        self._transport.close()


FIELDS = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
STARTING_UP = b"E" + (len(FIELDS) + 4).to_bytes(4, "big") + FIELDS


@pytest.mark.parametrize("answer", [STARTING_UP, b""], ids=["starting up", "hanging up"])
async def test_a_server_that_is_starting_or_stopping_is_away(postgres: URL, answer: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Refusing(answer), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DatabaseAway):
            await check(postgres.set(host="127.0.0.1", port=port, query={}))
