"""The one checker of every fault run: what a portal holds after it was settled, seen from behind.

Comes in: a portal that does not serve (or one at rest). Leaves: a `Holdings`, and an assertion for each promise:

1. every acknowledged file is listed, and every byte of it has the digest that was acknowledged;
2. nothing is listed that nobody handed in whole;
3. every listed file is on record exactly once, as handed in;
4. no key was used with a nonce twice (where a ledger is kept);
5. no temporary file, blob without a file, file without a blob or stuck row is left.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from portal import config
from portal.bootstrap import open_portal
from portal.core import clock
from portal.db.connection import Connection
from portal.features.files import blob_rows

from .. import own_loop
from ..e2e.conftest import Served
from . import ledger

_OVER = ("ready", "quarantined", "failed", "deleted")


@dataclass(frozen=True, slots=True)
class Holdings:
    """`listed` is SHA-256 by file id; `problems` what `fsck --full` named; `stored` and `named` are blob keys."""

    listed: dict[str, str]
    problems: list[str]
    stored: set[str]
    named: set[str]
    stuck: list[str]
    on_record: dict[str, int]


def settled(portal: Served) -> Holdings:
    """What is there after a sweep that takes every unfinished upload: for a portal that does not serve."""
    return own_loop.run(_look(portal, sweep=True))


def held(portal: Served) -> Holdings:
    """What is there now, unchanged."""
    return own_loop.run(_look(portal, sweep=False))


def assert_whole(
    portal: Served, holdings: Holdings, acknowledged: Mapping[str, str], in_doubt: Collection[str] = ()
) -> None:
    """`acknowledged` is SHA-256 by file id. `in_doubt` are the digests of what was sent whole and never answered:
    whether its commit was reached nobody knows, so each may be listed."""
    lost = {file: digest for file, digest in acknowledged.items() if holdings.listed.get(file) != digest}
    assert lost == {}, f"acknowledged and not there: {lost}"
    more = {file: digest for file, digest in holdings.listed.items() if file not in acknowledged}
    assert set(more.values()) <= set(in_doubt), f"listed and never handed in whole: {more}"
    assert holdings.on_record == dict.fromkeys(holdings.listed, 1)
    assert holdings.problems == []
    assert holdings.stuck == []
    left = holdings.stored ^ holdings.named
    assert left == set(), f"in the store or in the rows alone: {left}"
    if "NONCE_LEDGER" in portal.environment:
        assert ledger.repeated(portal) == []


async def _look(portal: Served, *, sweep: bool) -> Holdings:
    settings, variables = config.load(portal.environment, portal.folder / ".env")
    async with open_portal(settings, variables) as opened:
        files = opened.files
        if sweep:
            await opened.audit.recorder.replay()
            await files.maintenance.sweep(timedelta(0))
        found = [item async for item in files.maintenance.fsck(full=True)]
        async with opened.resources.database.read() as connection:
            listed = await _listed(connection)
            named = await _keys(connection)
            stuck = await _stuck(connection)
            on_record = await _on_record(connection, listed)
    problems = [f"{item.problem}: {item.file_id or item.name}" for item in found if item.problem is not None]
    return Holdings(listed, problems, _stored(portal), named, stuck, on_record)


async def _listed(connection: Connection) -> dict[str, str]:
    rows = await connection.execute(text("SELECT id, sha256 FROM files WHERE status IN ('ready', 'quarantined')"))
    return {str(UUID(str(file))): digest for file, digest in rows}


async def _keys(connection: Connection) -> set[str]:
    """Of every blob's row, but those that have the bytes of a listed file themselves."""
    own = "b.store = 'row' AND f.status IN ('ready', 'quarantined')"
    found = text(f"SELECT b.id FROM blobs b JOIN files f ON f.id = b.file_id WHERE NOT ({own})")  # noqa: S608  # ours
    return {UUID(str(key)).hex for (key,) in await connection.execute(found)}


async def _stuck(connection: Connection) -> list[str]:
    """Files that are in no status for good, and blobs whose time to go is over."""
    rows = await connection.execute(text("SELECT id, status FROM files"))
    overdue = [f"overdue: {blob.id}" for blob in await blob_rows.due(connection, clock.now(), 1000)]
    return [f"{status}: {file}" for file, status in rows if status not in _OVER] + overdue


async def _on_record(connection: Connection, listed: Mapping[str, str]) -> dict[str, int]:
    """How often each listed file is on record as handed in."""
    counted = text("SELECT subject, count(*) FROM audit WHERE event = 'file.uploaded' GROUP BY subject")
    return {subject: times for subject, times in await connection.execute(counted) if subject in listed}


def _stored(portal: Served) -> set[str]:
    """Everything in the store's folder, finished or not, but for its own id."""
    store = portal.folder / "var" / "store"
    return {path.name for path in store.glob("*/**/*") if path.is_file()}
