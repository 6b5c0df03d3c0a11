"""Statements on `link_sessions`, in the caller's transaction. Plain values are returned."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.links import repository
from portal.features.links.models import LinkRow, LinkSessionRow
from portal.features.links.repository import LiveLink

_links = table(LinkRow)
_sessions = table(LinkSessionRow)
_LIVE = (  # runs with every request by a link, so it is built once
    select(*repository.COLUMNS, _sessions.c.id.label("session_id"), _sessions.c.expires_at.label("session_ends"))
    .select_from(repository.WITH_MAKER.join(_sessions, _sessions.c.link_id == _links.c.id))
    .where(
        _sessions.c.digest == bindparam("digest"), _sessions.c.expires_at > bindparam("ends_after"), *repository.LIVE
    )
)


async def add(connection: Connection, link_id: UUID, session_id: UUID, digest: bytes, *times: datetime) -> None:
    """Store a link session. `times` are its creation and its expiry."""
    created_at, expires_at = times
    values = {"id": session_id, "link_id": link_id, "digest": digest}
    await connection.execute(insert(_sessions).values({**values, "created_at": created_at, "expires_at": expires_at}))


async def live_by_digest(
    connection: Connection, digest: bytes, moment: datetime, ends_after: datetime
) -> tuple[UUID, datetime, LiveLink] | None:
    """A session's id, its expiry and its live link, for a token's digest.

    None for an unknown digest, where the link is not live at `moment`, or where the session expired by `ends_after`.
    """
    asked = {"digest": digest, "moment": moment, "ends_after": ends_after}
    row = (await connection.execute(_LIVE, asked)).one_or_none()
    return None if row is None else (row.session_id, row.session_ends, repository.live(row))


async def forget_over(connection: Connection, moment: datetime) -> None:
    """Delete sessions that expired before `moment`. A running transfer does not need its session's row."""
    await connection.execute(scanning(delete(_sessions).where(_sessions.c.expires_at < moment)))
