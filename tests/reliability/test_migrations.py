"""A migration that is cut off anywhere did not happen, and the next `portal db upgrade` starts over."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event, inspect
from sqlalchemy.engine import URL

from portal import schema
from portal.db.connection import Engine
from portal.db.engine import make_engine, parse_url
from portal.tables import metadata

from ..conftest import let_go
from .amounts import amount
from .conftest import Figures

T = TypeVar("T")


@pytest.fixture
async def engine(changeable_url: URL) -> AsyncIterator[Engine]:
    made = make_engine(changeable_url, "disable")
    yield made
    await let_go(made)


class CutOff(Exception):
    """The process ended here."""


@contextmanager
def at_each_statement(engine: Engine, then: Callable[[int], None]) -> Iterator[None]:
    """Call `then` with how many statements of the migrations went before, ahead of every one."""
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        then(done)
        done += 1

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version", "sqlite_sequence"}


async def is_complete(engine: Engine) -> bool:
    await schema.upgrade(engine)
    await schema.require_current(engine)
    async with engine.read() as connection:
        return await connection.run_sync(tables) == set(metadata.tables)


def some(places: Sequence[T]) -> list[T]:
    """As many as this run does, spread evenly, the last one among them."""
    step = -(-len(places) // amount("CUT_OFF_MIGRATIONS"))
    return [*places[::step][:-1], places[-1]]


async def test_a_migration_that_was_cut_off_anywhere_did_not_happen_and_starts_over(
    engine: Engine, figures: Figures
) -> None:
    seen: list[int] = []
    await schema.downgrade(engine, "base")
    with at_each_statement(engine, seen.append):
        await schema.upgrade(engine)
    assert len(seen) > 20
    for place in some(seen):

        def cut_off(done: int, place: int = place) -> None:
            if done == place:
                raise CutOff

        await schema.downgrade(engine, "base")
        with at_each_statement(engine, cut_off), pytest.raises(CutOff):
            await schema.upgrade(engine)
        async with engine.read() as connection:
            assert await connection.run_sync(tables) == set()
        assert await is_complete(engine)
    figures(cut_off=len(some(seen)), statements=len(seen))


async def test_whatever_a_killed_migration_leaves_of_a_file_starts_over(tmp_path: Path, figures: Figures) -> None:
    """The embedded database as it lies on the disk before each statement: what a process killed there leaves."""
    original, seen = tmp_path / "original", []
    original.mkdir()

    def keep(done: int) -> None:
        seen.append(tmp_path / f"killed-{done}")
        shutil.copytree(original, seen[-1])

    engine = make_engine(parse_url(f"sqlite:///{original}/portal.db"), "disable")
    with at_each_statement(engine, keep):
        await schema.upgrade(engine)
    await engine.dispose()
    assert len(seen) > 20
    for folder in some(seen):
        left = make_engine(parse_url(f"sqlite:///{folder}/portal.db"), "disable")
        assert await is_complete(left)
        await left.dispose()
    figures(cut_off=len(some(seen)), statements=len(seen))
