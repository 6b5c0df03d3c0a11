"""Reading of a file that may get other blobs meanwhile: a download goes on in the new one where the old one is gone.

Comes in: a sealed file and a range. Leaves: its plaintext. The content is the same: each file record names its digest.
Next: `delivery` sends it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID

from portal.core.errors import IntegrityError, Unavailable
from portal.core.ranges import ByteRange
from portal.db.unit_of_work import Database
from portal.features.files import blob_rows, repository
from portal.features.files.blob_rows import FileMoved
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox


async def plaintext(
    database: Database, strongbox: Strongbox, sealed: SealedFile | None, extent: ByteRange
) -> AsyncGenerator[memoryview, None]:
    """Yield the bytes of the range. Raises IntegrityError if the blobs that the file has now are damaged, or if it was
    deleted; Unavailable.
    """
    read = 0
    while True:
        if sealed is None:
            raise IntegrityError
        try:
            reader = await strongbox.open(sealed)
            async with aclosing(reader.read(extent.start + read, extent.length - read)) as pieces:
                async for piece in pieces:
                    yield piece
                    read += len(piece)
        except IntegrityError:
            sealed = await _replaced(database, sealed)
            if sealed is None:
                raise
        else:
            return


async def _replaced(database: Database, old: SealedFile) -> SealedFile | None:
    """The same content under other keys; None if the file has no others, or that is unknown."""
    try:
        now = await _sealed_now(database, old.file_id)
    except Unavailable:
        return None
    same = now is not None and (now.size, now.sha256) == (old.size, old.sha256) and now.record != old.record
    return now if same else None


async def _sealed_now(database: Database, file_id: UUID) -> SealedFile | None:
    while True:
        with suppress(FileMoved):  # between the two statements
            async with database.read() as connection:
                file = await repository.find(connection, file_id)
                if file is None or not file.listed:
                    return None
                return file.sealed(await blob_rows.parts(connection, file))
