"""Counting downloads by a link: a use is counted before the first byte, and given back if no byte was sent.

Comes in: a link session, and the byte range that `files.downloads.delivery` is about to send, in its transaction.
Leaves: an allowance, which delivery tells when the download has ended. An interrupted download keeps its use: the
recipient may begin again or resume, with another link session too, until three times the file's size was sent. While a
download runs, no other request takes over its use: of fifty concurrent requests, one gets it.
"""

from contextlib import AbstractAsyncContextManager

from portal.core import clock
from portal.core.errors import Conflict, NotSignedIn
from portal.core.ids import new_id
from portal.core.ranges import ByteRange
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database
from portal.features.files.views import FileView
from portal.features.links import checks, repository, use_rows
from portal.features.links.use_lease import renewed_lease
from portal.features.links.use_rows import LinkUse, UseState
from portal.features.links.views import LinkSession, LinkUsedUp


class NothingToResume(Conflict):
    code, title = (
        "nothing_to_resume",
        "A range goes on with a download by this link that began: ask for the whole first.",
    )


class WholeDownload:
    """The allowance for a whole file. Its use is exclusive while the download runs.

    `fresh`: the use is new, and is given back if nothing is sent.
    """

    def __init__(self, database: Database, use: LinkUse, *, fresh: bool) -> None:
        self._database, self._use, self._fresh = database, use, fresh

    def held(self) -> AbstractAsyncContextManager[None]:
        return renewed_lease(self._database, self._use.id)

    async def ended(self, connection: Connection, handed: int, *, finished: bool) -> None:
        use = self._use
        nothing = self._fresh and not handed and not finished
        if nothing and await use_rows.remove(connection, use.id):
            await repository.give_back(connection, use.link_id)
            return
        state = UseState.DONE if finished else UseState.BROKEN
        await use_rows.put_down(connection, use.id, state, use.size - handed)


class PartialDownload:
    """The allowance for a range of a file, charged to the bytes that a use has left."""

    def __init__(self, database: Database, use: LinkUse, extent: ByteRange) -> None:
        self._database, self._use, self._extent = database, use, extent

    def held(self) -> AbstractAsyncContextManager[None]:
        return renewed_lease(self._database, self._use.id)

    async def ended(self, connection: Connection, handed: int, *, finished: bool) -> None:
        last = finished and self._extent.start + self._extent.length == self._use.size
        await use_rows.put_part_down(connection, self._use.id, self._extent.length - handed, last=last)


async def counted(
    database: Database, session: LinkSession, connection: Connection, file: FileView, extent: ByteRange
) -> WholeDownload | PartialDownload:
    """Count a download in the caller's transaction, before its first byte.

    A whole file takes an interrupted use, else a new one. A range is charged to a use that began before.
    Raises NotSignedIn, LinkUsedUp, NothingToResume.
    """
    await checks.reauthenticate(connection, session.link.id, begun=False)
    if extent == ByteRange(0, file.size or 0):
        begun = await _again(connection, session, file)
        return WholeDownload(database, begun or await _begun(connection, session, file), fresh=begun is None)
    return PartialDownload(database, await _part(connection, session, file, extent.length), extent)


async def _again(connection: Connection, session: LinkSession, file: FileView) -> LinkUse | None:
    """An interrupted use of the file, now running again for the whole file; None without one."""
    now, length = clock.now(), file.size or 0
    use = await use_rows.idle(connection, session.link.id, file.id, session.session_id, length, now)
    if use is None or not await use_rows.take(connection, use, session.session_id, length, now, now + LEASE):
        return None
    return use


async def _begun(connection: Connection, session: LinkSession, file: FileView) -> LinkUse:
    """A new use. Raises NotSignedIn for a late session, LinkUsedUp.

    `repository.use` locks the link's row: only after it is the number of this file's uses certain.
    """
    if session.late:
        raise NotSignedIn
    link, now = session.link, clock.now()
    use = LinkUse(new_id(), link.id, session.session_id, file.id, file.size or 0)
    if not await repository.use(connection, link.id, now) or (
        await use_rows.count(connection, link.id, file.id) >= link.most
    ):
        raise LinkUsedUp(running=await use_rows.any_running(connection, link.id, file.id))
    await use_rows.add(connection, use, now + LEASE)
    return use


async def _part(connection: Connection, session: LinkSession, file: FileView, length: int) -> LinkUse:
    """The use that a range is charged to: this session's, else an interrupted one, taken over from another session.

    Raises NothingToResume.
    """
    own = await use_rows.own(connection, session.link.id, file.id, session.session_id, length)
    if own is not None and await use_rows.draw(connection, own, length):
        return own
    now = clock.now()
    use = await use_rows.idle(connection, session.link.id, file.id, session.session_id, length, now)
    if use is None or not await use_rows.take(connection, use, session.session_id, length, now, None):
        raise NothingToResume
    return use
