"""Break-glass access, read from the audit log. It remains there after the file and the case are deleted.

Comes in: the caller's connection. Leaves: `Glass` values, newest first, with the times at which the file was read.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, tuple_

from portal.core.errors import IntegrityError
from portal.core.pagination import After
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.audit.events import EventKind
from portal.features.audit.models import AuditRow
from portal.features.cases.views import Glass

_audit = table(AuditRow)
_BROKEN = select(_audit.c.id, _audit.c.at, _audit.c.actor, _audit.c.subject, _audit.c.body).where(
    _audit.c.event == EventKind.FILE_GLASS_BROKEN.value
)


async def page(connection: Connection, after: After | None, limit: int, case_id: UUID | None = None) -> list[Glass]:
    """Break-glass accesses of one case, or of all cases, deleted ones included. Newest first, starting after `after`.

    Raises IntegrityError for an edited row.
    """
    asked = _BROKEN if case_id is None else _BROKEN.where(_of_case(case_id))
    if after is not None:
        asked = asked.where(tuple_(_audit.c.at, _audit.c.id) < tuple_(*after))
    rows = await connection.execute(scanning(asked.order_by(_audit.c.at.desc(), _audit.c.id.desc()).limit(limit)))
    return await _with_reads(connection, [_glass(row) for row in rows])


def _of_case(case_id: UUID) -> ColumnElement[bool]:
    """By both words: rows of before the API had one word for a case's id say `case`, and no row is ever changed."""
    return or_(*(_audit.c.body.contains(f'"{word}":"{case_id}"') for word in ("case_id", "case")))


async def _with_reads(connection: Connection, found: list[Glass]) -> list[Glass]:
    """Add the first and the last download of each that began while the right was valid."""
    asked = select(_audit.c.actor, _audit.c.subject, _audit.c.at).where(
        _audit.c.event == EventKind.FILE_DOWNLOAD_STARTED.value,
        _audit.c.subject.in_({str(glass.file_id) for glass in found}),
        _audit.c.actor.in_({f"user:{glass.user_id}" for glass in found}),
    )
    reads = list(await connection.execute(scanning(asked))) if found else []
    return [_seen(glass, reads) for glass in found]


def _seen(glass: Glass, reads: Iterable[Any]) -> Glass:
    mine = (f"user:{glass.user_id}", str(glass.file_id))
    times = [at for actor, subject, at in reads if (actor, subject) == mine and _lasted(glass, at)]
    return replace(glass, first_read_at=min(times), last_read_at=max(times)) if times else glass


def _lasted(glass: Glass, at: datetime) -> bool:
    return glass.created_at <= at <= glass.expires_at


def _glass(row: Any) -> Glass:
    """The view of an audit row. Raises IntegrityError for a row that was edited."""
    try:
        said = json.loads(row.body)["details"]
        return Glass(
            id=row.id,
            case_id=UUID(said.get("case_id") or said["case"]),
            file_id=UUID(row.subject),
            user_id=UUID(row.actor.removeprefix("user:")),
            reason=said["reason"],
            created_at=row.at,
            expires_at=datetime.fromisoformat(said.get("expires_at") or said["until"]),
        )
    except (ValueError, KeyError, TypeError):
        raise IntegrityError from None
