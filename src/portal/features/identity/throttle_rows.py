"""Statements on `sign_in_throttles` and `known_addresses`, in the caller's transaction. Plain values are returned."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, select, update

from portal.db.connection import Connection
from portal.db.statements import insert_or_lock, insert_unless_taken, scanning
from portal.db.tables import table
from portal.features.identity.models import KnownAddressRow, ThrottleRow

_rows = table(ThrottleRow)
_known = table(KnownAddressRow)
_CHARGE = (
    update(_rows)
    .where(_rows.c.subject == bindparam("which"))
    .values(failures=bindparam("failed"), last_at=bindparam("moment"))
)


async def hold(
    connection: Connection, subjects: Collection[bytes], moment: datetime
) -> dict[bytes, tuple[int, datetime]]:
    """The number of failures of each subject, and the time of the last one.

    The rows are locked until the transaction ends: in sorted order, so that two transactions cannot deadlock.
    """
    held = {}
    for subject in sorted(subjects):
        new = {"subject": subject, "failures": 0, "last_at": moment}
        row = await insert_or_lock(connection, _rows, new, unique=["subject"])
        held[subject] = (row["failures"], row["last_at"])
    return held


async def charge(connection: Connection, failures: Mapping[bytes, int], moment: datetime) -> None:
    """Store new failure counts. The rows must be locked by `hold`."""
    values = [{"which": subject, "failed": count, "moment": moment} for subject, count in sorted(failures.items())]
    await connection.execute(_CHARGE, values)


async def give_back(connection: Connection, subjects: Collection[bytes], moment: datetime) -> None:
    """Undo one charge of each subject: the attempt was no failure."""
    for subject in sorted((await hold(connection, subjects, moment)).keys()):
        less = update(_rows).where(_rows.c.subject == subject, _rows.c.failures > 0)
        await connection.execute(less.values(failures=_rows.c.failures - 1))


async def clear(connection: Connection, subject: bytes) -> None:
    await connection.execute(delete(_rows).where(_rows.c.subject == subject))


async def is_known(connection: Connection, user_id: UUID, address: bytes) -> bool:
    there = select(exists().where(_known.c.user_id == user_id, _known.c.address == address))
    return bool((await connection.execute(there)).scalar())


async def remember(connection: Connection, user_id: UUID, address: bytes, moment: datetime) -> None:
    if not await insert_unless_taken(connection, _known, {"user_id": user_id, "address": address, "seen_at": moment}):
        here = update(_known).where(_known.c.user_id == user_id, _known.c.address == address)
        await connection.execute(here.values(seen_at=moment))


async def forget_addresses(connection: Connection, user_id: UUID) -> None:
    await connection.execute(delete(_known).where(_known.c.user_id == user_id))


async def forget(connection: Connection, *, failed_before: datetime, seen_before: datetime) -> None:
    await connection.execute(scanning(delete(_rows).where(_rows.c.last_at < failed_before)))
    await connection.execute(scanning(delete(_known).where(_known.c.seen_at < seen_before)))
