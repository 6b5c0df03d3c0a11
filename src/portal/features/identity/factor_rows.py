"""Statements on `second_factors` and `recovery_codes`. Comes in: the caller's connection. Leaves: plain values."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.tables import table
from portal.features.identity.models import RecoveryCodeRow, SecondFactorRow

_factors = table(SecondFactorRow)
_codes = table(RecoveryCodeRow)


async def put(connection: AsyncConnection, user_id: UUID, sealed: bytes) -> None:
    """A secret of which no code was taken yet, in the place of any other."""
    await remove(connection, user_id)
    await connection.execute(insert(_factors).values(user_id=user_id, sealed=sealed, last_step=0))


async def sealed_of(connection: AsyncConnection, user_id: UUID) -> bytes | None:
    found: bytes | None = (
        await connection.execute(select(_factors.c.sealed).where(_factors.c.user_id == user_id))
    ).scalar()
    return found


async def page(connection: AsyncConnection, after: UUID | None, limit: int) -> list[tuple[UUID, bytes]]:
    """Users and their sealed secrets, by user, from behind `after`."""
    wanted = select(_factors.c.user_id, _factors.c.sealed).order_by(_factors.c.user_id).limit(limit)
    found = await connection.execute(wanted if after is None else wanted.where(_factors.c.user_id > after))
    return [(user_id, sealed) for user_id, sealed in found]


async def replace(connection: AsyncConnection, user_id: UUID, old: bytes, new: bytes) -> bool:
    """False where it is no longer `old`."""
    done = await connection.execute(
        update(_factors).where(_factors.c.user_id == user_id, _factors.c.sealed == old).values(sealed=new)
    )
    return done.rowcount == 1


async def advance(connection: AsyncConnection, user_id: UUID, step: int, sealed: bytes) -> bool:
    """Take the code of `step`; False where it, or a later one, was taken before: of two at once, one succeeds."""
    done = await connection.execute(
        update(_factors)
        .where(_factors.c.user_id == user_id, _factors.c.last_step < step)
        .values(last_step=step, sealed=sealed)
    )
    return done.rowcount == 1


async def remove(connection: AsyncConnection, user_id: UUID) -> None:
    for rows in (_codes, _factors):
        await connection.execute(delete(rows).where(rows.c.user_id == user_id))


async def add_codes(connection: AsyncConnection, user_id: UUID, digests: Iterable[bytes]) -> None:
    await connection.execute(insert(_codes), [{"user_id": user_id, "digest": digest} for digest in digests])


async def use_code(connection: AsyncConnection, user_id: UUID, digest: bytes) -> bool:
    """False where there is none (any more)."""
    done = await connection.execute(delete(_codes).where(_codes.c.user_id == user_id, _codes.c.digest == digest))
    return done.rowcount == 1


async def count_codes(connection: AsyncConnection, user_id: UUID) -> int:
    counted = await connection.execute(select(func.count()).where(_codes.c.user_id == user_id))
    return int(counted.scalar_one())
