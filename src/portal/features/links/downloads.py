"""What a download by a link costs: a use that is counted before its first byte, and never for nothing.

Comes in: a visit, and the part of a file that `files.delivery` is about to send, in its transaction. Leaves: what
delivery tells when the download has ended. A use of which nothing was sent is given back. One that broke off stays
its visitor's: they begin again or go on where they were, by another token too, until three times the file's bytes
have gone out. While a download runs, nobody else goes on with its use: of fifty at once one has it.
"""

from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import Conflict, NotSignedIn
from portal.core.ids import new_id
from portal.db.unit_of_work import Database
from portal.features.files.delivery import Extent
from portal.features.files.lease import LEASE
from portal.features.files.views import FileView
from portal.features.links import judging, repository, use_rows
from portal.features.links.held import held
from portal.features.links.use_rows import Use, UseState
from portal.features.links.views import LinkUsedUp, Visit


class NothingToResume(Conflict):
    code, title = (
        "nothing_to_resume",
        "A range goes on with a download by this link that began: ask for the whole first.",
    )


class Whole:
    """A download of the whole file by a use that is its own while it runs."""

    def __init__(self, database: Database, use: Use, *, fresh: bool) -> None:
        self._database, self._use, self._fresh = database, use, fresh

    def held(self) -> AbstractAsyncContextManager[None]:
        return held(self._database, self._use.id)

    async def ended(self, connection: AsyncConnection, handed: int, *, finished: bool) -> None:
        use = self._use
        nothing = self._fresh and not handed and not finished
        if nothing and await use_rows.remove(connection, use.id):
            await repository.give_back(connection, use.link_id)
            return
        state = UseState.DONE if finished else UseState.BROKEN
        await use_rows.put_down(connection, use.id, state, use.size - handed)


class Part:
    """A range, out of what a use has left."""

    def __init__(self, database: Database, use: Use, extent: Extent) -> None:
        self._database, self._use, self._extent = database, use, extent

    def held(self) -> AbstractAsyncContextManager[None]:
        return held(self._database, self._use.id)

    async def ended(self, connection: AsyncConnection, handed: int, *, finished: bool) -> None:
        last = finished and self._extent.start + self._extent.length == self._use.size
        await use_rows.put_part_down(connection, self._use.id, self._extent.length - handed, last=last)


async def counted(
    database: Database, visit: Visit, connection: AsyncConnection, file: FileView, extent: Extent
) -> Whole | Part:
    """Raises NotSignedIn, LinkUsedUp, NothingToResume."""
    await judging.again(connection, visit.link.id, begun=False)
    if extent == Extent(0, file.size or 0):
        begun = await _again(connection, visit, file)
        return Whole(database, begun or await _begun(connection, visit, file), fresh=begun is None)
    return Part(database, await _part(connection, visit, file, extent.length), extent)


async def _again(connection: AsyncConnection, visit: Visit, file: FileView) -> Use | None:
    """A use that broke off, and now begins again."""
    now, length = clock.now(), file.size or 0
    use = await use_rows.idle(connection, visit.link.id, file.id, visit.session_id, length, now)
    if use is None or not await use_rows.take(connection, use, visit.session_id, length, now, now + LEASE):
        return None
    return use


async def _begun(connection: AsyncConnection, visit: Visit, file: FileView) -> Use:
    """A new use. The link's row is held by counting it: only then is it known how often this file was."""
    if visit.late:
        raise NotSignedIn
    link, now = visit.link, clock.now()
    use = Use(new_id(), link.id, visit.session_id, file.id, file.size or 0)
    if not await repository.use(connection, link.id, now) or (
        await use_rows.count(connection, link.id, file.id) >= link.most
    ):
        raise LinkUsedUp(running=await use_rows.any_running(connection, link.id, file.id))
    await use_rows.add(connection, use, now + LEASE)
    return use


async def _part(connection: AsyncConnection, visit: Visit, file: FileView, length: int) -> Use:
    """The use that a range goes by: of this session; else one that broke off in another, which has it no longer."""
    own = await use_rows.own(connection, visit.link.id, file.id, visit.session_id, length)
    if own is not None and await use_rows.draw(connection, own, length):
        return own
    now = clock.now()
    use = await use_rows.idle(connection, visit.link.id, file.id, visit.session_id, length, now)
    if use is None or not await use_rows.take(connection, use, visit.session_id, length, now, None):
        raise NothingToResume
    return use
