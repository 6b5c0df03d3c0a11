"""Room for one more file by a link: a use and its bytes, reserved when an upload begins, given back where it fails.

Comes in: a visit, the length that was announced, an Idempotency-Key. Leaves: a `Box` for the time of one upload. What
arrived is the link's last word: a request that brings it again with its key has its receipt, whatever is left.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock, log
from portal.core.errors import NotSignedIn, StorageFull, Unavailable
from portal.core.ids import new_id
from portal.core.tasks import uninterrupted
from portal.db.unit_of_work import Database
from portal.features.files import repository as file_rows
from portal.features.files.lease import LEASE
from portal.features.files.views import FileView
from portal.features.links import judging, repository, use_rows
from portal.features.links.held import held
from portal.features.links.use_rows import Use, UseState
from portal.features.links.views import Link, LinkUsedUp, Visit

FAILURES = 100  # uploads that may fail by a link, beyond as many as it takes

_log = log.get(__name__)


@dataclass(slots=True)
class Box:
    """Where one upload goes in: so many bytes, once, under the link's own form of the client's key."""

    visit: Visit
    room: int
    key: str | None
    use: Use | None = field(default=None)  # None: it brings only what is there already
    settled: bool = False

    async def counted(self, connection: AsyncConnection, file: FileView) -> None:
        """For `files.intake`, in its last transaction. Raises NotSignedIn, LinkUsedUp."""
        link = self.visit.link
        await judging.again(connection, link.id)
        if self.use is None:
            raise LinkUsedUp
        size = file.size or 0
        if await use_rows.finish(connection, self.use.id, file.id, size):
            fits = await repository.settle_bytes(connection, link.id, self.use.size, size)
        else:  # it was given back: nobody was known to be at it
            fits = await repository.use(connection, link.id, clock.now() - judging.OVERTIME, size)
            use = Use(new_id(), link.id, self.visit.session_id, file.id, size)
            await use_rows.add(connection, use, clock.now(), UseState.DONE)
        if not fits:
            raise LinkUsedUp
        self.settled = True


@asynccontextmanager
async def box(
    database: Database, visit: Visit, announced: int | None, most: int, key: str | None
) -> AsyncIterator[Box]:
    """Holds a use while an upload of at most `most` bytes comes in. Raises NotSignedIn, LinkUsedUp."""
    key = None if key is None else _own_key(visit.link, key)
    async with database.write() as connection:
        opened = await _opened(connection, visit, announced, most, key)
    if opened.use is None:
        yield opened
        return
    try:
        async with held(database, opened.use.id):
            yield opened
    except BaseException as error:
        ours = isinstance(error, Unavailable | StorageFull)
        await uninterrupted(_give_back(database, opened.use, failed=not ours))
        raise
    if not opened.settled:  # it was there already
        await uninterrupted(_give_back(database, opened.use, failed=False))


async def sweep(database: Database) -> None:
    """Give back what uploads had whose process died."""
    async with database.read() as connection:
        lapsed = await use_rows.lapsed_uploads(connection, clock.now())
    for use in lapsed:
        await _give_back(database, use, failed=False)


async def _opened(connection: AsyncConnection, visit: Visit, announced: int | None, most: int, key: str | None) -> Box:
    live = await repository.live_by_id(connection, visit.link.id, clock.now())
    if live is None:
        raise NotSignedIn
    link, earlier = live.link, None
    if key is not None:
        earlier = await file_rows.find_by_idempotency_key(connection, link.made_by, key)
    if earlier is not None and earlier.listed:
        return Box(visit, max(earlier.size or 0, link.room(most)), key)
    room = link.room(most)
    if (announced or 0) > room and await use_rows.any_running(connection, link.id):
        raise LinkUsedUp(running=True)  # what they have may be given back
    counted = 0 if link.most_bytes is None else min(room, room if announced is None else announced)
    use = Use(new_id(), link.id, visit.session_id, None, counted)
    await _reserve(connection, link, use)
    return Box(visit, room if link.most_bytes is None else counted, key, use)


async def _reserve(connection: AsyncConnection, link: Link, use: Use) -> None:
    """Raises LinkUsedUp."""
    if link.failed_uploads >= FAILURES + link.most:
        raise LinkUsedUp("Too many uploads by this link failed.")
    now = clock.now()
    if link.bytes_left == 0 or not await repository.use(connection, link.id, now, use.size):
        raise LinkUsedUp(running=await use_rows.any_running(connection, link.id))
    await use_rows.add(connection, use, now + LEASE)


async def _give_back(database: Database, use: Use, *, failed: bool) -> None:
    """Unless the file is there: the row decides. Where the database is away, the sweep does."""
    try:
        async with database.write() as connection:
            if await use_rows.remove(connection, use.id):
                await repository.give_back(connection, use.link_id, use.size, failed=failed)
    except (Unavailable, StorageFull) as error:
        _log.warning("link_use_left_to_sweep", use_id=str(use.id), error=type(error).__name__)


def _own_key(link: Link, key: str) -> str:
    """The key as the file's row has it: of this link alone, however it was chosen."""
    return f"link:{link.id.hex}:{hashlib.sha256(key.encode()).hexdigest()}"
