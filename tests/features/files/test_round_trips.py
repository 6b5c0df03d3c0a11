"""How often a file's way in and out asks the database: each question costs every upload, so none comes unnoticed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portal.core.principal import Principal

from .conftest import CONTENT, ORIGIN, Bytes, House


@contextmanager
def counted(engine: Engine) -> Iterator[dict[str, int]]:
    """Statements and transactions that ended well, while the block runs."""
    seen = {"statements": 0, "commits": 0}

    def asked(*_: Any) -> None:
        seen["statements"] += 1

    def committed(_: Any) -> None:
        seen["commits"] += 1

    event.listen(engine, "before_cursor_execute", asked)
    event.listen(engine, "commit", committed)
    yield seen
    event.remove(engine, "before_cursor_execute", asked)
    event.remove(engine, "commit", committed)


@pytest.fixture
def sync_engine(house: House) -> Engine:
    return house.database.engine.sync_engine


async def test_an_upload_is_two_transactions_of_two_and_five_statements(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    await house.hand_in(analyst)  # the data key is made once
    with counted(sync_engine) as seen:
        await house.hand_in(analyst)
    assert seen == {"statements": 2 + 5, "commits": 2}


async def test_a_small_upload_is_one_transaction_of_five_statements(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    small = Bytes(content_length=len(CONTENT))
    await house.intake.receive(analyst, small, ORIGIN)
    with counted(sync_engine) as seen:
        await house.intake.receive(analyst, small, ORIGIN)
    assert seen == {"statements": 5, "commits": 1}


async def test_a_download_is_two_transactions_of_three_and_one_statements(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    file = await house.hand_in(analyst)
    await house.fetch(analyst, file.id)
    with counted(sync_engine) as seen:
        await house.fetch(analyst, file.id)
    assert seen == {"statements": 3 + 1, "commits": 2}


async def test_a_download_of_a_case_asks_no_more_than_one_of_an_inbox(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    file = await house.hand_in(analyst, case_id=(await house.open_case(analyst)).id)
    await house.fetch(analyst, file.id)
    with counted(sync_engine) as seen:
        await house.fetch(analyst, file.id)
    assert seen == {"statements": 3 + 1, "commits": 2}


async def test_an_upload_to_a_case_asks_how_one_stands_to_it_in_both_transactions(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    case = await house.open_case(analyst)
    await house.hand_in(analyst, case_id=case.id)
    with counted(sync_engine) as seen:
        await house.hand_in(analyst, case_id=case.id)
    held = 2 if sync_engine.dialect.name == "postgresql" else 1  # where there is more than one writer, it is held first
    assert seen == {"statements": 2 + 5 + 2 * held, "commits": 2}


async def test_who_is_calling_is_one_statement(house: House, analyst: Principal, sync_engine: Engine) -> None:
    with counted(sync_engine) as seen:
        async with house.database.read() as connection:
            await house.sessions.require_live(connection, analyst.credential_id)
    assert seen == {"statements": 1, "commits": 1}
