"""Opening: verified plaintext of a whole file or of a byte range, segment by segment.

Comes in: a `SealedFile` whose file record was verified, and its file keys. Leaves: plaintext of verified segments, in
order. A read of the whole file yields the last segment only after every head, length and tag was checked. A read of a
range first verifies the last segment of every part that it touches. All segments of one piece from the store are
verified before any of them is yielded.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from portal.backends.blobs.base import ByteSpan
from portal.core.buffer import Buffer
from portal.core.errors import IntegrityError
from portal.crypto import blob
from portal.crypto.layout import STREAM_HEADER_SIZE, Layout
from portal.stores.stores import Stores
from portal.strongbox.inline_blob import blob_source
from portal.strongbox.model import SealedFile, SealedPart
from portal.strongbox.rooms import Rooms

_OpenSegment = Callable[[blob.BlobOpener, int, Buffer], None]
_NOTHING = memoryview(b"")


class Reader:
    """A reader of one file, for one task at a time."""

    def __init__(self, stores: Stores, layout: Layout, file: SealedFile, file_keys: Sequence[bytes]) -> None:
        self._stores, self._layout, self._file = stores, layout, file
        self._file_keys = file_keys
        self._rooms = Rooms()

    async def read(self, start: int, length: int) -> AsyncGenerator[memoryview, None]:
        """Yield the plaintext bytes [start, start + length), which must lie inside the file.

        A piece stays valid for as long as it is held; its memory is used again when it is not.

        Raises IntegrityError, StoreAway; RuntimeError for a range outside the file, which is a bug of the caller.
        """
        if not 0 <= start <= start + length <= self._file.size:
            raise RuntimeError("a range outside the file")
        position = 0
        for part, file_key in zip(self._file.parts, self._file_keys, strict=True):
            begin, end = max(start, position), min(start + length, position + part.plain_length)
            if begin < end or part.plain_length == 0:
                async with aclosing(self._read_part(part, file_key, begin - position, end - begin)) as pieces:
                    async for plain in pieces:
                        yield plain
            position += part.plain_length

    async def _read_part(
        self, part: SealedPart, file_key: bytes, start: int, length: int
    ) -> AsyncGenerator[memoryview, None]:
        if blob.plain_length(self._layout, part.stored_length) != part.plain_length:
            raise IntegrityError
        wanted = self._layout.span(start, length)
        skip, left = wanted.skip, wanted.length
        plan = _Plan(part, self._layout, wanted.first, wanted.last)
        opening, store = _Opening(plan, file_key, self._rooms), blob_source(part, self._stores)
        async with aclosing(store.get(part.key, plan.spans(), opening.feed, size=part.stored_length)) as runs:
            async for plain in runs:
                if piece := plain[skip : skip + left]:  # a preamble has no plaintext, nor has the empty file
                    yield piece
                    skip, left = 0, left - len(piece)
        if not opening.done:
            raise IntegrityError  # the store returned fewer bytes than the blob has


@dataclass(frozen=True, slots=True)
class _Plan:
    """The spans that are read for the segments `first` to `last` of a part, and the order of their verification."""

    part: SealedPart
    layout: Layout
    first: int
    last: int

    def spans(self) -> list[ByteSpan]:
        """The preamble; the part's last segment, unless it is among those wanted; the wanted segments."""
        proof = [self._range(self._end)] if self.last < self._end else []
        start = self._range(self.first)[0] - self._lead
        return [(0, blob.PREAMBLE_SIZE), *proof, (start, sum(self._range(self.last)) - start)]

    def steps(self, file_key: bytes, take: "_OpenSegment") -> Generator[int, Buffer, None]:
        """A generator that verifies the bytes of `spans()`; `take` opens each wanted segment.

        It yields the number of bytes that it needs next, and is sent exactly so many. It yields 0 when all of them were
        verified. Raises IntegrityError, also for bytes that are sent after the 0.

            for a file of two segments: PREAMBLE_SIZE, STREAM_HEADER_SIZE, length of segment 0, length of segment 1, 0
        """
        part, preamble = self.part, bytes((yield blob.PREAMBLE_SIZE))
        opener = blob.BlobOpener(preamble, part.context, file_key, self.layout, part.plain_length)
        if opener.commitment != part.commitment:
            raise IntegrityError
        if self.last < self._end:
            opener.open(self._end, (yield opener.sealed_length(self._end)))
        if self._lead:
            yield self._lead
        for index in range(self.first, self.last + 1):
            sealed = yield opener.sealed_length(index)
            take(opener, index, sealed)
        yield 0
        raise IntegrityError  # the store returned more bytes than the spans have

    @property
    def _end(self) -> int:
        return self.layout.segments(self.part.plain_length) - 1

    @property
    def _lead(self) -> int:
        """Length of the header before segment 0, in bytes. It is read along, so that pieces end where segments do."""
        return 0 if self.first else STREAM_HEADER_SIZE

    def _range(self, index: int) -> ByteSpan:
        return blob.segment_range(self.layout, index, self.part.plain_length)


class _Run:
    """The plaintext of the segments that one piece completes, side by side in one room.

    It knows nothing of `_Opening`: a cycle of the two would keep the rooms of an ended download until the next garbage
    collection.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms, self._room, self._filled = rooms, _NOTHING, 0
        self.most = 0  # bytes that the next room must have

    def open(self, opener: blob.BlobOpener, index: int, sealed: Buffer) -> None:
        self._room = self._room or self._rooms.take(self.most)
        self._filled += opener.open_into(index, sealed, self._room[self._filled :])

    def taken(self) -> memoryview:
        plain = self._room[: self._filled]
        self._room, self._filled = _NOTHING, 0
        return plain


class _Opening:
    """The opening of a plan's segments, from pieces of any size. For one thread at a time.

    `done` is true once all bytes of the plan arrived and were verified.
    """

    def __init__(self, plan: _Plan, file_key: bytes, rooms: Rooms) -> None:
        self._run = _Run(rooms)
        self._steps = plan.steps(file_key, self._run.open)
        self._missing, self._held = next(self._steps), bytearray()
        self.done = False

    def feed(self, piece: memoryview) -> memoryview:
        """The plaintext of the segments that `piece` completes. Raises IntegrityError."""
        self._run.most = len(self._held) + len(piece)
        while piece:
            front, piece = piece[: self._missing], piece[self._missing :]
            self._missing -= len(front)
            if self._missing or self._held:
                self._held += front
            if not self._missing:
                whole, self._held = self._held or front, bytearray()
                self._missing = self._steps.send(whole)
                self.done = not self._missing
        return self._run.taken()
