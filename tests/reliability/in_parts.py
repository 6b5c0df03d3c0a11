"""A file of several parts behind a portal that serves: the API makes files of one part, the format knows more.

Comes in: a portal, the name of an account, the plaintext of each part. Leaves: the file's id, as if it was handed in.
"""

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from portal import config
from portal.bootstrap import Portal, open_portal
from portal.core import clock
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE
from portal.crypto.format import BlobContext
from portal.features.files import blob_rows, repository
from portal.features.files.models import Status
from portal.strongbox.model import SealedFile, SealedPart

from .. import own_loop
from ..e2e.conftest import Served
from ..e2e.seen import rows
from ..strongbox.sealing import seal_part


def hand_in(portal: Served, owner: str, *parts: bytes) -> str:
    ((owner_id,),) = rows(portal, "SELECT id FROM users WHERE name = ?", owner)
    return str(own_loop.run(_hand_in(portal, UUID(owner_id), parts)))


async def _hand_in(portal: Served, owner_id: UUID, parts: tuple[bytes, ...]) -> UUID:
    settings, variables = config.load(portal.environment, portal.folder / ".env")
    places = [BlobContext(new_id(), new_id())]
    places += [BlobContext(places[0].file_id, new_id(), number) for number in range(1, len(parts))]
    async with open_portal(settings, variables) as opened:
        await _begin(opened, owner_id, places)
        sealed = [await _sealed(opened, context, plain) for context, plain in zip(places, parts, strict=True)]
        whole = b"".join(parts)
        digest, data_key = hashlib.sha256(whole), sealed[0].data_key_id
        file = SealedFile(places[0].file_id, NO_CASE, data_key, len(whole), digest.digest(), b"", tuple(sealed))
        await _settle(opened, replace(file, record=await opened.resources.strongbox.record(file)))
    return file.file_id


async def _begin(opened: Portal, owner_id: UUID, places: list[BlobContext]) -> None:
    now = clock.now()
    new = {"id": places[0].file_id, "owner_id": owner_id, "scope": NO_CASE, "name": "parts.bin", "created_at": now}
    new["lease_until"] = now + timedelta(minutes=5)
    async with opened.resources.database.write() as connection:
        await repository.add(connection, new)
        for context in places:
            await blob_rows.add_blob(connection, context, opened.resources.strongbox.store_id)


async def _sealed(opened: Portal, context: BlobContext, plain: bytes) -> SealedPart:
    part, _ = await seal_part(opened.resources.strongbox, plain, at=context, scope=NO_CASE)
    return part


async def _settle(opened: Portal, file: SealedFile) -> None:
    values = {
        "size": file.size,
        "sha256": file.sha256.hex(),
        "status": Status.READY.value,
        "verdict": "not_scanned",
        "data_key_id": file.data_key_id,
        "record": file.record,
    }
    async with opened.resources.database.write() as connection:
        for part in file.parts:
            await blob_rows.store_part(connection, part)
        assert await repository.finish(connection, file.file_id, values)
