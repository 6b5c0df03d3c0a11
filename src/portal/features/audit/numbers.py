"""Numbers of audit rows: the verifiable order of the audit log, assigned when rows are sealed.

Comes in: committed audit rows. Leaves: their numbers, 1, 2, 3, … without a gap, which never change. `seq` cannot be
that order. On Postgres a `seq` is drawn before the commit, so a smaller `seq` may appear after a larger one was sealed;
and a transaction that rolls back leaves a gap. A row that appears late gets a later number; no row is missed.

    seq 7 and 8 are drawn; 8 commits and gets number 7; then 7 commits and gets number 8

A row is settled if, when it was numbered, no smaller `seq` could appear any more. The next sealer begins after the last
settled row, and need not read the whole log.
"""

from typing import Any

from sqlalchemy import bindparam, func, insert, select, text, type_coerce

from portal.db.connection import Connection
from portal.db.statements import hold_alone, scanning
from portal.db.tables import table
from portal.features.audit.models import AuditNumberRow, AuditRow

_audit = table(AuditRow)
_numbers = table(AuditNumberRow)
_LAST = select(func.coalesce(func.max(_numbers.c.number), 0))
_SETTLED = scanning(select(_numbers.c.seq).where(_numbers.c.settled).order_by(_numbers.c.seq.desc()).limit(1))
_NEWEST = select(func.max(_audit.c.seq))
# A transaction takes this lock before it draws a `seq`, and holds it until it ends.
_QUIET = text("""
    NOT EXISTS (
        SELECT 1 FROM pg_locks WHERE relation = 'audit'::regclass AND mode = 'RowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pid IS DISTINCT FROM pg_backend_pid()
    )
""")
_NEWEST_IF_QUIET = _NEWEST.having(_QUIET)
_NEXT: Any = (
    select(_audit.c.seq)
    .where(
        _audit.c.seq > bindparam("settled"),
        ~select(_numbers.c.seq).where(_numbers.c.seq == _audit.c.seq).exists(),
    )
    .order_by(_audit.c.seq)
    .limit(bindparam("most"))
    .subquery()
)
_NUMBER: Any = scanning(
    insert(_numbers).from_select(
        ["number", "seq", "settled"],
        select(
            type_coerce(bindparam("last"), _numbers.c.number.type) + func.row_number().over(order_by=_NEXT.c.seq),
            _NEXT.c.seq,
            _NEXT.c.seq <= bindparam("horizon", type_=_audit.c.seq.type),
        ),
    )
)


async def seal_numbers(connection: Connection, *, most: int = 10_000) -> range:
    """Number the committed rows without a number, at most `most`, in the order of `seq`. Returns the new numbers.

    Of two sealers, one waits until the other's transaction ends.
    """
    await hold_alone(connection, "audit numbers")
    values = {
        "last": int(await connection.scalar(_LAST) or 0),
        "settled": int(await connection.scalar(_SETTLED) or 0),
        "horizon": await _horizon(connection),
        "most": most,
    }
    given = (await connection.execute(_NUMBER, values)).rowcount
    return range(values["last"] + 1, values["last"] + 1 + given)


async def _horizon(connection: Connection) -> int:
    """The horizon: the greatest `seq` up to which no new row can appear. The next statement sees all rows up to it.

    0 if it is unknown: another transaction may still commit a drawn `seq`. The statement takes its snapshot before it
    reads the locks. A transaction that ends between the two has committed before the next statement, which sees it.
    """
    quiet = connection.dialect.name != "postgresql"  # SQLite has one writer at a time: this transaction
    return int(await connection.scalar(_NEWEST if quiet else _NEWEST_IF_QUIET) or 0)
