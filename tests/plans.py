"""Refuses a statement of the portal that reads many rows of a large Postgres: the plan of each statement, once.

Comes in: an engine of Postgres, and a planner over a database with the statistics of a large portal. Leaves: an
AssertionError in the statement for which Postgres would read a whole table, or far more rows than a page has. A
statement of which that is known stands in `READERS`. Statements that a test makes itself may do so.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL

from portal.db.connection import Engine
from portal.tables import metadata

from . import authors
from .large_postgres import SMALL

_T = TypeVar("_T")
_GROW: Final = set(metadata.tables) - SMALL
_BOUND: Final = 250.0  # of 14,000 rows: the planner believes in some thousand that are over where there are none
_PLANNING: Final = 25.0  # Postgres plans anew for each call unless the plan for all values costs hardly more
_SETTINGS: Final = {
    "seq_page_cost": "0",  # the tables have few pages: what is left are the costs of rows
    "random_page_cost": "0",
    "plan_cache_mode": "force_generic_plan",  # of EXECUTE
}
_PAST: Final = timedelta(days=2)
READERS: Final = {
    "portal.features.admin.key_rows.count_files": "administrators count all files",
    "portal.features.admin.exposed._moved_away": "administrators look for what was moved since a key was made",
    "portal.features.admin.exposed._rewrapped_from": "administrators look for all that a master key ever wrapped",
    "portal.features.audit.numbers.seal_numbers": "of a log of which nothing is sealed yet it reads all",
    "portal.features.backups.repository.count_by_key": "administrators count all backups",
    "portal.features.files.blob_rows.count_waiting": "operators count what waits; the index has no other blobs",
    "portal.features.files.grant_rows.end_given": "the sweep judges the creator of every grant",
    "portal.features.backups.repository.known": "of the backups at a target, which are few",
    "portal.features.files.listing._is_short": "it counts up to a bound; test_listing_costs looks at it",
    "portal.features.files.listing.list_page": "test_listing_costs has the values that its statements are for",
    "portal.features.files.name_lookup.find": "it counts up to a bound; test_listing_costs looks at it",
    "portal.features.files.repository.count_listed": "fsck counts all files",
    "portal.features.files.selection.count": "administrators count all files",
    "portal.features.files.selection.page": "a job of administrators reads all files",
    "portal.features.identity.repository.any_user": "it stops at the first row",
    "portal.features.identity.invitation_rows.list_good": "administrators list all invitations, which are few",
    "portal.keyring.repository.count": "administrators count all keys",
    "portal.keyring.repository.count_active": "administrators count all keys",
    "portal.keyring.repository.count_wrapped_otherwise": "administrators count all keys",
    "portal.keyring.repository.count_wraps": "administrators count all keys",
    "portal.keyring.repository.is_used": "administrators look through all keys",
    "portal.keyring.repository.of_scope": "administrators shred a case, once",
    "portal.keyring.repository.under": "administrators look for all keys under a master key",
    "portal.keyring.repository.retire_active": "administrators change the keys of all scopes",
    "portal.stores.repository.adopt": "an upgrade looks for blobs of before stores had ids",
    "portal.stores.repository.counts": "administrators count all blobs",
}
"""Functions whose statements may read all that there is, or are looked at elsewhere, and why."""


class Planner:
    """Explains statements over the database at `url`.

    It is asked in the middle of another statement, when the loop of that one stands still: so it has one of its own.
    """

    def __init__(self, url: URL) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = self._run(asyncpg.connect(plain, statement_cache_size=0, server_settings=_SETTINGS))
        self.sound: set[str] = set()

    def wrong(self, statement: str, values: Sequence[Any], bound: float = _BOUND) -> str | None:
        """Why Postgres would read many rows for the statement; None if it would not."""
        for plan in self.plans(statement, values):
            if whole := _GROW.intersection(_read_whole(plan)):
                return f"reads all of {', '.join(sorted(whole))}:\n{_told(plan)}"
            if plan["Total Cost"] > bound:
                return f"reads many rows:\n{_told(plan)}"
        return None

    def close(self) -> None:
        self._run(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def plans(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The plan for these values and, where Postgres would come to take it, the plan for all values."""
        return self._run(self._plans(statement, values))

    async def _plans(self, statement: str, values: Sequence[Any]) -> list[Any]:
        custom = await self._explained(statement, *values)
        await self._connection.execute(f"DEALLOCATE ALL; PREPARE asked AS {statement}")
        nothing = f"({', '.join(['NULL'] * len(values))})" if values else ""
        generic = await self._explained(f"EXECUTE asked{nothing}")
        return [custom, generic] if generic["Total Cost"] <= custom["Total Cost"] + _PLANNING else [custom]

    async def _explained(self, statement: str, *values: Any) -> Any:
        return json.loads(await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values))[0]["Plan"]

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def refuse(engine: Engine, planner: Planner) -> None:
    """Look at each statement that this engine executes from now on."""

    def look(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement in planner.sound:
            return
        if statement.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            author = authors.of_statement()
            if author not in READERS and author.startswith("portal."):
                wrong = planner.wrong(statement, _before(parameters[0] if many else parameters))
                assert wrong is None, f"{author} {wrong}\n{statement}"
        planner.sound.add(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", look)


def _before(values: Sequence[Any]) -> list[Any]:
    """The values with times of some days ago at the latest: for sweeps little is over, since they run often."""
    past = datetime.now(UTC) - _PAST
    return [min(value, past) if isinstance(value, datetime) else value for value in values]


def nodes(plan: Any) -> Iterator[Any]:
    """The steps of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _read_whole(plan: Any) -> Iterator[str]:
    return (node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan")


def _told(plan: Any, depth: int = 0) -> str:
    """A plan as lines of text."""
    shown = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", "Sort Key", "Plan Rows", "Total Cost")
    line = "  " * depth + " ".join(str(plan[name]) for name in shown if name in plan)
    return "\n".join([line, *(_told(child, depth + 1) for child in plan.get("Plans", ()))])
