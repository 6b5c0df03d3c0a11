"""Statements on `link_uses`, in the caller's transaction. They return frozen views, or whether a row was as expected.

Every change is a compare-and-set: of two requests that race for one use, one gets it.

A *use* is one download of a file, or one upload. `sent` counts the bytes sent by a use, and those that a running
download may still send; it is at most TIMES times the file's size. For example, of a file of 10 bytes a use may send
30: a download that broke off after 4 bytes (`sent` 4) may begin again (`sent` 14) or fetch the missing range (`sent`
10).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, exists, func, insert, or_, select, update

from portal.db.connection import Connection
from portal.db.lease import expired
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.links.models import LinkUseRow

TIMES = 3  # a use may send a file's size this many times: a broken download may begin again, or resume

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
    """The state of a use. A use without a result, such as a failed upload, has no row."""

    RUNNING = "running"
    BROKEN = "broken"  # an interrupted download: it may begin again, or resume
    DONE = "done"


@dataclass(frozen=True, slots=True)
class LinkUse:
    """One use of a link: a download or an upload. An upload has no `file_id` before it is done; `size` is in bytes."""

    id: UUID
    link_id: UUID
    session_id: UUID
    file_id: UUID | None
    size: int


async def add(connection: Connection, use: LinkUse, until: datetime, state: UseState = UseState.RUNNING) -> None:
    values = {name: getattr(use, name) for name in LinkUse.__slots__}
    sent = 0 if use.file_id is None else use.size
    await connection.execute(insert(_uses).values(**values, state=state.value, sent=sent, lease_until=until))


async def idle(
    connection: Connection, link_id: UUID, file_id: UUID, session_id: UUID, length: int, moment: datetime
) -> LinkUse | None:
    """An interrupted use of the file with at least `length` bytes left: of this session if there is one, else of any.

    Also a running use whose lease has expired. None where there is none.
    """
    asked = {"link": link_id, "file": file_id, "session": session_id, "length": length, "moment": moment}
    return _use((await connection.execute(_IDLE_OF_FILE, asked)).one_or_none())


async def own(connection: Connection, link_id: UUID, file_id: UUID, session_id: UUID, length: int) -> LinkUse | None:
    """This session's latest use of the file, in any state, with at least `length` bytes left. None without one."""
    asked = {"link": link_id, "file": file_id, "session": session_id, "length": length}
    return _use((await connection.execute(_OWN_OF_FILE, asked)).one_or_none())


async def take(
    connection: Connection, use: LinkUse, session_id: UUID, length: int, moment: datetime, until: datetime | None
) -> bool:
    """Take over an idle use for this session, and charge `length` bytes to it.

    With `until`, the end of the new lease, it is running: the whole file is sent again. Without, a range is sent and it
    stays broken. False where another request took it first.
    """
    begun: dict[str, Any] = {"session_id": session_id, "sent": _uses.c.sent + length}
    begun["state"] = UseState.BROKEN.value if until is None else UseState.RUNNING.value
    begun |= {} if until is None else {"lease_until": until}
    statement = update(_uses).where(_uses.c.id == use.id, _IDLE, _ROOM).values(begun)
    return (await connection.execute(statement, {"moment": moment, "length": length})).rowcount == 1


async def draw(connection: Connection, use: LinkUse, length: int) -> bool:
    """Charge `length` bytes to a use, for a range of the file. False where fewer are left."""
    statement = update(_uses).where(_uses.c.id == use.id, _ROOM).values(sent=_uses.c.sent + length)
    return (await connection.execute(statement, {"length": length})).rowcount == 1


async def any_running(connection: Connection, link_id: UUID, file_id: UUID | None = None) -> bool:
    """Whether a download of the file is running; without `file_id`, whether an upload is."""
    there = exists().where(_uses.c.link_id == link_id, _uses.c.file_id == file_id, _uses.c.state == "running")
    return bool((await connection.execute(select(there))).scalar())


async def any_unfinished(connection: Connection, link_id: UUID) -> bool:
    """Whether an unfinished download by the link has enough bytes left to begin again."""
    open_ = (_uses.c.state != UseState.DONE.value, _uses.c.file_id.is_not(None))
    there = exists().where(_uses.c.link_id == link_id, *open_, _uses.c.sent <= (TIMES - 1) * _uses.c.size)
    return bool(await connection.scalar(scanning(select(there))))  # of all uses of a link that is used up


async def count(connection: Connection, link_id: UUID, file_id: UUID) -> int:
    """The number of uses of one file."""
    asked = select(func.count()).where(_uses.c.link_id == link_id, _uses.c.file_id == file_id)
    return int((await connection.execute(asked)).scalar_one())


async def counts(connection: Connection, link_id: UUID, file_ids: list[UUID]) -> dict[UUID, int]:
    asked = select(_uses.c.file_id, func.count()).where(_uses.c.link_id == link_id, _uses.c.file_id.in_(file_ids))
    return {row[0]: row[1] for row in await connection.execute(scanning(asked.group_by(_uses.c.file_id)))}


async def of_session(connection: Connection, session_id: UUID, link_id: UUID, limit: int) -> list[UUID]:
    """The files that the session uploaded, newest first, at most `limit`."""
    asked = select(_uses.c.file_id).where(
        _uses.c.link_id == link_id, _uses.c.session_id == session_id, _uses.c.file_id.is_not(None)
    )
    newest = scanning(asked.order_by(_uses.c.id.desc()).limit(limit))
    return list((await connection.execute(newest)).scalars())


async def renew(connection: Connection, use_id: UUID, until: datetime) -> bool:
    """False where nothing goes by that use any more."""
    running = update(_uses).where(_uses.c.id == use_id, _uses.c.state == "running")
    return (await connection.execute(running.values(lease_until=until))).rowcount == 1


async def put_down(connection: Connection, use_id: UUID, state: UseState, unsent: int) -> None:
    """Store the end of a whole download: its new state, and `unsent` bytes less."""
    values = {"state": state.value, "sent": _uses.c.sent - unsent}
    await connection.execute(update(_uses).where(_uses.c.id == use_id).values(values))


async def put_part_down(connection: Connection, use_id: UUID, unsent: int, *, last: bool) -> None:
    """Store the end of a range download, and `unsent` bytes less.

    Where the range was the `last` of the file, and the whole size was sent by now, an interrupted use becomes done.
    """
    whole = (_uses.c.state == "broken") & (_uses.c.sent - unsent >= _uses.c.size)
    values = {"sent": _uses.c.sent - unsent}
    if last:
        values["state"] = case((whole, UseState.DONE.value), else_=_uses.c.state)
    await connection.execute(update(_uses).where(_uses.c.id == use_id).values(values))


async def finish(connection: Connection, use_id: UUID, file_id: UUID, size: int) -> bool:
    """Mark an upload's use as done. False where it was given back before."""
    statement = update(_uses).where(_uses.c.id == use_id, _uses.c.state == "running")
    done = statement.values(state=UseState.DONE.value, file_id=file_id, size=size)
    return (await connection.execute(done)).rowcount == 1


async def remove(connection: Connection, use_id: UUID) -> bool:
    """Delete a running use without a result.

    False where it is not running any more, was deleted, or another range was charged to it meanwhile.
    """
    nothing = (_uses.c.state == "running") & (_uses.c.sent <= _uses.c.size)
    statement = delete(_uses).where(_uses.c.id == use_id, nothing)
    return (await connection.execute(statement)).rowcount == 1


async def lapsed_uploads(connection: Connection, moment: datetime) -> list[LinkUse]:
    """Running uploads whose lease has expired: their process died."""
    asked = select(*_COLUMNS).where(_uses.c.state == "running", _uses.c.file_id.is_(None), _LAPSED)
    found = [_use(row) for row in await connection.execute(scanning(asked), {"moment": moment})]
    return [use for use in found if use is not None]


def _use(row: Any) -> LinkUse | None:
    return None if row is None else LinkUse(row.id, row.link_id, row.session_id, row.file_id, row.size)
