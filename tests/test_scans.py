"""The guard against scans on the event loop refuses the portal's own statements, and no others."""

import pytest
from sqlalchemy import select, text

from portal.db.engine import parse_url
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.files.models import FileRow
from portal.stores import repository


@pytest.fixture
def database_url(database_file: object) -> object:
    return parse_url(f"sqlite:///{database_file}")


async def test_a_listing_that_is_not_marked_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with database.read() as connection:
        assert await repository.counts(connection) == {}
        monkeypatch.setattr(repository, "scanning", lambda statement: statement.order_by(text("1")))
        with pytest.raises(AssertionError, match="not marked: SELECT"):
            await repository.counts(connection)


async def test_a_test_may_scan(database: Database) -> None:
    async with database.read() as connection:
        assert (await connection.execute(select(table(FileRow)))).all() == []
        assert (await connection.execute(scanning(select(table(FileRow))))).all() == []
