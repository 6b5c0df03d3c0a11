"""The times at which files become available. With them a client can poll for new files and miss none.

Comes in: a connection. Leaves: the time for a file that this transaction makes available (`stamp`), and the time up
to which a listing in that order is settled (`settled_before`): a later commit has a later stamp. Next: `listing`.

SQLite has one writer, so the order of stamps is the order of commits. In Postgres a later stamp may commit first. If
writers waited for each other, every upload would wait for the disk of the one before. Instead each writer first takes a
shared advisory lock named after the current second. No writer waits for such a lock, and it is released at the end of
the transaction. A listing ends before the earliest second that is still locked
(docs/adr/0012-what-is-new-is-never-missed.md).

Example: an upload takes the lock of 12:00:05 and is stamped 12:00:05.2; a later one is stamped 12:00:06.1 and commits
first. A listing shows neither until the first has committed or failed, and then shows them in the order of stamps.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, literal_column, select, text, union_all

from portal.core import clock
from portal.db.connection import Connection
from portal.db.tables import table
from portal.features.files import repository
from portal.features.files.models import FileRow

_files = table(FileRow)
_STEP = timedelta(microseconds=1)
# Two statements in one, because each has a partial index: files that are gone keep their stamp, which clients remember.
_OF_LISTED = select(func.max(_files.c.available_at).label("latest")).where(repository.is_listed_everywhere(_files))
_OF_GONE = select(func.max(_files.c.available_at)).where(_files.c.status == literal_column("'deleted'"))
_LATEST = select(func.max(union_all(_OF_LISTED, _OF_GONE).subquery().c.latest))

# 1179208773 is "FILE". Seconds are counted from 2020, so that they fit into an int until 2088. The steps run in this
# order: the second, its lock, the stamp. The latest stamp guards against a clock that was set back.
_STAMP = text("""
    WITH moment AS MATERIALIZED (SELECT CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint) AS second),
    held AS MATERIALIZED (
        SELECT second, pg_advisory_xact_lock_shared(1179208773, CAST(second - 1577836800 AS int)) FROM moment
    )
    SELECT greatest(
        clock_timestamp(), to_timestamp(second),
        (SELECT max(available_at) FROM files WHERE status IN ('ready', 'quarantined') AND kind <> '')
            + interval '1 microsecond',
        (SELECT max(available_at) FROM files WHERE status = 'deleted') + interval '1 microsecond'
    ) FROM held
""")
# The statement's time is taken before it reads the locks: a writer that takes its lock later gets a later stamp.
_SETTLED = text("""
    SELECT least(statement_timestamp(), to_timestamp(min(CAST(objid AS bigint)) + 1577836800)) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1179208773 AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


async def stamp(connection: Connection) -> datetime:
    """The time at which the files of this transaction become available: later than that of every file visible to it."""
    if connection.dialect.name == "postgresql":
        moment: datetime = (await connection.execute(_STAMP)).scalar_one()
        return moment
    latest = (await connection.execute(_LATEST)).scalar_one()
    return clock.now() if latest is None else max(clock.now(), latest + _STEP)


async def settled_before(connection: Connection) -> datetime | None:
    """The time before which no more file can become available. None: all visible files are settled (SQLite).

    Call it before the statement of the listing, as a statement of its own.
    """
    if connection.dialect.name != "postgresql":
        return None
    moment: datetime = (await connection.execute(_SETTLED)).scalar_one()
    return moment
