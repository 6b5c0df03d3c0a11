"""How often a file's way in and out asks the database: each question costs every upload, so none comes unnoticed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portal.core.principal import Principal
from portal.crypto.layout import MAX_INLINE_PLAIN
from portal.features.files import blob_rows
from portal.features.files.listing import Filters

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


async def test_no_statement_is_written_anew_to_be_executed(
    house: House, analyst: Principal, sync_engine: Engine
) -> None:
    """A list of bound values is: each of them is put into the text, which takes longer than the statement itself."""
    written_anew: list[str] = []

    def look(*given: Any) -> None:
        _, _, text, _, context, _ = given
        if context.compiled is not None and context.compiled.post_compile_params:
            written_anew.append(text)

    event.listen(sync_engine, "before_cursor_execute", look)
    file = await house.hand_in(analyst)
    await house.fetch(analyst, file.id)
    await house.catalog.get(analyst, file.id)
    await house.catalog.list(analyst, Filters(), None, 50)
    event.remove(sync_engine, "before_cursor_execute", look)
    assert not written_anew


@pytest.mark.parametrize(("size", "in_thread"), [(MAX_INLINE_PLAIN, True), (MAX_INLINE_PLAIN + 1, False)])
async def test_parts_are_read_in_a_thread_where_they_may_hold_the_bytes(
    house: House, analyst: Principal, sync_engine: Engine, size: int, in_thread: bool
) -> None:
    if sync_engine.dialect.name == "postgresql":
        return  # its statements run in no thread of ours
    file = replace(await house.hand_in(analyst), size=size)
    threads: list[int] = []

    def look(*_: Any) -> None:
        threads.append(threading.get_ident())

    event.listen(sync_engine, "before_cursor_execute", look)
    async with house.database.read() as connection:
        assert await blob_rows.parts(connection, file)
    event.remove(sync_engine, "before_cursor_execute", look)
    assert [thread != threading.get_ident() for thread in threads] == [in_thread]


async def test_who_is_calling_is_one_statement(house: House, analyst: Principal, sync_engine: Engine) -> None:
    with counted(sync_engine) as seen:
        async with house.database.read() as connection:
            await house.sessions.require_live(connection, analyst.credential_id)
    assert seen == {"statements": 1, "commits": 1}
