"""Postgres's plan of each statement of a listing over a large portal: none reads much, or other people's files.

A listing counts first how many files a filter leaves. So each statement has values of which there are as many as it is
made for.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.engine import URL

from portal.core.pagination import After
from portal.db.engine import make_engine
from portal.db.unit_of_work import Database
from portal.features.authz.relation import CaseRole
from portal.features.authz.visibility import UNRESTRICTED, Visibility
from portal.features.files import listing
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import FileKind
from portal.features.files.order import FileOrder

from ...large_postgres import SHARED
from ...plans import Planner, nodes

NOBODY, NOW, LONG_AGO = UUID(int=1), datetime.now(UTC), datetime.now(UTC) - timedelta(days=3_000)
PAGE = 100  # the cost of some pages
JUDGED = 40_000  # twice that of judging as many files one by one as Postgres believes there are of any time
CALLERS = {
    "admin": UNRESTRICTED,
    "analyst": Visibility(NOBODY, frozenset(CaseRole) - {CaseRole.UPLOADER}, granted=True),
    "uploader": Visibility(NOBODY, frozenset()),
}
OF_ALL_PLACES = {"ix_files_created", "ix_files_available", "ix_files_kind", "ix_files_sha256"}


def filters(*, few: bool) -> dict[str, dict[str, Any]]:
    """Filters of every kind, with values that few or many files have."""
    kind, start, end = (FileKind.PCAP, NOW, LONG_AGO) if few else (FileKind.OTHER, LONG_AGO, NOW)
    return {
        "plain": {},
        "case": {"case_id": NOBODY},
        "kind": {"kind": kind},
        "kind in a case": {"kind": kind, "case_id": NOBODY},
        "sha256": {"sha256": "b" * 64 if few else SHARED},
        "created_from": {"created_from": start},
        "created_to": {"created_to": end},
        "available_from": {"available_from": start},
        "available_to": {"available_to": end},
        "kind and created_from": {"kind": kind, "created_from": start, "available_to": end},
    }


async def statements(url: URL, asked: Filters, after: After | None) -> list[tuple[str, Any]]:
    """The statements of one listing, with their values."""
    found: list[tuple[str, Any]] = []
    engine = make_engine(url, "disable")

    def add(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        found.append((statement, values))

    event.listen(engine.sync_engine, "before_cursor_execute", add)
    async with Database(engine).read() as connection:
        await list_page(connection, asked, after, 50)
    await engine.dispose()
    return [(statement, values) for statement, values in found if "files" in statement]


def indexes(planner: Planner, statement: str, values: Any) -> Iterator[str]:
    """The indexes that Postgres would read, whichever plan it takes."""
    return (node.get("Index Name", "") for plan in planner.plans(statement, values) for node in nodes(plan))


@pytest.mark.parametrize("few", [False, True], ids=["many match", "few match"])
@pytest.mark.parametrize("order", FileOrder)
@pytest.mark.parametrize("caller", CALLERS)
async def test_no_listing_costs_more_than_some_pages(
    worker_postgres: URL, planner: Planner, monkeypatch: pytest.MonkeyPatch, caller: str, order: FileOrder, *, few: bool
) -> None:
    monkeypatch.setattr(listing, "FEW", 0 if few else -1)
    for name, asked in filters(few=few).items():
        after = None if name == "created_from" else (NOW - timedelta(days=1_000), NOBODY)
        for statement, values in await statements(
            worker_postgres, Filters(CALLERS[caller], order=order, **asked), after
        ):
            wrong = planner.wrong(statement, values, JUDGED if few and "_" in name else PAGE)
            assert wrong is None, f"{caller}, {name}: {wrong}\n{statement}"
            foreign = OF_ALL_PLACES & set(indexes(planner, statement, values))
            assert caller == "admin" or "AS few" in statement or not foreign, (
                f"{caller}, {name}: {foreign}\n{statement}"
            )


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_part_of_a_name_is_looked_for_in_no_whole_table(
    worker_postgres: URL, planner: Planner, monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    monkeypatch.setattr(listing, "SHORT", -1)
    asked = await statements(worker_postgres, Filters(CALLERS[caller], name="a part of a name"), None)
    assert sum("name_trigrams" in statement for statement, _ in asked) == 2
    for statement, values in asked:
        wrong = planner.wrong(statement, values, JUDGED)
        assert wrong is None, f"{caller}: {wrong}\n{statement}"
