"""Statements on `jobs`. Comes in: the caller's connection. Leaves: frozen views, or whether a row was as expected.

Every change of a running job is a compare-and-set on its claim: of two processes that claim to own a row, one succeeds.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError as ConstraintViolated

from portal.core.pagination import After
from portal.db.connection import Connection
from portal.db.lease import expired
from portal.db.statements import hold_alone, insert_unless_taken, one_of, scanning
from portal.db.tables import table
from portal.features.jobs.models import JobRow
from portal.features.jobs.views import UNFINISHED, Job, JobFilters, JobStatus, job_of

FREE: dict[str, Any] = {"claim_id": None, "worker": None, "lease_until": None}
"""The columns of a row that belongs to no process."""

_jobs = table(JobRow)
_COLUMNS = list(_jobs.c)
_IS_UNFINISHED = one_of(_jobs.c.status, UNFINISHED)  # in the words of the partial indexes
_RUNNING = _jobs.c.status == JobStatus.RUNNING.value
_WAITS = (_jobs.c.status == JobStatus.QUEUED.value) & (_jobs.c.run_after <= bindparam("moment"))
_DIED = _RUNNING & expired(_jobs.c.lease_until, bindparam("moment"))
_DUE = or_(_WAITS, _DIED)
_EARLIEST = (
    select(_jobs.c.kind)
    .where(_IS_UNFINISHED, _DUE, _jobs.c.kind.in_(bindparam("kinds", expanding=True)))
    .order_by(_jobs.c.run_after, _jobs.c.id)
    .limit(1)
)
_NEXT = (
    select(*_COLUMNS)
    .where(_IS_UNFINISHED, _DUE, _jobs.c.kind == bindparam("of_kind"))
    .order_by(_jobs.c.run_after, _jobs.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)  # SQLite ignores it: there is one writer at a time
)
_ALIVE = (
    select(func.count())
    .select_from(_jobs)
    .where(_IS_UNFINISHED, _RUNNING, _jobs.c.kind == bindparam("of_kind"), _jobs.c.lease_until > bindparam("moment"))
)
_MINE = update(_jobs).where(_jobs.c.id == bindparam("job"), _RUNNING, _jobs.c.claim_id == bindparam("claim"))


async def add(connection: Connection, values: dict[str, Any]) -> bool:
    """Insert a job. False if an unfinished job has the same kind and key."""
    return await insert_unless_taken(connection, JobRow, values)


async def find(connection: Connection, job_id: UUID) -> Job | None:
    row = (await connection.execute(select(*_COLUMNS).where(_jobs.c.id == job_id))).mappings().one_or_none()
    return None if row is None else job_of(row)


async def find_unfinished(connection: Connection, kind: str, unique_key: str) -> Job | None:
    """The unfinished job of the kind with this key."""
    asked = select(*_COLUMNS).where(_jobs.c.kind == kind, _jobs.c.unique_key == unique_key, _IS_UNFINISHED)
    row = (await connection.execute(asked)).mappings().one_or_none()
    return None if row is None else job_of(row)


async def find_to_change(connection: Connection, job_id: UUID) -> Job | None:
    """The job, locked: no other transaction changes it before this one ends."""
    asked = select(*_COLUMNS).where(_jobs.c.id == job_id).with_for_update()
    row = (await connection.execute(asked)).mappings().one_or_none()
    return None if row is None else job_of(row)


async def page(connection: Connection, filters: JobFilters, after: After | None, limit: int) -> list[Job]:
    """At most `limit` jobs after the cursor `after`, newest first."""
    asked = select(*_COLUMNS).order_by(_jobs.c.created_at.desc(), _jobs.c.id.desc()).limit(limit)
    if filters.kind is not None:
        asked = asked.where(_jobs.c.kind == filters.kind)
    if filters.status is not None:
        asked = asked.where(_jobs.c.status == filters.status.value)
    if after is not None:
        asked = asked.where(tuple_(_jobs.c.created_at, _jobs.c.id) < after)
    return [job_of(row) for row in (await connection.execute(scanning(asked))).mappings()]


async def earliest_due(connection: Connection, kinds: Collection[str], moment: datetime) -> str | None:
    """The kind of the job that has been due for longest, among `kinds`."""
    asked = {"kinds": list(kinds), "moment": moment}
    kind: str | None = (await connection.execute(_EARLIEST, asked)).scalar_one_or_none()
    return kind


async def kinds_with(connection: Connection, unique_key: str) -> set[str]:
    """The kinds that have an unfinished job with this key."""
    asked = select(_jobs.c.kind).where(_jobs.c.unique_key == unique_key, _IS_UNFINISHED)
    return set((await connection.execute(asked)).scalars())


async def take_next(connection: Connection, kind: str, moment: datetime) -> Job | None:
    """The next due job of a kind, locked until this transaction ends: other transactions skip it."""
    row = (await connection.execute(_NEXT, {"of_kind": kind, "moment": moment})).mappings().one_or_none()
    return None if row is None else job_of(row)


async def count_alive(connection: Connection, kind: str, moment: datetime) -> int:
    """The number of running jobs of a kind with a valid lease. One transaction at a time counts, under a lock."""
    await hold_alone(connection, f"jobs of {kind}")
    return int((await connection.execute(_ALIVE, {"of_kind": kind, "moment": moment})).scalar_one())


async def change(connection: Connection, job_id: UUID, values: dict[str, Any]) -> None:
    """Update a row that this transaction has locked."""
    await connection.execute(update(_jobs).where(_jobs.c.id == job_id).values(values))


async def change_claimed(
    connection: Connection, job_id: UUID, claim_id: UUID, values: dict[str, Any], *, cancelled: bool | None = None
) -> bool:
    """Update a running job. False, and no change, if the row does not belong to this claim.

    Also False if `cancelled` is given and differs from the row's `cancel_requested`.
    """
    statement = _MINE if cancelled is None else _MINE.where(_jobs.c.cancel_requested.is_(cancelled))
    done = await connection.execute(statement.values(values), {"job": job_id, "claim": claim_id})
    return done.rowcount == 1


async def requeue(connection: Connection, job_id: UUID, values: dict[str, Any]) -> bool:
    """Queue a job again. False if another unfinished job of its kind has the same key by now."""
    try:
        async with connection.begin_nested():
            await change(connection, job_id, values)
    except ConstraintViolated:
        return False
    return True


async def forget_finished(connection: Connection, before: datetime) -> int:
    """Remove jobs that ended before `before`. Returns their number."""
    over = delete(_jobs).where(~_IS_UNFINISHED, _jobs.c.finished_at < before)
    return (await connection.execute(scanning(over))).rowcount
