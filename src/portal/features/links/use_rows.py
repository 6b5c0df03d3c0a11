"""Statements on `link_uses`. Comes in: the caller's connection. Leaves: frozen views, or whether a row was as expected.

Every change is a compare-and-set: of two that race for one use, one has it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.lease import expired
from portal.db.tables import table
from portal.features.links.models import LinkUseRow

TIMES = 3  # as often as its size may one use give a file's bytes: a broken download begins again, or goes on

_uses = table(LinkUseRow)
_LAPSED = expired(_uses.c.lease_until, bindparam("moment"))
_IDLE = or_(_uses.c.state == "broken", (_uses.c.state == "running") & _LAPSED)
_ROOM = _uses.c.sent + bindparam("length") <= TIMES * _uses.c.size
_COLUMNS = tuple(_uses.c[name] for name in ("id", "link_id", "session_id", "file_id", "size"))
_OF_FILE = select(*_COLUMNS).where(_uses.c.link_id == bindparam("link"), _uses.c.file_id == bindparam("file"), _ROOM)
_MINE = _uses.c.session_id == bindparam("session")
_IDLE_OF_FILE = _OF_FILE.where(_IDLE).order_by(case((_MINE, 0), else_=1), _uses.c.id).limit(1)
_OWN_OF_FILE = _OF_FILE.where(_MINE).order_by(_uses.c.id.desc()).limit(1)


class UseState(StrEnum):
    """Where a use is. One that nothing came of has no row."""

    RUNNING = "running"
    BROKEN = "broken"  # a download of which something was sent: it may begin again, or go on
    DONE = "done"


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One use of a link."""

    id: UUID
    link_id: UUID
    session_id: UUID
    file_id: UUID | None
    size: int


async def add(connection: AsyncConnection, use: LinkUse, until: datetime, state: UseState = UseState.RUNNING) -> None:
    values = {name: getattr(use, name) for name in LinkUse.__slots__}
    sent = 0 if use.file_id is None else use.size
    await connection.execute(insert(_uses).values(**values, state=state.value, sent=sent, lease_until=until))


async def idle(
    connection: AsyncConnection, link_id: UUID, file_id: UUID, session_id: UUID, length: int, moment: datetime
) -> LinkUse | None:
    """A use of that file that broke off and has `length` bytes left: of this session, else of any."""
    asked = {"link": link_id, "file": file_id, "session": session_id, "length": length, "moment": moment}
    return _use((await connection.execute(_IDLE_OF_FILE, asked)).one_or_none())


async def own(
    connection: AsyncConnection, link_id: UUID, file_id: UUID, session_id: UUID, length: int
) -> LinkUse | None:
    """The latest use of that file by this session that has `length` bytes left."""
    asked = {"link": link_id, "file": file_id, "session": session_id, "length": length}
    return _use((await connection.execute(_OWN_OF_FILE, asked)).one_or_none())


async def take(
    connection: AsyncConnection, use: LinkUse, session_id: UUID, length: int, moment: datetime, until: datetime | None
) -> bool:
    """Go on with an idle use, in this session and by `length` bytes: the whole again `until`, or a part of it.

    False where somebody else did.
    """
    begun: dict[str, Any] = {"session_id": session_id, "sent": _uses.c.sent + length}
    begun["state"] = UseState.BROKEN.value if until is None else UseState.RUNNING.value
    begun |= {} if until is None else {"lease_until": until}
    statement = update(_uses).where(_uses.c.id == use.id, _IDLE, _ROOM).values(begun)
    return (await connection.execute(statement, {"moment": moment, "length": length})).rowcount == 1


async def draw(connection: AsyncConnection, use: LinkUse, length: int) -> bool:
    """Bytes of a use, for a part of the file. False where so many are not left any more."""
    statement = update(_uses).where(_uses.c.id == use.id, _ROOM).values(sent=_uses.c.sent + length)
    return (await connection.execute(statement, {"length": length})).rowcount == 1


async def any_running(connection: AsyncConnection, link_id: UUID, file_id: UUID | None = None) -> bool:
    """Of that file; of an upload where none is named."""
    there = exists().where(_uses.c.link_id == link_id, _uses.c.file_id == file_id, _uses.c.state == "running")
    return bool((await connection.execute(select(there))).scalar())


async def any_unfinished(connection: AsyncConnection, link_id: UUID) -> bool:
    """Whether a download began that has not come to its end, and may."""
    open_ = (_uses.c.state != UseState.DONE.value, _uses.c.file_id.is_not(None))
    there = exists().where(_uses.c.link_id == link_id, *open_, _uses.c.sent <= (TIMES - 1) * _uses.c.size)
    return bool((await connection.execute(select(there))).scalar())


async def count(connection: AsyncConnection, link_id: UUID, file_id: UUID) -> int:
    """How often a file was used."""
    asked = select(func.count()).where(_uses.c.link_id == link_id, _uses.c.file_id == file_id)
    return int((await connection.execute(asked)).scalar_one())


async def counts(connection: AsyncConnection, link_id: UUID, file_ids: list[UUID]) -> dict[UUID, int]:
    asked = select(_uses.c.file_id, func.count()).where(_uses.c.link_id == link_id, _uses.c.file_id.in_(file_ids))
    return {row[0]: row[1] for row in await connection.execute(asked.group_by(_uses.c.file_id))}


async def of_session(connection: AsyncConnection, session_id: UUID, link_id: UUID, limit: int) -> list[UUID]:
    """The files that came in, newest first."""
    asked = select(_uses.c.file_id).where(
        _uses.c.link_id == link_id, _uses.c.session_id == session_id, _uses.c.file_id.is_not(None)
    )
    return list((await connection.execute(asked.order_by(_uses.c.id.desc()).limit(limit))).scalars())


async def renew(connection: AsyncConnection, use_id: UUID, until: datetime) -> bool:
    """False where nothing goes by that use any more."""
    running = update(_uses).where(_uses.c.id == use_id, _uses.c.state == "running")
    return (await connection.execute(running.values(lease_until=until))).rowcount == 1


async def put_down(connection: AsyncConnection, use_id: UUID, state: UseState, unsent: int) -> None:
    """A download by a use has ended."""
    values = {"state": state.value, "sent": _uses.c.sent - unsent}
    await connection.execute(update(_uses).where(_uses.c.id == use_id).values(values))


async def put_part_down(connection: AsyncConnection, use_id: UUID, unsent: int, *, last: bool) -> None:
    """A part has gone out; where it was the `last` of the file, and all of it was sent by now, the use is done."""
    whole = (_uses.c.state == "broken") & (_uses.c.sent - unsent >= _uses.c.size)
    values = {"sent": _uses.c.sent - unsent}
    if last:
        values["state"] = case((whole, UseState.DONE.value), else_=_uses.c.state)
    await connection.execute(update(_uses).where(_uses.c.id == use_id).values(values))


async def finish(connection: AsyncConnection, use_id: UUID, file_id: UUID, size: int) -> bool:
    """An upload's use is done. False where it was given back."""
    statement = update(_uses).where(_uses.c.id == use_id, _uses.c.state == "running")
    done = statement.values(state=UseState.DONE.value, file_id=file_id, size=size)
    return (await connection.execute(done)).rowcount == 1


async def remove(connection: AsyncConnection, use_id: UUID) -> bool:
    """A use that nothing came of. False where something did, or it is gone already: also a part beside the whole."""
    nothing = (_uses.c.state == "running") & (_uses.c.sent <= _uses.c.size)
    statement = delete(_uses).where(_uses.c.id == use_id, nothing)
    return (await connection.execute(statement)).rowcount == 1


async def lapsed_uploads(connection: AsyncConnection, moment: datetime) -> list[LinkUse]:
    """Uploads that nobody is at any more."""
    asked = select(*_COLUMNS).where(_uses.c.state == "running", _uses.c.file_id.is_(None), _LAPSED)
    found = [_use(row) for row in await connection.execute(asked, {"moment": moment})]
    return [use for use in found if use is not None]


def _use(row: Any) -> LinkUse | None:
    return None if row is None else LinkUse(row.id, row.link_id, row.session_id, row.file_id, row.size)
