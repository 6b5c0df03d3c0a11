"""SQLite's plan of each statement of a listing, for each kind of caller, order and filter: none reads the whole table.

The database is empty and without statistics, as SQLite's always are: the plan is that of a table with a million rows.
"""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from portal.db.engine import make_engine, parse_url
from portal.db.unit_of_work import Database
from portal.features.authz.relation import CaseRole
from portal.features.authz.visibility import UNRESTRICTED, Visibility
from portal.features.files import listing
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import FileKind
from portal.features.files.order import FileOrder

NOBODY, START = UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)
CALLERS = {
    "admin": UNRESTRICTED,
    "analyst": Visibility(NOBODY, frozenset(CaseRole) - {CaseRole.UPLOADER}, granted=True),
    "uploader": Visibility(NOBODY, frozenset()),
}
FILTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "kind": {"kind": FileKind.LOG},
    "sha256": {"sha256": "a" * 64},
    "name": {"name": "x"},
    "part of a name": {"name": "a part of a name"},
    "part of a name in a case": {"name": "xyz", "case_id": NOBODY},
    "case": {"case_id": NOBODY},
    "created_from": {"created_from": START},
    "created_to": {"created_to": START},
    "available": {"available_from": START, "available_to": START},
    "kind in a case": {"kind": FileKind.LOG, "case_id": NOBODY},
    "kind and times": {"kind": FileKind.LOG, "created_from": START, "available_to": START},
}
OF_ALL_PLACES = {"ix_files_created", "ix_files_available", "ix_files_kind", "ix_files_sha256"}
MADE = {"few", "received", "blocks", "counted", "numbers", "tail", "found"}
"""Tables that a statement makes itself, each with a limit."""
OF_FEW = {"CO-ROUTINE few", "CO-ROUTINE tail"}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a plan, and the steps of the same loop: those with the same parent."""

    what: str
    within: str = ""
    beside: list["Step"] = field(default_factory=list, repr=False)

    @property
    def sorts(self) -> bool:
        return any(step.what.startswith("USE TEMP B-TREE FOR") for step in self.beside)

    @property
    def index(self) -> str:
        """The index of `files` that it reads, if any."""
        index = self.what.partition(" INDEX ")[2].partition(" ")[0]
        return index if "_files_" in index and "_file_" not in index else ""

    def wrong(self, *, restricted: bool) -> str | None:
        """Why it may read many rows; None if it does not."""
        verb, table = (*self.what.split(), "")[:2]
        made = table == "CONSTANT" or "CONSTANT ROW" in self.what or table.startswith("anon_")
        if verb == "SCAN" and not self.index and not made and table not in MADE:
            return "reads a whole table"
        if restricted and self.index in OF_ALL_PLACES and self.within not in OF_FEW:
            return "reads files that the caller does not see"
        bounded = table == "theirs" and "_at" in self.what  # at most a page of each case
        if self.sorts and self.index and "(id=?)" not in self.what and not bounded:
            return "reads all files of a way, to sort them"
        return None


def steps(rows: list[Any]) -> Iterator[Step]:
    """The steps of SQLite's EXPLAIN QUERY PLAN."""
    names = {number: what for number, _, _, what in rows}
    for _, loop in itertools.groupby(sorted(rows, key=lambda row: row[1]), key=lambda row: row[1]):
        found = [(what, names.get(parent, "")) for _, parent, _, what in loop]
        beside = [Step(*each) for each in found]
        yield from (Step(*each, beside) for each in found)


class Plans:
    """Makes listings, and explains each statement."""

    def __init__(self, file: Path) -> None:
        self._engine = make_engine(parse_url(f"sqlite:///{file}"), "disable")
        self.database = Database(self._engine)
        self._explained: list[tuple[str, list[Any]]] = []
        event.listen(self._engine.sync_engine, "before_cursor_execute", self._explain)

    def _explain(self, connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "files" in statement:
            explain = connection.connection.dbapi_connection.execute
            self._explained.append((statement, explain(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()))

    async def of(self, filters: Filters, *, deep: bool) -> list[tuple[str, Step]]:
        """The steps of the statements of one listing, each with its statement."""
        self._explained.clear()
        async with self.database.read() as connection:
            await list_page(connection, filters, (START, NOBODY) if deep else None, 50)
        return [(statement, step) for statement, rows in self._explained for step in steps(rows)]

    async def dispose(self) -> None:
        await self._engine.dispose()


@pytest.fixture
async def plans(database_file: Path) -> AsyncIterator[Plans]:
    made = Plans(database_file)
    yield made
    await made.dispose()


@pytest.mark.parametrize("few", [-1, 0], ids=["many match", "few match"])
@pytest.mark.parametrize("order", FileOrder)
async def test_no_listing_reads_more_than_a_page_of_each_way(
    plans: Plans, monkeypatch: pytest.MonkeyPatch, order: FileOrder, few: int
) -> None:
    monkeypatch.setattr(listing, "FEW", few)
    monkeypatch.setattr(listing, "SHORT", -1)
    looked_at = 0
    for (caller, sight), (name, asked) in itertools.product(CALLERS.items(), FILTERS.items()):
        found = await plans.of(Filters(sight, order=order, **asked), deep=name == "plain")
        for statement, step in found:
            wrong = step.wrong(restricted=sight is not UNRESTRICTED)
            assert wrong is None, f"{caller}, {name}: {step.what} {wrong}: {statement}"
            looked_at += bool(step.index)
    assert looked_at > len(CALLERS) * len(FILTERS)
