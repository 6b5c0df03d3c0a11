"""Statements on `second_factors` and `recovery_codes`, in the caller's transaction. Plain values are returned."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.identity.models import RecoveryCodeRow, SecondFactorRow

_factors = table(SecondFactorRow)
_codes = table(RecoveryCodeRow)


async def put(connection: Connection, user_id: UUID, sealed: bytes) -> None:
    """Store a sealed secret none of whose codes was used yet. It replaces the user's secret and recovery codes."""
    await remove(connection, user_id)
    await connection.execute(insert(_factors).values(user_id=user_id, sealed=sealed, last_step=0))


async def sealed_of(connection: Connection, user_id: UUID) -> bytes | None:
    found: bytes | None = (
        await connection.execute(select(_factors.c.sealed).where(_factors.c.user_id == user_id))
    ).scalar()
    return found


async def page(connection: Connection, after: UUID | None, limit: int) -> list[tuple[UUID, bytes]]:
    """Users and their sealed secrets, in the order of user ids, starting after `after`."""
    wanted = select(_factors.c.user_id, _factors.c.sealed).order_by(_factors.c.user_id).limit(limit)
    found = await connection.execute(scanning(wanted if after is None else wanted.where(_factors.c.user_id > after)))
    return [(user_id, sealed) for user_id, sealed in found]


async def replace(connection: Connection, user_id: UUID, old: bytes, new: bytes) -> bool:
    """Replace a sealed secret by compare-and-set. False where the stored one is not `old` any more."""
    done = await connection.execute(
        update(_factors).where(_factors.c.user_id == user_id, _factors.c.sealed == old).values(sealed=new)
    )
    return done.rowcount == 1


async def advance(connection: Connection, user_id: UUID, step: int, sealed: bytes) -> bool:
    """Use up the code of `step`, and store the resealed secret.

    False where this step or a later one was used before. Of two concurrent requests, one succeeds.
    """
    done = await connection.execute(
        update(_factors)
        .where(_factors.c.user_id == user_id, _factors.c.last_step < step)
        .values(last_step=step, sealed=sealed)
    )
    return done.rowcount == 1


async def remove(connection: Connection, user_id: UUID) -> None:
    for rows in (_codes, _factors):
        await connection.execute(delete(rows).where(rows.c.user_id == user_id))


async def add_codes(connection: Connection, user_id: UUID, digests: Iterable[bytes]) -> None:
    await connection.execute(insert(_codes), [{"user_id": user_id, "digest": digest} for digest in digests])


async def use_code(connection: Connection, user_id: UUID, digest: bytes) -> bool:
    """Use up a recovery code. False where there is none of that digest, or no longer."""
    done = await connection.execute(delete(_codes).where(_codes.c.user_id == user_id, _codes.c.digest == digest))
    return done.rowcount == 1


async def count_codes(connection: Connection, user_id: UUID) -> int:
    counted = await connection.execute(select(func.count()).where(_codes.c.user_id == user_id))
    return int(counted.scalar_one())
