"""Sealing and reading in one line, for the strongbox's tests. Segments are small: three fit in 700 bytes."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

from portal.backends.blobs.base import BlobStat, BlobStore, ByteSpan, T
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.core.key_scopes import NO_CASE
from portal.crypto.format import BlobContext
from portal.crypto.layout import Layout
from portal.strongbox.model import Findings, SealedFile, SealedPart
from portal.strongbox.reader import Reader
from portal.strongbox.strongbox import Strongbox

LAYOUT = Layout(256)
CASE, OTHER_CASE = "case:" + "0a" * 16, "case:" + "0b" * 16
THREE_SEGMENTS = 200 + 240 + 7
NO_LIMIT = 1 << 44


def recipe(length: int, seed: int = 0) -> bytes:
    """Bytes of which no four neighbours come twice for a long time."""
    return b"".join((at * 2_654_435_761 + seed & 0xFFFFFFFF).to_bytes(4, "big") for at in range(length // 4 + 1))[
        :length
    ]


def context(file_id: UUID | None = None, part: int = 0, generation: int = 1) -> BlobContext:
    return BlobContext(file_id or new_id(), new_id(), part, generation)


async def source(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def seal(
    box: Strongbox,
    chunks: AsyncIterator[bytes],
    *,
    at: BlobContext | None = None,
    scope: str = NO_CASE,
    limit: int = NO_LIMIT,
    inline: bool = False,
) -> tuple[SealedPart, Findings]:
    """One blob, committed whatever was found."""
    async with box.sealing(at or context(), scope, limit=limit, inline=inline) as sealing:
        async for chunk in chunks:
            await sealing.write(chunk)
        findings = await sealing.finish()
        return await sealing.commit(), findings


async def seal_part(
    box: Strongbox, *chunks: bytes, at: BlobContext | None = None, scope: str = NO_CASE, inline: bool = False
) -> tuple[SealedPart, Findings]:
    return await seal(box, source(*chunks), at=at, scope=scope, inline=inline)


async def seal_file(box: Strongbox, *parts: bytes, scope: str = NO_CASE, generation: int = 1) -> SealedFile:
    """A file of one blob for each of `parts`, with its record."""
    file_id = new_id()
    sealed = [
        (await seal_part(box, plain, at=context(file_id, number, generation), scope=scope))[0]
        for number, plain in enumerate(parts)
    ]
    whole = b"".join(parts)
    file = SealedFile(file_id, scope, sealed[0].data_key_id, len(whole), sha256(whole).digest(), b"", tuple(sealed))
    return replace(file, record=await box.record(file))


def with_part(file: SealedFile, part: SealedPart, number: int = 0) -> SealedFile:
    return replace(file, parts=(*file.parts[:number], part, *file.parts[number + 1 :]))


async def read(box: Strongbox, file: SealedFile, start: int = 0, length: int | None = None) -> bytes:
    reader = await box.open(file)
    return b"".join([piece async for piece in reader.read(start, file.size if length is None else length)])


class Delivered:
    """What a reader let go of before it ended, and whether it ended well."""

    def __init__(self) -> None:
        self.plain = b""
        self.whole = False


async def deliver(box: Strongbox, file: SealedFile, start: int = 0, length: int | None = None) -> Delivered:
    """Open and read until the end or the alarm."""
    try:
        reader = await box.open(file)
    except IntegrityError:
        return Delivered()
    return await deliver_reader(reader, start, file.size if length is None else length)


async def deliver_reader(reader: Reader, start: int, length: int) -> Delivered:
    """Read until the end or the alarm."""
    delivered = Delivered()
    try:
        async for piece in reader.read(start, length):
            delivered.plain += piece
    except IntegrityError:
        return delivered
    delivered.whole = True
    return delivered


class LyingStore(MemoryStore):
    """Says of every blob that it has the length it was stored with; gives what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: dict[str, int] = {}

    async def stat(self, key: str) -> BlobStat | None:
        found = await super().stat(key)
        return found and replace(found, length=self.claimed.get(key, found.length))

    def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        return super().get(key, spans, use, size=None if size == self.claimed.get(key) else size)


async def holds_nothing(store: BlobStore) -> bool:
    """No blob, and no beginning of one."""
    unfinished = list((store.folders.root / "tmp").iterdir()) if isinstance(store, LocalStore) else []
    return unfinished == [] and [key async for key in store.list()] == []


def flips(data: bytes) -> Iterator[bytes]:
    """`data` with every single bit changed in turn."""
    number = int.from_bytes(data, "big")
    return ((number ^ 1 << bit).to_bytes(len(data), "big") for bit in range(len(data) * 8))


def damaged(data: bytes, at: int = -1) -> bytes:
    """`data` with one bit of one byte changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
