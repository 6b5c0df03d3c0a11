"""The guard against statements that read many rows of a large Postgres refuses the portal's own, and no others."""

import importlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.files.models import FileRow
from portal.stores import repository

from . import plans
from .plans import Planner

LISTED = "FROM files WHERE status IN ('ready', 'quarantined') AND kind <> ''"
NOBODY = UUID(int=1)


@pytest.fixture
def database_url(worker_postgres: URL) -> URL:
    return worker_postgres


async def test_a_statement_that_reads_a_whole_table_is_refused(
    database: Database, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner.sound.clear()
    monkeypatch.setattr(plans, "READERS", {})
    async with database.read() as connection:
        with pytest.raises(AssertionError, match=r"counts reads all of blobs"):
            await repository.counts(connection)


async def test_a_test_may_read_a_whole_table(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(select(table(FileRow)))


def test_a_page_in_the_order_of_an_index_is_good(planner: Planner) -> None:
    assert planner.wrong(f"SELECT id {LISTED} ORDER BY created_at DESC, id DESC LIMIT $1::int", [50]) is None


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT id {LISTED} AND owner_id = $1::uuid ORDER BY size LIMIT 50",
        f"SELECT id {LISTED} AND data_key_id = $1::uuid ORDER BY created_at LIMIT 50",
        "SELECT id FROM files WHERE case_id = $1::uuid ORDER BY size LIMIT 50",
    ],
    ids=["of all files to sort them", "of all files in their order", "of a case to sort them"],
)
def test_a_page_for_which_many_rows_are_read_is_wrong(planner: Planner, statement: str) -> None:
    assert planner.wrong(statement, [NOBODY]) is not None


def test_the_plan_for_all_values_is_looked_at_where_postgres_would_take_it(planner: Planner) -> None:
    of_one, since = (
        "SELECT name FROM files WHERE id = $1::uuid",
        f"SELECT id {LISTED} AND created_at >= $1::timestamptz",
    )
    assert len(planner.plans(of_one, [NOBODY])) == 2
    assert len(planner.plans(since, [datetime.now(UTC)])) == 1  # that for all times believes in a third of all files


@pytest.mark.parametrize("reader", plans.READERS)
def test_what_may_read_many_rows_exists(reader: str) -> None:
    module, _, name = reader.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
