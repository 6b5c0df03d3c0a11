"""When files became available, so that a client can ask again and again for what is new and miss nothing.

Comes in: a connection. Leaves: the time for a file that this transaction makes available (`stamp`), and the time up
to which a listing in that order is settled (`settled_before`): what commits later is stamped later. Next: `listing`.

SQLite has one writer, so the order of stamps is the order of commits. In Postgres a later stamp may commit first. If
writers waited for each other, every upload would wait for the disk of the one before. Instead each writer first takes a
shared advisory lock named after the second: no one waits for it, it ends with the transaction, and a listing ends
before the earliest second that is still locked (docs/adr/0012-what-is-new-is-never-missed.md).
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.db.tables import table
from portal.features.files.models import FileRow

_files = table(FileRow)
_STEP = timedelta(microseconds=1)
_LATEST = select(func.max(_files.c.available_at))

# 1179208773 is "FILE"; seconds are counted from 2020, so that an int has room for them until 2088. The steps come one
# after the other: the second, its lock, the stamp. The latest stamp is there for a clock that was set back.
_STAMP = text("""
    WITH moment AS MATERIALIZED (SELECT CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint) AS second),
    held AS MATERIALIZED (
        SELECT second, pg_advisory_xact_lock_shared(1179208773, CAST(second - 1577836800 AS int)) FROM moment
    )
    SELECT greatest(
        clock_timestamp(), to_timestamp(second), (SELECT max(available_at) FROM files) + interval '1 microsecond'
    ) FROM held
""")
# The statement's own time is taken before it looks at the locks: a writer that locks later is stamped later.
_SETTLED = text("""
    SELECT least(statement_timestamp(), to_timestamp(min(CAST(objid AS bigint)) + 1577836800)) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1179208773 AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


async def stamp(connection: AsyncConnection) -> datetime:
    """The time at which what this transaction writes is available: later than that of every file seen so far."""
    if connection.dialect.name == "postgresql":
        moment: datetime = (await connection.execute(_STAMP)).scalar_one()
        return moment
    latest = (await connection.execute(_LATEST)).scalar_one()
    return clock.now() if latest is None else max(clock.now(), latest + _STEP)


async def settled_before(connection: AsyncConnection) -> datetime | None:
    """The time before which no file becomes available any more; None where that is so for all that can be seen.

    To be asked before the listing itself, in a statement of its own.
    """
    if connection.dialect.name != "postgresql":
        return None
    moment: datetime = (await connection.execute(_SETTLED)).scalar_one()
    return moment
