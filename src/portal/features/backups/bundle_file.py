"""A key bundle as a file of its own: the header of a backup, then its bundle, sealed as it lies at the target.

Comes in: a target, and no key; or such a file and the key providers. Leaves: the file; or the key of one blob, without
a database. Next: `portal backup bundle`, `portal rescue --bundle`.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from portal.backends.blobs.base import BlobStore
from portal.backends.keys.base import KeyProvider
from portal.core.errors import IntegrityError, NotFound
from portal.core.key_scopes import BACKUP
from portal.crypto import wrap
from portal.crypto.format import BlobContext
from portal.features.backups import header as headers
from portal.features.backups import lines
from portal.features.backups.header import Header
from portal.features.backups.lines import Rows
from portal.features.backups.targets import HEADERS, TargetRefused, get
from portal.keyring.data_key import unwrapped
from portal.keyring.repository import WrappedDataKey
from portal.strongbox.model import IN_ROW
from portal.strongbox.rescue import segments


async def copy_bundle(target: BlobStore, backup_id: UUID | None, out: Path) -> UUID:
    """Copy the bundle of the newest backup, or of the one that is named, into a new file. Its header is believed: what
    it says is verified when the file is read. Raises NotFound, TargetRefused, StoreAway, BlobMissing, OSError.
    """
    line, header = await _newest(target, backup_id)
    part = header.bundle
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            spans = [(0, part.stored_length)]
            async with aclosing(target.get(part.key, spans, file.write, size=part.stored_length)) as pieces:
                async for _ in pieces:
                    pass
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        await asyncio.to_thread(out.unlink)
        raise
    return header.id


async def _newest(target: BlobStore, backup_id: UUID | None) -> tuple[bytes, Header]:
    if await target.identify() is None:
        raise TargetRefused("There is no backup here.")
    found = []
    async for name in target.list(HEADERS):
        line = await get(target, name, headers.MOST_BYTES)
        try:
            found.append((line, headers.decoded(line, target.id.hex)))
        except IntegrityError:
            continue
    wanted = [one for one in found if backup_id in {None, one[1].id}]
    if not wanted:
        raise NotFound
    return max(wanted, key=lambda one: one[1].created_at)


async def file_key(file: BinaryIO, providers: Mapping[str, KeyProvider], wanted: BlobContext) -> bytes:
    """The key of a blob, from a bundle in a file. Memory for the data keys is all it takes.

    Raises NotFound if the bundle does not name the blob; IntegrityError for a damaged bundle; KeyProviderError.
    """
    line = file.readline(headers.MOST_BYTES)
    header = headers.decoded(line, IN_ROW)
    key = await unwrapped(providers, header.key, BACKUP)
    headers.check(line, key)
    part = header.bundle
    bundle_key = wrap.unwrap_file_key(part.wrapped_key, key.key, key.id, part.context)
    finding = _Finding(wanted)
    async for some in lines.read(_pieces(file, part.stored_length, bundle_key)):
        if isinstance(some, Rows):
            finding.look(some)
    data_key = await unwrapped(providers, finding.data_key(), finding.scope)
    return wrap.unwrap_file_key(finding.wrapped_key, data_key.key, data_key.id, wanted)


async def _pieces(file: BinaryIO, length: int, key: bytes) -> AsyncGenerator[memoryview, None]:
    for piece in segments(file, length, key, lambda _: None):
        yield memoryview(piece)


@dataclass(slots=True)
class _Finding:
    """What a bundle says of one blob. The scope is that of its file, never that of the data key's row."""

    wanted: BlobContext
    data_keys: dict[UUID, WrappedDataKey] = field(default_factory=dict)
    scope: str = ""
    data_key_id: UUID | None = None
    wrapped_key: bytes = field(repr=False, default=b"")

    def look(self, some: Rows) -> None:
        for row in some.rows:
            if some.table == "data_keys":
                self.data_keys[row["id"]] = WrappedDataKey(**row)
            elif some.table == "files" and row["id"] == self.wanted.file_id:
                self.scope = row["scope"]
            elif some.table == "blobs" and row["id"] == self.wanted.blob_id and row["wrapped_key"] is not None:
                self.data_key_id, self.wrapped_key = row["data_key_id"], row["wrapped_key"]

    def data_key(self) -> WrappedDataKey:
        if self.data_key_id is None:
            raise NotFound("The bundle does not name this blob: it is of an older backup, or of another portal.")
        if self.data_key_id not in self.data_keys:
            raise IntegrityError
        return self.data_keys[self.data_key_id]
