"""Upload slots: one use of a link and its bytes, reserved when an upload begins, and given back if it fails.

Comes in: a link session, the announced length, an Idempotency-Key. Leaves: an `UploadSlot` for one upload. A repeated
upload with the key of one that arrived gets its receipt again, even where the link is used up.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from portal.core import clock, log
from portal.core.errors import NotSignedIn, StorageFull, Unavailable
from portal.core.ids import new_id
from portal.core.tasks import shielded
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database
from portal.features.files import repository as file_rows
from portal.features.files.views import FileView
from portal.features.links import checks, repository, use_rows
from portal.features.links.use_lease import renewed_lease
from portal.features.links.use_rows import LinkUse, UseState
from portal.features.links.views import Link, LinkSession, LinkUsedUp

FAILURES = 100  # failed uploads that a link allows, beyond its number of uses

_log = log.get(__name__)


@dataclass(slots=True)
class UploadSlot:
    """The slot for one upload of at most `remaining_bytes`. `settled` is True once the upload was counted.

    `key` is the client's Idempotency-Key in its link-specific form (`_own_key`).
    """

    session: LinkSession
    remaining_bytes: int
    key: str | None
    use: LinkUse | None = field(default=None)  # None: a repetition of a stored upload
    settled: bool = False

    async def counted(self, connection: Connection, file: FileView) -> None:
        """Count the uploaded file. `files.uploads.intake` calls this in its last transaction.

        Raises NotSignedIn where the link ended meanwhile, LinkUsedUp.
        """
        link = self.session.link
        await checks.reauthenticate(connection, link.id)
        if self.use is None:
            raise LinkUsedUp
        size = file.size or 0
        if await use_rows.finish(connection, self.use.id, file.id, size):
            fits = await repository.settle_bytes(connection, link.id, self.use.size, size)
        else:  # the lease expired and the sweep gave the use back: count a new one
            fits = await repository.use(connection, link.id, clock.now() - checks.OVERTIME, size)
            use = LinkUse(new_id(), link.id, self.session.session_id, file.id, size)
            await use_rows.add(connection, use, clock.now(), UseState.DONE)
        if not fits:
            raise LinkUsedUp
        self.settled = True


@asynccontextmanager
async def upload_slot(
    database: Database, session: LinkSession, content_length: int | None, most: int, key: str | None
) -> AsyncIterator[UploadSlot]:
    """Hold one use of the link during an upload of at most `most` bytes. Its lease is renewed meanwhile.

    On exit, a use that was not counted is given back. An error counts as a failed upload of the link, except for
    Unavailable, StorageFull and a stop of the portal. Entering raises NotSignedIn, LinkUsedUp.
    """
    key = None if key is None else _own_key(session.link, key)
    async with database.write() as connection:
        opened = await _opened(connection, session, content_length, most, key)
    if opened.use is None:
        yield opened
        return
    try:
        async with renewed_lease(database, opened.use.id):
            yield opened
    except BaseException as error:
        ours = isinstance(error, Unavailable | StorageFull | asyncio.CancelledError)
        await shielded(_give_back(database, opened.use, failed=not ours))
        raise
    if not opened.settled:  # a repetition: the file was stored already
        await shielded(_give_back(database, opened.use, failed=False))


async def sweep(database: Database) -> None:
    """Give back the uses and bytes of uploads whose process died (their lease expired)."""
    async with database.read() as connection:
        lapsed = await use_rows.lapsed_uploads(connection, clock.now())
    for use in lapsed:
        await _give_back(database, use, failed=False)


async def _opened(
    connection: Connection, session: LinkSession, content_length: int | None, most: int, key: str | None
) -> UploadSlot:
    live = await repository.live_by_id(connection, session.link.id, clock.now())
    if live is None:
        raise NotSignedIn
    link, earlier = live.link, None
    if key is not None:
        earlier = await file_rows.find_by_idempotency_key(connection, link.made_by, key)
    if earlier is not None and earlier.listed:
        return UploadSlot(session, max(earlier.size or 0, link.remaining_bytes(most)), key)
    remaining_bytes = link.remaining_bytes(most)
    if (content_length or 0) > remaining_bytes and await use_rows.any_running(connection, link.id):
        raise LinkUsedUp(running=True)  # running uploads may give bytes back
    counted = (
        0
        if link.most_bytes is None
        else min(remaining_bytes, remaining_bytes if content_length is None else content_length)
    )
    use = LinkUse(new_id(), link.id, session.session_id, None, counted)
    await _reserve(connection, link, use)
    return UploadSlot(session, remaining_bytes if link.most_bytes is None else counted, key, use)


async def _reserve(connection: Connection, link: Link, use: LinkUse) -> None:
    """Reserve a use and its bytes, with a lease. Raises LinkUsedUp."""
    if link.failed_uploads >= FAILURES + link.most:
        raise LinkUsedUp("Too many uploads by this link failed.")
    now = clock.now()
    if link.bytes_left == 0 or not await repository.use(connection, link.id, now, use.size):
        raise LinkUsedUp(running=await use_rows.any_running(connection, link.id))
    await use_rows.add(connection, use, now + LEASE)


async def _give_back(database: Database, use: LinkUse, *, failed: bool) -> None:
    """Give the use and its bytes back, unless the upload is done: the row decides.

    While the database is unavailable this does nothing; a later sweep gives them back.
    """
    try:
        async with database.write() as connection:
            if await use_rows.remove(connection, use.id):
                await repository.give_back(connection, use.link_id, use.size, failed=failed)
    except (Unavailable, StorageFull) as error:
        _log.warning("link_use_left_to_sweep", use_id=str(use.id), error=type(error).__name__)


def _own_key(link: Link, key: str) -> str:
    """The Idempotency-Key as it is stored with the file: unique to this link, so that keys of two links never meet."""
    return f"link:{link.id.hex}:{hashlib.sha256(key.encode()).hexdigest()}"
